"""Stages as data made to work: optimiser, rate at each step, image size of each epoch, and when a stage ends."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from cutis import recipe
from cutis.recipe import Stage


def optimizer(stage: Stage, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The stage's optimiser; weight decay spares biases and norms (one-dimensional parameters)."""
    decayed = [p for p in parameters if p.ndim > 1 and stage.weight_decay]
    spared = [p for p in parameters if p.ndim <= 1 or not stage.weight_decay]
    # no empty group, and one where one will do: each costs a tenth of the step of a small head
    groups = [{"params": g, "weight_decay": d} for g, d in ((decayed, stage.weight_decay), (spared, 0.0)) if g]
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=stage.lr, momentum=stage.momentum, nesterov=stage.momentum > 0)
    make = torch.optim.Adam if stage.optimizer == "adam" else torch.optim.AdamW
    return make(groups, lr=stage.lr, fused=True)


def rate(stage: Stage, step: int, steps: int, scale: float) -> float:
    """Learning rate at a step of a stage of ``steps``; ``scale`` is what plateaus have multiplied it by so far."""
    warm = round(stage.warmup * steps)
    if step < warm:
        return stage.lr * scale * (step + 1) / warm
    if stage.schedule == "cosine":
        share = (step - warm) / max(1, steps - warm)
        return stage.min_lr + (stage.lr - stage.min_lr) * 0.5 * (1 + math.cos(math.pi * share))
    return max(stage.lr * scale, min(stage.min_lr, stage.lr))


def size_at(spec: recipe.Recipe, epoch: int) -> tuple[int, int]:
    """Height and width at which epoch number ``epoch`` of the whole run trains: the sizes share the epochs evenly, in order."""
    sizes = spec.train.size
    if not sizes:
        return spec.images.size
    total = sum(stage.epochs for stage in spec.stages)
    side = sizes[min(epoch * len(sizes) // total, len(sizes) - 1)]
    return side, side


@dataclass
class Watch:
    """What a stage remembers of its validation: the best value, how long it has stood still, how far the rate was lowered."""

    best: float | None = None
    best_epoch: int = -1
    stale: int = 0  # epochs since the best
    flat: int = 0  # epochs since the best or the last lowering of the rate
    scale: float = 1.0

    def see(self, stage: Stage, epoch: int, figures: dict[str, float]) -> bool:
        """Take in an epoch's figures; whether it is the best so far. Without validation every epoch is."""
        value = figures.get(stage.monitor)
        if value is None or math.isnan(value):
            self.best_epoch = epoch
            return True
        score = -value if stage.monitor == "loss" else value
        if self.best is None or score > self.best:
            self.best, self.best_epoch, self.stale, self.flat = score, epoch, 0, 0
            return True
        self.stale += 1
        self.flat += 1
        if stage.schedule == "plateau" and self.flat >= stage.plateau:
            self.scale, self.flat = max(self.scale * stage.factor, stage.min_lr / stage.lr), 0
        return False

    def over(self, stage: Stage, epochs: int) -> bool:
        """Whether the stage ends after so many epochs."""
        return epochs >= stage.epochs or bool(stage.patience and self.stale >= stage.patience)

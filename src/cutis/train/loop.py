"""The one training loop: a generator that yields one result an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cutis import recipe
from cutis.data import augment, balance
from cutis.data.loaders import Source
from cutis.errors import TrainingError
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.models import build, features
from cutis.models.build import Classifier
from cutis.models.predict import autocast, resolved
from cutis.randomness import stream, torch_stream
from cutis.train import losses, stages
from cutis.train.checkpoint import Checkpoint, Interrupt, pack_optimizer, unpack_optimizer
from cutis.train.state import Epoch, Part, Progress

Step = Callable[[int, int], None]

MONITORED = {"loss": "log_loss", "accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "auroc": "auroc_macro"}


def fit(
    model: Classifier,
    train: Part,
    val: Part | None,
    spec: recipe.Recipe,
    *,
    cache: Path,
    checkpoint: Checkpoint | None = None,
    interrupt: Interrupt | None = None,
    on_step: Step | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Epoch]:
    """Train ``model`` in place through all stages, one result an epoch; afterwards it holds the best weights of the last stage.

    ``val`` decides early stopping and best weights; without it the last epoch counts. ``cache`` is where a frozen backbone's
    features are kept. With a checkpoint, training goes on where that left off and gives the weights it would have given without the
    interruption: every random draw is made from (seed, purpose, epoch, step). Raises TrainingError for a loss that is no number,
    naming the batch's images; Interrupted after saving, where ``interrupt`` says so.
    """
    yield from _Training(model, train, val, spec, cache, checkpoint, interrupt or Interrupt(), on_step, say).run()


class _Training:
    """The state of one ``fit``."""

    def __init__(
        self,
        model: Classifier,
        train: Part,
        val: Part | None,
        spec: recipe.Recipe,
        cache: Path,
        checkpoint: Checkpoint | None,
        interrupt: Interrupt,
        on_step: Step | None,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.train, self.val, self.spec, self.cache = model, train, val, spec, cache
        self.checkpoint, self.interrupt, self.on_step, self.say = checkpoint, interrupt, on_step, say
        self.device = train.pixels.device
        self.precision = resolved(spec.train.precision, self.device, training=True)
        self.val_precision = resolved(spec.train.precision, self.device)
        build.placed(model, self.device)
        drawn = balance.indices(train.labels, spec.balance, spec.seed, 0)
        counts = np.bincount(train.labels[drawn], minlength=len(model.classes))
        self.loss = losses.function(spec.loss, torch.tensor(counts, dtype=torch.float32, device=self.device))
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.ema: dict[str, Tensor] = {}
        self.saved_optimizer: dict[str, Any] | None = None

    def run(self) -> Iterator[Epoch]:
        saved = self._resume()
        for row in self.progress.history:
            yield Epoch(**row)
        while self.progress.stage < len(self.spec.stages):
            self._enter(saved)
            saved = None
            while not self.progress.watch.over(self.stage, self.progress.epoch):
                epoch = self._epoch()
                self.progress.history.append(asdict(epoch))
                yield epoch
            self._leave()

    # stages

    def _enter(self, saved: dict[str, Tensor] | None) -> None:
        """Free the stage's parameters, make its optimiser and its inputs."""
        self.stage = self.spec.stages[self.progress.stage]
        self.parameters = build.trainable(self.model, self.stage.train)
        self.optimizer = stages.optimizer(self.stage, self.parameters)
        if saved is not None and self.saved_optimizer is not None:
            unpack_optimizer(self.optimizer, saved, self.saved_optimizer)
        self.frozen = self.stage.train == "head" and self._features_are_kept()
        self.inputs: Source = self.train.pixels
        self.val_inputs: Source | None = self.val.pixels if self.val else None
        if self.frozen:
            self.say(f"Passing {len(self.train.labels):,} training images through the frozen backbone once")
            self.inputs = self._passed(self.train, self.spec.train.views)
            self.val_inputs = self._passed(self.val, 1) if self.val else None
        self.forward = self.model.head if self.frozen else self.model

    def _passed(self, part: Part, views: int) -> features.Features:
        return features.extract(self.model, part.pixels, self.spec, views, self.cache, progress=self._passing)

    def _passing(self, done: int, total: int) -> None:
        self.interrupt.check()  # nothing to save yet: a pass is short and starts anew
        if self.on_step:
            self.on_step(done, total)

    def _features_are_kept(self) -> bool:
        if self.spec.train.views == 0:
            return False
        times = features.weight(self.model, self.spec.predict_size)
        if times > features.HEAVY:
            self.say(f"Features would weigh {times:.1f} times the images; they are computed anew each epoch instead of kept")
        return times <= features.HEAVY

    def _leave(self) -> None:
        """End a stage with its best weights."""
        if self.stage.restore_best and self.best:
            self.model.load_state_dict(self.best)
        elif self.ema:
            self.model.load_state_dict(self.ema)
        self.best, self.ema, self.saved_optimizer = {}, {}, None
        done = self.progress
        self.progress = Progress(stage=done.stage + 1, epochs=done.epochs, history=done.history)
        if self.checkpoint:
            self._save(optimizer=False)

    # epochs

    def _epoch(self) -> Epoch:
        at, started = self.progress, time.perf_counter()
        order = self._order()
        size = stages.size_at(self.spec, at.epochs)
        batch = self.spec.train.batch_size
        steps = max(1, math.ceil(len(order) / batch) - (len(order) % batch == 1 and len(order) > 1))  # batch norm needs two rows
        first = at.step
        build.train_mode(self.model)
        for step in range(first, steps):
            self.interrupt_point()
            lr = stages.rate(self.stage, at.epoch * steps + step, self.stage.epochs * steps, at.watch.scale)
            rows = order[step * batch : (step + 1) * batch]
            at.loss += self._step(rows, step, lr, size) * len(rows)
            at.seen, at.step = at.seen + len(rows), step + 1
            if self.on_step:
                self.on_step(step + 1, steps)
        trained = time.perf_counter() - started
        measured = self._validate()
        best = at.watch.see(self.stage, at.epoch, measured)
        if best and self.stage.restore_best:
            self.best = {k: v.detach().clone() for k, v in (self.ema or self.model.state_dict()).items()}
        row = Epoch(
            stage=at.stage,
            epoch=at.epochs,
            size=size[0],
            lr=lr,
            train_loss=at.loss / at.seen,
            **{f"val_{k}": measured.get(k, math.nan) for k in MONITORED},
            images_per_second=round((steps - first) * batch / trained, 1),
            seconds=round(time.perf_counter() - started, 3),
            best=best,
        )
        at.epoch, at.epochs, at.step, at.loss, at.seen = at.epoch + 1, at.epochs + 1, 0, 0.0, 0
        return row

    def _order(self) -> NDArray[np.int64]:
        rows = balance.indices(self.train.labels, self.spec.balance, self.spec.seed, self.progress.epochs)
        return stream(self.spec.seed, "order", self.progress.epochs).permutation(rows)

    def _step(self, rows: NDArray[np.int64], step: int, lr: float, size: tuple[int, int]) -> float:
        """One update; returns the batch's mean loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        generator = torch_stream(self.spec.seed, "augment", self.progress.epochs, step)
        x = self.inputs.batch(rows, size, generator)
        targets = F.one_hot(torch.from_numpy(self.train.labels[rows]), len(self.model.classes)).float().to(self.device)
        if not self.frozen:
            x, targets = augment.mixed(x, targets, self.spec.augment, generator)
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            # dropout and stochastic depth know only torch's global generator: it is set for this step alone
            torch.manual_seed(int(stream(self.spec.seed, "dropout", self.progress.epochs, step).integers(2**63)))
            with autocast(self.device, "fp32" if self.frozen else self.precision):  # a head alone gains nothing from bf16
                loss = self.loss(self.forward(x).float(), targets)
            value = loss.item()
            if not math.isfinite(value):
                self._not_a_number(rows, value)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        if self.spec.train.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.train.clip)
        self.optimizer.step()
        if self.spec.train.ema:
            self._average()
        return value

    def _average(self) -> None:
        """Moving average of weights and statistics; its decay starts low, so that it does not remember the random start."""
        self.progress.updates += 1
        decay = min(self.spec.train.ema, (1 + self.progress.updates) / (10 + self.progress.updates))
        now = self.model.state_dict()
        if not self.ema:
            self.ema = {k: v.detach().clone() for k, v in now.items()}
        floating = [k for k, v in now.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.ema[k] for k in floating], [now[k].detach() for k in floating], 1 - decay)

    def _validate(self) -> dict[str, float]:
        """Loss (plain mean negative log-probability) and figures on the validation rows, with the averaged weights where there are any."""
        if self.val is None or self.val_inputs is None:
            return {}
        current = None
        if self.ema:
            current = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            self.model.load_state_dict(self.ema)
        self.model.eval()
        answers = []
        with torch.inference_mode(), autocast(self.device, "fp32" if self.frozen else self.val_precision):
            for start in range(0, len(self.val.labels), self.spec.predict.batch_size):
                rows = np.arange(start, min(start + self.spec.predict.batch_size, len(self.val.labels)))
                answers.append(self.forward(self.val_inputs.batch(rows, self.spec.predict_size, None)).double().softmax(1).cpu().numpy())
        if current is not None:
            self.model.load_state_dict(current)
        probabilities = np.concatenate(answers)
        if not np.isfinite(probabilities).all():
            self._not_a_number(np.flatnonzero(~np.isfinite(probabilities).all(1))[:8], math.nan, "validation")
        measured = figures(Rows(self.val.labels, probabilities).weighted(), [name.removesuffix("_macro") for name in MONITORED.values()])
        return {ours: float(measured[name][0]) for ours, name in MONITORED.items()}

    def _not_a_number(self, rows: NDArray[np.int64], value: float, part: str = "training") -> None:
        names = (self.train if part == "training" else self.val).images[rows]  # type: ignore[union-attr]
        if self.checkpoint and all(bool(torch.isfinite(v).all()) for v in self.model.state_dict().values()):
            self._save()
        shown = ", ".join(map(str, names[:32])) + (", ..." if len(names) > 32 else "")
        raise TrainingError(
            f"The loss is {value} in stage {self.progress.stage}, epoch {self.progress.epochs}, step {self.progress.step}, "
            f"on these {part} images: {shown}. The last good weights are kept. Look at those images, or lower the rate "
            "(--set stages.0.lr=...) or clip gradients (--set train.clip=1)."
        )

    # stopping and going on

    def interrupt_point(self) -> None:
        """Between two steps: save where it is time or where a signal asks, and stop on a signal."""
        if self.checkpoint and (self.checkpoint.due or self.interrupt.signal):
            self._save()
        self.interrupt.check()

    def _save(self, optimizer: bool = True) -> None:
        assert self.checkpoint is not None
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()} | {f"ema.{k}": v for k, v in self.ema.items()}
        progress: dict[str, Any] = {"progress": asdict(self.progress), "optimizer": None}
        if optimizer:
            state, progress["optimizer"] = pack_optimizer(self.optimizer)
            tensors |= state
        self.checkpoint.save(tensors, progress)

    def _resume(self) -> dict[str, Tensor] | None:
        """Take up the checkpoint's state; its tensors, where there is one."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved is None:
            return None
        tensors, data = saved

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v.to(self.device) for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.best, self.ema = part("best."), part("ema.")
        self.progress, self.saved_optimizer = Progress.of(data["progress"]), data["optimizer"]
        return tensors

"""The one training loop: a generator that yields one result an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import balance, loaders
from cutis.errors import TrainingError
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.models import build
from cutis.models.build import Classifier
from cutis.models.precision import autocast
from cutis.train import draws, inputs, losses, speed, stages
from cutis.train.average import Average, copied
from cutis.train.checkpoint import Checkpoint, Interrupt, Interrupted, Parts, pack_optimizer, unpack_optimizer
from cutis.train.state import Epoch, Part, Progress
from cutis.train.update import Update

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
    on_pass: Step | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Epoch]:
    """Train ``model`` in place through all stages, one result an epoch; afterwards it holds the best weights of the last stage.

    ``val`` decides early stopping and best weights; without it the last epoch counts. ``cache`` is where a frozen backbone's
    features are kept. ``on_step`` is told (done, total) of an epoch's steps, ``on_pass`` of the images passed through a frozen backbone.
    With a checkpoint, training goes on where that left off and gives the weights it would have given without the interruption: every
    random draw is made from (seed, purpose, epoch, step), and a stage keeps its number format. Raises TrainingError for a loss or
    gradient that is no number, naming the batch's images, with weights and checkpoint as they were before that batch; Interrupted
    after saving, where ``interrupt`` says so.
    """
    yield from _Training(model, train, val, spec, cache, checkpoint, interrupt or Interrupt(), on_step, on_pass, say).run()


@dataclass
class _Training:
    """The arguments of one ``fit``, and where it stands."""

    model: Classifier
    train: Part
    val: Part | None
    spec: recipe.Recipe
    cache: Path
    checkpoint: Checkpoint | None
    interrupt: Interrupt
    on_step: Step | None
    on_pass: Step | None
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.device = self.train.pixels.device
        self.progress = Progress()
        build.placed(self.model, self.device)
        self.recipe = self.spec  # of the whole run; `spec` is how it holds in the stage at hand
        self.one_hot = torch.eye(len(self.model.classes), device=self.device)

    def run(self) -> Iterator[Epoch]:
        saved = self._resume()
        for row in self.progress.history:
            yield Epoch(**row)
        while self.progress.stage < len(self.spec.stages):
            self._enter(saved)
            saved = {}
            while not self.progress.watch.over(self.stage, self.progress.epoch):
                epoch = self._epoch()
                self.progress.history.append(asdict(epoch))
                yield epoch
            self._leave()

    # stages

    def _enter(self, saved: Parts) -> None:
        """Free the stage's parameters, make its inputs and optimiser; in the middle of a stage, as the checkpoint has them."""
        at = self.progress
        self.stage = self.recipe.stages[at.stage]
        self.spec = self.recipe.within(self.stage)
        self.parameters = build.trainable(self.model, self.stage.train)
        if inputs.worth_keeping(self.model, self.stage, self.spec, self.say):
            self.say(f"Passing {len(self.train.labels):,} training images through the frozen backbone once")
            self.inputs = inputs.kept(self.model, self.train, self.val, self.spec, self.cache, self._passing)
            at.precision = self.inputs.precision
        else:
            if not at.precision:
                at.precision, at.compiled = self._settled()
            self.inputs = inputs.images(self.model, self.train, self.val, self.spec, at.precision)
        self.module = self.inputs.module
        self.optimizer = stages.optimizer(self.stage, self.parameters)
        unpack_optimizer(self.optimizer, saved.get("optimizer", {}))
        self.update = Update(
            self.module,
            self.parameters,
            self.optimizer,
            self._loss(),
            precision=at.precision,
            compiled=at.compiled,
            batch=self.spec.train.batch_size,
            clip=self.spec.train.clip,
        )
        self.average = Average(self.module, self.spec.train.ema, saved.get("average", {}), self.progress.updates)
        self.best = saved.get("best", {})

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The stage's loss, of the classes as often as the stage draws them."""
        drawn = balance.indices(self.train.labels, self.spec.balance, self.spec.seed, self.progress.epochs - self.progress.epoch)
        counts = np.bincount(self.train.labels[drawn], minlength=len(self.model.classes))
        return losses.function(self.spec.loss, torch.tensor(counts, dtype=torch.float32, device=self.device), self.model.classes)

    def _settled(self) -> tuple[str, bool]:
        """Number format of the stage, and whether it is compiled."""
        at = self.progress
        steps = draws.batches(self.train.labels, self.spec, at.epochs)
        sizes = [stages.size_at(self.spec, at.epochs + epoch) for epoch in range(self.stage.epochs)]
        return speed.settled(self.spec, self.model, self.stage, sizes, len(steps) * self.stage.epochs, self.device, self.say)

    def _passing(self, done: int, total: int) -> None:
        self.interrupt.check()  # nothing to save yet: a pass is short and starts anew
        if self.on_pass:
            self.on_pass(done, total)

    def _leave(self) -> None:
        """End a stage with its best weights."""
        self.module.load_state_dict(self.best or self.average.state())
        done = self.progress
        if self.checkpoint and self.recipe.evaluate.stages and done.stage + 1 < len(self.recipe.stages):
            self.checkpoint.keep_stage(done.stage + 1, self.model.state_dict())  # before the checkpoint is that of the next stage
        self.progress = Progress(stage=done.stage + 1, epochs=done.epochs, history=done.history)
        if self.checkpoint:
            self._save(within_stage=False)
        self.interrupt.check()

    # epochs

    def _epoch(self) -> Epoch:
        at, started, seen = self.progress, time.perf_counter(), self.progress.seen
        size = self.spec.predict_size if self.inputs.kept else stages.size_at(self.spec, at.epochs)
        steps = draws.batches(self.train.labels, self.spec, at.epochs)
        before, total = at.epoch * len(steps), self.stage.epochs * len(steps)
        rates = [stages.rate(self.stage, before + step, total, at.watch.scale) for step in range(len(steps))]
        build.train_mode(self.model)
        with draws.drawn(self.inputs, self.train, self.spec, at.epochs, steps, at.step, size, self.one_hot) as drawn:
            for step in range(at.step, len(steps)):
                self._pause()
                loss, wrong = self.update(*next(drawn), rates[step])
                if wrong:
                    self._stop(wrong, "training", self.train.images[steps[step]])
                self.average.update()
                at.loss, at.seen, at.step = at.loss + loss * len(steps[step]), at.seen + len(steps[step]), step + 1
                if self.on_step:
                    self.on_step(at.step, len(steps))
        trained = time.perf_counter() - started
        measured = self._validate()
        best = at.watch.see(self.stage, at.epoch, measured)
        if best and self.stage.restore_best and measured:
            self.best = copied(self.average.state())
        row = Epoch(
            stage=at.stage,
            epoch=at.epochs,
            size=size[0],
            lr=rates[-1],
            train_loss=at.loss / at.seen,
            **{f"val_{k}": measured.get(k, math.nan) for k in MONITORED},
            images_per_second=round((at.seen - seen) / trained, 1),
            seconds=round(time.perf_counter() - started, 3),
            best=best,
            precision=f"{at.precision}{' compiled' if at.compiled else ''}",
        )
        at.epoch, at.epochs, at.step, at.loss, at.seen = at.epoch + 1, at.epochs + 1, 0, 0.0, 0
        return row

    def _validate(self) -> dict[str, float]:
        """Loss (plain mean negative log-probability) and figures on the validation rows, with the averaged weights where there are any."""
        if self.val is None or self.inputs.val is None:
            return {}
        self.model.eval()
        source, rows = self.inputs.val, draws.split(np.arange(len(self.val.labels)), self.spec.predict.batch_size)
        made = ((source.batch(some, self.spec.predict_size, None),) for some in rows)
        batches = made if self.inputs.kept else loaders.fed(made, self.device)
        with self.average.applied(), torch.inference_mode(), autocast(self.device, self.inputs.val_precision), closing(batches):
            answers = [self.module(x).double().softmax(1).cpu().numpy() for (x,) in batches]
        probabilities = np.concatenate(answers)
        finite = np.isfinite(probabilities).all(1)
        if not finite.all():
            self._stop("answer", "validation", self.val.images[~finite])
        measured = figures(Rows(self.val.labels, probabilities).weighted(), [name.removesuffix("_macro") for name in MONITORED.values()])
        return {ours: float(measured[name][0]) for ours, name in MONITORED.items()}

    # stopping and going on

    def _stop(self, what: str, part: str, images: NDArray[np.str_]) -> NoReturn:
        """Training has left the numbers: save the state before this batch, and name the batch."""
        at = self.progress
        if self.checkpoint:
            self._save()
        shown = ", ".join(images[:32]) + (f" and {len(images) - 32} more" if len(images) > 32 else "")
        raise TrainingError(
            f"The {what} is not a finite number in stage {at.stage}, epoch {at.epochs}, step {at.step}, on these {part} images: {shown}. "
            f"{f'The weights before that are kept in {self.checkpoint.path}. ' if self.checkpoint else ''}Look at those images, or lower "
            f"the rate (--set stages.{at.stage}.lr=...), or clip gradients (--set train.clip=1)."
        )

    def _pause(self) -> None:
        """Between two steps: save where it is time or where a signal asks, and stop on a signal."""
        number = self.interrupt.signal  # looked at once: a signal that comes during the save waits for the next step's
        if self.checkpoint and (self.checkpoint.due or number):
            self._save()
        if number:
            raise Interrupted(number)

    def _save(self, within_stage: bool = True) -> None:
        """All that the rest of training depends on; between two stages that is the model alone."""
        assert self.checkpoint is not None
        parts: Parts = {"model": self.model.state_dict()}
        if within_stage:
            parts |= {"best": self.best, "average": self.average.values, "optimizer": pack_optimizer(self.optimizer)}
            self.progress.updates = self.average.updates
        self.checkpoint.save(parts, asdict(self.progress))

    def _resume(self) -> Parts:
        """Take up a checkpoint's model and progress; its other parts are the stage's."""
        saved = self.checkpoint.load(self.device) if self.checkpoint else None
        if saved is None:
            return {}
        parts, progress = saved
        self.model.load_state_dict(parts.pop("model"))
        self.progress = Progress.of(progress)
        return parts

"""A population of heads trained together on kept features, each as it would train alone."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cutis.errors import CutisError, DataError, TrainingError
from cutis.models import heads
from cutis.models.predict import resolved
from cutis.randomness import stream, torch_stream
from cutis.recipe import Loss
from cutis.search.stack import Batch, Head, Member, Stack, started
from cutis.train.losses import class_weights

__all__ = ["Epoch", "Member", "Population"]

STACK_BYTES = 8 << 20  # values, moments and gradients of a stack stay in the processor's cache between two steps
CHUNK_BYTES = 128 << 20  # features in order of the epoch that are held at once
PART = 1024  # rows of a validation batch

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a population: arrays with one value a member, NaN for those that no longer train."""

    epoch: int
    loss: NDArray[np.float64]
    """Mean negative log-probability on the validation rows."""
    accuracy: NDArray[np.float64]
    balanced_accuracy: NDArray[np.float64]
    """Mean sensitivity of the classes that occur."""
    best: NDArray[np.bool_]
    """Whose best epoch so far this is."""
    active: NDArray[np.bool_]
    """Who goes on."""


class Population:
    """Heads that train together: their first layers are one matrix product, all see the same batch.

    A member's result depends on the seed, its key and its own settings alone, to rounding: not on who trains beside it. ``keys`` name the
    members for their randomness (start weights, dropout); by default their places. ``precision`` is that of the two products with the
    features: auto, fp32 or bf16; weights and moments are fp32.
    """

    def __init__(
        self,
        members: Sequence[Member],
        features: int,
        classes: int,
        seed: int,
        *,
        keys: Sequence[int] | None = None,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
    ) -> None:
        self.members, self.features, self.classes, self.seed = tuple(members), features, classes, seed
        self.keys = tuple(range(len(members)) if keys is None else keys)
        if not members or len(self.keys) != len(members):
            raise CutisError(f"A population needs at least one member and a key for each, not {len(members)} with {len(self.keys)} keys.")
        if features < 1 or classes < 2:
            raise CutisError(f"features={features}, classes={classes}: a population needs at least 1 feature and 2 classes.")
        self.dtype = torch.bfloat16 if resolved(precision, torch.device("cpu")) == "bf16" else torch.float32
        self.active = np.ones(len(members), dtype=bool)
        self.best_epoch = np.full(len(members), -1)
        self._best = [
            started(member, features, classes, torch_stream(seed, "start", key)) for member, key in zip(members, self.keys, strict=True)
        ]

    def fit(
        self,
        train_x: ArrayLike,
        train_y: ArrayLike,
        val_x: ArrayLike,
        val_y: ArrayLike,
        *,
        epochs: int,
        batch_size: int = 256,
        patience: int = 0,
        monitor: Literal["loss", "balanced_accuracy"] = "loss",
        optimizer: Literal["adam", "adamw"] = "adam",
        schedule: Literal["constant", "cosine"] = "constant",
    ) -> Iterator[Epoch]:
        """Train all members, one result an epoch; between two, ``stop`` takes members out. Best weights are kept at every moment.

        Features are N x F, or N x V x F of which each row takes one view an epoch (validation takes the first); labels are 0 to C-1. A
        member ends after ``patience`` epochs without a better figure (0: never), or where its loss is no number. Members that ended cost
        nothing. A second call starts from the best weights. Raises CutisError for what does not fit, DataError for unusable labels,
        TrainingError where the first epoch leaves nobody with a finite loss.
        """
        if epochs < 1 or batch_size < 1 or patience < 0:
            raise CutisError(f"epochs={epochs}, batch_size={batch_size}, patience={patience}: give at least 1, 1 and 0.")
        train, val = (_Rows(x, y, self.features, self.classes) for x, y in ((train_x, train_y), (val_x, val_y)))
        balanced = class_weights(Loss(class_weights="balanced"), torch.bincount(train.labels, minlength=self.classes).float())
        trained = [Head(member, best, balanced) for member, best in zip(self.members, self._best, strict=True)]
        self.active[:] = True
        watch, stacks, stacked = _Watch(len(trained), patience), list[Stack](), 0
        steps = epochs * math.ceil(len(train.labels) / batch_size)

        def rate(number: int) -> float:
            return 0.5 * (1 + math.cos(math.pi * number / steps)) if schedule == "cosine" else 1.0

        with _workers() as side_by_side:
            for epoch in range(epochs):
                here = np.flatnonzero(self.active)
                if len(here) == 0:
                    return
                if len(here) != stacked:
                    stacks, stacked = self._stacks([trained[i] for i in here], decoupled=optimizer == "adamw"), len(here)
                for i in here:
                    trained[i].noise = stream(self.seed, "dropout", self.keys[i], epoch)
                for batches in self._epoch(train, epoch, batch_size, rate):
                    list(side_by_side(partial(Stack.train, batches=batches), stacks))
                loss, accuracy, balanced_accuracy = (self._spread(here, figure) for figure in self._validate(stacks, val, side_by_side))
                if epoch == 0 and not np.isfinite(loss).any():
                    raise TrainingError("No member has a finite loss after an epoch: look for NaN in the features, or lower the rates.")
                better = watch.see(np.where(np.isfinite(loss), -loss if monitor == "loss" else balanced_accuracy, np.nan))
                for i in np.flatnonzero(better):
                    self._best[i] = [parameter.clone() for parameter in trained[i].parameters]
                self.best_epoch[better] = epoch
                self.active &= np.isfinite(loss) & ~watch.over
                yield Epoch(epoch, loss, accuracy, balanced_accuracy, better, self.active.copy())

    def stop(self, member: int) -> None:
        """Take a member out before the next epoch; its best weights stay."""
        self.active[member] = False

    def logits(self, x: ArrayLike) -> Tensor:
        """P x N x C, fp32, of everyone's best weights, for features N x F (or N x V x F, the first view)."""
        rows = _Rows(x, np.zeros(len(np.asarray(x)), dtype=np.int64), self.features, self.classes)
        members = [self.head(i) for i in range(len(self.members))]
        with torch.inference_mode():
            return torch.cat([torch.stack([head(part) for head in members]) for part in self._parts(rows, torch.float32)], 1)

    def head(self, member: int) -> nn.Sequential:
        """A member's best weights in the layers that ``cutis.models.heads`` builds from its ``words``; in eval mode."""
        with torch.device("meta"):  # no start weights are drawn
            _, head = heads.build(self.members[member].words, (self.features,), self.classes)
        named = zip(head.state_dict(), self._best[member], strict=True)
        head.load_state_dict({name: values.clone() for name, values in named}, assign=True)
        return head.eval().requires_grad_()

    def _stacks(self, trained: Sequence[Head], *, decoupled: bool) -> list[Stack]:
        """Heads, in order, cut into stacks of about equal size."""
        sizes = np.cumsum([head.planes[0].nbytes * 4 // 3 for head in trained])
        count = math.ceil(sizes[-1] / STACK_BYTES)
        cut = np.unique(np.searchsorted(sizes, sizes[-1] * np.arange(1, count) / count, side="right"))
        parts = np.split(np.arange(len(trained)), cut)
        return [Stack([trained[i] for i in part], bf16=self.dtype == torch.bfloat16, decoupled=decoupled) for part in parts if len(part)]

    def _epoch(self, train: "_Rows", epoch: int, batch_size: int, rate: Callable[[int], float]) -> Iterator[list[Batch]]:
        """The batches of an epoch, as many at a time as can be held: put in order in one piece, once for all stacks."""
        rows = len(train.labels)
        order = stream(self.seed, "order", epoch).permutation(rows)
        view = stream(self.seed, "view", epoch).integers(train.views, size=rows)
        number, held = epoch * math.ceil(rows / batch_size), max(1, CHUNK_BYTES // (batch_size * self.features * 4)) * batch_size
        for start in range(0, rows, held):
            chosen = order[start : start + held]
            x, labels = train.take(chosen, view[chosen], self.dtype), train.labels[chosen]
            batches = list(zip(x.split(batch_size), labels.split(batch_size), strict=True))
            yield [Batch(x, labels, number + k + 1, rate(number + k)) for k, (x, labels) in enumerate(batches)]
            number += len(batches)

    def _validate(self, stacks: Sequence[Stack], val: "_Rows", side_by_side: Map) -> tuple[NDArray[np.float64], ...]:
        """Loss, accuracy and balanced accuracy of everyone in the stacks, in order."""
        members = sum(len(stack.heads) for stack in stacks)
        loss, hits = torch.zeros(members, dtype=torch.float64), torch.zeros(members, self.classes, dtype=torch.float64)
        for x, labels in zip(self._parts(val, self.dtype), val.labels.split(PART), strict=True):
            logits = torch.cat(list(side_by_side(partial(Stack.logits, x=x), stacks)))
            loss -= logits.log_softmax(1).gather(1, labels.expand(members, 1, -1)).sum((1, 2), dtype=torch.float64)
            hits.index_add_(1, labels, (logits.argmax(1) == labels).double())
        support = torch.bincount(val.labels, minlength=self.classes)
        recall = (hits / support)[:, support > 0]
        return tuple(figure.numpy() for figure in (loss / len(val.labels), hits.sum(1) / len(val.labels), recall.mean(1)))

    def _parts(self, rows: "_Rows", dtype: torch.dtype) -> Iterator[Tensor]:
        """All rows in order, B x F each."""
        every = np.arange(len(rows.labels))
        for start in range(0, len(every), PART):
            part = every[start : start + PART]
            yield rows.take(part, np.zeros_like(part), dtype)

    def _spread(self, here: NDArray[np.int64], figure: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figures of those who train, at their places among all."""
        spread = np.full(len(self.members), np.nan)
        spread[here] = figure
        return spread


@contextmanager
def _workers() -> Iterator[Map]:
    """A ``map`` whose calls run side by side, each on one core.

    Small products spread over the cores one after another wait for each other, very long where the machine has other work too.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield pool.map
        finally:
            torch.set_num_threads(threads)  # of this thread nothing has changed, but later ones would inherit the workers' 1


class _Watch:
    """What early stopping remembers: everyone's best score, and how many epochs ago that was."""

    def __init__(self, members: int, patience: int) -> None:
        self.patience, self.best, self.stale = patience, np.full(members, -np.inf), np.zeros(members, dtype=int)

    def see(self, score: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Take in an epoch's scores; whose best so far it is. NaN never is."""
        better: NDArray[np.bool_] = score > self.best
        self.best, self.stale = np.where(better, score, self.best), np.where(better, 0, self.stale + 1)
        return better

    @property
    def over(self) -> NDArray[np.bool_]:
        """Whose patience is at its end."""
        return (self.stale >= self.patience) & (self.patience > 0)


class _Rows:
    """Features (N x V x F) and labels of a set of rows, checked."""

    def __init__(self, x: ArrayLike, labels: ArrayLike, features: int, classes: int) -> None:
        array = x if isinstance(x, np.ndarray) else np.asarray(x)  # a memory map stays one
        if array.ndim not in (2, 3) or array.shape[-1] != features or len(array) == 0:
            raise CutisError(f"The features have the shape {array.shape}; the population takes rows of {features}, N x F or N x V x F.")
        y = np.asarray(labels)
        if y.shape != array.shape[:1] or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= classes:
            raise DataError(f"Labels must be whole numbers from 0 to {classes - 1}, one for each of the {len(array)} rows of features.")
        self.array = array.reshape(len(array), -1, features)
        self.views = self.array.shape[1]
        self.labels = torch.from_numpy(y.astype(np.int64))

    def take(self, rows: NDArray[np.int64], view: NDArray[np.int64], dtype: torch.dtype) -> Tensor:
        """Some rows, one view of each, B x F."""
        return torch.from_numpy(np.asarray(self.array[rows, view], dtype=np.float32)).to(dtype)

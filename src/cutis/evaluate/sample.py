"""The sample: answers under sets of row weights, with what several metrics share computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows by falling score of one class, and where each row of that class stands; equal scores stand together."""

    order: Integers
    """N rows, highest score first."""
    positives: Integers
    """The P rows of the class, highest score first."""
    before: tuple[Integers, Integers]
    """For each positive, how many rows, and how many positives, score higher."""
    through: tuple[Integers, Integers]
    """For each positive, how many rows, and how many positives, score at least as high."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Answers for N rows over C classes, with what does not depend on row weights computed once.

    ``labels``: N class indices; ``probabilities``: N x C in 0..1.
    """

    labels: Integers
    probabilities: Floats

    def weighted(self, weights: ArrayLike | None = None) -> "Sample":
        """The sample under R x N row weights; none: every row once (R = 1)."""
        return Sample(self, np.ones((1, len(self.labels))) if weights is None else np.asarray(weights, np.float64))

    @cached_property
    def predicted(self) -> Integers:
        """Index of the most probable class of each row (the first of equals)."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def cells(self) -> tuple[Integers, Integers, Integers]:
        """Rows sorted by cell of the confusion matrix, where each cell that occurs begins, and its flat index."""
        cell = self.labels * self.probabilities.shape[1] + self.predicted
        order = cell.argsort(kind="stable")
        found, starts = np.unique(cell[order], return_index=True)
        return order, starts, found

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """One class against the rest, for each class."""
        return tuple(_ranking(self.probabilities[:, c], self.labels == c) for c in range(self.probabilities.shape[1]))

    @cached_property
    def confidences(self) -> tuple[Integers, Integers, Floats, Floats]:
        """Rows by rising confidence (probability of the predicted class), how many rows end each run of equal confidence,
        and, in that order, the confidence and whether the row is right."""
        confidence = self.probabilities.max(axis=1)
        order = confidence.argsort(kind="stable")
        ends = np.append(np.flatnonzero(np.diff(confidence[order])) + 1, len(order))
        return order, ends, confidence[order], (self.predicted == self.labels)[order].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows under R sets of non-negative row weights (1 = once, 2 = twice, 0 = left out): what a metric is given."""

    rows: Rows
    weights: Floats
    """R x N."""

    @property
    def labels(self) -> Integers:
        """N indices of the true class."""
        return self.rows.labels

    @property
    def probabilities(self) -> Floats:
        """N x C."""
        return self.rows.probabilities

    @property
    def predicted(self) -> Integers:
        """N indices of the most probable class."""
        return self.rows.predicted

    def mean(self, values: ArrayLike) -> Floats:
        """Weighted mean of one value a row; N values to R."""
        return ratio(self.weights @ np.asarray(values, np.float64), self.weights.sum(axis=1))

    @cached_property
    def confusion(self) -> Floats:
        """R x C x C weights: rows true, columns predicted."""
        order, starts, found = self.rows.cells
        classes = self.probabilities.shape[1]
        counts = np.zeros((len(self.weights), classes * classes))
        counts[:, found] = np.add.reduceat(self.weights.take(order, axis=1), starts, axis=1)
        return counts.reshape(-1, classes, classes)

    @cached_property
    def support(self) -> Floats:
        """R x C weight of each true class."""
        return np.asarray(self.confusion.sum(axis=2))

    @cached_property
    def called(self) -> Floats:
        """R x C weight of each predicted class."""
        return np.asarray(self.confusion.sum(axis=1))

    @cached_property
    def hits(self) -> Floats:
        """R x C weight of the rows of each class that are predicted as such."""
        return np.diagonal(self.confusion, axis1=1, axis2=2)

    @cached_property
    def ranked(self) -> tuple[Floats, Floats]:
        """AUROC and AUPRC of each class against the rest, R x C each; both come from one walk down each ranking."""
        pairs = [_areas(self.weights, ranking) for ranking in self.rows.rankings]
        return np.stack([roc for roc, _ in pairs], axis=1), np.stack([pr for _, pr in pairs], axis=1)

    def mass_bins(self, bins: int) -> tuple[Floats, Floats]:
        """Confidence and correctness, R x bins each, summed over bins of equal weight and divided by the total weight.

        A row on a bin's edge is split between its bins, and rows of equal confidence share their correctness, so that neither the
        order of the rows nor a weight of 2 instead of a row twice makes a difference.
        """
        order, ends, confidence, right = self.rows.confidences
        weights = self.weights.take(order, axis=1)
        mass, sure, true = (_cumulative(weights * values)[:, np.append(0, ends)] for values in (1.0, confidence, right))
        edges = mass[:, -1:] * np.linspace(0, 1, bins + 1)
        at_edges = [[np.interp(e, m, v) for e, m, v in zip(edges, mass, values, strict=True)] for values in (sure, true)]
        return ratio(np.diff(at_edges[0]), mass[:, -1:]), ratio(np.diff(at_edges[1]), mass[:, -1:])


def ratio(a: Floats, b: Floats) -> Floats:
    """a / b, NaN where b is 0."""
    out = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out


def _cumulative(values: Floats) -> Floats:
    """Sums of the first 0, 1, ..., N columns."""
    out = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=out[:, 1:])
    return out


def _ranking(scores: Floats, positive: NDArray[np.bool_]) -> Ranking:
    order = (-scores).argsort(kind="stable")
    positives = order[positive[order]]
    falling, own = -scores[order], -scores[positives]
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    before, through = ((falling.searchsorted(own, side), own.searchsorted(own, side)) for side in sides)
    return Ranking(order, positives, before, through)


def _areas(weights: Floats, r: Ranking) -> tuple[Floats, Floats]:
    """AUROC and average precision, R each.

    A positive with weight w, with negatives F0 scored above it and F1 at or above it, is ranked above a share
    1 - (F0 + F1) / 2 / negatives of the negatives (Mann-Whitney, ties half), at a precision of T1 / (T1 + F1).
    """
    own = weights.take(r.positives, axis=1)
    every, hits = _cumulative(weights.take(r.order, axis=1)), _cumulative(own)
    total, positives = every[:, -1], hits[:, -1]
    tops, trues = every.take(r.through[0], axis=1), hits.take(r.through[1], axis=1)
    above = every.take(r.before[0], axis=1) - hits.take(r.before[1], axis=1) + tops - trues  # F0 + F1
    lost = np.einsum("rp,rp->r", own, above) / 2
    gained = np.einsum("rp,rp->r", own, np.divide(trues, tops, out=np.zeros_like(tops), where=tops > 0))
    return 1 - ratio(lost, positives * (total - positives)), ratio(gained, positives)

"""The sample: answers under sets of row weights, with what several metrics share computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
STEP: Final = 16  # rows
SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")


@dataclass(frozen=True, eq=False)
class Rankings:
    """Each class against the rest: its rows by falling score, one class after the other (N in all), and what of the rest scores higher.

    ``above`` and ``through`` have such a row for each of N, and a column for each of N rows as they came: the rows of the rest that score
    at least as high as this one and no more than the one before, so that their running sum within a class is all that score at least
    as high; in ``above`` those that score the same count one half.
    """

    order: Integers
    parts: tuple[slice, ...]
    """Where each class stands in ``order``."""
    above: "csr_array"
    through: "csr_array"
    tied: Integers | None
    """For each of N the place within its class of the last row that scores the same; none where no two of a class do."""


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
    def cells(self) -> "csr_array":
        """C * C x N: which rows belong to each cell of the confusion matrix."""
        from scipy.sparse import csr_array  # here, because its import takes longer than most commands of the CLI

        n, classes = self.probabilities.shape
        return csr_array((np.ones(n), (self.labels * classes + self.predicted, np.arange(n))), (classes * classes, n))

    @cached_property
    def rankings(self) -> Rankings:
        """One class against the rest, for each class."""
        return _rankings(self.labels, self.probabilities)

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
    def columns(self) -> Floats:
        """N x R: the weights the other way round, so that what is done to a row is done to all R weights of it at once."""
        return np.ascontiguousarray(self.weights.T)

    @cached_property
    def confusion(self) -> Floats:
        """R x C x C weights: rows true, columns predicted."""
        classes = self.probabilities.shape[1]
        return np.ascontiguousarray((self.rows.cells @ self.columns).T).reshape(-1, classes, classes)

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
        """AUROC and AUPRC of each class against the rest, R x C each; both come from one walk down each ranking.

        A row of the class with weight w, with F0 of the rest scored above it and F1 at or above it, is ranked above a share
        1 - (F0 + F1) / 2 / rest of the rest (Mann-Whitney, ties half), at a precision of T1 / (T1 + F1).
        """
        r, rest = self.rows.rankings, self.support @ (1 - np.eye(self.support.shape[1]))  # not all - own, which rounding keeps from being 0
        own, above = self.columns.take(r.order, axis=0), r.above @ self.columns
        through = above if r.through is r.above else r.through @ self.columns
        areas = np.full((2, len(r.parts), len(self.weights)), np.nan)
        for c, part in enumerate(r.parts):
            if part.start == part.stop:
                continue
            hits, wrong = _cumulative(own[part])[1:], _cumulative(through[part])[1:]
            lost = np.einsum("pr,pr->r", own[part], wrong if through is above else _cumulative(above[part])[1:])
            trues = hits if r.tied is None else hits.take(r.tied[part], axis=0)
            called = trues + wrong
            precision = np.divide(trues, called, out=called, where=called > 0)
            areas[0, c] = 1 - ratio(lost, hits[-1] * rest[:, c])
            areas[1, c] = ratio(np.einsum("pr,pr->r", own[part], precision), hits[-1])
        return areas[0].T, areas[1].T

    def mass_bins(self, bins: int) -> tuple[Floats, Floats]:
        """Confidence and correctness, R x bins each, summed over bins of equal weight and divided by the total weight.

        A row on a bin's edge is split between its bins, and rows of equal confidence share their correctness, so that neither the
        order of the rows nor a weight of 2 instead of a row twice makes a difference.
        """
        _, _, confidence, right = self.rows.confidences
        sure, true = self._binned(bins, confidence, right)
        return sure, true

    def surplus(self, bins: int) -> Floats:
        """By how much confidence exceeds correctness, R x bins: the difference of what ``mass_bins`` gives, in half the time."""
        _, _, confidence, right = self.rows.confidences
        return self._binned(bins, confidence - right)[0]

    def _binned(self, bins: int, *values: Floats) -> list[Floats]:
        """Values of the rows by rising confidence (N each), summed over bins of equal weight and divided by the total weight."""
        order, ends, _, _ = self.rows.confidences
        weights = self.columns.take(order, axis=0)
        sums = [_cumulative(weights), *(_cumulative(weights * value[:, None]) for value in values)]
        mass, *parts = sums if len(ends) == len(order) else [part.take(np.append(0, ends), axis=0) for part in sums]
        at = _interpolated(mass[-1] * np.linspace(0, 1, bins + 1)[:, None], mass, *parts)
        return [ratio(np.diff(part, axis=0), mass[-1]).T for part in at]


def ratio(a: Floats, b: Floats) -> Floats:
    """a / b, NaN where b is 0."""
    out = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out


def _cumulative(values: Floats) -> Floats:
    """Sums of the first 0, 1, ..., N rows.

    Taken in steps, many of them at once: a sum that runs along all rows waits for each addition before the next.
    """
    n, r = values.shape
    steps = -(-n // STEP)
    out = np.zeros((steps * STEP + 1, r))
    out[1 : n + 1] = values
    inside = out[1:].reshape(steps, STEP, r)
    for i in range(1, STEP):
        inside[:, i] += inside[:, i - 1]
    inside[1:] += inside[:-1, -1].cumsum(axis=0)[:, None]
    return out[: n + 1]


def _interpolated(at: Floats, knots: Floats, *values: Floats) -> list[Floats]:
    """As numpy.interp in each of R columns: ``values`` (K x R each) at B x R places between K x R ``knots``, which never fall."""
    low, high = np.zeros(at.shape, np.int64), np.full(at.shape, len(knots) - 1)
    column = np.arange(at.shape[1])
    while (high - low).max(initial=0) > 1:
        middle = (low + high) // 2
        before = knots[middle, column] <= at
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    start, width = knots[low, column], knots[high, column] - knots[low, column]
    share = np.divide(at - start, width, out=np.zeros_like(at), where=width > 0)
    return [each[low, column] + share * (each[high, column] - each[low, column]) for each in values]


def _rankings(labels: Integers, probabilities: Floats) -> Rankings:
    from scipy.sparse import csr_array

    n, begin, parts = len(labels), 0, []
    orders, tied, rests, places = [], [], [], []
    for c, falling in enumerate(-probabilities.T):
        own, rest = np.flatnonzero(labels == c), np.flatnonzero(labels != c)
        own = own[falling[own].argsort(kind="stable")]
        scores, end = falling[own], begin + len(own)
        parts.append(slice(begin, end))
        orders.append(own)
        tied.append(scores.searchsorted(scores, "right") - 1)
        rests.append(rest)
        first = [scores.searchsorted(falling[rest], side) + begin for side in SIDES]  # in the class, no higher, and lower
        places.append(np.where(np.array(first) < end, first, n))  # those that score below the whole class go to a row that is cut off
        begin = end
    rest, (level, beaten) = np.concatenate(rests), np.concatenate(places, axis=1)
    through = csr_array((np.ones(len(rest)), (level, rest)), (n + 1, n))[:n]
    above = through
    if not np.array_equal(level, beaten):
        above = (through + csr_array((np.ones(len(rest)), (beaten, rest)), (n + 1, n))[:n]) / 2
    last = None if all(np.array_equal(each, np.arange(len(each))) for each in tied) else np.concatenate(tied)
    return Rankings(np.concatenate(orders), tuple(parts), above, through, last)

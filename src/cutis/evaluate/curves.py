"""Curves for drawing: ROC, precision-recall and reliability, thinned to what a picture can show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.evaluate.intervals import share_limits, wilson
from cutis.evaluate.sample import Floats, Integers, Rows

POINTS = 300  # at most, a curve: more than a picture's width can show


@dataclass(frozen=True)
class Curve:
    """Points of a line, with a band where there is one; no points where the curve is not defined."""

    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Reliability:
    """Bins of equally many images by rising confidence; an image on an edge is split, so ``images`` in a bin may be a fraction."""

    confidence: Floats
    """Mean probability of the predicted class."""
    right: Floats
    """Share of right answers, with its limits."""
    low: Floats
    high: Floats
    images: float


def roc(positive: NDArray[np.bool_], score: Floats, weights: NDArray[np.uint8] | None = None, level: float = 0.95) -> Curve:
    """False-positive rate and sensitivity as the threshold falls, from (0, 0) to (1, 1).

    With R x N bootstrap ``weights``, a pointwise percentile band of the sensitivity at each false-positive rate. Empty where one side
    is missing.
    """
    order, last = _thresholds(score)
    if positive.all() or not positive.any():
        return Curve(np.zeros(0), np.zeros(0))
    x, y = _rates(positive[order], last, np.ones(len(order)))
    keep = _thinned(_corners(x, y), x, y)
    if weights is None:
        return Curve(x[keep], y[keep])
    x, y = _filled(x[keep], y[keep])
    both = weights[:, positive].any(axis=1) & weights[:, ~positive].any(axis=1)
    drawn = [_rates(positive[order], last, w[order]) for w in weights[both]]
    low, high = np.quantile([np.interp(x, *rates) for rates in drawn], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Curve(x, y, low, high)


def precision_recall(positive: NDArray[np.bool_], score: Floats) -> Curve:
    """Sensitivity and precision at each threshold that occurs, as it falls; average precision is the area under its steps.

    Empty where there is no positive.
    """
    if not positive.any():
        return Curve(np.zeros(0), np.zeros(0))
    order, last = _thresholds(score)
    hits = np.cumsum(positive[order])[last]
    x, y = hits / hits[-1], hits / (last + 1)
    keep = _thinned(np.arange(len(x)), x, y)
    return Curve(x[keep], y[keep])


def reliability(
    labels: Integers,
    probabilities: Floats,
    bins: int = 15,
    level: float = 0.95,
    weights: NDArray[np.uint8] | None = None,
    groups: int = 0,
) -> Reliability:
    """Confidence of the most probable class against how often it is right, in bins of equal weight (at most one an image).

    With 15 bins, the mean distance of the two is the metric ``ece``. Limits are Wilson's; with R x N bootstrap ``weights`` over so
    many ``groups``, those of a share that rests on the groups of a bin (intervals.share_limits).
    """
    bins, rows = max(1, min(bins, len(labels))), Rows(labels, probabilities)
    sure, right = (b[0] * bins for b in rows.weighted().mass_bins(bins))
    if weights is None:
        low, high = wilson(right, len(labels) / bins, level)
    else:
        drawn = rows.weighted(weights).mass_bins(bins)[1] * bins
        low, high = share_limits(right, drawn, groups / bins, level)
    return Reliability(sure, right, low, high, len(labels) / bins)


def _thresholds(score: Floats) -> tuple[Integers, Integers]:
    """Rows by falling score, and the last place of each distinct score."""
    order = (-score).argsort(kind="stable")
    return order, np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)


def _rates(positive: NDArray[np.bool_], last: Integers, weights: Floats) -> tuple[Floats, Floats]:
    """False-positive rate and sensitivity from no row on to all, at each distinct score; rows sorted by it."""
    sides = (np.append(0.0, np.cumsum(weights * side)[last]) for side in (~positive, positive))
    others, hits = (side / side[-1] for side in sides)
    return others, hits


def _corners(x: Floats, y: Floats) -> Integers:
    """Points where the line turns, and its ends."""
    dx, dy = np.diff(x), np.diff(y)
    turn = np.abs(dx[1:] * dy[:-1] - dx[:-1] * dy[1:]) > 1e-12
    return np.flatnonzero(np.concatenate([[True], turn, [True]]))


def _filled(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The line with a point at least every hundredth: a band bends where its line is straight."""
    between = np.setdiff1d(np.linspace(0, 1, 101), x)
    at = x.searchsorted(between)
    return np.insert(x, at, between), np.insert(y, at, np.interp(between, x, y))


def _thinned(keep: Integers, x: Floats, y: Floats) -> Integers:
    """At most POINTS of the points ``keep``, spaced along the line's length, the first and the last among them."""
    if len(keep) <= POINTS:
        return keep
    length = np.append(0, np.cumsum(np.abs(np.diff(x[keep])) + np.abs(np.diff(y[keep]))))
    steps = length.searchsorted(np.linspace(0, length[-1], POINTS)).clip(0, len(keep) - 1)
    steps[-1] = len(keep) - 1
    return np.asarray(keep[np.unique(steps)])

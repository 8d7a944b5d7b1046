"""One question of an image, is it of a watched class or not: partial AUROC, rates of a rule, net benefit, and the first of each patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.evaluate.sample import Floats, Integers, ratio
from cutis.predictions import Predictions

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Question:
    """N images with a known answer: whether they are watched (``positive``), and the ``score`` in 0..1 by which they are called."""

    images: NDArray[np.str_]
    groups: NDArray[np.str_]
    positive: Mask
    score: Floats

    @classmethod
    def of(cls, predictions: Predictions, classes: Sequence[str]) -> "Question":
        """Is it one of ``classes``? The score is the sum of their probabilities. Labels must be known."""
        watched = [predictions.classes.index(c) for c in classes]
        score = predictions.probabilities[:, watched].sum(axis=1)
        return cls(predictions.images, predictions.groups, np.isin(predictions.labels, watched), score)

    @cached_property
    def patients(self) -> Integers:
        """The number of each row's group: the patient where one is known."""
        return np.asarray(np.unique(self.groups, return_inverse=True)[1], np.int64)

    def count(self, chosen: Mask) -> tuple[int, int]:
        """Distinct images and groups among the chosen rows."""
        return len(np.unique(self.images[chosen])), len(np.unique(self.patients[chosen]))


def rates(q: Question, called: Mask, weights: Floats) -> dict[str, Floats]:
    """What a rule that calls some rows reaches under R x N row weights, R each: sensitivity, specificity, precision, share called."""
    sides = np.stack([q.positive, ~q.positive, q.positive & called, ~q.positive & ~called, called], axis=1)
    watched, rest, hits, left, marked = (weights @ sides.astype(np.float64)).T
    return {
        "sensitivity": ratio(hits, watched),
        "specificity": ratio(left, rest),
        "precision": ratio(hits, marked),
        "called": ratio(marked, watched + rest),
    }


def partial_auroc(positive: Mask, score: Floats, weights: ArrayLike | None = None, above: float = 0.8) -> Floats:
    """The area under the ROC curve where sensitivity is at least ``above``, R values from 0 to 1 - ``above``; with ``above`` 0, the AUROC.

    The measure of the ISIC 2024 challenge at 0.8 (Kurtansky et al. 2024), where chance is 0.02 and the best 0.2: the area between the
    curve and the right-hand side, above the horizontal line at that sensitivity. Equal scores of both sides are a straight piece of the
    curve, cut where the line meets it. ``weights``: R x N, none: every row once. NaN where either side is missing.
    """
    w = np.ones((1, len(score))) if weights is None else np.asarray(weights, np.float64)
    own, others = (np.flatnonzero(side)[score[side].argsort(kind="stable")] for side in (positive, ~positive))
    if not len(own) or not len(others):
        return np.full(len(w), np.nan)
    values, starts = np.unique(score[own], return_index=True)
    mass, below = np.add.reduceat(w.take(own, axis=1), starts, axis=1), np.zeros((len(w), len(others) + 1))
    np.cumsum(w.take(others, axis=1), axis=1, out=below[:, 1:])
    # from the lowest score up: the share of the watched that is missed, and of the rest that is spared, before and after each step
    total = mass.sum(axis=1, keepdims=True)
    missed = ratio(mass.cumsum(axis=1), total)
    before, after = (ratio(below.take(score[others].searchsorted(values, side), axis=1), below[:, -1:]) for side in ("left", "right"))
    width = ratio(mass, total)
    inside = (1 - above - (missed - width)).clip(0, width)
    end = before + (after - before) * np.divide(inside, width, out=np.zeros_like(width), where=width > 0)
    return np.asarray((inside * (before + end) / 2).sum(axis=1))


def net_benefit(q: Question, thresholds: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Net benefit of calling what scores at least each of T rising thresholds, and that of calling all, R x T each (Vickers & Elkin 2006).

    True calls less false ones, a false one weighing t / (1 - t), over all images: what a threshold probability t says that one is worth.
    Calling none has a net benefit of 0.
    """
    odds = thresholds / (1 - thresholds)
    hits, false = (_reaching(q.score[side], thresholds, weights[:, side]) for side in (q.positive, ~q.positive))
    total, watched = weights.sum(axis=1, keepdims=True), weights[:, q.positive].sum(axis=1, keepdims=True)
    return ratio(hits - odds * false, total), ratio(watched - odds * (total - watched), total)


def among_first(q: Question, k: int) -> tuple[Mask, Floats, Floats]:
    """Whether each watched image is among the k of its patient that score highest: the rows asked about, and for them the hit and chance.

    Asked only where it is a question: of patients with more than k images, watched ones and others. A tie at the k-th place counts as the
    share of its orders in which the image comes in; chance is k of the patient's images. (Top-15 retrieval of ISIC 2024, k = 15.)
    """
    sizes, watched = np.bincount(q.patients), np.bincount(q.patients, q.positive)
    asked = q.positive & ((sizes > k) & (watched < sizes))[q.patients]
    order = np.lexsort((q.score, q.patients))  # patients in turn, rising scores
    ends = sizes.cumsum()
    hits = np.empty(int(asked.sum()))
    for i, row in enumerate(np.flatnonzero(asked)):
        patient = q.patients[row]
        scores = q.score[order[ends[patient] - sizes[patient] : ends[patient]]]
        above, same = len(scores) - scores.searchsorted(q.score[row], "right"), int((scores == q.score[row]).sum())
        hits[i] = min(1.0, max(0.0, (k - above) / same))
    return asked, hits, k / sizes[q.patients[asked]]


def _reaching(scores: Floats, thresholds: Floats, weights: Floats) -> Floats:
    """Weight of the rows that score at least each of T rising thresholds, R x T."""
    bins = thresholds.searchsorted(scores, "right")  # how many of them a row reaches
    order = bins.argsort(kind="stable")
    found, starts = np.unique(bins[order], return_index=True)
    mass = np.zeros((len(weights), len(thresholds) + 1))
    if len(order):
        mass[:, found] = np.add.reduceat(weights.take(order, axis=1), starts, axis=1)
    return np.asarray(mass[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])

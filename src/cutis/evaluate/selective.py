"""Selective prediction: the images it is least sure of are left to a person; how often it is right on the others."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutis.evaluate.after import After, Bootstrap, afterwards, figure
from cutis.evaluate.curves import Curve
from cutis.evaluate.intervals import BLOCK
from cutis.evaluate.sample import Floats
from cutis.evaluate.shares import means
from cutis.predictions import Predictions
from cutis.recipe import Evaluation

COVERAGES: Final = (0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of the validation images that are answered, for each of which a limit is fitted."""
Mask = NDArray[np.bool_]


def certainty(predictions: Predictions) -> Floats:
    """How sure it is of each answer, N in 0..1: the probability of the most probable class (Hendrycks & Gimpel 2017)."""
    return np.asarray(predictions.probabilities.max(axis=1))


def fit(val: Predictions, spec: Evaluation) -> dict[str, Any]:
    """For each of ``COVERAGES`` the highest limit at or above which at least that share of validation images is."""
    sure = np.sort(certainty(val))[::-1]
    places = [math.ceil(share * len(sure) - 1e-9) - 1 for share in COVERAGES]
    return {"at": [{"coverage": share, "limit": float(sure[i])} for share, i in zip(COVERAGES, places, strict=True)]}


def measure(told: Mapping[str, Any], predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    """What share of a set each limit leaves to answer, how often that is right, whole and by class; and the areas of ``areas``."""
    right, sure = predictions.predicted == predictions.labels, certainty(predictions)
    n, everyone = len(np.unique(predictions.images)), np.ones(len(sure), bool)
    own = {name: predictions.labels == c for c, name in enumerate(predictions.classes)}
    asked = {(-1, "error", ""): (~right, everyone)}
    for i, at in enumerate(told["at"]):
        answered = sure >= at["limit"]
        asked |= {(i, "answered", ""): (answered, everyone), (i, "accuracy", ""): (right, answered)}
        for name, member in own.items():
            asked |= {(i, "answered", name): (answered, member), (i, "sensitivity", name): (right, answered & member)}
    found = means(predictions, bootstrap, asked)
    per_class = [{c: {k: found[i, k, c] for k in ("answered", "sensitivity")} for c in own} for i in range(len(told["at"]))]
    at = [a | {k: found[i, k, ""] for k in ("answered", "accuracy")} | {"per_class": per_class[i]} for i, a in enumerate(told["at"])]
    whole, drawn = areas(right, sure), _drawn(right, sure, bootstrap.weights)
    named = {
        name: figure(v[0], d, bootstrap.level, n, why="" if found[-1, "error", ""]["value"] is not None else found[-1, "error", ""]["why"])
        for name, v, d in zip(("area", "excess"), whole, drawn, strict=True)
    }
    return {"error": found[-1, "error", ""], **named, "at": at}


afterwards.register("selective")(After(fit, measure))


def areas(right: Mask, sure: Floats, weights: NDArray[np.uint8] | None = None) -> tuple[Floats, Floats]:
    """Area under the risk-coverage curve, and its excess over that of an order with all right answers first; under R sets of weights.

    The area is the mean, over k = 1 ... n, of the share of wrong answers among the k surest (Geifman, Uziel & El-Yaniv 2019), in
    expectation over the order of equally sure ones: a block of m of them, e wrong, after b others, f wrong, adds
    sum over j = 1 ... m of (f + e j / m) / (b + j) = e + (f - b e / m) (H(b + m) - H(b)), H the harmonic numbers. A row drawn w times is w
    equally sure ones. ``right`` and ``sure``: N each; ``weights``: R x N; no weights: each row once, R = 1.
    """
    order = (-sure).argsort(kind="stable")
    last = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1)
    w = np.ones((1, len(order)), np.int64) if weights is None else weights.take(order, axis=1).astype(np.int64)
    through, wrong = np.cumsum(w, axis=1)[:, last], np.cumsum(w * ~right[order], axis=1)[:, last]
    before, wrong_before = (np.pad(counts, ((0, 0), (1, 0)))[:, :-1] for counts in (through, wrong))
    n, e = through[:, -1], wrong[:, -1]
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, n.max() + 1)))
    share = (wrong - wrong_before) / (through - before).clip(1)  # of a block that no row was drawn from nothing is counted
    area = (wrong - wrong_before + (wrong_before - before * share) * (harmonic[through] - harmonic[before])).sum(axis=1) / n
    ideal = (e - (n - e) * (harmonic[n] - harmonic[n - e])) / n
    return area, area - ideal


def risk_coverage(right: Mask, sure: Floats, weights: NDArray[np.uint8], level: float) -> Curve:
    """Share of wrong answers (y) among the surest, against the share that is answered (x, 0.02 to 1), with a pointwise percentile band.

    Of equally sure ones that a share cuts, each counts the same part. ``weights``: R x N resamples.
    """
    order = (-sure).argsort(kind="stable")
    last = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1)
    wrong, x = ~right[order], np.linspace(0.02, 1, 99)

    def at(w: Floats) -> Floats:
        answered, lost = (np.append(0, np.cumsum(w * v)[last]) for v in (np.ones(len(w)), wrong))
        keep = np.append(True, np.diff(answered) > 0)
        return np.asarray(np.interp(x * answered[-1], answered[keep], lost[keep]) / (x * answered[-1]))

    drawn = [at(w[order].astype(np.float64)) for w in weights]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Curve(x, at(np.ones(len(order))), low, high)


def _drawn(right: Mask, sure: Floats, weights: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """``areas`` in blocks of replicates, so that memory stays bounded."""
    step = max(1, BLOCK // len(sure))
    area, excess = zip(*(areas(right, sure, weights[start : start + step]) for start in range(0, len(weights), step)), strict=True)
    return np.concatenate(area), np.concatenate(excess)

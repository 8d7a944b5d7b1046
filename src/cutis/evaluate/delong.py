"""The area under the ROC curve without resampling: its limits, and the paired test of DeLong, also where a group has several images.

DeLong, DeLong & Clarke-Pearson 1988, by midranks as in Sun & Xu 2014 (n log n); for groups, the sums of Obuchowski 1997, which are
DeLong's where each group is one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.errors import CutisError
from cutis.evaluate.sample import Floats
from cutis.predictions import Predictions

NAMES = ("auroc", "auroc_macro")
"""The figures this file knows, the first with a class: ``auroc/mel``."""

Result = dict[str, float | None]


@dataclass(frozen=True)
class Area:
    """An area, or a difference or mean of areas, and how much each of N rows moves it; the two sides of a row are kept apart.

    ``own``: its placement among the rest, less the area, divided by the number of rows of the class; ``rest``: likewise as one of the
    rest; 0 where the row is not on that side, as the masks say.
    """

    value: float
    own: Floats
    rest: Floats
    is_own: NDArray[np.bool_]
    is_rest: NDArray[np.bool_]

    def less(self, other: "Area") -> "Area":
        """The difference to another area of the same rows."""
        return Area(self.value - other.value, self.own - other.own, self.rest - other.rest, self.is_own, self.is_rest)

    def variance(self, groups: ArrayLike) -> float:
        """Its variance over groups of rows (N names); NaN where one side has fewer than two groups."""
        _, index = np.unique(np.asarray(groups), return_inverse=True)
        own, rest = (np.bincount(index, side) for side in (self.own, self.rest))
        counts = [len(np.unique(index[side])) for side in (self.is_own, self.is_rest)] + [len(own)]
        if min(counts) < 2:
            return float("nan")
        sums = (own @ own, rest @ rest, 2 * own @ rest)
        return max(0.0, float(sum(n / (n - 1) * each for n, each in zip(counts, sums, strict=True))))


def area(positive: NDArray[np.bool_], score: Floats) -> Area:
    """The probability that a positive row scores above another, ties half; NaN where either side is missing."""
    from scipy.stats import rankdata  # here, because its import takes longer than most commands of the CLI

    own, rest = np.zeros(len(score)), np.zeros(len(score))
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return Area(float("nan"), own, rest, positive, ~positive)
    together = rankdata(score)
    placed = (together[positive] - rankdata(score[positive])) / n  # share of the rest below
    above = 1 - (together[~positive] - rankdata(score[~positive])) / m  # share of the class above
    value = float(placed.mean())
    own[positive], rest[~positive] = (placed - value) / m, (above - value) / n
    return Area(value, own, rest, positive, ~positive)


def mean(areas: Sequence[Area]) -> Area:
    """The plain mean of areas of the same rows, those left out that are not defined."""
    known = [a for a in areas if np.isfinite(a.value)]
    if not known:
        return areas[0]
    own, rest = (np.mean([getattr(a, side) for a in known], axis=0) for side in ("own", "rest"))
    is_own, is_rest = (np.any([getattr(a, side) for a in known], axis=0) for side in ("is_own", "is_rest"))
    return Area(float(np.mean([a.value for a in known])), own, rest, is_own, is_rest)


def auroc(predictions: Predictions, figure: str) -> Area:
    """``auroc/CLASS`` or ``auroc_macro`` of labelled rows. Raises CutisError for another name."""
    name, _, wanted = figure.partition("/")
    if name not in NAMES or (name == "auroc") != bool(wanted) or wanted not in ("", *predictions.classes):
        raise CutisError(f"There is no area {figure!r}. Write auroc_macro, or auroc/CLASS with one of {', '.join(predictions.classes)}.")
    # of two classes both areas are one: DeLong's own constants then hold
    every = range(len(predictions.classes))
    chosen = [predictions.classes.index(wanted)] if wanted else every[-1:] if len(every) == 2 else every
    return mean([area(predictions.labels == c, predictions.probabilities[:, c]) for c in chosen])


def limits(found: Area, groups: ArrayLike, level: float) -> Result:
    """``value``, ``low`` and ``high`` of an area or a difference, and ``p`` that it is 0; None where rows are too few or do not vary."""
    spread = found.variance(groups) ** 0.5
    if not np.isfinite([found.value, spread]).all() or (spread < 1e-12 < abs(found.value)):
        return {"value": found.value if np.isfinite(found.value) else None, "low": None, "high": None, "p": None}
    normal, half = NormalDist(), NormalDist().inv_cdf((1 + level) / 2) * spread
    p = 2 * normal.cdf(-abs(found.value) / spread) if spread >= 1e-12 else 1.0
    return {"value": found.value, "low": found.value - half, "high": found.value + half, "p": p}


def difference(first: Predictions, second: Predictions, figure: str, level: float) -> Result:
    """``first`` less ``second`` on the same labelled rows, as ``limits`` gives it; groups are those of ``first``."""
    return limits(auroc(first, figure).less(auroc(second, figure)), first.groups, level)

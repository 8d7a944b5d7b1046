"""Means over explained images, with intervals over their groups, as metrics.json holds figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.evaluate.after import figure
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.summary import Figure


@dataclass(frozen=True, eq=False)
class Means:
    """N images and the resamples of their groups on which every mean of them is measured."""

    groups: NDArray[np.str_]
    weights: NDArray[np.uint8]
    """R x N."""
    level: float

    @classmethod
    def over(cls, groups: NDArray[np.str_], *, replicates: int, level: float, seed: int) -> "Means":
        """With resamples of their own."""
        return cls(groups, bootstrap_weights(groups, replicates, np.random.default_rng(seed)), level)

    def of(self, values: ArrayLike, chosen: NDArray[np.bool_] | None = None, *, share: bool = False) -> Figure:
        """The mean of N values, those that are NaN left out, of all images or of the ``chosen``. ``share``: they lie in 0..1."""
        every = np.asarray(values, np.float64)
        kept = np.isfinite(every) if chosen is None else np.isfinite(every) & chosen
        n, groups = int(kept.sum()), len(np.unique(self.groups[kept]))
        why = "" if groups > 1 else "no image" if not n else "1 image" if n == 1 else f"{n} images, all of one group"
        weights = self.weights[:, kept].astype(np.float64)
        totals = weights.sum(axis=1)
        drawn = np.divide(weights @ every[kept], totals, out=np.full(len(totals), np.nan), where=totals > 0)
        value = float(every[kept].mean()) if n else float("nan")
        return figure(value, drawn, self.level, n, groups=groups if share else None, signed=not share, why=why)

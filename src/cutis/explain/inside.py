"""Does a map lie on the lesion: its share of heat inside the mask and its hottest place, against maps that saw no picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.explain.frame import Floats
from cutis.explain.means import Means

Mask = NDArray[np.bool_]

SPREAD: Final = 0.25
"""Standard deviation of the centre Gaussian, as a share of each side of what the network saw."""
BASELINES: Final = ("centre", "random")


def share(heat: Floats, mask: Mask) -> float:
    """The share of a map's heat that lies inside the mask; NaN for a map without any.

    ``heat``: H x W, not negative, NaN where the network saw nothing; ``mask``: the lesion at the same resolution.
    """
    seen = np.nan_to_num(heat.astype(np.float64))
    total = seen.sum()
    return float(seen[mask].sum() / total) if total > 0 else float("nan")


def pointing(heat: Floats, mask: Mask) -> float:
    """Whether the hottest place lies inside the mask (pointing game, Zhang et al. 2018, doi:10.1007/s11263-017-1059-x, no tolerance).

    Of several equally hot places the share that does; NaN for a map without heat.
    """
    seen = np.nan_to_num(heat)
    peak = seen.max()
    return float(mask[seen == peak].mean()) if peak > 0 else float("nan")


MEASURES: Final = {"share": share, "pointing": pointing}


def centre(like: Floats) -> Floats:
    """A Gaussian around the middle of what the network saw: a map that knows only that photographers centre their subject."""
    rows, columns = (np.flatnonzero(np.isfinite(like).any(axis=axis)) for axis in (1, 0))
    y, x = ((np.arange(n) - (k[0] + k[-1]) / 2) / (len(k) * SPREAD) for n, k in zip(like.shape, (rows, columns), strict=True))
    heat = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / 2)
    return np.where(np.isfinite(like), heat, np.nan).astype(np.float32)


def at_random(like: Floats, cells: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Uniform noise of as many cells as the network's map has, enlarged as that is: a map that knows nothing."""
    noise = cv2.resize(rng.random(cells, np.float32), like.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(np.isfinite(like), noise, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Row:
    """What is measured of one image: each measure of the map and of the baselines, and the share of what was seen that is lesion."""

    values: Mapping[str, float]

    @classmethod
    def of(cls, heat: Floats, mask: Mask, cells: tuple[int, int], rng: np.random.Generator) -> "Row | None":
        """Measure a map; none where no lesion lies in what the network saw, or where nothing else does."""
        lesion = float(mask[np.isfinite(heat)].mean())
        if not 0 < lesion < 1:
            return None
        maps = {"": heat, "_centre": centre(heat), "_random": at_random(heat, cells, rng)}
        found = {f"{m}{name}": measure(over, mask) for name, over in maps.items() for m, measure in MEASURES.items()}
        return cls(found | {"area": lesion})


def summary(rows: Sequence[Row], means: Means, parts: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    """Means over the images with intervals over groups (``means``): of all, and of each part under ``by``.

    Each has ``n`` images, ``area`` (the lesion's share of what was seen: what a uniform map has inside), ``share`` and ``pointing`` of the
    map and of the baselines (``share_centre``, ``share_random``, ...), and what the map has more than each (``share_over_centre``, ...).
    Maps without heat are ``empty`` and left out. Empty where there is no image.
    """
    if not rows:
        return {}
    values = {name: np.array([row.values[name] for row in rows]) for name in rows[0].values}
    kept = np.isfinite(values["share"])

    def told(chosen: NDArray[np.bool_]) -> dict[str, Any]:
        found = {name: means.of(value, chosen, share=True) for name, value in values.items()}
        more = {f"{m}_over_{b}": means.of(values[m] - values[f"{m}_{b}"], chosen) for m in MEASURES for b in BASELINES}
        return {"n": int(chosen.sum())} | found | more

    by = {name: told(kept & part) for name, part in parts.items() if (kept & part).any()}
    return told(kept) | {"groups": len(np.unique(means.groups[kept])), "empty": int((~kept).sum()), "by": by}

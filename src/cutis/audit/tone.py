"""Skin tone from a picture: the individual typology angle (ITA) of the skin around the lesion.

ITA = arctan((L* - 50) / b*) * 180 / pi, in degrees, CIE L*a*b* under D65 (Chardon, Cretois & Hourseau, Int J Cosmet Sci 1991); the six
categories are those of Del Bino & Bernerd (Br J Dermatol 2013). It is the colour of this picture: camera, light, white balance, a tan
and the pressure of a dermatoscope move it. Nothing here corrects for them, because a correction that makes the mean colour grey takes
the skin's own colour away. docs/results/skin_tone.md says how far it agrees with grades given by people.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.audit.subject import Subject
from cutis.data.images import Pixels
from cutis.evaluate.intervals import bootstrap_weights, percentile_limits, replicated
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows

Floats = NDArray[np.float64]
Where = NDArray[np.bool_]

CATEGORIES: Final[tuple[tuple[str, float], ...]] = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -np.inf),
)
"""Names, lightest first, each with the angle in degrees above which it begins."""

SIDE: Final = 112  # pixels a side on which colours are measured; averaging removes pores and noise
DARK, GLARE = 15.0, 97.0  # L*: below, a vignette, a marker or the frame; above, a reflection
BORDER: Final = 0.15  # of the side: how far inwards from the edge of what is lit the border reaches
HAIR_WIDTH, HAIR_DEPTH = 9, 8.0  # pixels of 112, and how much darker in L* than the skin on both sides of it
AROUND: Final = 9  # pixels of 112 by which a lesion mask is widened, half to each side: masks are drawn tightly
TWO_PARTS: Final = 15.0  # L*, from the 5th to the 95th of a hundred: beyond it the border holds something darker than skin and shading
LEAST: Final = 0.02  # share of the picture that must be skin
BLOCK: Final = 256


def of(subject: Subject) -> Floats:
    """ITA in degrees of each readable picture, M; NaN where no skin was found or the skin looks blue."""
    found = np.full(len(subject.rows), np.nan)
    images = subject.readable["image"]
    with subject.progress.part("skin tone") as tell:
        for start in range(0, len(found), BLOCK):
            pictures = subject.cache.take(subject.rows[start : start + BLOCK])
            for i, pixels in enumerate(pictures, start):
                lesion = subject.masks.at(images[i], subject.spec.images) if subject.masks else None
                found[i] = measured(pixels, lesion)
            tell(min(start + BLOCK, len(found)), len(found))
    return found


def measured(pixels: Pixels, lesion: Where | None = None, way: str = "border") -> float:
    """ITA in degrees of a picture, uint8 H x W x 3; NaN where it cannot be told.

    ``lesion``, bool H x W: then the skin is what lies around it; else it is found in one of the ``WAYS``.
    """
    import cv2

    lab = colours(pixels)
    if lesion is not None:
        small = cv2.resize(lesion.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return angle(lab, usable(lab) & ~_grown(small > 0, AROUND))
    return angle(lab, WAYS[way](lab, usable(lab)))


def colours(pixels: Pixels) -> NDArray[np.float32]:
    """CIE L*a*b* (D65, from sRGB) of the picture at ``SIDE`` x ``SIDE``."""
    import cv2

    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def usable(lab: NDArray[np.float32]) -> Where:
    """Pixels that are neither hair, glare, nor too dark to have a colour. Hair is what a morphological closing of L* fills."""
    import cv2

    light = lab[..., 0]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (HAIR_WIDTH, HAIR_WIDTH))
    hair = cv2.morphologyEx(light, cv2.MORPH_CLOSE, disc) - light > HAIR_DEPTH
    return np.asarray((light > DARK) & (light < GLARE) & ~_grown(hair, 3))


def angle(lab: NDArray[np.float32], skin: Where) -> float:
    """ITA in degrees of the median colour of the skin; NaN where that is too little, or bluish (b* of 0 or less: the light, not skin)."""
    if skin.mean() < LEAST:
        return float("nan")
    light, _, yellow = np.median(lab[skin], axis=0)
    return float(np.degrees(np.arctan2(light - 50, yellow))) if yellow > 0 else float("nan")


def category(angles: ArrayLike) -> NDArray[np.int64]:
    """Place of each angle in ``CATEGORIES``; -1 for NaN."""
    values = np.asarray(angles, np.float64)
    limits = np.array([limit for _, limit in CATEGORIES[:-1]])
    return np.where(np.isnan(values), -1, (values[..., None] <= limits).sum(axis=-1))


def agreement(angles: Floats, grades: ArrayLike, groups: ArrayLike, *, replicates: int = 2000, seed: int = 0) -> dict[str, Any]:
    """How far angles agree with Fitzpatrick grades 1 to 6: Spearman's correlation (of falling angle with rising grade) and
    quadratic-weighted kappa, categories standing for grades in their order; each ``value low high n``, 95 % by a bootstrap over groups.

    N of each; angles that are NaN are left out. None of it where fewer than two grades or angles occur.
    """
    from scipy.stats import spearmanr

    known = np.isfinite(angles)
    darker, grade, group = -angles[known], np.asarray(grades, np.int64)[known], np.asarray(groups)[known]
    n = int(known.sum())
    if n < 2 or len(np.unique(grade)) < 2 or len(np.unique(darker)) < 2:
        return {"spearman": _figure(np.nan, np.empty(0), n), "kappa_quadratic": _figure(np.nan, np.empty(0), n)}
    weights = bootstrap_weights(group, replicates, np.random.default_rng(seed))
    rows = Rows(grade - 1, np.eye(len(CATEGORIES))[category(-darker)])
    drawn = []
    for weight in weights:
        again = np.repeat(np.arange(n), weight)
        several = len(np.unique(grade[again])) > 1
        drawn.append(spearmanr(darker[again], grade[again]).statistic if several else np.nan)
    return {
        "spearman": _figure(float(spearmanr(darker, grade).statistic), np.array(drawn), n),
        "kappa_quadratic": _figure(
            float(figures(rows.weighted(), ["kappa_quadratic"])["kappa_quadratic"][0]),
            replicated(rows, weights, ["kappa_quadratic"])["kappa_quadratic"],
            n,
        ),
    }


def _figure(value: float, drawn: Floats, n: int) -> dict[str, Any]:
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": n, "why": "fewer than two grades or angles"}
    low, high = (float(x) for x in percentile_limits(np.array(value), drawn, 0.95, signed=True))
    limits = {"low": low, "high": high} if np.isfinite(low) else {"low": None, "high": None}
    return {"value": value, **limits, "n": n}


def _border(lab: NDArray[np.float32], usable: Where) -> Where:
    """The border of what is lit: within 15 % of the side from a vignette or from the edge of the picture."""
    import cv2

    _, parts = cv2.connectedComponents((lab[..., 0] <= DARK).astype(np.uint8))
    outer = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    lit = np.pad(~np.isin(parts, outer[outer > 0]), 1).astype(np.uint8)
    inwards = cv2.distanceTransform(lit, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(usable & (inwards > 0) & (inwards <= BORDER * SIDE))


def _lighter(lab: NDArray[np.float32], where: Where) -> Where:
    """The lighter of the two parts that Otsu's threshold on L* makes; all of it where the lightness hardly varies."""
    import cv2

    light = lab[..., 0]
    if not where.any() or np.ptp(np.percentile(light[where], [5, 95])) < TWO_PARTS:
        return where
    levels = np.round(light * 2.55).clip(0, 255).astype(np.uint8)
    limit, _ = cv2.threshold(levels[where].reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    return np.asarray(where & (levels > limit))


def _grown(where: Where, pixels: int) -> Where:
    import cv2

    return np.asarray(cv2.dilate(where.astype(np.uint8), np.ones((pixels, pixels), np.uint8)) > 0)


WAYS: Final[Mapping[str, Callable[[NDArray[np.float32], Where], Where]]] = {
    "border": lambda lab, usable: _lighter(lab, _border(lab, usable)),
    "border, all of it": _border,
    "lighter part of the picture": _lighter,
}
"""How skin is found without a mask. Lesions are photographed in the middle and are darker than skin: the first uses both. It was taken
among several because it comes close to what masks give on HAM10000 (docs/results/skin_tone.md says what else was tried, and on what)."""

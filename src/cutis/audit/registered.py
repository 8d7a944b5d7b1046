"""Whether two pictures are one photograph: laid over each other by an affine map, do their fine details agree?"""

from contextlib import suppress
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = ((28, 20), (56, 12), (112, 6))
"""Pixels a side at which the map is found, coarse to fine, and steps at most; details are compared at the last."""
SIDE: Final = LEVELS[-1][0]
EPSILON: Final = 1e-3
"""A level ends when the correlation rises by less in a step."""
FINE: Final = 0.8
COARSE: Final = 3.0
"""Detail is what lies between two Gaussian filters of these standard deviations, in pixels: hair, pores, pigment net, bubbles, noise.
The broad shades outside it are alike in any two round brown spots."""
FLOOR: Final = 0.25
"""Variance of detail, in grey levels squared, that is taken for noise of compression: where there is less, nothing agrees."""
PATCH: Final = 15
"""Side, in pixels, of the patches whose agreement is averaged, so that a ruler or a dark frame alone makes no copy."""
GIVE_UP: Final = 0.25
"""Agreement at the second level below which the third is not tried."""
OVERLAP: Final = 0.6
"""The smallest share of a picture that must lie within the other."""


class Match(NamedTuple):
    """How well a picture lies on another.

    ``correlation`` of their details, the mean over patches, -1..1, and -1 where too little of them overlaps; ``overlap``: that share;
    ``scale``: how much larger the other is.
    """

    correlation: float
    overlap: float
    scale: float


NOTHING: Final = Match(-1.0, 0.0, 1.0)


def match(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Match:
    """Lay one picture over another (both grey, 112 x 112, the right way round).

    The map is the affine one that maximises the enhanced correlation coefficient (Evangelidis and Psarakis 2008), which brightness and
    contrast leave unchanged, found from coarse to fine.
    """
    import cv2

    found, warp = NOTHING, np.eye(2, 3, dtype=np.float32)
    kind = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT
    for i, (side, steps) in enumerate(LEVELS):
        a, b = (cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in (one, other))
        with suppress(cv2.error):  # it does not converge
            _, warp = cv2.findTransformECC(a, b, warp, cv2.MOTION_AFFINE, (kind, steps, EPSILON), None, 3)
        if i:
            tried = [(_compared(a, b, way), way) for way in (warp, np.eye(2, 3, dtype=np.float32))]
            found, warp = max(tried, key=lambda each: each[0].correlation)  # where the search went astray, they may lie right as they are
            if found.correlation < GIVE_UP:
                return found
        warp = warp * np.array([1, 1, 2], np.float32)
    return found


def _compared(one: NDArray[np.uint8], other: NDArray[np.uint8], warp: NDArray[np.float32]) -> Match:
    import cv2

    size, flags = one.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other.astype(np.float32), warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    shared = cv2.warpAffine(np.ones_like(moved), warp, size, flags=flags) > 0.99
    overlap, scale = float(shared.mean()), float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    if overlap < OVERLAP:
        return Match(-1.0, overlap, scale)
    a, b = _detail(one.astype(np.float32)), _detail(moved)
    weight = cv2.blur(shared.astype(np.float32), (PATCH, PATCH)) + 1e-6

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values * shared, (PATCH, PATCH)) / weight)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    local = covariance / np.sqrt((variance_a + FLOOR) * (variance_b + FLOOR))
    return Match(float(local[shared].mean()), overlap, scale)


def _detail(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), FINE) - cv2.GaussianBlur(picture, (0, 0), COARSE))

"""From the frame of a network's input back to the whole photo: what it was shown of it, and where a map lies."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Box(NamedTuple):
    """A part of a frame, in shares of its height and width."""

    top: float
    bottom: float
    left: float
    right: float


WHOLE = Box(0, 1, 0, 1)


def shown(photo: tuple[int, int], size: tuple[int, int], fit: str) -> tuple[Box, Box]:
    """Which part of a photo (height, width) the network's input of ``size`` shows, and which part of the input that fills.

    ``fit``: as ``data.images.fitted`` takes it.
    """
    ratio = (photo[1] / photo[0]) / (size[1] / size[0])  # above 1: the photo is the wider one
    narrow, low = min(1.0, 1 / ratio) / 2, min(1.0, ratio) / 2
    if fit == "crop":
        return Box(0.5 - low, 0.5 + low, 0.5 - narrow, 0.5 + narrow), WHOLE
    if fit == "pad":
        return WHOLE, Box(0.5 - narrow, 0.5 + narrow, 0.5 - low, 0.5 + low)
    assert fit == "squash", fit
    return WHOLE, WHOLE


def onto(heat: Floats, photo: tuple[int, int], size: tuple[int, int], fit: str) -> Floats:
    """A map over the network's input (h x w, any resolution) as it lies over the whole photo, H x W; NaN where the network saw nothing.

    ``photo``: height and width wanted, in the photo's aspect ratio; ``size`` and ``fit``: how the input was made of it. Bilinear, the
    map's cells being areas, as torch's ``align_corners=False``.
    """
    seen, filled = shown(photo, size, fit)
    y, x = (_places(n, seen[2 * i : 2 * i + 2], filled[2 * i : 2 * i + 2], heat.shape[i]) for i, n in enumerate(photo))
    over = cv2.remap(heat, *np.meshgrid(x, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(y)[:, None] & np.isfinite(x)[None], over, np.float32(np.nan)).astype(np.float32)


def _places(count: int, seen: tuple[float, ...], filled: tuple[float, ...], cells: int) -> Floats:
    """Where the centres of a photo's pixels along an axis lie in a map of so many cells; NaN outside of what was seen."""
    place = (np.arange(count) + 0.5) / count
    inside = (place >= seen[0]) & (place <= seen[1])
    share = filled[0] + (place - seen[0]) / (seen[1] - seen[0]) * (filled[1] - filled[0])
    return np.where(inside, share * cells - 0.5, np.nan).astype(np.float32)

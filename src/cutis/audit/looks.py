"""How a picture looks as a photograph: how dark, how bright, how flat and how sharp it is, black corners left aside."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.audit import headers
from cutis.audit.subject import Subject
from cutis.data.images import Pixels

SIDE: Final = 224
"""Short side, in pixels, at which pictures are looked at; larger ones are shrunk, and no picture is looked at larger than it came."""
BLOCK: Final = 64  # pictures a task
DISC: Final = 0.95  # radius of the disc that is looked at, of half the short side: a dermoscope's black corners lie outside

COLUMNS: Final = ("low", "middle", "high", "range", "detail", "reblur")


def measure(subject: Subject) -> pd.DataFrame:
    """A row for each readable picture, in the order of ``subject.readable``; grey levels are 0 to 255, within the disc.

    ``low``, ``middle``, ``high``: 5th, 50th and 95th percentile; ``range``: from the 1st to the 99th; ``detail``: standard deviation of
    the Laplacian, grey levels (Pech-Pacheco et al. 2000); ``reblur``: how little a second blur changes, 0 to 1 (Crete et al. 2007,
    doi:10.1117/12.702790). Use as ``subject.once(looks.measure)``.
    """
    stored = subject.cache.pixels.view(np.ndarray)
    rows, places = np.unique(subject.cache.row[subject.rows], return_inverse=True)  # files with the same bytes share a picture
    told = subject.once(headers.read)[["height", "width"]].to_numpy()
    came = np.zeros((len(rows), 2), np.int64)
    came[places] = told
    pad = subject.spec.images.fit == "pad"

    def task(start: int) -> list[tuple[float, ...]]:
        part = range(start, min(start + BLOCK, len(rows)))
        return [look(_seen(stored[rows[i]], came[i], pad)) for i in part]

    done, found = 0, []
    with subject.progress.part("files") as on_step, ThreadPoolExecutor(thread_name_prefix="cutis-looks") as pool:
        for some in pool.map(task, range(0, len(rows), BLOCK)):
            found += some
            done += len(some)
            on_step(done, len(rows))
    return pd.DataFrame(found, columns=list(COLUMNS)).iloc[places].reset_index(drop=True)


def look(pixels: Pixels) -> tuple[float, ...]:
    """The figures of ``COLUMNS`` for one picture, H x W x 3."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    inside = _disc(*grey.shape)
    shares = np.cumsum(np.bincount(grey[inside], minlength=256)) / inside.sum()
    low, lowest, middle, high, highest = (float(np.searchsorted(shares, s)) for s in (0.05, 0.01, 0.5, 0.95, 0.99))
    detail = float(cv2.Laplacian(grey, cv2.CV_32F)[inside].std())
    return low, middle, high, highest - lowest, detail, reblur(grey)


def reblur(grey: Pixels) -> float:
    """Crete's blur of a grey picture without its outer tenth, 0 to 1: the share of neighbour differences that a mean of nine leaves."""
    (h, w), worst = grey.shape, 0.0
    inner = grey[h // 10 : h - h // 10, w // 10 : w - w // 10].astype(np.float32)
    for axis, kernel in ((1, (9, 1)), (0, (1, 9))):
        step = np.abs(np.diff(inner, axis=axis))
        lost = np.maximum(step - np.abs(np.diff(cv2.blur(inner, kernel), axis=axis)), 0)
        total = float(step.sum())
        worst = max(worst, 1 - float(lost.sum()) / total if total else 1.0)
    return worst


def _seen(pixels: Pixels, came: NDArray[np.int64], pad: bool) -> Pixels:
    """The picture without the borders of images.fit=pad, at ``SIDE`` or at the size it came in, whichever is smaller."""
    height, width = pixels.shape[:2]
    if pad and came.all():
        scale = min(height / came[0], width / came[1])
        h, w = (max(1, min(n, round(c * scale))) for n, c in zip((height, width), came, strict=True))
        top, left = (height - h) // 2, (width - w) // 2
        pixels = pixels[top : top + h, left : left + w]
    side = min(SIDE, int(came.min()) or SIDE)
    short = min(pixels.shape[:2])
    if short > side:
        size = [max(1, round(n * side / short)) for n in pixels.shape[1::-1]]
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


@cache
def _disc(height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[:height, :width]
    radius = max(DISC * min(height, width) / 2, 0.75)  # so that the smallest picture has a pixel in it
    inside: NDArray[np.bool_] = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 <= radius**2
    return inside

"""Perceptual hashes: 256 signs of a picture's lowest frequencies, from which those of its mirrored and turned versions follow."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from os import cpu_count
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 56
"""Pixels a side of the thumbnail that is hashed: a divisor of 224, the usual stored size, so that averaging is exact and fast."""
KEPT: Final = 16
"""Frequencies kept along each axis."""
BITS: Final = KEPT * KEPT
CROP: Final = 0.95
"""Side of a window, as a share of the picture's."""
WHOLE: Final = (0.0, 0.0, 1.0)
WINDOWS: Final = tuple((top * (1 - CROP), left * (1 - CROP), CROP) for top, left in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1)))
"""Parts of a picture (top, left, side, as shares of its side) that are hashed too, so that a copy that was cropped meets its like."""
INVERSE: Final = (0, 3, 2, 1, 4, 5, 6, 7)
"""The symmetry that undoes each."""
BLOCK: Final = 512  # pictures a task

Spectra = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Hashed:
    """The hashes of N pictures. ``whole``: uint8 8 x N x 32, in each symmetry; ``windows``: uint8 5 x N x 32, of each part of WINDOWS."""

    whole: Codes
    windows: Codes


def hashed(pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Hashed:
    """The hashes of these rows of packed pixels (M x H x W x 3); what they are computed from lives for a block only."""
    result = Hashed(np.empty((8, len(rows), BITS // 8), np.uint8), np.empty((len(WINDOWS), len(rows), BITS // 8), np.uint8))

    def fill(part: slice) -> None:
        thumbnails = np.stack([grey(pixels, row, SIDE) for row in rows[part]]).astype(np.float32)
        whole = spectra(thumbnails)
        for k in range(8):
            result.whole[k, part] = codes(turned(whole, k))
        for i, window in enumerate(WINDOWS):
            result.windows[i, part] = codes(spectra(thumbnails, window))

    with ThreadPoolExecutor(cpu_count() or 1, "cutis-hash") as pool:
        list(pool.map(fill, blocks(len(rows), BLOCK)))
    return result


def grey(pixels: NDArray[np.uint8], row: int | np.int64, side: int) -> NDArray[np.uint8]:
    """A stored picture as luma, side x side, squeezed to a square: a quarter turn of a squeezed picture is the turned picture squeezed."""
    import cv2

    luma = cv2.cvtColor(np.asarray(pixels[row]), cv2.COLOR_RGB2GRAY)
    shrinks = side <= min(luma.shape)
    resized: NDArray[np.uint8] = cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def turn(picture: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """A square picture in the k-th symmetry of ``data.augment.symmetry``: mirrored first where k >= 4, then turned k % 4 quarters."""
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if k >= 4 else picture, k % 4))


def spectra(thumbnails: NDArray[np.float32], window: tuple[float, float, float] = WHOLE) -> Spectra:
    """The lowest frequencies of a window of each thumbnail (N x S x S): N x 16 x 16 of its orthonormal DCT-II, vertical first."""
    top, left, side = window
    rows, columns = _basis(thumbnails.shape[1], top, side), _basis(thumbnails.shape[2], left, side)
    return np.asarray(rows @ thumbnails @ columns.T, np.float32)


def codes(spectra_: Spectra) -> Codes:
    """Their signs, packed: N x 32. The first, of the mean, is the same in all."""
    return np.packbits(spectra_.reshape(len(spectra_), -1) > 0, axis=1)


def turned(spectra_: Spectra, k: int) -> Spectra:
    """The spectra of the pictures in the k-th symmetry of ``data.augment.symmetry``; no picture is needed for it.

    A mirror changes the sign of the odd frequencies across it, a transposition swaps the axes, and a quarter turn is both.
    """
    odd = np.where(np.arange(KEPT) % 2, -1, 1).astype(np.float32)
    result: Spectra = spectra_ * odd if k >= 4 else spectra_
    for _ in range(k % 4):
        result = result.swapaxes(-1, -2) * odd[:, None]
    return result


def differing(one: Codes, other: Codes) -> NDArray[np.int64]:
    """How many bits differ, of 256, between codes (... x 32)."""
    return np.asarray(np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.int64))


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices that cover ``count`` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


@cache
def _basis(pixels: int, start: float, side: float) -> NDArray[np.float32]:
    """16 x S: the DCT-II's cosines over a window of S pixels; a pixel on its edge counts by the part that lies in it."""
    low, width = start * pixels, side * pixels
    edges = np.clip(np.arange(pixels + 1), low, low + width)
    share, centre = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    waves: NDArray[np.float64] = np.cos(np.pi * np.arange(KEPT)[:, None] * (centre - low) / width) * share * np.sqrt(2 / width)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)

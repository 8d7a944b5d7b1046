"""Is a map true of the network: what its answer does when the hottest places go, when the picture moves, when the weights are noise."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from scipy.stats import rankdata
from torch import Tensor

Floats = NDArray[np.float64]
Heat = NDArray[np.float32]
Score = Callable[[Tensor], Floats]
"""Pictures, float B x 3 x H x W in 0..1, to probabilities, B x C."""
Explain = Callable[[Tensor, NDArray[np.int64]], Heat]
"""Pictures and a class for each to maps at their size, B x H x W, not negative."""

STEPS: Final = 16
BLUR: Final = 5 / 224
"""Standard deviation of the blur that insertion starts from, as a share of the height: that of Petsiuk et al. (2018)."""
REMOVED: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the picture that ROAD removes."""
NOISE: Final = 0.01
SHIFT: Final = 1 / 28
"""How far a picture is moved, as a share of its height and width: 8 pixels of 224."""
NEIGHBOURS: Final = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}  # and their opposites; Rong et al. 2022


def order(heat: Heat, rng: np.random.Generator) -> NDArray[np.int64]:
    """The place of each pixel by falling heat, B x H x W, 0 the hottest; equals are drawn, so that no corner is favoured."""
    flat = heat.reshape(len(heat), -1)
    sorted_ = np.lexsort((rng.random(flat.shape), -flat), axis=1)
    places = np.empty(flat.shape, np.int64)
    np.put_along_axis(places, sorted_, np.arange(flat.shape[1])[None], axis=1)
    return places.reshape(heat.shape)


def deletion(score: Score, images: Tensor, classes: NDArray[np.int64], places: NDArray[np.int64], steps: int = STEPS) -> Floats:
    """The class's probability while the hottest pixels turn into the picture's mean colour, B x (steps + 1) (Petsiuk et al. 2018, RISE)."""
    return _curve(score, images, images.mean((2, 3), keepdim=True).expand_as(images), classes, places, steps)


def insertion(score: Score, images: Tensor, classes: NDArray[np.int64], places: NDArray[np.int64], steps: int = STEPS) -> Floats:
    """The class's probability while the hottest pixels of a blurred picture turn sharp, B x (steps + 1) (Petsiuk et al. 2018, RISE)."""
    sd = BLUR * images.shape[2]
    blurred = [cv2.GaussianBlur(image, (0, 0), sd) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
    start = torch.from_numpy(np.stack(blurred)).permute(0, 3, 1, 2).to(images.device)
    return _curve(score, start, images, classes, places, steps)


def area(curve: Floats) -> Floats:
    """The area under each curve, B, in 0..1: its mean height by the trapezium rule."""
    return np.asarray((curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2)


def road(score: Score, images: Tensor, classes: NDArray[np.int64], places: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """ROAD, B: half of what the class's probability has more when the coldest places are removed than when the hottest are.

    Mean over the shares ``REMOVED``; what is removed is filled in from around it, with a little noise, so that its outline tells nothing
    (Rong et al. 2022, arXiv:2202.00449; ``combined`` as in pytorch-grad-cam). 0 is what a map has that knows nothing, above is better.
    """
    pixels, count = images.cpu().numpy(), places[0].size
    gains = []
    for removed in REMOVED:
        hot, cold = places < removed * count, places >= (1 - removed) * count
        least, most = (
            _of(
                score(torch.from_numpy(np.stack([filled(p, g, rng) for p, g in zip(pixels, gone, strict=True)])).to(images.device)), classes
            )
            for gone in (cold, hot)
        )
        gains.append((least - most) / 2)
    return np.asarray(np.mean(gains, axis=0))


def filled(pixels: Heat, gone: NDArray[np.bool_], rng: np.random.Generator | None = None) -> Heat:
    """A picture, 3 x H x W, in which each pixel that is ``gone`` (H x W, not all) is the weighted mean of its eight neighbours.

    Neighbours that are gone too are unknowns of the same system of equations. With a generator noise of sd ``NOISE`` is added there.
    """
    index = np.where(gone, np.cumsum(gone).reshape(gone.shape) - 1, -1)
    n = int(gone.sum())
    diagonal, known, entries = np.zeros(n), np.zeros((n, len(pixels))), []
    for (down, right), weight in NEIGHBOURS.items():
        here = np.s_[: gone.shape[0] - down, max(0, -right) : gone.shape[1] - max(0, right)]
        there = np.s_[down:, max(0, right) : gone.shape[1] - max(0, -right)]
        for one, other in ((here, there), (there, here)):
            rows, columns = index[one], index[other]
            np.add.at(diagonal, rows[rows >= 0], weight)
            both, edge = (rows >= 0) & (columns >= 0), (rows >= 0) & (columns < 0)
            entries.append((rows[both], columns[both], np.full(both.sum(), -weight)))
            np.add.at(known, rows[edge], weight * pixels[(slice(None), *other)][:, edge].T)
    i, j, values = (np.concatenate(parts) for parts in zip(*entries, (np.arange(n), np.arange(n), diagonal), strict=True))
    system = splu(coo_matrix((values, (i, j)), shape=(n, n)).tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    out = pixels.copy()
    out[:, gone] = system.solve(known).T + (0 if rng is None else NOISE * rng.standard_normal((len(pixels), n)))
    return out


def stability(explain: Explain, images: Tensor, classes: NDArray[np.int64], heat: Heat) -> Floats:
    """How much a map stays the same, B: its rank correlation with that of the picture moved by ``SHIFT``, moved back; mean of 4 directions.

    The border that a move opens repeats the picture's edge and is not compared. NaN for a map that is flat.
    """
    h, w = images.shape[2:]
    dy, dx = max(1, round(h * SHIFT)), max(1, round(w * SHIFT))
    found = []
    for y, x in ((dy, 0), (-dy, 0), (0, dx), (0, -dx)):
        rows, columns = np.clip(np.arange(h) - y, 0, h - 1), np.clip(np.arange(w) - x, 0, w - 1)
        moved = explain(images[:, :, torch.from_numpy(rows)][..., torch.from_numpy(columns)], classes)
        now = np.s_[:, max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)]
        before = np.s_[:, max(0, -y) : h + min(0, -y), max(0, -x) : w + min(0, -x)]
        found.append(alike(moved[now], heat[before]))
    return np.asarray(np.mean(found, axis=0))


def alike(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Spearman's rank correlation of the maps of each of B images; NaN where one of both is flat."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    one, other = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.asarray(np.divide((one * other).sum(axis=1), scale, out=np.full(len(scale), np.nan), where=scale > 0))


def _curve(score: Score, start: Tensor, end: Tensor, classes: NDArray[np.int64], places: NDArray[np.int64], steps: int) -> Floats:
    """The class's probability while pixels change from ``start`` to ``end`` in the order of their places."""
    turn = torch.from_numpy(places)[:, None].to(start.device)
    counts = np.linspace(0, places[0].size, steps + 1)
    return np.stack([_of(score(torch.where(turn < float(count), end, start)), classes) for count in counts], axis=1)


def _of(probabilities: Floats, classes: NDArray[np.int64]) -> Floats:
    return probabilities[np.arange(len(classes)), classes]

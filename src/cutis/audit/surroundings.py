"""What a picture shows beside its lesion, as a few numbers: corners, border, vignette, colour, the skin around it."""

import itertools
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cutis.audit.subject import Subject
from cutis.progress import OnStep

SIDE: Final = 56  # pixels to which a picture is averaged; what is finer (hair, noise) is not looked at
CORNER: Final = SIDE // 8
EDGE: Final = SIDE // 14
DARK: Final = 25.0  # grey level below which a pixel counts as black: a vignette, a frame, thick hair
RINGS: Final = (0.7, 0.85, 1.0, 1.2, 1.5)  # radii, 1 being half the side
MARGIN: Final = 5  # pixels by which a mask is widened, so that the lesion's rim stays out
LEAST: Final = 0.05  # share of a picture that must be left beside its lesion to say what it looks like
BLOCK: Final = 512  # pictures at a time, so that memory stays flat

Small = NDArray[np.float32]
Numbers = NDArray[np.float32]


def corners(small: Small) -> Numbers:
    """B x 24: mean and spread of red, green and blue in the four corners, each an eighth of the side."""
    ends = (slice(None, CORNER), slice(-CORNER, None))
    return np.concatenate([_mean_and_spread(small[:, rows, columns]) for rows in ends for columns in ends], axis=1)


def border(small: Small) -> Numbers:
    """B x 24: mean and spread along the four sides, how much of them is black, and the brightness of four rings towards the corners."""
    edge = slice(None, EDGE)
    sides = [small[:, edge], small[:, ::-1][:, edge], small[:, :, edge], small[:, :, ::-1][:, :, edge]]
    black = [(side.mean(axis=3) < DARK).mean(axis=(1, 2)) for side in sides]
    grey, where = small.mean(axis=3), np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 2)
    radius = np.hypot(where[:, None], where)
    rings = [grey[:, (radius >= a) & (radius < b)].mean(axis=1) for a, b in itertools.pairwise(RINGS)]
    return np.concatenate([*map(_mean_and_spread, sides), np.stack([*black, *rings], axis=1)], axis=1)


def colour(small: Small) -> Numbers:
    """B x 6: mean and spread of red, green and blue in the whole picture."""
    return _mean_and_spread(small)


def beside(small: Small, lesion: NDArray[np.bool_]) -> Numbers:
    """B x 9: mean and spread of colour outside the lesion (B x SIDE x SIDE), how rough it is, and how much is black or white.

    How much is outside, and where, would tell the lesion's size and is not among them; NaN where next to nothing is.
    """
    left = (~lesion)[..., None].astype(np.float32)
    count = left.sum(axis=(1, 2))
    share = np.divide(1, count, out=np.full_like(count, np.nan), where=count >= LEAST * SIDE * SIDE)
    mean = (small * left).sum(axis=(1, 2)) * share
    spread = np.sqrt(((small - mean[:, None, None]) ** 2 * left).sum(axis=(1, 2)) * share)
    grey, both = small.mean(axis=3), left[:, :, 1:, 0] * left[:, :, :-1, 0]
    rough = (np.abs(np.diff(grey, axis=2)) * both).sum(axis=(1, 2)) / both.sum(axis=(1, 2)).clip(1)
    ends = [((grey < DARK) * left[..., 0]).sum(axis=(1, 2)), ((grey > 255 - DARK) * left[..., 0]).sum(axis=(1, 2))]
    return np.concatenate([mean, spread, rough[:, None], np.stack(ends, axis=1) * share], axis=1)


LOOKS: Final[dict[str, Callable[[Small], Numbers]]] = {"corners": corners, "border and vignette": border, "mean colour": colour}
BACKGROUND: Final = "background"


def measured(subject: Subject, on_step: OnStep) -> dict[str, Numbers]:
    """For each look a row of numbers for each readable picture; ``background`` only where masks are known, NaN where one has none."""
    parts: dict[str, list[Numbers]] = {name: [] for name in (*LOOKS, *([BACKGROUND] if subject.masks else []))}
    for start in range(0, len(subject.rows), BLOCK):
        rows = subject.rows[start : start + BLOCK]
        small = np.stack([cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in subject.cache.take(rows)])
        small = small.astype(np.float32)
        for name, look in LOOKS.items():
            parts[name].append(look(small))
        if subject.masks:
            parts[BACKGROUND].append(_background(subject, rows, small))
        on_step(min(start + BLOCK, len(subject.rows)), len(subject.rows))
    return {name: np.concatenate(found).astype(np.float32) for name, found in parts.items()}


def _background(subject: Subject, rows: NDArray[np.int64], small: Small) -> Numbers:
    assert subject.masks is not None
    masks = [subject.masks.at(name, subject.spec.images) for name in subject.table["image"].iloc[rows]]
    return beside(small, np.stack([np.ones((SIDE, SIDE), np.bool_) if mask is None else _widened(mask) for mask in masks]))


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    small = cv2.resize(mask.astype(np.uint8) * 255, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.dilate(small, np.ones((MARGIN, MARGIN), np.uint8)) > 0)


def _mean_and_spread(part: Small) -> Numbers:
    return np.concatenate([part.mean(axis=(1, 2)), part.std(axis=(1, 2))], axis=1)

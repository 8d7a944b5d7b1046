"""Pictures in and out of a predictor: decoded once for every network and for the eye, and heat maps laid over them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cutis.data.images import Decoded, Pixels, decode, fitted
from cutis.data.opening import read_bytes
from cutis.recipe import Images
from cutis.report import heat as heats
from cutis.report.words import NOTICE

SHOWN: Final = 2048
"""Pixels of the longer side of a picture that is shown, at most."""

NARROW: Final = 240
"""Pixels across that the notice below a picture takes at least."""

Source = bytes | Path | Pixels
"""What a picture is read from: a file, a file's bytes, or pixels, uint8 H x W x 3, upright."""

Heat = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that can be read.

    ``pixels``: uint8 H x W x 3, upright, as it is shown, at most SHOWN a side; ``inputs``: for each way in which the networks want it
    (stored size and fit, in the order of ``Predictor.kinds``) uint8 h x w x 3, decoded as the image cache does; ``notes``: what was left
    out or ignored.
    """

    pixels: Pixels
    inputs: tuple[Pixels, ...]
    notes: tuple[str, ...]


def read(source: Source, kinds: Sequence[Images], *, display: bool) -> Picture:
    """Decode a file, its bytes, or take pixels (uint8 H x W x 3) for all networks; without ``display`` what is shown is the first input.

    Raises Unreadable, which says why and quotes nothing of the file.
    """
    data = read_bytes(source) if isinstance(source, Path) else source
    most = min(kind.max_pixels for kind in kinds)

    def at_least(size: tuple[int, int]) -> Decoded:
        return Decoded(data, ()) if isinstance(data, np.ndarray) else decode(data, at_least=size, max_pixels=most)

    decoded = {size: at_least(size) for size in dict.fromkeys(kind.size for kind in kinds)}
    inputs = tuple(fitted(decoded[kind.size].pixels, kind.size, kind.fit) for kind in kinds)
    shown = within(at_least((SHOWN, SHOWN)).pixels, SHOWN) if display else inputs[0]
    return Picture(shown, inputs, decoded[kinds[0].size].notes)


def within(pixels: Pixels, longest: int) -> Pixels:
    """The picture, shrunk where a side is longer than that."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    return pixels if scale >= 1 else fitted(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "squash")


def overlay(pixels: Pixels, heat: Heat, opacity: float = 0.5) -> Pixels:
    """A heat map (h x w in 0..1, NaN where the network saw nothing, any resolution) over a picture H x W x 3; ``opacity`` 0..1.

    What the network did not see stays as it is.
    """
    over = np.asarray(heat, np.float32)
    if over.shape != pixels.shape[:2]:
        over = cv2.resize(over, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    seen = np.isfinite(over)
    colours = heats.colours()[(np.nan_to_num(over).clip(0, 1) * heats.TOP).round().astype(np.uint8)]
    mixed = cv2.addWeighted(pixels, 1 - opacity, colours, opacity, 0)
    return np.where(seen[..., None], mixed, pixels)


def beside(left: Pixels, right: Pixels, gap: int = 8) -> Pixels:
    """Two pictures of the same height side by side on white."""
    white = np.full((left.shape[0], gap, 3), 255, np.uint8)
    return np.concatenate([left, white, right], axis=1)


def png(pixels: Pixels, *, notice: bool = True, scale: bool = False) -> bytes:
    """A picture as PNG without metadata; on a white strip below it ``notice`` and, for a heat map, its colour ``scale``."""
    out = io.BytesIO()
    Image.fromarray(_footed(pixels, scale) if notice else pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _footed(pixels: Pixels, scale: bool) -> Pixels:
    """The picture with a strip below it: the notice in as many lines as it takes, under the colour scale where that is wanted."""
    pixels = np.pad(pixels, ((0, 0), (0, max(0, NARROW - pixels.shape[1])), (0, 0)), constant_values=255)
    width = pixels.shape[1]
    size = min(28, max(12, width // 40))
    font, step = ImageFont.load_default(size), round(1.4 * size)
    lines = _wrapped(NOTICE, width - size, font)
    labels = ("little evidence", "most evidence") if scale else ()
    strip = Image.new("RGB", (width, step * (len(lines) + 2 * bool(labels)) + size), "white")
    draw = ImageDraw.Draw(strip)
    top = size // 2
    if labels:
        bar = heats.colours()[np.linspace(0, heats.TOP, width - size).round().astype(np.uint8)]
        strip.paste(Image.fromarray(np.repeat(bar[None], size, axis=0)), (size // 2, top))
        draw.text((size // 2, top + size), labels[0], "black", font)
        draw.text((width - size // 2, top + size), labels[1], "black", font, anchor="ra")
        top += 2 * step
    for number, line in enumerate(lines):
        draw.text((size // 2, top + number * step), line, "black", font)
    return np.concatenate([pixels, np.asarray(strip)])


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Lines of whole words that are no wider than that, unless a word is."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines

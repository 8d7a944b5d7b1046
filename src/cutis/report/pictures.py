"""Photos on a page: small JPEGs made anew from the pixels, so nothing of a file's metadata comes along; the aspect is kept."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from cutis.data.arrays import open_image
from cutis.data.images import Unreadable
from cutis.report import blocks


def thumbnails(root: Path | None, photos: Sequence[blocks.Photo], *, max_pixels: int) -> Markup:
    """The photos side by side; one that is not at hand has a calm placeholder."""
    return blocks.gallery([(p, thumbnail(root, p.image, max_pixels=max_pixels)) for p in photos])


def thumbnail(root: Path | None, image: str, *, side: int = 240, max_pixels: int) -> str | None:
    """The picture of a table's key as a ``data:`` address, its longer side ``side`` pixels or less; none where it cannot be read."""
    if root is None:
        return None
    try:
        pixels = open_image(root, image, at_least=(side, side), max_pixels=max_pixels).pixels
    except Unreadable:
        return None
    small = Image.fromarray(pixels)
    small.thumbnail((side, side))
    return encoded(np.asarray(small))


def encoded(pixels: NDArray[np.uint8]) -> str:
    """Pixels, H x W x 3 RGB, as a ``data:`` address."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")

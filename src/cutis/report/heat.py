"""Heat maps on a page: the untouched photo, the same under each map with a slider for its opacity, and one colour scale."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from cutis.report import blocks

TOP: Final = 254  # the byte of the most heat; 255 is what the network did not see

Heat = NDArray[np.float32]


@dataclass(frozen=True)
class Map:
    """A map over a photo: H x W in 0..1, NaN where the network saw nothing; what it is of; what a screen reader says."""

    heat: Heat
    caption: Markup
    about: str


@dataclass(frozen=True)
class Case:
    """A photo (with its ``data:`` address, none where it is not at hand), the maps over it, and photos of the cases ``near`` it."""

    photo: blocks.Photo
    source: str | None
    maps: Sequence[Map]
    near: Sequence[tuple[blocks.Photo, str | None]] = ()


def heatmaps(cases: Sequence[Case], near: str = "") -> Markup:
    """Cases below each other, under one slider; ``near``: what stands above the nearest cases."""
    told = [(c, [(m, address(m.heat), m.heat.shape[1] / m.heat.shape[0]) for m in c.maps]) for c in cases]
    macro: Any = getattr(blocks.environment().get_template("heat.html").module, "heatmaps")  # noqa: B009 - a macro, unknown to types
    return Markup(macro(told, scale(), near, all(len(c.maps) == 1 and not c.near for c in cases)))


def packed(heat: Heat) -> dict[str, Any]:
    """A map as JSON holds it: ``height``, ``width``, and ``values`` in base64, a byte a place, 0 to 254 for 0 to 1, 255 for not seen."""
    seen = np.isfinite(heat)
    values = np.where(seen, np.nan_to_num(heat).clip(0, 1) * TOP, 255).round().astype(np.uint8)
    return {"height": heat.shape[0], "width": heat.shape[1], "values": base64.b64encode(values.tobytes()).decode("ascii")}


def unpacked(told: dict[str, Any]) -> Heat:
    """The map that ``packed`` was given, in steps of 1/254."""
    values = np.frombuffer(base64.b64decode(told["values"]), np.uint8).reshape(told["height"], told["width"])
    return np.where(values == 255, np.nan, values / TOP).astype(np.float32)


def address(heat: Heat) -> str:
    """A map in colours as the ``data:`` address of a PNG, clear where the network saw nothing."""
    values = np.frombuffer(base64.b64decode(packed(heat)["values"]), np.uint8).reshape(heat.shape)
    image = Image.fromarray(values).convert("P")
    image.putpalette(colours().tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", transparency=255, optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


@cache
def colours() -> NDArray[np.uint8]:
    """256 x 3: inferno for the bytes 0 to 254; the last is clear and what surrounds it must not shine through."""
    colours = (mpl.colormaps["inferno"](np.linspace(0, 1, TOP + 1))[:, :3] * 255).round().astype(np.uint8)
    return np.concatenate([colours, colours[:1]])


@cache
def scale() -> str:
    """The colours from no evidence to the most, as the ``data:`` address of a picture."""
    return address(np.linspace(0, 1, 120, dtype=np.float32)[None].repeat(8, axis=0))

"""The page's blocks as HTML that escapes every text, and its style in light or dark."""

import base64
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup
from numpy.typing import NDArray

from cutis.data.images import Pixels
from cutis.report import blocks, heat, pictures
from cutis.report.drawing import THEME
from cutis.serve.app.languages import Language
from cutis.serve.pictures import within

SHOWN = 960
"""Pixels of the longer side of a photo on the page."""
MAPPED = 320
"""Pixels of the longer side of a heat map on the page; it is smooth, so the browser enlarges it without loss."""


NOTHING = "data:image/svg+xml;base64," + base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>").decode()
"""The ``data:`` address of a picture of nothing, where one could not be read."""


@cache
def environment() -> Environment:
    """The report's templates and the page's own."""
    made = blocks.environment().overlay(loader=ChoiceLoader([PackageLoader("cutis.serve.app"), PackageLoader("cutis.report")]))
    made.filters = made.filters | {"themed": themed}
    return made


def themed(colour: str) -> str:
    """A colour as style sheets name it: the black of the class colours is the page's ink, which is light in the dark."""
    return f"var(--{THEME[colour]})" if colour in THEME else colour


def block(name: str, *values: Any, of: str = "answer.html", **more: Any) -> Markup:
    """A macro of one of the page's templates."""
    return Markup(getattr(environment().get_template(of).module, name)(*values, **more))


def photo(pixels: Pixels, side: int = SHOWN) -> str:
    """The ``data:`` address of a picture, made anew from its pixels, so nothing of the file's metadata comes along."""
    return pictures.encoded(within(pixels, side))


def mapped(seen: NDArray[np.floating]) -> str:
    """The ``data:`` address of a heat map in colours."""
    return heat.address(seen)


def small(photo: tuple[int, int], side: int = MAPPED) -> tuple[int, int]:
    """Height and width of a map over a photo of this height and width."""
    scale = min(1.0, side / max(photo))
    return max(1, round(photo[0] * scale)), max(1, round(photo[1] * scale))


@cache
def style() -> Markup:
    """The page's style sheet."""
    return Markup("<style>{}</style>").format(Markup(files(__package__).joinpath("page.css").read_text("utf-8")))


def icon() -> str:
    """The page's icon, an SVG: a lesion within its ring."""
    ring = "<circle cx='16' cy='16' r='13' fill='none' stroke='#0f6076' stroke-width='3'/><circle cx='16' cy='16' r='5.5' fill='#0f6076'/>"
    drawn = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>{ring}</svg>"
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def drop(say: Language, megabytes: int) -> Markup:
    """Streamlit writes its uploader in English only: its words, replaced by the page's through the style sheet."""
    hint, button = (say(key, size=megabytes).replace("\\", "").replace('"', "'").replace("<", "") for key in ("drop_hint", "browse"))
    return Markup('<style>.st-key-drop {{ --hint: "{}"; --browse: "{}"; }}</style>').format(Markup(hint), Markup(button))


def scale() -> str:
    """The ``data:`` address of the colours of a heat map."""
    return heat.scale()


def jpeg(path: Path) -> str:
    """The ``data:`` address of a JPEG file."""
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")

"""How a figure is drawn: one style for all, SVG that is the same every time, and its inline form in the page's own colours."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from cutis.report import words

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/; black is the ink of the page, yellow comes last because it is faint on white.
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#1b2430", "#f0e442")

INK, MUTED, LINE, CARD, ACCENT, ALARM = "#1b2430", "#5b6672", "#d5dbe1", "#ffffff", "#0f6076", "#b3420a"
THEME = {INK: "ink", MUTED: "muted", LINE: "line", CARD: "card", ACCENT: "accent", ALARM: "alarm"}  # a page's own colours, light or dark
CLASS_COLOURS = tuple(f"var(--{THEME[c]})" if c in THEME else c for c in OKABE_ITO)  # as style sheets name them

STYLE = {
    "svg.hashsalt": "cutis",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Drawing:
    """A figure: ``name`` (of its file), ``title`` (the answer), ``about`` (what is drawn, for those who cannot see it), ``svg``."""

    name: str
    title: str
    about: str
    svg: str

    def inline(self) -> Markup:
        """The SVG for a page: its own ids, the page's colours and font, a text alternative, nothing that points outside."""
        body = self.svg[self.svg.index("<svg") :]
        view = re.search(r'viewBox="([\d. ]+)"', body)
        assert view is not None
        body = re.sub(r"<defs>\s*<style.*?</defs>", "", body[body.index(">") + 1 :], count=1, flags=re.DOTALL)
        body = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{self.name}-", body)
        body = re.sub(r" font-family: [^;\"]+;?", "", body)
        for colour, variable in THEME.items():
            body = body.replace(colour, f"var(--{variable})")
        body = re.sub(r">\s*\n\s*<", "><", body.replace(" \n", " "))
        head = Markup('<svg role="img" aria-label="{}. {}" viewBox="{}">').format(self.title, self.about, view[1])
        return head + Markup(body)


def slug(text: str) -> str:
    """Text as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:30] or "x"


def short(text: str, length: int = 14) -> str:
    """Text that fits beside an axis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def draw(
    name: str,
    title: str,
    about: str,
    paint: Callable[[Any], None],
    *,
    size: tuple[int, int] = (360, 300),
    margins: tuple[int, int] = (48, 14),
    note: str = words.NOTICE,
) -> Drawing:
    """A drawing of ``size`` (width, height in pixels); ``paint`` fills the axes; ``note`` stands at its foot."""
    width, height = size
    lines = textwrap.wrap(title, max(12, (width - 20) * 10 // 62))[:3]
    top, bottom = 16 + 15 * len(lines), 58
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's own font draws the text; this one only measures it
        figure = Figure(figsize=(width / 72, height / 72), facecolor=CARD)
        axes = figure.add_axes((margins[0] / width, bottom / height, (width - sum(margins)) / width, (height - top - bottom) / height))
        paint(axes)
        axes.tick_params(length=0, pad=4)
        for i, line in enumerate(lines):
            figure.text(8 / width, 1 - (16 + 15 * i) / height, line, fontsize=11, weight="bold")
        foot = textwrap.wrap(note, (width - 16) * 10 // 37)
        for i, line in enumerate(reversed(foot)):
            figure.text(8 / width, (7 + 9 * i) / height, line, fontsize=7, color=MUTED)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = re.sub(r"font-family: [^;]+;", "font-family: system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif;", out.getvalue())
    return Drawing(name, title, about, svg)

"""One page of A4 as PDF, drawn by matplotlib: text that wraps, two pictures, bars."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import matplotlib as mpl
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cutis.data.images import Pixels
from cutis.report.drawing import ACCENT, INK, LINE, MUTED
from cutis.serve.app.view import Bar, Verdict

WIDTH, HEIGHT = 595.3, 841.9  # A4 in points
EDGE: Final = 42.0
INNER: Final = WIDTH - 2 * EDGE
STYLE: Final = {"font.family": "DejaVu Sans", "pdf.fonttype": 42, "text.parse_math": False, "text.color": INK}


@dataclass(frozen=True)
class Page:
    """All that stands on it."""

    title: str
    notice: str
    verdict: Verdict
    bars: Sequence[Bar]
    hint: str
    watched: Sequence[str]
    photo: Pixels
    mapped: Pixels | None
    captions: tuple[str, str]
    facts: Sequence[str]
    not_for: tuple[str, Sequence[str]]
    headings: tuple[str, str]


def write(out: BinaryIO, page: Page) -> None:
    """Write the page as PDF."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor="white")
        pen = Pen(figure)
        pen.text(page.title, size=9, colour=MUTED)
        pen.text(page.notice, size=9, weight="bold")
        pen.gap(8)
        _verdict(pen, page.verdict)
        _pictures(pen, page)
        _bars(pen, page)
        if page.watched:
            pen.text(page.headings[1], size=11, weight="bold")
            for line in page.watched:
                pen.text(line, size=9)
            pen.gap(8)
        pen.rule()
        for line in filter(None, page.facts):
            pen.text(line, size=8, colour=MUTED)
        title, lines = page.not_for
        if lines:
            pen.text(f"{title}: {' '.join(lines)}", size=8, colour=MUTED)
        FigureCanvasPdf(figure).print_pdf(
            out, metadata={"Title": page.title, "Subject": page.notice, "Creator": "Cutis", "CreationDate": None}
        )


@dataclass
class Pen:
    """Writes downwards from the top edge; places are points from the page's left and top."""

    figure: Figure
    down: float = EDGE

    def gap(self, points: float) -> None:
        """Leave room."""
        self.down += points

    def rule(self) -> None:
        """A thin line from edge to edge."""
        self.box(EDGE, self.down, INNER, 0.7, LINE)
        self.gap(9)

    def text(
        self, text: str, *, size: float, colour: str = INK, weight: str = "normal", left: float = EDGE, width: float | None = None
    ) -> None:
        """A paragraph, wrapped to ``width`` (none: the rest of the line)."""
        room = (WIDTH - EDGE - left) if width is None else width
        for line in textwrap.wrap(text, max(8, int(room / (size * (0.62 if weight == "bold" else 0.56))))):
            if self.down + size > HEIGHT - EDGE / 2:
                return  # what stands last, the model's own cautions, is on the page in full
            self.at(line, left, self.down + size, size=size, colour=colour, weight=weight)
            self.gap(size * 1.42)

    def at(self, text: str, x: float, y: float, *, size: float, colour: str = INK, weight: str = "normal", to: str = "left") -> None:
        """A line with its foot at (x, y)."""
        self.figure.text(x / WIDTH, 1 - y / HEIGHT, text, fontsize=size, color=colour, weight=weight, ha=to, va="baseline")

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self._rectangle(x, y, width, height, facecolor=colour, linewidth=0)

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """The outline of a rectangle."""
        self._rectangle(x, y, width, height, fill=False, edgecolor=MUTED, linewidth=1)

    def _rectangle(self, x: float, y: float, width: float, height: float, **how: Any) -> None:
        place = (x / WIDTH, 1 - (y + height) / HEIGHT)
        self.figure.add_artist(Rectangle(place, width / WIDTH, height / HEIGHT, transform=self.figure.transFigure, **how))

    def picture(self, pixels: Pixels, x: float, y: float, width: float, height: float) -> None:
        """A picture within a rectangle, its aspect kept."""
        scale = min(width / pixels.shape[1], height / pixels.shape[0])
        w, h = pixels.shape[1] * scale, pixels.shape[0] * scale
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + h) / HEIGHT, w / WIDTH, h / HEIGHT))
        axes.imshow(pixels, aspect="auto", interpolation="none")
        axes.set_axis_off()


def _verdict(pen: Pen, verdict: Verdict) -> None:
    start, left = pen.down, EDGE + 16
    pen.text(verdict.kicker, size=9, colour=MUTED, left=left)
    if verdict.figure:
        pen.at(verdict.figure, WIDTH - EDGE, pen.down + 18, size=18, colour=ACCENT, weight="bold", to="right")
    pen.text(verdict.title, size=18, weight="bold", left=left, width=INNER - (100 if verdict.figure else 16))
    if verdict.meaning:
        pen.text(verdict.meaning, size=10, colour=MUTED, left=left)
    pen.text(verdict.sentence, size=9.5, left=left)
    pen.box(EDGE, start, 6, pen.down - start, verdict.colour)
    pen.gap(12)


def _pictures(pen: Pen, page: Page) -> None:
    shown = [p for p in (page.photo, page.mapped) if p is not None]
    width, height = (INNER - 14) / 2, 200.0
    deepest = max(min(height, width * p.shape[0] / p.shape[1]) for p in shown)
    for i, (pixels, caption) in enumerate(zip(shown, page.captions, strict=False)):
        x = EDGE + i * (width + 14)
        pen.picture(pixels, x, pen.down, width, height)
        pen.at(caption, x, pen.down + deepest + 12, size=8, colour=MUTED)
    pen.gap(deepest + 26)


def _bars(pen: Pen, page: Page) -> None:
    pen.text(page.headings[0], size=11, weight="bold")
    pen.text(page.hint, size=8.5, colour=MUTED)
    pen.gap(3)
    start, room = EDGE + 215, INNER - 215 - 58
    for bar in page.bars:
        label = f"{bar.name}  {bar.meaning}" if bar.meaning else bar.name
        pen.at(textwrap.shorten(label, 40, placeholder="…"), EDGE, pen.down + 9.5, size=9, weight="bold" if bar.possible else "normal")
        pen.box(start, pen.down + 1, room, 9, "#eef1f3")
        pen.box(start, pen.down + 1, max(0.5, room * bar.share), 9, bar.colour)
        if bar.possible:
            pen.frame(start - 1, pen.down, room + 2, 11)
        pen.at(bar.told, WIDTH - EDGE, pen.down + 9.5, size=9, weight="bold", to="right")
        pen.gap(16)
    pen.gap(8)

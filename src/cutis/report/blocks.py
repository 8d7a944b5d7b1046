"""The building blocks of every page: tables, figures, folds, strips; text given to them is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cutis.report import words
from cutis.report.drawing import CLASS_COLOURS


@cache
def environment() -> Environment:
    """The templates of this folder, with autoescape on for all of them."""
    made = Environment(
        loader=PackageLoader("cutis.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    made.globals |= {"notice": words.NOTICE, "words": words, "strip": strip, "colours": CLASS_COLOURS}
    return made


def page(template: str, **values: Any) -> str:
    """A whole page from one of the templates."""
    return environment().get_template(template).render(**values)


def _macro(name: str, *args: Any) -> Markup:
    return Markup(getattr(environment().get_template("blocks.html").module, name)(*args))


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand on the right."""

    title: str
    text: bool = False
    hint: str = ""


def table(
    caption: str, columns: Sequence[str | Column], rows: Iterable[Sequence[Any]], *, hidden: bool = False, stacked: bool = False
) -> Markup:
    """A table that scrolls sideways where it must; the first cell of a row names it. ``stacked``: intervals stand below their figures."""
    heads = [Column(c) if isinstance(c, str) else c for c in columns]
    return _macro("table", caption, heads, [list(r) for r in rows], hidden, stacked)


def facts(pairs: Mapping[str, Any]) -> Markup:
    """Names and values, one line each."""
    return _macro("facts", list(pairs.items()))


def fold(summary: str, *body: Markup, open: bool = False) -> Markup:
    """Details behind one line."""
    return _macro("fold", summary, body, open)


def text(sentence: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>").format(sentence)


def heading(title: str) -> Markup:
    """A heading inside a part."""
    return Markup("<h3>{}</h3>").format(title)


def items(lines: Sequence[Any]) -> Markup:
    """A list."""
    return _macro("items", lines)


def code(source: str) -> Markup:
    """Text kept as it is written."""
    return Markup("<pre tabindex='0'><code>{}</code></pre>").format(source)


def grid(blocks: Iterable[Markup], *, wide: bool = False) -> Markup:
    """Blocks side by side where there is room."""
    return _macro("grid", list(blocks), wide)


def figure(value: words.Figure | None) -> Markup:
    """``0.849 [0.828, 0.869]``, or ``n/a (1 image)`` with the reason as its hint."""
    if value is None or value.get("value") is None:
        return Markup('<span class="na" title="{}">{}</span>').format((value or {}).get("why", "not computed"), words.figure(value))
    note = Markup(' title="{}"').format(value["note"]) if value.get("note") else ""
    interval = Markup(' <span class="interval">{}</span>').format(words.interval(value)) if words.interval(value) else ""
    return Markup('<span class="figure"{}>{}{}</span>').format(note, words.number(value["value"]), interval)


def strip(value: words.Figure | None, base: words.Figure | None = None) -> Markup:
    """The interval on a line from 0 to 1, the baseline as a tick; it repeats the figure beside it, so screen readers skip it."""
    if value is None or value.get("value") is None or not 0 <= value["value"] <= 1:
        return Markup("")
    low, high = (value["value"] if value.get(k) is None else value[k] for k in ("low", "high"))
    line = base["value"] if base and base.get("value") is not None else None
    return _macro("strip", *(None if x is None else round(100 * x, 1) for x in (value["value"], low, high, line)))


def chip(name: str, colour: int) -> Markup:
    """A class name with its colour."""
    return Markup('<span class="class"><i class="c{}"></i>{}</span>').format(colour, name)


def bar(share: float, words_: str) -> Markup:
    """A number over a bar of its share."""
    return Markup('<span class="bar" style="--share:{}">{}</span>').format(round(100 * share, 1), words_)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], colours: Sequence[int], costly: set[tuple[int, int]]) -> Markup:
    """Counts and row rates, rows true, columns answered; the costly cells are marked."""
    rows = [[(n, n / max(sum(row), 1), n > 0 and (i, j) in costly) for j, n in enumerate(row)] for i, row in enumerate(matrix)]
    return _macro("confusion", rows, [chip(c, k) for c, k in zip(classes, colours, strict=True)], [sum(r) for r in matrix], bool(costly))


@dataclass(frozen=True)
class Photo:
    """A photo with its words: the image's key, a caption, and what a screen reader says."""

    image: str
    caption: Markup
    about: str


def gallery(photos: Sequence[tuple[Photo, str | None]]) -> Markup:
    """Photos with their ``data:`` address, side by side; none: a placeholder."""
    return _macro("gallery", photos)


def audit_item(photos: Sequence[tuple[Photo, str | None]], note: str, score: str, rest: int) -> Markup:
    """A thing that an audit found: its pictures, framed together where they are several, and how many more belong to it."""
    return _macro("audit_item", photos, note, score, rest)


def audit_finding(
    finding: Any, anchor: str, severity: str, commands: Sequence[str], first: Sequence[Markup], others: Sequence[Markup], rest: int
) -> Markup:
    """A finding of an audit: badge, sentence, advice, what mends it, its first things, those behind a line, how many are not shown."""
    return _macro("audit_finding", finding, anchor, severity, commands, first, others, rest)

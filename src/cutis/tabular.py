"""A table for people, as data: the page, the Markdown and the terminal show the same one."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Link:
    """A text that leads to a page."""

    text: str
    href: str


Cell = str | Link


@dataclass(frozen=True)
class Table:
    """A table; a new line in a cell is one. The columns named in ``words`` hold text, as the first does; the others hold numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    words: tuple[str, ...] = ()


def as_markdown(table: Table) -> list[str]:
    """A table's lines; none where it has no rows."""
    if not table.rows:
        return []
    head = [
        "| " + " | ".join(map(_cell, table.columns)) + " |",
        "|" + "|".join(" --- " if c in table.words or not i else " ---: " for i, c in enumerate(table.columns)) + "|",
    ]
    return head + ["| " + " | ".join(_cell(c) for c in row) + " |" for row in table.rows]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for mark in ("\\", "|", "<", "*", "_", "`"):
        text = text.replace(mark, "\\" + mark)
    return text.replace("](", "]\\(").replace("\n", "<br>")


def _cell(cell: Cell) -> str:
    return f"[{escaped(cell.text)}]({quote(cell.href)})" if isinstance(cell, Link) else escaped(cell)

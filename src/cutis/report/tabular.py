"""A plain table on a page: links, lines, muted intervals."""

import re
from urllib.parse import quote

from markupsafe import Markup, escape

from cutis.report import blocks
from cutis.tabular import Cell, Link, Table

INTERVAL = re.compile(r"(\[[-+\d., ]+\])")
WIDE = 5  # columns beyond which an interval stands below its figure
VERDICTS = ("reached", "not reached", "not comparable", "not run")


def shown(table: Table) -> Markup:
    """A plain table on the page: links, lines, muted intervals."""
    columns = [blocks.Column(c, text=c in table.words) for c in table.columns]
    rows = [[_cell(cell, i == 0 or columns[i].text) for i, cell in enumerate(row)] for row in table.rows]
    return blocks.table(table.caption, columns, rows, stacked=len(columns) > WIDE)


def _cell(cell: Cell, text: bool) -> Markup:
    if isinstance(cell, Link):
        return Markup('<a href="{}">{}</a>').format(quote(cell.href), cell.text)
    return Markup("").join(_line(line, text) for line in cell.split("\n"))


def _line(line: str, text: bool) -> Markup:
    """A line of a cell: verdicts stand out, what only helps to read stands back, a figure is not broken."""
    quiet = line.startswith(("majority line", "p ")) or line.endswith(" seeds") or " ± " in line
    kinds = ["figure"] * (not text) + ["quiet"] * quiet
    body = Markup(INTERVAL.sub(r'<span class="interval">\1</span>', str(escape(line))))
    return Markup('<div class="{}">{}</div>').format(" ".join(kinds), Markup("<b>{}</b>").format(body) if line in VERDICTS else body)

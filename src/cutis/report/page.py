"""The report of a run, one HTML file that opens offline, and its model card, made from the run folder alone."""

from pathlib import Path

from cutis.files import write_text
from cutis.report import blocks, card
from cutis.report.context import Context, Part, parts
from cutis.report.opening import opening
from cutis.runs import Run


def write(run: Run) -> Path:
    """Write ``report.html``, ``card.md`` and ``figures/*.svg`` into the run's folder; returns the page's path.

    Photos of mistakes are read from the data's folder where it is at hand. Raises ValueError where the run's files are damaged.
    """
    context = Context(run)
    written: dict[str, Part] = {}
    for name, writer in parts.items():
        if (part := writer(context)) is not None:
            written[name.split()[-1]] = part
            context.written[name.split()[-1]] = part.title
    write_text(run.folder / card.FILE, card.card(context))
    path = run.folder / "report.html"
    write_text(path, blocks.page("report.html", opening=opening(context), parts=list(written.items())))
    return path

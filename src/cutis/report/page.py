"""The report of a run: one HTML file that opens offline, made from the run folder alone."""

from pathlib import Path

from cutis.files import write_text
from cutis.report import blocks
from cutis.report.context import Context, parts
from cutis.report.opening import opening
from cutis.runs import Run


def write(run: Run) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` into the run's folder; returns the page's path.

    Photos of mistakes are read from the data's folder where it is at hand. Raises ValueError where the run's files are damaged.
    """
    context = Context(run)
    written = [(name.split()[-1], part) for name, writer in parts.items() if (part := writer(context)) is not None]
    path = run.folder / "report.html"
    write_text(path, blocks.page("report.html", opening=opening(context), parts=written))
    return path

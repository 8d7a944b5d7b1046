"""Facts about what the model looked at, and whether the heat maps that say so can be believed."""

from typing import Any

from cutis.files import read_json
from cutis.report import words
from cutis.report.context import Context
from cutis.report.explanation import FILE, verdicts
from cutis.report.facts import facts


@facts.register("explaining")
def explaining(context: Context) -> str:
    """How heat maps were made, and of which images."""
    told = _told(context)
    if not told:
        return ""
    of = f"{words.count(told['n'], 'image')} of the set {told['set']}, drawn by chance from {told['drawn_from']:,}"
    return f"Answers were explained by heat maps ({told['method']}) of {of}."


@facts.register("explanation")
def explanation(context: Context) -> str:
    """Where the heat lies, and whether the maps passed their checks."""
    told = _told(context)
    return " ".join(verdicts(told)) if told else ""


def _told(context: Context) -> dict[str, Any]:
    path = context.run.folder / FILE
    return dict(read_json(path)) if path.is_file() else {}

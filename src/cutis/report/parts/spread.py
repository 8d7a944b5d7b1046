"""A run of runs: mean and spread of each figure over folds or seeds, and the page of each run."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from cutis.report import blocks, figures, words
from cutis.report.context import Context, Part, parts
from cutis.report.parts.scores import FIRST


@parts.register("35 spread")
def spread(context: Context) -> Part | None:
    """Mean, standard deviation and each run's value, beside the pooled figure."""
    inner = context.run.parts
    if not inner:
        return None
    links = [_link(run.folder.name, (run.folder / "report.html").is_file()) for run in inner]
    told: dict[str, dict[str, Any]] = context.figures.get("spread", {})
    names = [*(m for m in FIRST if m in told), *(m for m in told if m not in FIRST)]
    sentence = f"{words.count(len(inner), 'run')}; the figures above pool their answers, here is how far they lie apart."
    if not names:
        return Part("The runs", sentence, [blocks.items(links)])
    values = {m: [v for v in told[m]["runs"] if v is not None] for m in names}
    drawn = {words.label(m): values[m] for m in names[:3] if values[m] and 0 <= min(values[m]) <= max(values[m]) <= 1}
    plots = [context.figure(figures.spread(_title(drawn), drawn, context.note))] if drawn else []
    rows = [[words.label(m), blocks.figure(context.figures.get(m)), _mean(told[m]), *map(_value, told[m]["runs"])] for m in names]
    columns, shown = ["figure", "pooled", "mean ± sd", *links], sum(m in FIRST for m in names)
    table = blocks.table("Mean ± standard deviation over the runs", columns, rows[:shown])
    plain = [*columns[:3], *(run.folder.name for run in inner)]
    rest = blocks.fold("All other figures", blocks.table("All other figures", plain, rows[shown:], hidden=True))
    return Part("Run by run", sentence, [*plots, table, rest])


def _title(drawn: Mapping[str, Sequence[float]]) -> str:
    name, values = next(iter(drawn.items()))
    return f"{name} lies between {words.number(min(values))} and {words.number(max(values))} over {words.count(len(values), 'run')}"


def _mean(told: dict[str, Any]) -> str:
    if told.get("mean") is None:
        return "n/a"
    return words.number(told["mean"]) + (f" ± {words.number(told['sd'])}" if told.get("sd") is not None else "")


def _value(value: float | None) -> str:
    return "n/a" if value is None else words.number(value)


def _link(name: str, page: bool) -> Any:
    return Markup('<a href="{}/report.html">{}</a>').format(quote(name), name) if page else name

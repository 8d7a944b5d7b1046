"""An ensemble: its members, what each weighs and why, their figures beside its own, and whether it is better than the best of them."""

import os
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from cutis.files import read_json
from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts
from cutis.report.opening import headline


@parts.register("32 ensemble")
def ensemble(context: Context) -> Part | None:
    """Members and weights, figures side by side, paired differences."""
    told = context.figures.get("members")
    if not told:
        return None
    kept = read_json(context.run.folder / "ensemble.json")
    weights = {m["name"]: m["weight"] for m in kept["members"]}
    best, chosen_on = _best(context)
    name = headline(context.figures)[0]
    metrics = [m for m in next(iter(told.values())) if m != "difference"]
    titles = [blocks.Column(words.label(m), hint=words.METRICS[m][1]) for m in metrics]
    own = [Markup("<b>the ensemble</b>"), "", *(blocks.figure(context.figures[m]) for m in metrics)]
    rows = [
        [
            _link(context, m),
            blocks.bar(weights[m["name"]], words.number(weights[m["name"]])),
            *(blocks.figure(told[m["name"]][k]) for k in metrics),
        ]
        for m in kept["members"]
    ]
    pairs = [[m, *(signed(told[m]["difference"][k]) for k in metrics)] for m in told]
    how = context.figures["interval"]
    resampled = f"the same {how['replicates']:,} resamples of groups, {100 * how['level']:g} %"
    body = [
        blocks.text(kept["rule"]["how"]),
        blocks.table("The ensemble and its members", ["run", "weight", *titles], [own, *rows], stacked=True),
        blocks.table("The ensemble minus each member", ["member", *titles], pairs, stacked=True),
        Markup('<p class="legend">Differences are paired: both sides are measured on {}.</p>').format(resampled),
    ]
    return Part("The ensemble and its members", f"{verdict(told[best]['difference'][name], name, best)} {chosen_on}", body)


def verdict(difference: words.Figure, metric: str, best: str) -> str:
    """Whether the ensemble is better than a member, by the paired interval of a figure of which more is better."""
    if difference["value"] is None:
        return f"Whether it is better than {best} cannot be told: the difference has no interval."
    told = f"{words.label(metric).lower()} {signed(difference)}"
    if difference["low"] > 0:
        return f"Better than its best member, {best}: {told}."
    if difference["high"] < 0:
        return f"Worse than its best member, {best}: {told}."
    return f"Cannot be told apart from its best member, {best}: {told}."


def signed(difference: words.Figure) -> str:
    """``+0.012 [-0.003, +0.027]``."""
    if difference["value"] is None:
        return "n/a"
    return f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"


def _best(context: Context) -> tuple[str, str]:
    """The member with the best headline figure, and where it was chosen: on validation, where the run has it."""
    where = "val" if "val" in context.metrics else context.main
    assert where is not None
    figures = context.metrics[where]
    name = headline(context.figures)[0]
    best = max(figures["members"], key=lambda m: figures["members"][m][name]["value"] or 0)
    kind = "on validation" if where == "val" else "on these images, which flatters that member"
    return best, f"Which member is best was decided {kind}."


def _link(context: Context, member: dict[str, Any]) -> Any:
    page = os.path.join(member["run"], "report.html")  # noqa: PTH118 - a link, with / or not at all
    return Markup('<a href="{}">{}</a>').format(quote(page), member["name"]) if (context.run.folder / page).is_file() else member["name"]

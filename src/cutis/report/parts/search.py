"""The search behind a run: what was tried, what mattered, what it cost, and what the winner is worth on groups the search never saw."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from cutis.files import read_json
from cutis.report import blocks, search_figures, words
from cutis.report.context import Context, Part, parts
from cutis.report.parts.ensemble import signed

SHOWN = 20  # candidates that the page lists; search.csv has all


@parts.register("34 search")
def search(context: Context) -> Part | None:
    """Best of each generation, importance, front; the winner and the published choice on the judging groups and on the test images."""
    path = context.run.folder / "search.json"
    if not path.is_file() or not (path.parent / "search.csv").is_file():
        return None
    told, rows = read_json(path), pd.read_csv(path.parent / "search.csv")
    best, metric = told["best"], told["metric"]
    plots = [search_figures.progress(rows, metric, context.note)]
    if told.get("importance"):
        plots.append(search_figures.importance(told["importance"], context.note))
    if "front" in rows:
        plots.append(search_figures.front(rows, metric, told["backbone_multiply_adds"], best["number"], context.note))
    body = [
        blocks.text(told["how"]),
        blocks.facts(search_figures.genes(best["genes"])),
        blocks.grid([context.figure(plot) for plot in plots], wide=True),
        *_judged(told),
        *_tested(told, context),
        *_candidates(rows),
    ]
    of = f"{words.count(len(rows), 'candidate')} in {words.count(rows['generation'].nunique(), 'generation')} ({told['sampler']})"
    return Part("The search", f"The best of {of}. {_verdict(told)}", body)


def _verdict(told: dict[str, Any]) -> str:
    judged, label = told.get("judged"), words.label(told["metric"]).lower()
    if judged is None:
        value = words.number(told["best"]["value"])
        return f"Its {label} of {value} is on the images it was chosen by, which flatters it; believe the figures on test."
    difference = judged["difference"]
    if difference["value"] is None:
        return "Whether it is better than the published choice cannot be told: the difference has no interval."
    if difference["low"] > 0:
        kind = "is better than the published choice"
    elif difference["high"] < 0:
        kind = "is worse than the published choice"
    else:
        kind = "cannot be told apart from the published choice"
    return f"On groups that the search never saw it {kind}: {label} {signed(difference)}."


def _judged(told: dict[str, Any]) -> list[Markup]:
    """How much better a side looks where the winner was chosen."""
    judged = told.get("judged")
    if judged is None:
        return []
    label = words.label(told["metric"]).lower()
    rows = [
        [title, blocks.figure(judged[side]["val"]), blocks.figure(judged[side]["judge"]), signed(judged[side]["optimism"])]
        for side, title in (("found", "the winner"), ("published", "the published choice"))
    ]
    columns = ["head", "where the winner was chosen", "on unseen groups", "optimism"]
    return [
        blocks.table(f"{words.label(told['metric'])} where it was chosen and where it was not", columns, rows, stacked=True),
        Markup(
            '<p class="legend">Optimism is the first figure less the second, both resampled by their own groups ({:g} %). The published '
            "choice (112 units, dropout .30, rate 1e-4) was not chosen here, so its gap is what the two parts of the images differ by. "
            "The difference in {} above is paired, over {} starts a side, on {:,} images of {:,} groups.</p>"
        ).format(100 * judged["level"], label, judged["starts"], judged["n"], judged["groups"]),
    ]


def _tested(told: dict[str, Any], context: Context) -> list[Markup]:
    """The paired differences on the test images."""
    if not told.get("test"):
        return []
    rows = [[words.label(name), signed(difference)] for name, difference in told["test"].items()]
    caption = "On the test images: the winner less the published choice, both trained from images"
    link = Markup(
        '<p class="legend">Paired, on the same resamples of groups. <a href="published/report.html">The published choice\'s page</a>.</p>'
    )
    return [blocks.table(caption, ["figure", "difference"], rows), link] if context.run.sets else []


def _candidates(rows: pd.DataFrame) -> list[Markup]:
    best = rows.sort_values(["value", "number"], ascending=[False, True]).head(SHOWN)
    columns, cells = search_figures.listed(best)
    note = Markup(
        '<p class="legend">Cost is counted, not timed: multiply-adds of the head for an image; the frozen backbone is the same for all.</p>'
    )
    title = f"The best {len(best)} of {words.count(len(rows), 'candidate')}"
    fold = blocks.fold(title, blocks.table(title, columns, cells, hidden=True))
    return [note, fold] if "multiply_adds" in rows else [fold]

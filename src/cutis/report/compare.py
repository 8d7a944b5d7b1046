"""The page of a comparison: which run is better, on what that rests, and how many images it would take where it cannot be told."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from cutis.evaluate.paired import less_is_better
from cutis.files import write_json, write_text
from cutis.report import blocks, words
from cutis.report.context import Part
from cutis.report.drawing import ACCENT, INK, MUTED, Drawing, draw, short
from cutis.report.opening import Card, Opening
from cutis.report.parts.ensemble import signed
from cutis.report.tabular import shown
from cutis.report.verdicts import Told, foremost, headline, said, spoken, standing, verdict
from cutis.tabular import Cell, Link, Table

PAIRS = 15  # a drawing can show
DRAWINGS = 4
NOT_FOR = (
    "Choosing a run for a clinic: these figures speak of these images, and of nobody else's.",
    "Reporting the chosen run's figure as its own: the best of several looks better than it is. Measure it on images that chose nothing.",
)


def write(folder: Path, told: Told) -> Path:
    """Write ``compare.html`` and ``compare.json`` from what ``comparison.compare`` says; returns the page's path."""
    write_json(folder / "compare.json", told)
    path = folder / "compare.html"
    write_text(path, blocks.page("compare.html", opening=_opening(told), parts=list(_parts(told, folder))))
    return path


def _opening(told: Told) -> Opening:
    names = [run["name"] for run in told["runs"]]
    leaking = [run["name"] for run in told["runs"] if run["leaks"]]
    two = len(names) == 2
    count = words.NUMBERS[len(names)].capitalize() if len(names) < len(words.NUMBERS) else str(len(names))
    figure = headline(told)
    best = foremost(told, figure)
    own = next((run for run in told["runs"] if run["name"] == best), None)
    cards = [Card(words.label(other), f"{standing(told, other)}.") for other in told["figures"] if other != figure][:3]
    clear = sum(bool(found["better"]) for pair in told["pairs"] for found in pair["figures"].values())
    cards.append(Card("Comparisons", f"{clear} of {told['comparisons']} show a difference, with all of them allowed for"))
    held = f"{words.count(told['n'], 'image')} in {words.count(told['groups'], 'group')}"
    return Opening(
        title=f"{names[0]} against {names[1]}" if two else f"{count} runs compared",
        kicker=" · ".join(["which run is better", f"set {told['set']}", told["finished"][:10]]),
        data=f"All answered the same {held} ({words.listed(told['classes'])}).",
        verdict=verdict(told),
        more=[*told["notes"], *_beyond(told)],
        leaks=f"{words.listed(leaking)}: trained with leaks allowed." if leaking else "",
        banner="Figures of such a run are too good to be believed, and so is a difference to it.",
        made=f"Made by Cutis {told['cutis']}, {told['finished'][:10]}.",
        not_for=list(NOT_FOR),
        cards=cards,
        what=f"{words.label(figure)} of {best}, the highest here" if own and not less_is_better(figure) else "",
        figure=own["figures"][figure] if own and not less_is_better(figure) else None,
        base={"value": own["baseline"][figure]} if own and figure in own["baseline"] else None,
    )


def _beyond(told: Told) -> Iterator[str]:
    """What the intervals do not cover."""
    counts = {len(run["trainings"]) or 1 for run in told["runs"]}
    if counts == {1}:
        yield "Each run was trained once. Whether another seed would change this is not known; cutis train --seeds 5 tells."
    elif told["over"] == "images" and len(counts) > 1:
        yield "The runs have different numbers of seeds, so nothing is said about other seeds."


def _parts(told: Told, folder: Path) -> Iterator[tuple[str, Part]]:
    runs = [shown(_runs(told, folder))]
    yield (
        "runs",
        Part("The runs", "Each figure with its own interval. That intervals overlap decides nothing; the next part does.", runs),
    )
    yield "better", _better(told)
    for name, make in (("tests", _tests), ("trainings", _trainings), ("differ", _differ), ("how", _how)):
        part = make(told)
        if part is not None:
            yield name, part


def _runs(told: Told, folder: Path) -> Table:
    rows: list[list[Cell]] = []
    for run in told["runs"]:
        page = Path(run["folder"], "report.html")
        href = Path(os.path.relpath(page, folder)).as_posix()  # up and over, where the run lies elsewhere
        low, high = min(run["training_images"]), max(run["training_images"])
        images = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        own = [_own(run["figures"][figure]) for figure in told["figures"]]
        rows.append([Link(run["name"], href) if page.is_file() else run["name"], _what(run), images, *own])
    line = told["runs"][0]["baseline"]
    rows.append(["majority line", "", "", *(words.number(line[f]) if f in line else "" for f in told["figures"])])
    columns = ("run", "what it is", "training images", *map(words.label, told["figures"]))
    return Table("The runs and their figures", columns, rows, ("what it is",))


def _what(run: Told) -> str:
    kinds = {"seed": "seed", "fold": "fold"}
    kind = kinds.get(run["trainings"][0].partition("-")[0], "training") if run["trainings"] else ""
    told = [run["description"].rstrip(".") or run["recipe"]]
    told += [words.count(len(run["trainings"]), kind)] if kind else []
    told += [f"ensemble of {run['members']}"] if run["members"] else []
    return "\n".join([*told, *(["trained with leaks allowed"] if run["leaks"] else [])])


def _own(found: Told | None) -> str:
    spread = f"\n{words.number(found['mean'])} ± {words.number(found['sd'])}" if found and "mean" in found else ""
    return words.figure(found) + spread


def _better(told: Told) -> Part:
    figures = [Markup('<figure class="plot">{}</figure>').format(d.inline()) for d in _drawn(told)]
    tables = []
    for figure in told["figures"]:
        found = [(pair, pair["figures"][figure]) for pair in told["pairs"]]
        rows = [[_pair(p), _signed(f), words.p_value(f["p"]), words.p_value(f["p_holm"]), said(told, p, figure)] for p, f in found]
        columns = ("pair", "difference", "p", "p, all compared", "what that says")
        tables.append(shown(Table(f"{words.label(figure)}: first less second", columns, rows, ("what that says",))))
    level = f"{100 * told['level']:g} %"
    how = (
        f"Differences are means over folds; the {level} limits are those of the corrected resampled t-test. "
        if told["over"] == "folds"
        else f"Differences are paired: both runs are measured on the same {told['replicates']:,} resamples of groups; limits are {level}. "
    )
    how += (
        "There is one comparison, so p needs no adjusting. "
        if told["comparisons"] == 1
        else f"The second p allows for all {told['comparisons']} comparisons on this page (Holm 1979), and it decides. "
    )
    how += (
        f"As many images as named would show a difference as large as this one {words.per_cent(told['power'])} of the time. "
        "That is a guess: the true difference may be smaller."
    )
    return Part("Which is better", verdict(told), [blocks.grid(figures, wide=True), *tables, _legend(how)])


def _tests(told: Told) -> Part:
    rows = [[_pair(pair), *_either(pair["mcnemar"], 1 - told["level"])] for pair in told["pairs"] if pair["mcnemar"]]
    areas = [
        [_pair(pair), words.label(figure), _signed(found), words.p_value(found["p"])]
        for pair in told["pairs"]
        for figure, found in pair["delong"].items()
    ]
    counted = ("pair", "only first right", "only second right", "p", "images it would take")
    tables = [
        Table("Accuracy: images on which one of both is right (McNemar, exact)", counted, rows),
        Table("Area under the ROC curve (DeLong)", ("pair", "figure", "difference", "p"), areas, ("figure",)),
    ]
    body = [shown(table) for table in tables if table.rows]
    text = "These p are not adjusted for being several. McNemar's test takes images for independent"
    text += "; here groups have several, so trust the tables above." if told["groups"] < told["n"] else "."
    text += " DeLong's test allows for groups (Obuchowski 1997)." if areas else ""
    if not rows:
        return Part("A second opinion", "The classical tests compare one training with another; here runs have several.")
    return Part("A second opinion", "Classical tests of the same differences, which resample nothing.", [*body, _legend(text)])


def _trainings(told: Told) -> Part | None:
    rows = [
        [_pair(pair), words.label(figure), _signed(found), words.p_value(found["p"]), _each(found["differences"])]
        for pair in told["pairs"]
        for figure, found in ((name, own["trainings"]) for name, own in pair["figures"].items())
        if found
    ]
    if not rows:
        return None
    kind, other = ("fold", "division of the images") if told["over"] == "folds" else ("seed", "random start")
    columns = ("pair", "figure", "mean difference", "p", f"each {kind}")
    text = "The corrected resampled t-test (Nadeau & Bengio 2003) is wider than the plain one, because trainings share images."
    if kind == "seed":
        text += " A difference counts only where it holds for other images and for other seeds: its p is the larger of the two."
    table = Table(f"First less second, {kind} by {kind}", columns, rows, ("figure", f"each {kind}"))
    return Part(f"Over {kind}s", f"Would another {other} change it?", [shown(table), _legend(text)])


def _differ(told: Told) -> Part:
    names = tuple(run["name"] for run in told["runs"])
    rows = [[row["field"], *map(words.setting, row["values"])] for row in told["differ"]]
    if not rows:
        return Part("How they were made", "Their recipes are the same.")
    table = Table("Fields of the recipe that differ", ("field", *names), rows, names)
    why = "A difference belongs to that field." if len(rows) == 1 else "A difference belongs to all of them together, not to one."
    return Part("How they were made", f"The recipes differ in {words.count(len(rows), 'field')}. {why}", [shown(table)])


def _how(told: Told) -> Part:
    resamples = f"{told['replicates']:,} resamples of groups, seed {told['seed']}" if told["replicates"] else "over folds"
    facts = {
        "command": Markup("<code>{}</code>").format(told["command"]),
        "intervals": f"{100 * told['level']:g} %, {resamples}",
        "comparisons": f"{told['comparisons']}, adjusted by Holm's method",
        "as data": "compare.json",
    }
    return Part("How it was computed", "The same command on the same runs gives the same figures.", [blocks.facts(facts)])


def _drawn(told: Told) -> list[Drawing]:
    """The differences of the first figures, where they are few enough to be seen."""
    pairs = {f: [p for p in told["pairs"] if p["figures"][f]["low"] is not None] for f in told["figures"]}
    return [differences(figure, known) for figure, known in pairs.items() if 0 < len(known) <= PAIRS][:DRAWINGS]


def differences(figure: str, pairs: Sequence[Told]) -> Drawing:
    """The interval of every pair's difference on one scale, no difference as a line; the title is the answer."""
    clear = sum(bool(pair["figures"][figure]["better"]) for pair in pairs)
    seen = f"{clear} of {len(pairs)} pairs differ" if clear else "no pair can be told apart"
    if len(pairs) == 1:
        seen = f"{pairs[0]['figures'][figure]['better']} is better" if clear else "cannot be told apart"

    def paint(axes: Any) -> None:
        for i, found in enumerate(pair["figures"][figure] for pair in pairs):
            colour = ACCENT if found["better"] else MUTED
            axes.plot([found["low"], found["high"]], [i, i], color=colour, linewidth=5, alpha=0.4, solid_capstyle="butt")
            axes.plot(found["value"], i, "o", color=colour, markeredgecolor=INK, markeredgewidth=0.6, markersize=7)
        axes.axvline(0, color=INK, linewidth=1, linestyle=":")
        axes.set(ylim=(len(pairs) - 0.4, -0.6), xlabel=f"{spoken(figure)}, first less second")
        axes.set_yticks(range(len(pairs)), [f"{short(p['first'], 18)}\nless {short(p['second'], 15)}" for p in pairs])
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=6))
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{_pair(pair)} {signed(pair['figures'][figure])}" for pair in pairs)
    name = f"differences-{figure.replace('/', '-')}"
    return draw(name, f"{words.label(figure)}: {seen}", about, paint, size=(400, 110 + 36 * len(pairs)), margins=(122, 16))


def _pair(pair: Told) -> str:
    return f"{pair['first']} less {pair['second']}"


def _signed(found: Told) -> str:
    return signed(found) if found["value"] is None or found["low"] is not None else f"{found['value']:+.3f}"


def _either(found: Told, allowed: float) -> list[str]:
    more = found["needed"] is not None and found["p"] > allowed
    return [f"{found['only_first']:,}", f"{found['only_second']:,}", words.p_value(found["p"]), f"{found['needed']:,}" if more else ""]


def _each(differences: Sequence[float | None]) -> str:
    return ", ".join("n/a" if value is None else f"{value:+.3f}" for value in differences)


def _legend(text: str) -> Markup:
    return Markup('<p class="legend">{}</p>').format(text)

"""For whom: the headline figure in each group of the images, how far from the rest it lies, and where too few are there to say."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cutis.evaluate.slices import Worst, worst
from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts
from cutis.report.group_figures import gaps
from cutis.report.opening import MEANS, headline
from cutis.report.parts.ensemble import signed

WARNING = (
    "A group may do worse because its cases are harder, its pictures are made otherwise, or training saw few like it; the figures do not "
    "say which. Means over classes are taken over the classes that are frequent enough on both sides, so they do not move with the mix "
    "of diagnoses; accuracy, precision and AUPRC do."
)


@parts.register("56 groups")
def groups(context: Context) -> Part | None:
    """The main set by group, other sets behind a line each."""
    if context.main is None or "slices" not in context.figures:
        return None
    s = context.figures
    body = _set(context, context.main, s) + [
        blocks.fold(f"{name}: {told(other, headline(other)[0])}", *_set(context, name, other))
        for name, other in context.metrics.items()
        if name != context.main and "slices" in other
    ]
    return Part("For whom it works", told(s, headline(s)[0]), body)


def told(s: Mapping[str, Any], name: str) -> str:
    """One sentence on a set: which group is worse off, or that none can be told apart, or that nobody knows."""
    slices = s["slices"]
    if not slices["by"]:
        return "The data name no groups, so nobody knows for whom it works and for whom it does not."
    if not slices["tests"]:
        return "No group has enough images to be set beside the rest, so nobody knows for whom it works and for whom it does not."
    figure, over = words.label(name).lower(), f"{words.count(slices['tests'], 'group')} set beside the rest"
    found = worst(slices, name)
    if found is None:
        return f"No group lies below the rest in {figure}; {over}."
    gap = found.told["figures"][name]["gap"]
    if found.sure:
        return f"{_named(found)} does worse: {figure} {signed(gap)} against the rest, of {over}."
    return f"No group can be told to do worse in {figure}, of {over}; the lowest is {_named(found)}, {signed(gap)} against the rest."


def _named(found: Worst) -> str:
    return f"{found.title} {found.group}"


def _set(context: Context, where: str, s: Mapping[str, Any]) -> list[Markup]:
    slices, name = s["slices"], headline(dict(s))[0]
    body = []
    if slices["tests"]:
        body += [context.figure(gaps(where, slices, name, told(s, name), context.note))]
    body += [_table(s, way, name) for way in slices["by"].values()]
    if slices["by"]:
        body += [_others(s), _by_class(context, s)]
        level, few = f"{100 * slices['level']:g} %", slices["few"]
        body.append(blocks.text(WARNING))
        legend = (
            f"Groups of images (people or lesions, where known) count, not images; under {few} of them nothing is said. "
            f"Intervals at {level}. "
            f"Gaps: {slices['method'].removeprefix('gap: ')}."
        )
        body.append(Markup('<p class="legend">{}</p>').format(legend))
    if slices.get("left_out"):
        body.append(blocks.fold("Columns that are no groups", blocks.facts(slices["left_out"])))
    return body


def _table(s: Mapping[str, Any], way: Mapping[str, Any], name: str) -> Markup:
    """The groups of one way: the headline figure, the gap and what it says."""
    columns: list[str | blocks.Column] = [
        way["title"], "images", "groups", words.label(name), "less the rest", blocks.Column("", text=True),
    ]  # fmt: skip
    over = name in MEANS and any(len(p.get("classes", s["classes"])) < len(s["classes"]) for p in way["groups"].values())
    if over:
        columns.append(blocks.Column("over the classes", text=True, hint="those frequent enough in the group and in the rest"))
    rows = []
    for group, part in way["groups"].items():
        counts = [group, f"{part['n']:,}", f"{part['groups']:,}"]
        if "why" in part:
            rows.append([*counts, "", "", "too few to say", ""][: len(columns)])
            continue
        figure = part["figures"][name]
        classes = "all" if len(part["classes"]) == len(s["classes"]) else ", ".join(part["classes"])
        gap = Markup('<span class="figure">{}</span>').format(signed(figure["gap"]))
        cells = [blocks.figure(figure), gap, _verdict(figure, s["slices"]["level"]), classes]
        rows.append([*counts, *cells][: len(columns)])
    known = f"known for {way['known']:,} of {words.count(s['n'], 'image')}"
    return blocks.table(f"By {way['title']} ({known})", columns, rows)


def _verdict(figure: Mapping[str, Any], level: float) -> str:
    gap = figure["gap"]
    if figure["value"] is None or gap["value"] is None:
        return str(gap["why"])
    if gap["p_holm"] >= 1 - level:
        return "cannot be told apart"
    p = f"p {gap['p_holm']:.3f}" if gap["p_holm"] >= 0.001 else "p below 0.001"
    return f"{'higher' if gap['value'] > 0 else 'lower'} ({p})"


def _others(s: Mapping[str, Any]) -> Markup:
    """Every other figure, behind a line, a table a way."""
    first = headline(dict(s))[0]
    tables = []
    for way in s["slices"]["by"].values():
        shown = {group: part["figures"] for group, part in way["groups"].items() if "figures" in part}
        names = [m for m in next(iter(shown.values()), {}) if m != first]
        rows = [[group, *(blocks.figure(figures[m]) for m in names)] for group, figures in shown.items()]
        columns: list[str | blocks.Column] = [
            way["title"], *(blocks.Column(words.label(m), hint=words.METRICS.get(m, ("", ""))[1]) for m in names),
        ]  # fmt: skip
        if rows:
            tables.append(blocks.table(f"All other figures by {way['title']}", columns, rows, stacked=True))
    return blocks.fold("All other figures by group", *tables)


def _by_class(context: Context, s: Mapping[str, Any]) -> Markup:
    """Sensitivity of each class by group, behind a line."""
    tables = []
    for way in s["slices"]["by"].values():
        shown = {group: part["per_class"] for group, part in way["groups"].items() if "per_class" in part}
        rows = [
            [group, *(blocks.figure(each[c]["sensitivity"]) if c in each else "" for c in s["classes"])] for group, each in shown.items()
        ]
        if rows:
            columns: list[str | blocks.Column] = [way["title"], *s["classes"]]
            tables.append(blocks.table(f"Sensitivity of each class by {way['title']}", columns, rows, stacked=True))
    few = s["slices"]["few_of_class"]
    return blocks.fold(
        "Sensitivity of each class by group",
        *tables,
        blocks.text(f"Empty: fewer than {few} groups of images with the class, here or elsewhere."),
    )

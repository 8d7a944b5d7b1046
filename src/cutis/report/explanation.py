"""The page of an explanation, and what a run's report shows of it: made from explanation.json and the photos alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from cutis.files import write_text
from cutis.report import blocks, heat, pictures, words
from cutis.report.context import Context, Part
from cutis.report.drawing import ACCENT, MUTED, Drawing, draw, short
from cutis.report.parts.ensemble import signed
from cutis.runs import Run

FILE: Final = "explanation.json"
PAGE: Final = "explain.html"
BEYOND: Final = (
    "Whether an answer is right. A map shows what moves the answer, be it right or wrong.",
    "Why a place matters: colour, edge, hair and scale alike can give heat.",
    "How much: each map is brought to its own brightest place, so maps cannot be compared in strength.",
)
SIDE: Final = 240
SMALL: Final = 130

Told = Mapping[str, Any]


def write(run: Run, folder: Path, told: Told) -> Path:
    """Write ``explain.html`` into a folder; photos are read where explanation.json says they lie."""
    context, n = Context(run), len(told["cases"])
    parts = [(name, part) for name, part in (("inside", inside(told, context.note)), ("faithful", faithful(told))) if part is not None]
    shown = "The surest right and the surest wrong answers of each class." if told["set"] else "In the order they were given."
    parts.append(("cases", Part("The images", f"{words.count(n, 'image')}. {shown}", [cases(context, told)])))
    measured = f"{words.count(told['n'], 'image')} of {words.count(told['groups'], 'group')} from {told['set']}" if told["set"] else ""
    drawn = f", drawn by chance from {told['drawn_from']:,}" if told["set"] and told["n"] < told["drawn_from"] else ""
    opening = {
        "kicker": f"{run.folder.name} · {told['method']} · {_of(told)}",
        "title": f"What {run.folder.name} looked at",
        "data": f"Measured on {measured}{drawn}." if measured else words.count(n, "image") + ".",
        "verdicts": verdicts(told) + ([context.leaks] if context.leaks else []),
        "beyond": BEYOND,
        "made": f"Made by Cutis {told['cutis']} on {told['finished'][:10]}" + (f" with: {told['command']}" if told["command"] else "."),
    }
    path = folder / PAGE
    write_text(path, blocks.page("explain.html", opening=opening, parts=parts))
    return path


def verdicts(told: Told) -> list[str]:
    """One sentence on where the heat lies and one on whether the maps show the network; fewer where that was not measured."""
    found = []
    if (told.get("inside") or {}).get("n"):
        found.append(_where(told["inside"]))
    if "passed" in (told.get("faithfulness") or {}):
        found.append(_sane(told["faithfulness"]))
    return found


def inside(told: Told, note: str) -> Part | None:
    """Where the heat lies: share and hottest place inside the lesion beside the baselines, by class and by right or wrong."""
    found = told.get("inside")
    if not found:
        return None
    title = "Do the maps lie on the lesion?"
    if not found["n"]:
        why = "No map has any heat" if found.get("empty") else "No mask has lesion and skin in what the network saw"
        return Part(title, f"That cannot be told. {why}.")
    columns: list[str | blocks.Column] = [
        "measure",
        "the maps",
        "a Gaussian in the middle",
        "noise",
        "maps less Gaussian",
        "maps less noise",
    ]
    names = {"share": "heat inside the lesion, share", "pointing": "hottest place inside the lesion, share of images"}
    rows = [
        [
            name,
            *(blocks.figure(found[m + base]) for base in ("", "_centre", "_random")),
            *(signed(found[f"{m}_over_{base}"]) for base in ("centre", "random")),
        ]
        for m, name in names.items()
    ]
    parts = [
        [
            name,
            f"{part['n']:,}",
            blocks.figure(part["area"]),
            *(blocks.figure(part[m]) for m in ("share", "share_centre")),
            signed(part["share_over_centre"]),
        ]
        for name, part in found["by"].items()
    ]
    heads: list[str | blocks.Column] = ["images", "n", "lesion's area", "heat inside", "Gaussian inside", "heat less Gaussian"]
    left = (
        f" {words.count(found['empty'], 'map')} without any heat {'is' if found['empty'] == 1 else 'are'} left out."
        if found["empty"]
        else ""
    )
    how = (
        f"{words.count(found['n'], 'image')} with masks. The lesion covers {words.figure(found['area'])} of what the network saw: "
        f"an even map has that share inside.{left} The Gaussian has a standard deviation of a quarter of each side, the noise as many "
        "cells as the maps. Differences are paired."
    )
    body = [
        blocks.table("Maps and baselines that saw no picture", columns, rows, stacked=True),
        blocks.text(how),
        Markup('<figure class="plot">{}</figure>').format(_drawing(found, note).inline()),
        blocks.fold("By class, and by right and wrong answers", blocks.table("Heat inside the lesion", heads, parts, stacked=True)),
    ]
    return Part(title, _where(found), body)


def faithful(told: Told) -> Part | None:
    """Whether the maps are true of the network: random weights, changed pixels, moved pictures."""
    found = told.get("faithfulness")
    if not found:
        return None
    title = "Are the maps true of the network?"
    if "why" in found:
        return Part(title, f"Not measured. {found['why']}")
    noise = [[f"{stage} random", blocks.figure(figure)] for stage, figure in found["noise"].items()]
    rows = [
        ["insertion: area under the curve, more is better", *_three(found, "insertion", "insertion_over_random")],
        ["deletion: area under the curve, less is better", *_three(found, "deletion", "deletion_under_random")],
        ["ROAD: coldest less hottest removed, above 0 is better", blocks.figure(found["road"]), "0", signed(found["road"])],
        ["stability: rank correlation after a small shift, 1 is best", blocks.figure(found["stability"]), "", ""],
    ]
    columns: list[str | blocks.Column] = ["measure", "the maps", "places drawn by chance", "better than chance by"]
    how = (
        "Insertion and deletion: the class's probability while the hottest pixels of a blurred picture turn sharp, and while those of the "
        "sharp one turn to its mean colour. ROAD fills what it removes from around. All on the same images."
    )
    limit = words.number(found["limit"])
    return Part(
        title,
        _sane(found),
        [
            blocks.table("Rank correlation with the maps when weights are random", ["weights", "correlation"], noise),
            blocks.text(f"Weights become random from the answer downwards; passed is a correlation below {limit}, interval and all."),
            blocks.table(f"What happens on {words.count(found['n'], 'image')} that are changed", columns, rows, stacked=True),
            blocks.text(how),
        ],
    )


def cases(context: Context, told: Told, count: int | None = None) -> Markup:
    """The images with their maps and nearest training cases, all or the first ``count``."""
    root, near = Path(told["root"]), told["nearest"]
    above = (
        f"Nearest of {near['images']:,} training images, in the features of {near['member']}; 0 is the same, 2 the opposite."
        if near
        else ""
    )
    made = [_case(context, case, root, Path(near["root"]) if near else root) for case in told["cases"][:count]]
    return heat.heatmaps(made, above)


def _case(context: Context, case: Told, root: Path, near: Path) -> heat.Case:
    limit = context.recipe.images.max_pixels
    key, p = case["image"], case["probabilities"]
    name = Path(key).name if Path(key).is_absolute() else key
    given, true = case["answered"], case["label"]
    answer = Markup("answered {} with {:.2f}").format(context.chip(given), p[given])
    caption = Markup("is {}, {}").format(context.chip(true), answer) if true else answer
    if case["agreement"] is not None:
        caption += Markup("<br>members' maps agree by {:.2f}").format(case["agreement"])
    about = f"{name}: {f'is {true}, ' if true else ''}answered {given} with probability {p[given]:.2f}"
    maps = [
        heat.Map(over, _worded(m, over, p), f"Heat map{' of ' + m['member'] if m['member'] else ''} over {name}: evidence for {m['class']}")
        for m, over in ((m, heat.unpacked(m["heat"])) for m in case["maps"])
    ]
    others = [
        (
            blocks.Photo(n["image"], Markup("{}, {:.2f}").format(context.chip(n["label"]), n["distance"]), f"{n['image']}: {n['label']}"),
            pictures.thumbnail(near, n["image"], side=SMALL, max_pixels=limit),
        )
        for n in case["nearest"]
    ]
    photo = blocks.Photo(name, caption, about)
    return heat.Case(photo, pictures.thumbnail(root, key, side=SIDE, max_pixels=limit), maps, others)


def _worded(told: Told, over: heat.Heat, probabilities: Told) -> Markup:
    """What stands below a map: of whom, for which class, and how probable that is."""
    what = "evidence for" if np.nanmax(over) > 0 else "no place speaks for"
    whose = f"{told['member']}: " if told["member"] else ""
    return Markup("{}{} {}, {:.2f}").format(whose, what, told["class"], probabilities[told["class"]])


def _where(found: Told) -> str:
    share, middle, more = found["share"], found["share_centre"], found["share_over_centre"]
    if share["value"] is None or more["value"] is None:
        return f"Whether the maps lie on the lesion cannot be told: {share.get('why', 'too few images')}."
    told = (
        f"{words.figure(share)} of the heat lies inside it, of a Gaussian in the middle of the picture {words.number(middle['value'])}, "
        f"of noise {words.number(found['share_random']['value'])}"
    )
    if more["low"] > 0:
        return f"The maps lie on the lesion more than the middle of the picture alone would: {told}."
    if more["high"] < 0:
        return f"The maps lie on the lesion less than the middle of the picture alone would: {told}."
    return f"Whether the maps look for the lesion or only at the middle of the picture cannot be told: {told}."


def _sane(found: Told) -> str:
    figure = words.figure(found["noise"]["all"])
    if found["passed"] is None:
        return f"Whether the maps show the network cannot be told: with all weights random they resemble themselves by {figure}."
    if found["passed"]:
        return f"The sanity check is passed: with all weights random the maps become others (rank correlation {figure})."
    return f"The sanity check is not passed: the maps stay alike when all weights are random (rank correlation {figure})."


def _three(found: Told, name: str, better: str) -> list[Any]:
    return [blocks.figure(found[name]), blocks.figure(found[f"{name}_random"]), signed(found[better])]


def _of(told: Told) -> str:
    return {"predicted": "evidence for the answer", "all": "evidence for each class"}.get(told["of"], f"evidence for {told['of']}")


def _drawing(found: Told, note: str) -> Drawing:
    """Heat inside the lesion as a dot with its interval, of all and of each part, beside the Gaussian's and an even map's."""
    named = {"all": found, **found["by"]}
    named = {name: part for name, part in named.items() if part["share"]["value"] is not None}

    def paint(axes: Any) -> None:
        for i, part in enumerate(named.values()):
            share = part["share"]
            axes.plot([share["low"], share["high"]], [i, i], color=ACCENT, linewidth=4, alpha=0.35)
            axes.plot([share["value"]], [i], "o", color=ACCENT, markersize=6)
            axes.plot([part["share_centre"]["value"]], [i], "|", color=MUTED, markersize=14, markeredgewidth=2)
            axes.plot([part["area"]["value"]], [i], "x", color=MUTED, markersize=6)
        axes.set(xlim=(0, 1), ylim=(len(named) - 0.4, -0.6), xlabel="share of heat inside: dot maps, bar Gaussian, cross even map")
        axes.set_yticks(range(len(named)), [f"{short(n.removeprefix('class '), 12)} ({p['n']:,})" for n, p in named.items()])

    title = f"{words.per_cent(found['share']['value'])} of the heat lies inside the lesion" if "all" in named else "Heat inside the lesion"
    about = "; ".join(
        f"{name}: {words.figure(part['share'])}, Gaussian {words.figure(part['share_centre'])}" for name, part in named.items()
    )
    return draw("heat-inside", title, about, paint, size=(460, 110 + 26 * len(named)), margins=(110, 16), note=note)

"""What pages say of a model that is handed over: plain sentences from its run, without markup and without a path."""

from cutis.evaluate.slices import worst
from cutis.export.about import Draft, Facts
from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import told
from cutis.report.opening import headline, opening
from cutis.tabular import Table, as_markdown

NETWORKS = ("network", "weight", "stored at", "fitted by", "answers at", "views")
FORMATS = ("format", "made by", "size", "compared on images", "same class", "largest difference", "batch of 1", "batch of 32")


def facts(context: Context) -> Facts:
    """The sentences for ``about`` of a bundle; empty where the run does not know."""
    first = opening(context)
    return Facts(
        title=first.title,
        task=told(context, ["task"]),
        data=str(first.data),
        figure=_figure(context),
        verdict=first.verdict,
        weakest=_weakest(context),
        worst_group=_worst_group(context),
        elsewhere=told(context, ["external"]) or "It was not tested on images of another clinic or camera.",
        not_for=tuple(first.not_for),
        leaks=context.leaks,
        network=told(context, ["network", "ensembling"]),
    )


def _figure(context: Context) -> str:
    if not context.main:
        return ""
    s, name = context.figures, headline(context.figures)[0]
    base = s.get("baseline", {}).get(name, {}).get("value")
    always = f" Always answering {context.majority} has {words.number(base)}." if base is not None and context.majority else ""
    return f"{words.label(name)} {words.figure(s[name])} on {words.count(s['n'], 'image')} of the set {context.main}.{always}"


def _weakest(context: Context) -> str:
    """The class with the lowest sensitivity."""
    if not context.main:
        return ""
    s = context.figures
    each = {c: s["per_class"][c]["sensitivity"] for c in s["classes"]}
    known = [(figure["value"], c) for c, figure in each.items() if figure.get("value") is not None]
    if not known:
        return ""
    name = min(known)[1]
    return f"It is weakest for {name}: it finds {words.figure(each[name])} of {words.count(int(each[name]['n']), 'image')}."


def _worst_group(context: Context) -> str:
    """The group that is worst off, or that nobody knows."""
    slices, unknown = (
        context.figures.get("slices"),
        "For whom it works less well is not known: the data name no groups that are large enough.",
    )
    if slices is None or not slices["tests"]:
        return unknown if context.main else ""
    name = headline(context.figures)[0]
    if (found := worst(slices, name)) is None:
        return f"None of {words.count(slices['tests'], 'group')} lies below the rest."
    figure = found.told["figures"][name]
    chance = "" if found.sure else f" Among {words.count(slices['tests'], 'group')} that can be chance."
    rest = words.number(figure["value"] - figure["gap"]["value"])
    return f"Worst group: {found.title} {found.group}, {words.figure(figure)} against {rest} for the rest.{chance}"


def contents(draft: Draft) -> str:
    """The card's last section: what is in the bundle, how it takes pictures, and what its networks cost in other formats."""
    networks = [
        (m.name, f"{m.weight:.3g}", _pixels(m.input.stored), m.input.fit, _pixels(m.input.predict), f"{m.input.views}")
        for m in draft.members
    ]
    lines = [
        "## Files",
        "",
        f"Bundle {draft.name}, made by Cutis {draft.cutis} on {draft.made[:10]}. Its parts are safetensors and JSON.",
        "",
    ]
    lines += [*as_markdown(Table("Networks", NETWORKS, networks, ("network", "fitted by"))), ""]
    formats = [
        (
            f"{m.name}, {kind}",
            f"opset {p.opset}, {p.made_by}" if p.opset else p.made_by,
            f"{p.bytes / 1e6:.1f} MB",
            f"{p.images:,} of {p.from_set}",
            words.per_cent(p.same_class),
            f"{p.largest_difference:.1e}",
            *(f"{p.latency_ms[n]:g} ms" for n in ("1", "32")),
        )
        for m in draft.members
        for kind, p in m.parity.items()
    ]
    if formats:
        lines += ["The networks in other formats, each compared with the original (eager fp32, one view, before calibration):", ""]
        lines += [*as_markdown(Table("Other formats", FORMATS, formats, ("format", "made by"))), ""]
    lines += ["```", "cutis predict BUNDLE IMAGES --out answers.csv", "cutis app BUNDLE", "cutis serve BUNDLE", "```"]
    return "\n".join(lines) + "\n"


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"

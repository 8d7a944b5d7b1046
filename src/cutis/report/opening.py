"""The first screen: what was asked, on which data, one figure beside its baseline, the weakest class, what it is not for."""

from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from cutis.evaluate.slices import worst
from cutis.report import blocks, words
from cutis.report.context import Context
from cutis.report.parts.data import collection, size
from cutis.report.parts.scores import benign_calls
from cutis.report.parts.split import sentence

ADULT = 18
MEANS = {"balanced_accuracy"}  # headlines that are means over classes
FEW = 30  # training images below which a kind of people counts as hardly seen


@dataclass(frozen=True)
class Card:
    """A short fact of the first screen."""

    title: str
    body: Any


@dataclass(frozen=True)
class Opening:
    """What the template ``report.html`` shows first."""

    title: str
    kicker: str
    data: Any
    verdict: str
    more: list[str] = field(default_factory=list)
    leaks: str = ""
    banner: str = ""
    made: str = ""
    what: str = ""
    level: float = 0.0
    figure: words.Figure | None = None
    base: words.Figure | None = None
    not_for: list[str] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)


def opening(context: Context) -> Opening:
    """The first screen of a run."""
    told, s = context.provenance, context.figures
    name, why = headline(s) if s else ("", "")
    base = s.get("baseline", {}).get(name)
    told_when = str(told.get("finished") or told.get("started") or "")[:10]
    return Opening(
        title=context.recipe.description.rstrip(".") or context.recipe.name,
        kicker=" · ".join(filter(None, [f"recipe {context.recipe.name}", f"run {context.run.folder.resolve().name}", told_when])),
        data=_data(context),
        verdict=words.verdict(s[name], base, context.majority) if s else "This run has not been evaluated yet.",
        more=[line for line in (_missed(context), why, _accuracy(context, name)) if line],
        leaks=context.leaks,
        banner=_banner(context),
        made=f"Made by Cutis {told['cutis']}, {told_when}." if told.get("cutis") else "",
        what=f"{words.label(name)} on the {'test images' if context.main == 'test' else f'set {context.main}'}" if s else "",
        level=s.get("interval", {}).get("level", 0.0),
        figure=s.get(name),
        base=base,
        not_for=not_for(context),
        cards=[c for make in CARDS if (c := make(context)) is not None],
    )


def headline(s: dict[str, Any]) -> tuple[str, str]:
    """The metric that stands for a set, and why: balanced accuracy where the largest class has 1.5 times the images of the smallest."""
    sizes = {c: sum(row) for c, row in zip(s["classes"], s["confusion"], strict=True) if sum(row)}
    if not sizes or max(sizes.values()) < 1.5 * min(sizes.values()):
        return "accuracy", "Accuracy stands here because the classes are about equally frequent."
    largest = max(sizes, key=lambda c: sizes[c])
    share = words.per_cent(sizes[largest] / sum(sizes.values()))
    return (
        "balanced_accuracy",
        f"Balanced accuracy stands here because {largest} alone is {share} of these images; each class counts the same in it.",
    )


def _data(context: Context) -> str:
    summary = context.provenance.get("data", {}).get("summary")
    told = f"{collection(context)}: {size(summary)}.".removeprefix(": ") if summary else ""
    if context.main:
        s = context.figures
        proof = context.provenance.get("split", {}).get("proof") or {}
        held = proof if context.main == "test" and proof.get("ok") else None
        told += f" Tested on {words.count(s['n'], 'image')}"
        told += f" of {words.count(s['groups'], held['kind'] if held else 'group')}" if s["groups"] != s["n"] else ""
        told += f", none of which shares a {held['kind']} or a picture with training." if held else "."
    return told.strip()


def _banner(context: Context) -> str:
    if not context.leaks:
        return ""
    proof = context.provenance.get("split", {}).get("proof")
    return sentence(proof) if proof else "The proof of the split says what leaks; it is on the page of each run."


def _accuracy(context: Context, first: str) -> str:
    """A second verdict, where another figure is the headline and accuracy does not beat the majority line."""
    accuracy, base = context.figures.get("accuracy"), context.figures.get("baseline", {}).get("accuracy")
    if first == "accuracy" or accuracy is None or base is None or words.against(accuracy, base) > 0:
        return ""
    verdict = words.verdict(accuracy, base, context.majority)
    return f"Its accuracy is another matter. {verdict}"


def _others(context: Context) -> Card | None:
    """Accuracy and AUROC beside the majority line, whichever is not the headline."""
    if not context.main:
        return None
    s, first = context.figures, headline(context.figures)[0]
    base = s.get("baseline", {})
    lines = [
        Markup('<b>{}</b> {}<br><span class="quiet">{}</span>').format(
            words.label(m), blocks.figure(s[m]), f"majority line {words.number(base[m]['value'])}" if m in base else ""
        )
        for m in ("accuracy", "balanced_accuracy", "auroc_macro")
        if m in s and m != first
    ]
    return Card("Other figures", Markup("<br>").join(lines))


def _weakest(context: Context) -> Card | None:
    """The class with the lowest sensitivity, and malignant images called benign where the names say so."""
    if not context.main:
        return None
    s = context.figures
    known = [
        (s["per_class"][c]["sensitivity"]["value"], c) for c in s["classes"] if s["per_class"][c]["sensitivity"].get("value") is not None
    ]
    if not known:
        return None
    name = min(known)[1]
    f, found = s["per_class"][name]["sensitivity"], s["confusion"][s["classes"].index(name)][s["classes"].index(name)]
    told = words.known(name).removeprefix(name)
    body = Markup("{}{}: finds {:,} of {}, {}").format(context.chip(name), told, found, words.count(int(f["n"]), "image"), blocks.figure(f))
    called, of = benign_calls(s)
    if of:
        body += Markup("<br>Malignant called benign: <b>{:,} of {}</b>").format(called, words.count(of, "image"))
    return Card("Weakest class", body)


def _outside(context: Context) -> Card | None:
    """The headline figure on every set of other data, or that there is none."""
    if not context.main:
        return None
    name = headline(context.figures)[0]
    others = {k: context.metrics[k] for k in context.elsewhere if k != context.main}
    if not others:
        return Card("On other data", "Not tested: how it does on images of another clinic or camera is not known.")
    lines = [Markup("<b>{}</b> {} of {}").format(k, blocks.figure(s.get(name)), words.count(s["n"], "image")) for k, s in others.items()]
    return Card("On other data", Markup("{}<br>").format(words.label(name)) + Markup("<br>").join(lines))


def not_for(context: Context) -> list[str]:
    """What it must not be used for, as far as the data tell."""
    lines = ["Diagnosis, triage or reassurance of any person."]
    if context.classes:
        lines.append(f"Anything but {words.listed(context.classes, 'or')}: whatever the picture shows, one of these is its answer.")
    if worst := _most_missed(context):
        lines.append(f"Ruling out {words.known(worst[0])}: it misses {words.one_of(*worst[1:])}.")
    return [*lines, *_worse_off(context), *_unseen(context)]


def _most_missed(context: Context) -> tuple[str, int, int] | None:
    """The class that matters of whose images the largest share is missed, how many, and of how many; None where none is missed."""
    if not context.main:
        return None
    s = context.figures
    watched = [c for c in s["classes"] if words.malignant().get(c.lower())] or s["classes"]
    rows = {c: s["confusion"][i] for i, c in enumerate(s["classes"]) if c in watched and sum(s["confusion"][i])}
    missed = [(c, sum(row) - row[s["classes"].index(c)], sum(row)) for c, row in rows.items()]
    worst = max(missed, key=lambda told: told[1] / told[2], default=None)
    return worst if worst and worst[1] else None


def _missed(context: Context) -> str:
    """What the headline figure does not say: how much of the class that matters most is missed."""
    worst = _most_missed(context)
    return f"It misses {worst[1]:,} of {words.count(worst[2], 'image')} of {words.known(worst[0])}." if worst else ""


def _unseen(context: Context) -> list[str]:
    """Kinds of people that training hardly saw, or of whom the data say nothing."""
    if context.table is None:
        return []
    rows = context.table[context.table["split"] == "train"]
    if "skin_tone" not in rows or rows["skin_tone"].isna().all():
        lines = ["A claim about any skin tone: the data do not name them, so how it does for each is unknown."]
    else:
        counts = rows["skin_tone"].astype(str).value_counts()
        rare = [tone for tone in "123456" if counts.get(tone, 0) < FEW]
        seen = sum(counts.get(tone, 0) for tone in rare)
        lines = [f"Skin of Fitzpatrick type {words.listed(rare, 'or')}: training has {words.count(seen, 'such image')}."] if rare else []
    if "age" in rows and rows["age"].notna().any() and (young := int((rows["age"] < ADULT).sum())) < FEW:
        lines.append(f"People under {ADULT}: training has {words.count(young, 'image')} of them.")
    return lines


def _worst_group(context: Context) -> Card | None:
    """The group of images that does worst against the rest, or why none can be named."""
    slices = context.figures.get("slices")
    if slices is None:
        return None
    name = headline(context.figures)[0]
    if not slices["tests"]:
        return Card("Worst group", "Not known: the data name no groups that are large enough to be set beside the rest.")
    if (found := worst(slices, name)) is None:
        return Card("Worst group", f"None of {words.count(slices['tests'], 'group')} lies below the rest.")
    figure = found.told["figures"][name]
    told = Markup("{} {}: {} of {}").format(found.title, found.group, blocks.figure(figure), words.count(found.told["n"], "image"))
    rest = f"{words.label(name)}; the other images have {words.number(figure['value'] - figure['gap']['value'])}"
    if name in MEANS and len(found.told["classes"]) < len(context.classes):
        rest += f", over {words.listed(found.told['classes'])}, the classes that both have"
    told += Markup('<br><span class="quiet">{}.</span>').format(rest)
    if not found.sure:
        chance = f"Among {words.count(slices['tests'], 'group')} that can be chance."
        told += Markup('<br><span class="quiet">{}</span>').format(chance)
    return Card("Worst group", told)


def _worse_off(context: Context) -> list[str]:
    """The group for which the headline figure is surely lower than for the rest."""
    slices = context.figures.get("slices")
    found = worst(slices, headline(context.figures)[0]) if slices else None
    return [f"Images of {found.title} {found.group}: it does worse there than for the others."] if found and found.sure else []


CARDS = (_others, _weakest, _outside, _worst_group)

"""The first screen of a study's page: what was asked, one figure beside its baseline, and how many printed figures are reached."""

from markupsafe import Markup

from cutis.report import blocks, words
from cutis.report.opening import Card, Opening
from cutis.studies.compare import Answers
from cutis.studies.context import Context
from cutis.studies.tables import images, verdict

NOT_FOR = (
    "Diagnosis, triage or reassurance of any person.",
    "Choosing between arms by their test figures and then reporting the same figures: choose on validation.",
)
LIMITS = {
    "images": "training images",
    "test": "test images",
    "size": "pixels a side",
    "epochs": "epochs a stage",
    "candidates": "candidates",
    "seeds": "seeds",
}


def opening(context: Context) -> Opening:
    """The first screen: what was asked, the arm that is best on validation, and how many printed figures are reached."""
    told, study = context.told, context.study
    best, name = _best(context)
    own = context.answers[best] if best else None
    figure = own.figure("test", name) if own else None
    line = own.baseline("test", name) if own else None
    base = None if line is None else {"value": line, "low": line, "high": line, "n": 0}
    leaking = [arm["title"] for arm in told["arms"] if arm["leaks"]]
    majority = own.run.provenance["majority"] if own else None
    return Opening(
        title=study.title,
        kicker=" · ".join(filter(None, [f"study {study.name}", f"scale {told['scale']['name']}", told["finished"][:10]])),
        data=f"{study.paper} {images(told)}",
        verdict=verdict(told),
        more=[words.verdict(figure, base, majority)] if figure else [],
        leaks="Some arms are trained with leaks allowed." if leaking else "",
        banner=f"{words.listed(leaking)}: trained so to show what leaks do; their figures are too good to be believed." if leaking else "",
        made=f"Made by Cutis {told['cutis']}, {told['finished'][:10]}.",
        what=f"{words.label(name)} on test of the arm that is best on validation, {context.title(best)}" if best else "",
        figure=figure,
        base=base,
        not_for=list(NOT_FOR),
        cards=_cards(context, own, best),
    )


def _best(context: Context) -> tuple[str, str]:
    """The arm with the best balanced accuracy on validation among those that can be compared with the first, and the figure shown."""
    name = "balanced_accuracy"
    able = {
        arm: own.figure("val", name) for arm, own in context.answers.items() if {"val", "test"} <= set(own.sets) and own.summary("test")
    }
    known = {arm: f["value"] for arm, f in able.items() if f and f["value"] is not None and _alike(context, arm, next(iter(able)))}
    return (max(known, key=lambda arm: known[arm]) if known else ""), name


def _alike(context: Context, one: str, other: str) -> bool:
    """Whether two arms tell the same classes on the same table."""
    arms = {arm["name"]: arm for arm in context.told["arms"]}
    return bool(arms[one]["classes"] == arms[other]["classes"] and arms[one]["sets"]["test"]["n"] == arms[other]["sets"]["test"]["n"])


def _cards(context: Context, own: Answers | None, best: str) -> list[Card]:
    told, scale = context.told, context.told["scale"]
    limits = [f"at most {scale[key]:,} {text}" for key, text in LIMITS.items() if scale[key]]
    cards = [
        Card("Arms", f"{words.count(len(told['arms']), 'arm')} made" + (f", {len(told['left_out'])} left out" if told["left_out"] else ""))
    ]
    cards.append(Card(f"Scale {scale['name']}", "; ".join(limits) or "nothing is cut down"))
    summary = own.summary("test") if own else None
    if summary:
        each = {c: f["sensitivity"] for c, f in summary["per_class"].items() if f["sensitivity"]["value"] is not None}
        if each:
            weakest = min(each, key=lambda c: each[c]["value"])
            body = Markup("{}: finds {} of {}").format(
                blocks.chip(weakest, context.colour(weakest)),
                blocks.figure(each[weakest]),
                words.count(int(each[weakest]["n"]), "image"),
            )
            cards.append(Card(f"Weakest class of {context.title(best)}", body))
    return cards

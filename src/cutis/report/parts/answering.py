"""When it should not answer: the least sure images, sets of possible classes, and images unlike anything it was trained on."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cutis.evaluate import selective
from cutis.evaluate.intervals import bootstrap_weights
from cutis.files import read_json
from cutis.report import answering_figures, blocks, words
from cutis.report.context import Context, Part, parts

BAND = 200  # bootstrap replicates of the drawn band
SCORES = {
    "mahalanobis": ("distance from the classes", "Mahalanobis distance of the features from the nearest class's mean"),
    "neighbours": ("distance from training images", "distance of the features to the tenth nearest training image"),
    "energy": ("energy", "energy of the logits: low where some class is certain"),
}
RULES = {
    "lac": "one limit for all classes",
    "lac_by_class": "a limit for each class",
    "aps": "adaptive, one limit for all classes",
    "aps_by_class": "adaptive, a limit for each class",
}


@parts.register("52 not answering")
def not_answering(context: Context) -> Part | None:
    """Selective prediction, conformal sets, and what is out of scope."""
    after = context.figures.get("after", {})
    sections = [_selective(context, after.get("selective")), _conformal(context, after.get("conformal")), _scope(context)]
    if not any(sections):
        return None
    sentence = next((told for told, _ in filter(None, sections)), "")
    return Part("When it should not answer", sentence, [block for _, body in filter(None, sections) for block in body])


def _selective(context: Context, told: dict[str, Any] | None) -> tuple[str, list[Markup]] | None:
    """The least sure images left to a person."""
    if told is None:
        return None
    title = blocks.heading("Leave the least sure images to a person")
    if "why" in told:
        return told["why"], [title, blocks.text(told["why"])]
    at, error = _nearest(told["at"], 0.8), told["error"]
    sentence = "How often it is right when it answers only what it is sure of cannot be told: too few images."
    if at["accuracy"]["value"] is not None and error["value"] is not None:
        sentence = (
            f"If it answers only the {words.per_cent(at['answered']['value'])} of images it is surest of, it is right in "
            f"{words.per_cent(at['accuracy']['value'])} of them instead of {words.per_cent(1 - error['value'])}."
        )
    rows = [
        [
            f"at least {words.number(a['limit'])}",
            words.per_cent(a["coverage"]),
            blocks.figure(a["answered"]),
            blocks.figure(a["accuracy"]),
            f"{a['accuracy']['n']:,}",
        ]
        for a in told["at"]
    ]
    columns = ["answers where the probability is", "of validation", "of these images", "accuracy on those", "images answered"]
    table = blocks.table("Accuracy when only the surest images are answered", columns, rows)
    drawn = _curve(context)
    first = blocks.grid([drawn, _areas(told)], wide=True) if drawn else _areas(told)
    return sentence, [
        title,
        first,
        table,
        blocks.fold("By class", *(_by_class(context, a) for a in told["at"] if a["coverage"] in (0.9, 0.8))),
    ]


def _areas(told: dict[str, Any]) -> Markup:
    facts = {
        "share wrong, all answered": blocks.figure(told["error"]),
        "area under the curve (AURC)": blocks.figure(told["area"]),
        "above the best possible order (E-AURC)": blocks.figure(told["excess"]),
    }
    how = (
        "How sure it is: the probability of its answer, as the network gave it. Each limit was chosen on validation images alone, to leave "
        "it the share named there. The area is the mean share of wrong answers over all shares answered; less is better."
    )
    return Markup("<div>{}{}</div>").format(blocks.facts(facts), blocks.text(how))


def _curve(context: Context) -> Markup | None:
    answers = context.predictions(context.main) if context.main else None
    if answers is None or not len(answers.labels):
        return None
    how = context.figures["interval"]
    weights = bootstrap_weights(answers.groups, BAND, np.random.default_rng(how["seed"]))
    right = answers.predicted == answers.labels
    curve = selective.risk_coverage(right, selective.certainty(answers), weights, how["level"])
    best = (1 - right.mean() / curve.x).clip(0)
    return context.figure(answering_figures.risk_coverage(curve, best, context.note))


def _by_class(context: Context, at: dict[str, Any]) -> Markup:
    rows = [[context.chip(c), blocks.figure(f["answered"]), blocks.figure(f["sensitivity"])] for c, f in at["per_class"].items()]
    columns = ["class", "share answered", "sensitivity on those"]
    return blocks.table(f"Where it answers {words.per_cent(at['coverage'])} of validation", columns, rows)


def _conformal(context: Context, told: dict[str, Any] | None) -> tuple[str, list[Markup]] | None:
    """Sets of possible classes."""
    if told is None:
        return None
    title = blocks.heading("Name every class that is possible")
    if "why" in told:
        return told["why"], [title, blocks.text(told["why"])]
    fitted, rules, promised = context.fitted.get("conformal", {}), told["rules"], words.per_cent(told["coverage"])
    sentence = (
        f"Asked for every class that is possible, so that the true one is among them for {promised} of images, it names "
        f"{words.figure(rules['lac']['size'])} classes on average; so that this holds for each class, "
        f"{words.figure(rules['lac_by_class']['size'])}."
    )
    rows = [[RULES[name], *_rule(rule)] for name, rule in rules.items()]
    columns = ["rule", "holds the true class", "each group the same", "classes named", "one class alone", "right where alone", "no class"]
    table = blocks.table("Sets of possible classes", columns, rows, stacked=True)
    drawing = answering_figures.coverage(
        "conformal-coverage",
        _least(rules, context.classes, promised),
        {RULES[k]: [rules[k]["per_class"][c]["coverage"] for c in context.classes] for k in ("lac", "lac_by_class")},
        context.classes,
        told["coverage"],
        context.note,
    )
    always = [c for c, limit in fitted.get("rules", {}).get("lac_by_class", {}).get("limits", {}).items() if limit is None]
    lacking = f" In every set, because validation has fewer than {fitted['needed']} groups of it: {words.listed(always)}." if always else ""
    how = (
        "Split conformal prediction; limits from validation images alone, where each group counts the same. It holds for new images from "
        "where the validation images are from, and not for others. A set without a class is an image unlike all of them. The first two "
        f"rules take classes by their own probability (LAC), the adaptive ones down to a summed probability (APS).{lacking}"
    )
    each = [[context.chip(c), *_class(rules, c)] for c in context.classes]
    heads = ["class", *(f"{what}, {RULES[k]}" for k in ("lac", "lac_by_class") for what in ("holds it", "classes named"))]
    beside = Markup("<div>{}{}</div>").format(blocks.text(sentence), blocks.text(how))
    return sentence, [
        title,
        blocks.grid([context.figure(drawing), beside], wide=True),
        table,
        blocks.fold("By class", blocks.table("Coverage and size of the sets by class", heads, each, stacked=True)),
        *_by_slice(context),
    ]


def _by_slice(context: Context) -> list[Markup]:
    """Coverage of the sets in each group of the images, where the data name them."""
    slices = context.figures.get("slices", {})
    covered = slices.get("coverage", {})
    if not covered:
        return []
    names = ("lac", "lac_by_class")
    rows = [
        [f"{slices['by'][way]['title']}: {group}", f"{told['lac']['n']:,}", *(blocks.figure(told[k]) for k in names)]
        for way, groups in covered.items()
        for group, told in groups.items()
    ]
    table = blocks.table("How often the set holds the true class, by group", ["group", "images", *(RULES[k] for k in names)], rows)
    told = (
        "No promise is made for these groups: they show where the sets hold less than they promise on average. Small groups are left out."
    )
    return [blocks.fold("By group of patients and images", table, blocks.text(told))]


def _rule(rule: dict[str, Any]) -> list[Markup]:
    alone, none = rule["by_size"]["1"], rule["by_size"]["0"]
    return [
        blocks.figure(f)
        for f in (rule["coverage"], rule["coverage_by_group"], rule["size"], alone["share"], alone["coverage"], none["share"])
    ]


def _class(rules: dict[str, Any], c: str) -> list[Markup]:
    return [blocks.figure(rules[k]["per_class"][c][what]) for k in ("lac", "lac_by_class") for what in ("coverage", "size")]


def _least(rules: dict[str, Any], classes: list[str], promised: str) -> str:
    known = [(f["value"], c) for c in classes if (f := rules["lac"]["per_class"][c]["coverage"])["value"] is not None]
    if not known:
        return f"{promised} is promised; no class has enough images"
    value, name = min(known)
    return f"One limit for all holds {name} in {words.per_cent(value)}; {promised} is promised"


def _scope(context: Context) -> tuple[str, list[Markup]] | None:
    """Images unlike anything it was trained on."""
    path = context.run.folder / "scope.json"
    if not path.is_file():
        return None
    told = read_json(path)
    limits, by, sets = told["fitted"]["limits"], told["by"], told["sets"]
    order = sorted(limits, key=lambda score: (score != by, score))
    others = [name for name in sets if name not in ("val", "test")]
    passed = f"A limit that lets {words.per_cent(told['in_scope'])} of the validation images pass"
    named = words.listed([f"{words.figure(sets[name]['scores'][by]['refused'])} of {name}" for name in others or sets])
    sentence = f"{passed} refuses {named}."
    columns: list[str | blocks.Column] = ["images", "n"]
    columns += [blocks.Column(f"refused: {SCORES.get(s, (s, ''))[0]}", hint=SCORES.get(s, ("", ""))[1]) for s in order]
    columns.append(blocks.Column("stranger than validation", hint="how often one of them is stranger than a validation image (AUROC)"))
    rows = [
        [name, f"{part['n']:,}", *(blocks.figure(part["scores"][s]["refused"]) for s in order), blocks.figure(part["scores"][by]["auroc"])]
        for name, part in sets.items()
    ]
    how = (
        f"Compared with {words.count(told['reference']['images'], 'training image')} in the network's own features; the first decides. "
        f"Limits: {words.listed([f'{SCORES.get(s, (s,))[0]} {limits[s]:.4g}' for s in order])}, from "
        f"{words.count(told['fitted']['n'], 'validation image')}. A picture that passes need not be one it can judge."
    )
    more = "" if others else " Try it on pictures it must not answer: cutis scope RUN FOLDER --name NAME."
    said = Markup("<div>{}{}</div>").format(blocks.text(sentence + more), blocks.text(how))
    drawn = _spread(context, by, limits[by], {name: sets[name]["scores"][by]["refused"]["value"] for name in sets})
    first = blocks.grid([drawn, said], wide=True) if drawn else said
    return sentence, [
        blocks.heading("Refuse pictures unlike its training images"),
        first,
        blocks.table("Share of images refused", columns, rows),
    ]


def _spread(context: Context, by: str, limit: float, refused: dict[str, float | None]) -> Markup | None:
    """The score's distribution in every set."""
    files = {name: context.run.folder / "scope" / f"{name}.csv" for name in refused}
    if not all(file.is_file() for file in files.values()):
        return None
    sets = {name: pd.read_csv(file)[by].to_numpy(np.float64) for name, file in files.items()}
    score = SCORES.get(by, (by, ""))[0]
    told = [f"{words.per_cent(share)} of {name}" for name, share in refused.items() if share is not None and name != "val"]
    title = f"Refused: {words.listed(told)}" if told else f"Refused: {words.per_cent(refused['val'] or 0)} of val"
    return context.figure(answering_figures.strangeness(title, score, sets, limit, context.note))


def _nearest(at: list[dict[str, Any]], coverage: float) -> dict[str, Any]:
    return min(at, key=lambda a: abs(a["coverage"] - coverage))

"""Decisions: which threshold finds enough of the classes that matter, what it costs, and whether acting on it does good."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from cutis.evaluate import curves
from cutis.evaluate.calibration import calibrated
from cutis.evaluate.decisions import RULES, WORTH
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.watched import Question, net_benefit
from cutis.predictions import Predictions
from cutis.report import blocks, decision_figures, drawing, words
from cutis.report.context import Context, Part, parts
from cutis.report.parts.curves import BAND
from cutis.runs import stage_of

TITLE = "Decisions"
RATES = {
    "sensitivity": "share of the watched images that are called",
    "specificity": "share of the rest that is not called",
    "precision": "share of the called that are right",
    "called": "share of all images that are called",
}
Asked = Mapping[str, Any]
Columns = list[str | blocks.Column]


@parts.register("48 decisions")
def decisions(context: Context) -> Part | None:
    """Thresholds for the watched classes, what they reach, net benefit, the first of each patient."""
    if context.main is None or (not context.fitted and ("val" in context.metrics or context.run.parts)):
        return None  # not evaluated, or not fitted: a run of runs, whose thresholds are those of each run
    if not context.fitted:
        return Part(TITLE, "No threshold was chosen, because the run has no validation images. Train with split.val above 0.")
    if "decisions" not in context.fitted:
        named = f"--set evaluate.watch={context.classes[0]}"
        return Part(
            TITLE, f"No class is known as one that matters, so no threshold was chosen. Name one when training, for example: {named}"
        )
    told = context.figures.get("after", {}).get("decisions", {})
    why = context.fitted["decisions"].get("why") or told.get("why")
    if why or not told:
        return Part(TITLE, f"No threshold was measured: {why or 'this set was evaluated before thresholds were chosen'}")
    chosen = context.fitted["decisions"]["questions"]
    answers = context.predictions(context.main)
    drawn = [_figures(context, q, answers, told["target"], i) for i, q in enumerate(told["questions"])] if answers is not None else []
    body = [
        _table(context, told),
        *_missing(told),
        Markup('<p class="legend">{}</p>').format(_provenance(context, told)),
        *(block for block in drawn[:1] if block),
        blocks.text(_worth(context)),
        *_areas(context, told),
        *_first(context, told),
        *_elsewhere(context, told),
    ]
    rest = [block for block in drawn[1:] if block]
    body += [blocks.fold("The same figures for each class alone", *rest)] if rest else []
    body.append(blocks.fold("How the thresholds were chosen", *_how(context, told, chosen)))
    return Part(TITLE, _sentence(told, context.main), body)


def _sentence(told: Asked, name: str) -> str:
    """What the first question's safest threshold reaches on the main set."""
    q = told["questions"][0]
    asked = words.listed(q["classes"], "or")
    rules = [r for r in ("guaranteed", "plain") if r in decision_figures.measured(q)]
    if not rules:
        return f"There is no threshold for {asked} here: {_why(q)}."
    rule = q[rules[0]]
    found, spared, at = rule["sensitivity"], rule["specificity"], rule["threshold"]
    kept = {1: "the aim is met", 0: "whether the aim is met cannot be told", -1: "the aim is missed"}[_kept(found, told["target"])]
    return (
        f"Calling {asked} from a score of {at:.3g} on finds {words.per_cent(found['value'])} {words.interval(found)} of them on {name} "
        f"and wrongly calls {words.per_cent(1 - spared['value'])} of the rest. Aimed at {words.per_cent(told['target'])}: {kept}."
    )


def _kept(figure: words.Figure, target: float) -> int:
    """1 where the whole interval is at or above the target, -1 where it is below, 0 where it cannot be told."""
    if figure.get("low") is None or figure.get("high") is None:
        return 0
    return int(figure["low"] >= target) - int(figure["high"] < target)


def _why(q: Asked) -> str:
    reasons = [q[r]["why"] for r in RULES if "why" in q[r]]
    reason = reasons[0].rstrip(".") if len(reasons) == len(RULES) else "these images do not hold both sides"
    return reason[0].lower() + reason[1:]


def _asked(context: Context, q: Asked) -> Markup:
    """The classes of a question, each with its colour."""
    return Markup(" or ").join(context.chip(c) for c in q["classes"])


def _rules(told: Asked) -> dict[str, str]:
    aim = words.per_cent(told["target"])
    return {
        "answered": "as answered: the most probable class",
        "plain": f"plain: found {aim} on validation",
        "guaranteed": f"guaranteed: {aim} at {words.per_cent(told['level'])} confidence",
    }


def _table(context: Context, told: Asked) -> Markup:
    """A row for each question and rule: the threshold and what it reaches."""
    verdicts = {1: "yes", 0: "cannot be told", -1: "no"}
    columns: Columns = [
        "to be found",
        blocks.Column("rule", text=True),
        "threshold",
        *(blocks.Column(words.label(r) if r != "called" else "Called", hint=hint) for r, hint in RATES.items()),
        blocks.Column(f"finds {words.per_cent(told['target'])}", text=True),
    ]
    rows: list[list[Any]] = []
    for q in told["questions"]:
        name = Markup('{} <span class="quiet">{}</span>').format(_asked(context, q), words.count(q["n"], "image"))
        for rule, title in _rules(told).items():
            if "why" in (f := q[rule]):
                continue
            at = f"{f['threshold']:.3g}" if "threshold" in f else ""
            rows.append([name, title, at, *(blocks.figure(f[r]) for r in RATES), verdicts[_kept(f["sensitivity"], told["target"])]])
    return blocks.table(f"What each rule reaches on the set {context.main}", columns, rows, stacked=True)


def _missing(told: Asked) -> list[Markup]:
    """Which thresholds there are not, and why."""
    lines = [
        f"{words.listed(q['classes'], 'or')}: no {rule} threshold. {q[rule]['why'].rstrip('.')}."
        for q in told["questions"]
        for rule in RULES
        if "why" in q[rule]
    ]
    return [blocks.items(lines)] if lines else []


def _provenance(context: Context, told: Asked) -> str:
    also = "" if context.recipe.ensemble else "; these images also chose the weights that were kept, which flatters them a little"
    return (
        f"Thresholds were chosen on {words.count(context.fitted['n'], 'validation image')} in "
        f"{words.count(context.fitted['groups'], 'group')}, never on test images{also}. A score is the sum of the probabilities of the "
        f"classes named, as the model gives them."
    )


def _figures(context: Context, q: Asked, answers: Predictions, target: float, i: int) -> Markup | None:
    """What sensitivity costs, and net benefit, of one question; none where the set lacks one side."""
    if not q["n"] or not q["rest"]:
        return None
    how, asked = context.figures["interval"], words.listed(q["classes"], "or")
    question = Question.of(answers, q["classes"])
    weights = bootstrap_weights(answers.groups, BAND, np.random.default_rng(how["seed"]))
    roc = curves.roc(question.positive, question.score, weights, how["level"])
    file = f"{i}-{drawing.slug(' '.join(q['classes']))}"
    price = decision_figures.price(f"decision-{file}", asked, roc, q, target, context.note)
    fitted, corrected = context.fitted.get("calibration", {}), None
    if "method" in fitted:
        better = Predictions(answers.images, answers.groups, answers.labels, calibrated(fitted, answers.probabilities), answers.classes)
        corrected = net_benefit(Question.of(better, q["classes"]), WORTH, np.ones((1, len(answers.labels))))[0][0]
    benefit = decision_figures.benefit(f"net-benefit-{file}", asked, q["net_benefit"], corrected, context.note)
    return blocks.grid([context.figure(price), context.figure(benefit)], wide=True)


def _worth(context: Context) -> str:
    return (
        "Net benefit: whoever acts from a risk of 10 % on holds that finding one is worth nine needless calls. The curve counts "
        "those found less the needless ones, so weighed, for each image; acting on none is 0. The band is pointwise. It holds where the "
        f"classes are as frequent as on the set {context.main}."
    )


def _areas(context: Context, told: Asked) -> list[Markup]:
    """AUROC and partial areas of each question."""
    questions = [q for q in told["questions"] if q["auroc"]["value"] is not None]
    if not questions:
        return []
    cuts = list(questions[0]["partial_auroc"])
    hints = [f"area above a sensitivity of {c}: best {1 - float(c):.3g}, chance {(1 - float(c)) ** 2 / 2:.3g}" for c in cuts]
    columns: Columns = ["to be found", "AUROC", *(blocks.Column(f"partial, above {c}", hint=h) for c, h in zip(cuts, hints, strict=True))]
    rows = [[_asked(context, q), blocks.figure(q["auroc"]), *(blocks.figure(q["partial_auroc"][c]) for c in cuts)] for q in questions]
    note = f"Partial AUROC is the {words.listed(hints)}. Above 0.8 it is the measure of ISIC 2024."
    return [blocks.table("Area under the ROC curve", columns, rows), Markup('<p class="legend">{}</p>').format(note)]


def _first(context: Context, told: Asked) -> list[Markup]:
    """The share of watched images among their patient's first; nothing where no patient has enough images."""
    rows = [
        [_asked(context, q), k, blocks.figure(f), words.number(f["chance"]), f"{f['n']:,}", f"{f['patients']:,}"]
        for q in told["questions"]
        for k, f in q["among_first"].items()
    ]
    if not rows:
        return []
    columns: Columns = ["to be found", "among the first", "share", "chance", "images", "patients"]
    note = "Asked of patients (or lesions, where no patient is known) with more images than that, of both kinds."
    return [blocks.table("Is it among the highest scores of its patient?", columns, rows), Markup('<p class="legend">{}</p>').format(note)]


def _elsewhere(context: Context, told: Asked) -> list[Markup]:
    """What the same thresholds reach on the other sets."""
    titles, rows = _rules(told), []
    for name, s in context.metrics.items():
        if name == context.main or stage_of(name):
            continue
        for q in s.get("after", {}).get("decisions", {}).get("questions", []):
            for rule in RULES:
                if "why" not in (f := q[rule]):
                    rates = [blocks.figure(f[r]) for r in ("sensitivity", "specificity")]
                    rows.append([name, _asked(context, q), titles[rule].partition(":")[0], f"{q['n']:,}", *rates])
    columns: Columns = [
        "set",
        blocks.Column("to be found", text=True),
        blocks.Column("rule", text=True),
        "images of it",
        "Sensitivity",
        "Specificity",
    ]
    return [blocks.table("The same thresholds on other sets", columns, rows)] if rows else []


def _how(context: Context, told: Asked, chosen: list[Asked]) -> list[Markup]:
    """What validation said of each threshold."""
    aim, level = words.per_cent(told["target"]), words.per_cent(told["level"])
    rows = [
        [
            _asked(context, q),
            rule,
            f"{q['n']:,}",
            f"{q['effective']:.0f}",
            f"{f['threshold']:.4g}",
            words.number(f["sensitivity"]),
            words.number(f["lower"]),
        ]
        for q in chosen
        for rule in RULES
        if "why" not in (f := q[rule])
    ]
    columns: Columns = ["to be found", blocks.Column("rule", text=True), "images", "worth", "threshold", "found", "lower limit"]
    return [
        blocks.text(
            f"Plain: the highest threshold that finds {aim} of the validation images. On new images it falls short about every other time."
        ),
        blocks.text(
            f"Guaranteed: the highest threshold whose lower limit of sensitivity, one-sided at {level}, is {aim} or more "
            "(Clopper and Pearson 1934). "
            "Images of one group that score alike count as fewer: 'worth' is how many independent ones they are (Kish 1965). "
            "It holds for images drawn like the validation images, not for another camera or clinic."
        ),
        blocks.table("On validation", columns, rows),
    ]

"""Whether stated probabilities hold, as given and as corrected on validation, and as they are for other class shares."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from cutis.evaluate import curves
from cutis.evaluate.calibration import FIGURES, calibrated, calibrators
from cutis.evaluate.intervals import bootstrap_weights
from cutis.predictions import Predictions
from cutis.report import blocks, figures, words
from cutis.report.context import Context, Part, parts
from cutis.report.drawing import Drawing

BAND = 200  # bootstrap replicates of a drawn interval; the figures' own are in metrics.json
DRAWN = "On the dotted line, four of five answers stated with 80 % are right. Each dot holds as many images; its bar is the interval."


@parts.register("46 calibration")
def calibration(context: Context) -> Part | None:
    """The reliability diagram of the answer's probability, before and after the correction, with what they cost and gain."""
    answers = context.predictions(context.main) if context.main else None
    if answers is None or not len(answers.labels):
        return None
    found, measured = context.fitted.get("calibration"), context.figures.get("after", {}).get("calibration", {})
    plots = [_drawn(context, answers, "reliability")]
    if found and "before" in measured:
        better = Predictions(answers.images, answers.groups, answers.labels, calibrated(found, answers.probabilities), answers.classes)
        plots.append(_drawn(context, better, f"reliability-{found['method']}"))
        told = [*_gain(measured), blocks.text(_how(context, found, measured))]
    else:
        known = {words.label(m): blocks.figure(context.figures[m]) for m in FIGURES if m in context.figures}
        told = [blocks.facts(known), blocks.text(_uncorrected(context, found or measured))]
    sentence = f"{plots[0].title} of its answers."
    if len(plots) > 1:
        sentence += f" Corrected on validation: {plots[1].title[0].lower()}{plots[1].title[1:]}."
        headings = [blocks.heading(title) for title in ("As the model gives them", "Corrected")]
        drawn = blocks.grid(Markup("<div>{}{}</div>").format(h, context.figure(p)) for h, p in zip(headings, plots, strict=True))
    else:
        drawn = context.figure(plots[0])
    return Part("How sure it is", sentence, [drawn, blocks.text(DRAWN), *told, *_shares(context)])


def _drawn(context: Context, answers: Predictions, name: str) -> Drawing:
    s = context.figures["interval"]
    weights, groups = bootstrap_weights(answers.groups, BAND, np.random.default_rng(s["seed"])), len(np.unique(answers.groups))
    bins = curves.reliability(answers.labels, answers.probabilities, level=s["level"], weights=weights, groups=groups)
    return figures.reliability(name, bins, context.note)


def _gain(told: Mapping[str, Any]) -> list[Markup]:
    """The table of figures before and after, and their paired difference."""
    names = list(told["difference"])
    rows = [
        [
            Markup('<span title="{}">{}</span>').format(words.METRICS.get(m, ("", ""))[1], words.label(m)),
            *(blocks.figure(told[side][m]) for side in ("before", "after", "difference")),
        ]
        for m in names
    ]
    return [blocks.table("Before and after the correction", ["figure", "as given", "corrected", "difference"], rows)]


def _how(context: Context, found: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """What was fitted, on what, and what it changes."""
    fit, method, changed = context.fitted, calibrators[found["method"]].about, measured["changed"]
    if "temperature" in found:
        t = found["temperature"]
        says = "above 1, so answers were too sure" if t > 1 else "below 1, so answers were not sure enough"
        method += f", {words.figure({'value': t, 'low': found['low'], 'high': found['high']})}: {says}"
    verb = "gets" if changed == 1 else "get"
    classes = f"{words.count(changed, 'image')} {verb} another class" if changed else "no answer changes its class"
    rows = f"{words.count(fit['n'], 'image')} of validation in {words.count(fit['groups'], 'group')}"
    return (
        f"Correction: {method}. Fitted on {rows}, on log-probabilities in place of logits; no test image was used. "
        f"With it {classes}. The files in predictions hold the answers as the model gives them."
    )


def _uncorrected(context: Context, told: Mapping[str, Any]) -> str:
    if "why" in told:
        return f"Not corrected. {told['why']}"
    if context.run.parts:
        return "Each run inside has its own correction: see their pages."
    if context.recipe.evaluate.calibration == "none":
        return "Not corrected: the recipe turns calibration off (evaluate.calibration=none)."
    if "val" not in context.metrics:
        return "Not corrected: there are no validation images to fit a correction on. Train with split.val above 0."
    return f"Not corrected yet. Make it with: cutis report {context.run.folder}"


def _shares(context: Context) -> list[Markup]:
    """For each set that was carried to other class shares: the shares, and what is to be expected where they hold."""
    given = {name: s["prior"] for name, s in context.metrics.items() if "prior" in s}
    found = context.fitted.get("prior", {})
    if not given or "training" not in found:
        return []
    out: list[Markup] = [blocks.heading("Where classes are otherwise frequent")]
    alike = len({tuple(told["shares"].items()) for told in given.values()}) == 1
    places = dict(list(given.items())[:1]) if alike else given
    columns = ["class", "trained under", "validation", *("where it is used" if alike else f"where it is used: {name}" for name in places)]
    shares = [found["training"], found["validation"], *(told["shares"] for told in places.values())]
    rows = [[context.chip(c), *(words.per_cent(of[c]) for of in shares)] for c in found["training"]]
    out.append(blocks.table("Class shares", columns, rows))
    for name, told in given.items():
        without = f" No image of {words.listed(told['absent'])} stands for its share." if told["absent"] else ""
        changed = f"{words.count(told['changed'], 'image')} of {context.metrics[name]['n']:,}"
        text = (
            f"The set {name}, each image weighing as much as its class where the model is used: what to expect there. With the correction "
            f"{changed} get another class.{without}"
        )
        out += [blocks.text(text), *_gain(told)]
    text = (
        f"Trained under: {found['how']}. Answers are carried from there to validation's shares, calibrated, and carried on to those given "
        "(Saerens, Latinne and Decaestecker 2002), which holds where pictures of a class look alike in both places. Balanced accuracy "
        "counts all classes the same, whatever their shares, so it may fall. The corrected answers are in the folder prior."
    )
    return [*out, blocks.text(text)]

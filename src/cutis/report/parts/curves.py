"""How well each class is ranked before the others (ROC, precision-recall), and whether stated probabilities hold (reliability)."""

import numpy as np
from markupsafe import Markup

from cutis.evaluate import curves
from cutis.evaluate.intervals import bootstrap_weights
from cutis.report import blocks, drawing, figures, words
from cutis.report.context import Context, Part, parts

BAND = 200  # bootstrap replicates of a drawn band; the figures' own intervals are in metrics.json


@parts.register("60 ranking")
def ranking(context: Context) -> Part | None:
    """A ROC and a precision-recall panel for each class."""
    answers = context.predictions(context.main) if context.main else None
    if answers is None:
        return None
    s = context.figures
    level, seed = (s["interval"][k] for k in ("level", "seed"))
    weights = bootstrap_weights(answers.groups, BAND, np.random.default_rng(seed))
    roc, pr = [], []
    for c, name in enumerate(answers.classes):
        positive, score, f = answers.labels == c, answers.probabilities[:, c], s["per_class"][name]
        if f["auroc"]["value"] is None or not 0 < positive.sum() < len(positive):
            continue
        given = [f[m]["value"] for m in ("sensitivity", "specificity", "precision")]
        file, colour = f"{c + 1}-{drawing.slug(name)}", context.colour(name)
        point = None if None in given[:2] else (1 - given[1], given[0])
        curve = curves.roc(positive, score, weights, level)
        roc.append(figures.roc(f"roc-{file}", f"{name} {words.figure(f['auroc'])}", curve, point, colour, context.note))
        point = None if None in (given[0], given[2]) else (given[0], given[2])
        curve, chance = curves.precision_recall(positive, score), float(positive.mean())
        title = f"{name} {words.figure(f['auprc'])}"
        pr.append(figures.precision_recall(f"precision-recall-{file}", title, curve, point, chance, colour, context.note))
    if not roc:
        return Part("Class against the rest", "No class has enough images for a curve.")
    known = [(s["per_class"][c]["auroc"]["value"], c) for c in answers.classes if s["per_class"][c]["auroc"]["value"] is not None]
    (low, worst), (high, best) = min(known), max(known)
    sentence = f"Easiest to tell from the rest is {best} (AUROC {words.number(high)}), hardest {worst} ({words.number(low)})."
    body = [
        blocks.heading("ROC: AUROC of each class"),
        blocks.grid(map(context.figure, roc)),
        blocks.text("The dot is the answer given, the most probable class; the band holds the sensitivity at each specificity."),
        blocks.heading("Precision and sensitivity: AUPRC of each class"),
        blocks.grid(map(context.figure, pr)),
    ]
    return Part("Class against the rest", sentence, body)


@parts.register("65 certainty")
def certainty(context: Context) -> Part | None:
    """The reliability diagram of the answer's probability."""
    answers = context.predictions(context.main) if context.main else None
    if answers is None or not len(answers.labels):
        return None
    s = context.figures
    plot = figures.reliability(curves.reliability(answers.labels, answers.probabilities, level=s["interval"]["level"]), context.note)
    facts = {words.label(m): blocks.figure(s[m]) for m in ("ece", "brier", "log_loss") if m in s}
    how = "On the dotted line, four of five answers stated with 80 % are right. Each dot holds as many images; its bar is the interval."
    beside = Markup("<div>{}{}</div>").format(blocks.facts(facts), blocks.text(how))
    return Part("How sure it is", f"{plot.title} of its answers.", [blocks.grid([context.figure(plot), beside], wide=True)])

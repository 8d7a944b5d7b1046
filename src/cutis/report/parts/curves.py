"""How well each class is ranked before the others: ROC and precision-recall."""

import numpy as np

from cutis.evaluate import curves
from cutis.evaluate.intervals import bootstrap_weights
from cutis.report import blocks, drawing, figures, words
from cutis.report.context import Context, Part, parts

BAND = 200  # bootstrap replicates of a drawn band; the figures' own intervals are in metrics.json
SHOWN = 12  # classes that are drawn, the hardest: a page with hundreds of figures neither opens nor helps


@parts.register("60 ranking")
def ranking(context: Context) -> Part | None:
    """A ROC and a precision-recall panel for each class."""
    answers = context.predictions(context.main) if context.main else None
    if answers is None:
        return None
    s = context.figures
    level, seed = (s["interval"][k] for k in ("level", "seed"))
    weights = bootstrap_weights(answers.groups, BAND, np.random.default_rng(seed))
    known = sorted((f["auroc"]["value"], name) for name, f in s["per_class"].items() if f["auroc"]["value"] is not None)
    shown, roc, pr = {name for _, name in known[:SHOWN]}, [], []
    for c, name in enumerate(answers.classes):
        positive, score, f = answers.labels == c, answers.probabilities[:, c], s["per_class"][name]
        if name not in shown or not 0 < positive.sum() < len(positive):
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
    (low, worst), (high, best) = known[0], known[-1]
    sentence = f"Easiest to tell from the rest is {best} (AUROC {words.number(high)}), hardest {worst} ({words.number(low)})."
    rest = [blocks.text(f"Drawn are the {SHOWN} hardest of {len(known)} classes.")] if len(known) > SHOWN else []
    body = [
        *rest,
        blocks.heading("ROC: AUROC of each class"),
        blocks.grid(map(context.figure, roc)),
        blocks.text("The dot is the answer given, the most probable class; the band holds the sensitivity at each specificity."),
        blocks.heading("Precision and sensitivity: AUPRC of each class"),
        blocks.grid(map(context.figure, pr)),
    ]
    return Part("Class against the rest", sentence, body)

"""Heat maps of an arm's model over some of its test images, as a part of a study's page."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup
from numpy.typing import NDArray

from cutis.data import cache
from cutis.data.loaders import Pixels
from cutis.errors import CutisError
from cutis.explain.cam import cam
from cutis.explain.frame import onto
from cutis.models import build
from cutis.predictions import Predictions
from cutis.recipe import Augment
from cutis.report import blocks, heat, pictures
from cutis.report.context import Part
from cutis.studies.context import Context, parts

EACH = 2  # images of each class that are answered rightly, and wrongly
SIDE = 240
RASTER = (36, 48)  # of a map over a photo that its network saw whole
TITLE = "Where the evidence lies"


@parts.register("heat-maps")
def heat_maps(context: Context) -> Part | None:
    """Grad-CAM for the answered class, the photo beside it: of the arm that tells malignant from benign best on validation."""
    arm = _best(context)
    if not arm:
        return None
    run = context.runs[arm]
    model, spec = build.load(run.model_file)
    root, answers = Path(run.provenance["data"]["root"]), run.predictions("test").known()
    answers = answers.rows(_chosen(answers))
    rows = pd.DataFrame({"image": answers.images})
    rows.attrs["root"] = str(root)
    every = np.arange(len(rows))
    images = Pixels(cache.build(rows, spec.images), every, Augment(), torch.device("cpu")).batch(every, spec.predict_size, None)
    try:
        maps = cam(model, images, answers.predicted[:, None]).maps
    except CutisError as error:  # at a small scale the last map may be a single place
        return Part(TITLE, str(error))
    shown = []
    for i, image in enumerate(answers.images):
        source = pictures.thumbnail(root, str(image), side=SIDE, max_pixels=spec.images.max_pixels)
        given = answers.classes[answers.predicted[i]]
        over = heat.Map(
            onto(maps[i, 0], RASTER, spec.predict_size, spec.images.fit),
            Markup("evidence for {}").format(given),
            f"Heat map over {image}: evidence for {given}",
        )
        shown.append(heat.Case(_worded(context, answers, i), source, [over]))
    sentence = f"Grad-CAM of {context.title(arm)}: what speaks for its answer, where it is surest, right and wrong."
    return Part(TITLE, sentence, [heat.heatmaps(shown), blocks.text("A map shows what moves the answer, not whether it is right.")])


def _best(context: Context) -> str:
    """The arm; its images are squashed whole, so that its map lies over the whole photo."""
    able = {}
    for name, run in context.runs.items():
        binary = {c.casefold() for c in run.provenance["classes"]} == {"benign", "malignant"}
        if binary and run.model_file.is_file() and run.recipe.images.fit == "squash":
            able[name] = run.metrics["val"]["balanced_accuracy"]["value"] or 0.0
    return max(able, key=lambda name: able[name], default="")


def _chosen(answers: Predictions) -> NDArray[np.int64]:
    """Of each class the surest right and the surest wrong answers."""
    order = np.argsort(-answers.probabilities.max(axis=1), kind="stable")
    right = answers.predicted[order] == answers.labels[order]
    of = answers.labels[order]
    return np.concatenate([order[(of == c) & (right == hit)][:EACH] for c in range(len(answers.classes)) for hit in (True, False)])


def _worded(context: Context, answers: Predictions, i: int) -> blocks.Photo:
    true, given = (answers.classes[k[i]] for k in (answers.labels, answers.predicted))
    sure = answers.probabilities[i].max()
    caption = Markup("is {}, answered {} with {:.2f}").format(
        blocks.chip(true, context.colour(true)), blocks.chip(given, context.colour(given)), sure
    )
    return blocks.Photo(str(answers.images[i]), caption, f"{answers.images[i]}: is {true}, answered {given} with probability {sure:.2f}")

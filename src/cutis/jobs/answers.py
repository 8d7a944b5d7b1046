"""A network's answers for sets of images, added to its run: predictions, figures, and what computed them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data.loaders import Pixels
from cutis.evaluate.summary import summarise
from cutis.jobs import provenance
from cutis.models import predict
from cutis.models.backends import Choice
from cutis.models.build import Classifier
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.recipe import Recipe
from cutis.runs import Run, stage_set
from cutis.train.checkpoint import Checkpoint

Sets = Mapping[str, tuple[pd.DataFrame, Pixels]]


def of_training(run: Run, model: Classifier, spec: Recipe, sets: Sets, about: dict[str, Any], progress: Progress) -> None:
    """Answer the parts that training left out; with ``evaluate.stages`` also by the network as it was after each stage but the last.

    ``model`` is left with the weights that answered last. ``about`` is the provenance, to which is added.
    """
    if not sets:
        return
    choice = chosen(model, [pixels for _, pixels in sets.values()], spec, progress)
    for name, (rows, pixels) in sets.items():
        add(run, name, model, spec, rows, pixels, choice, about, progress)
    for stage in range(1, len(spec.stages)) if spec.evaluate.stages else ():
        progress.say(f"Answers after stage {stage}")
        model.load_state_dict(Checkpoint(run.folder).stage(stage, predict.device()))
        for name, (rows, pixels) in sets.items():
            add(run, stage_set(name, stage), model, spec, rows, pixels, choice, about, progress)


def chosen(model: Classifier, sets: Sequence[Pixels], spec: Recipe, progress: Progress) -> Choice:
    """What computes the answers for all these sets; says so where it was measured."""
    with progress.part("predict"):
        choice = predict.chosen(model, sets, spec)
    if choice.agreement is not None:
        rate = f", {choice.rates[choice.name]:,.0f} images/s" if choice.name in choice.rates else ""
        progress.say(
            f"Answers by {choice.name}{rate}: against eager fp32 the same class for {choice.agreement:.1%} of {choice.checked} images, "
            f"largest difference of a probability {choice.difference:.4f}."
        )
    return choice


def add(
    run: Run,
    name: str,
    model: Classifier,
    spec: Recipe,
    rows: pd.DataFrame,
    pixels: Pixels,
    choice: Choice,
    about: dict[str, Any],
    progress: Progress,
) -> None:
    """Predict some rows, add predictions and figures to the run."""
    with progress.part("predict") as on_step:
        answers = predict.probabilities(model, pixels, spec, choice=choice, progress=on_step)
    predictions = Predictions(
        images=rows["image"].to_numpy(dtype=np.str_),
        groups=rows["group"].to_numpy(dtype=np.str_),
        labels=codes(rows["label"], model.classes),
        probabilities=answers,
        classes=model.classes,
    )
    run.save_predictions(name, predictions)
    with progress.part("evaluate"):
        figures = summarise(
            predictions, replicates=spec.evaluate.replicates, level=spec.evaluate.level, seed=spec.seed, majority=about["majority"]
        )
    run.metrics = run.metrics | {name: figures}
    about["evaluated"][name] = {"root": rows.attrs["root"], "when": provenance.now(), "engine": choice.facts()}


def codes(labels: pd.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Index of each label among the classes, -1 where it is missing."""
    return pd.Categorical(labels, categories=list(classes)).codes.astype(np.int64)

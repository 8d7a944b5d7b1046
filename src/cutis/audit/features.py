"""What a frozen, pretrained backbone sees in each picture under audit; nothing where there are no weights for it."""

import numpy as np
import torch
from numpy.typing import NDArray

from cutis.audit.subject import Subject
from cutis.data.loaders import Pixels
from cutis.errors import ArtifactError
from cutis.files import cache_folder
from cutis.models import build, features, predict, weights
from cutis.recipe import Augment, Recipe


def of(subject: Subject) -> NDArray[np.float32] | None:
    """Float32 M x F, a row a readable picture as it is (one view), computed or found among the kept features.

    None where the recipe's backbone has no pretrained weights here and the hub cannot be reached. No random stream is touched. Raises
    ArtifactError for a weights file that is damaged or does not fit.
    """
    spec = _pooled(subject.spec)
    if not len(subject.rows) or spec.model.weights == "none":
        return None
    with torch.random.fork_rng():  # the head, which is not used, is drawn at random
        try:
            model, _ = build.build(spec, ("a", "b"))
        except ArtifactError:
            if spec.model.weights != "pretrained" or weights.find(spec.model.backbone):
                raise  # a file that is there, and cannot be used
            return None
    build.placed(model, predict.device())
    pixels = Pixels(subject.cache, subject.rows, Augment(), predict.device())
    with subject.progress.part("features") as on_step:
        kept = features.extract(model, pixels, spec, 1, cache_folder() / "features", progress=on_step)
    return kept.take(np.arange(len(pixels)))


def advice(spec: Recipe) -> str:
    """Why there are no features, and what to do."""
    if spec.model.weights == "none":
        return (
            "The recipe's network starts without pretrained weights, so it says nothing about pictures before it is trained; "
            "audit with another, for example: --set model.backbone=mobilenetv2_100.ra_in1k"
        )
    return (
        f"There are no pretrained weights for {spec.model.backbone}; fetch them with: cutis weights get {spec.model.backbone}, "
        "or set CUTIS_WEIGHTS to a folder that has them."
    )


def _pooled(spec: Recipe) -> Recipe:
    """The recipe with nothing after the backbone but its own pooling, and one view of each image."""
    return spec.changed(**{"model.head": ["pool"], "train.views": 1})

"""What a stage computes on: images through the whole network, or a frozen backbone's kept features through the head alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cutis import recipe
from cutis.data.loaders import Source
from cutis.errors import CutisError
from cutis.models import features
from cutis.models.build import Classifier
from cutis.models.precision import resolved
from cutis.train.state import Part


@dataclass(frozen=True)
class Inputs:
    """``module`` trains on ``train`` and is validated on ``val``; ``kept``: these are features and it is the head."""

    module: nn.Module
    train: Source
    val: Source | None
    kept: bool
    precision: str
    val_precision: str


def images(model: Classifier, train: Part, val: Part | None, spec: recipe.Recipe, precision: str) -> Inputs:
    """Images, augmented anew each epoch; trained on in ``precision``, validated on in bf16 where that is open and the processor has it."""
    return Inputs(model, train.pixels, val.pixels if val else None, False, precision, resolved(spec.train.precision, train.pixels.device))


def kept(
    model: Classifier, train: Part, val: Part | None, spec: recipe.Recipe, folder: Path, progress: Callable[[int, int], None]
) -> Inputs:
    """Features of a frozen backbone, kept in ``folder``. The head runs in fp32: alone it gains nothing from bf16."""
    parts = [(train.pixels, spec.train.views), *([(val.pixels, 1)] if val else [])]
    work = sum(len(pixels) * views for pixels, views in parts)  # of both, so that the same backend computes both
    sources = [features.extract(model, pixels, spec, views, folder, work=work, progress=progress) for pixels, views in parts]
    return Inputs(model.head, sources[0], sources[1] if val else None, True, "fp32", "fp32")


def worth_keeping(model: Classifier, stage: recipe.Stage, spec: recipe.Recipe, say: Callable[[str], None]) -> bool:
    """Whether the stage trains on kept features: the backbone is frozen, and they do not outweigh the images by far.

    Raises CutisError where repeated rows are to be transformed, and no transformed versions are kept.
    """
    if stage.train != "head" or spec.train.views == 0:
        return False
    if features.heavy(model, spec.train.views):
        times = features.weight(model, spec.train.views)
        say(f"Features would weigh {times:.1f} times the images; they are computed anew each epoch instead of kept")
        return False
    if spec.balance.repeats == "transformed" and (spec.train.views < 2 or spec.train.view_kind != "augmented"):
        raise CutisError(
            "balance.repeats=transformed takes its repeats from the further versions of each image that are kept while the backbone is "
            "frozen, and none are. Set train.view_kind=augmented and train.views=4 (or train.views=0: every epoch anew)."
        )
    return True

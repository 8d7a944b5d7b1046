"""Probabilities of a network for stored images, averaged over symmetries where asked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment
from cutis.data.loaders import Pixels, ahead
from cutis.models import backends
from cutis.models.backends import Choice
from cutis.models.build import Classifier
from cutis.models.precision import autocast, device, resolved

__all__ = ["autocast", "chosen", "device", "inputs", "pixel_type", "probabilities", "resolved", "sample", "versions"]

SAMPLE: Final = 256
"""Images on which backends are timed and compared."""


def chosen(model: Classifier, sets: Sequence[Pixels], spec: recipe.Recipe) -> Choice:
    """What answers all of these sets, chosen once (``backends.chosen``), so that one run answers in one way."""
    work = sum(map(len, sets)) * len(augment.symmetries(*spec.predict_size, spec.predict.views))
    pictures, where = sample(sets, spec.predict_size), sets[0].device
    return backends.chosen(model, "logits", spec, pictures, work=work, device=where, dtype=pictures.dtype)


def probabilities(
    model: Classifier,
    pixels: Pixels,
    spec: recipe.Recipe,
    *,
    choice: Choice | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """N x C probabilities; rows sum to 1. The recipe's test-time views are averaged after the softmax. The model is put into eval mode.

    ``choice``: what computes; eager fp32 where none is given.
    """
    choice, size, batch_size = choice or Choice(), spec.predict_size, spec.predict.batch_size
    symmetries = augment.symmetries(*size, spec.predict.views)
    answers = np.empty((len(pixels), len(model.classes)))
    engine = backends.engine(
        model,
        "logits",
        size,
        backend=choice.backend,
        precision=choice.precision,
        dtype=pixel_type(pixels, size),
        device=pixels.device,
        calibration=sample([pixels], size) if choice.precision == "int8" else None,
    )
    with closing(ahead(inputs(pixels, size, batch_size, symmetries))) as batches:
        logits = engine.stream(batches)
        for start in range(0, len(pixels), batch_size):
            views = torch.stack([torch.from_numpy(next(logits)).double().softmax(1) for _ in symmetries])
            stop = min(start + batch_size, len(pixels))
            answers[start:stop] = views.mean(0).numpy()
            if progress:
                progress(stop, len(pixels))
    return answers


def inputs(pixels: Pixels, size: tuple[int, int], batch_size: int, symmetries: Sequence[int] = (0,)) -> Iterator[Tensor]:
    """All images in batches, each batch once for each symmetry, as ``backends.Passage`` takes them (``pixel_type``)."""
    for start in range(0, len(pixels), batch_size):
        rows = np.arange(start, min(start + batch_size, len(pixels)))
        yield from versions(pixels.raw(rows), size, symmetries)


def versions(images: Tensor, size: tuple[int, int], symmetries: Sequence[int]) -> Iterator[Tensor]:
    """A batch as it is stored, uint8 B x 3 x H x W, in each symmetry as ``backends.Passage`` takes it: resized where it is stored
    at another size."""
    whole = tuple(images.shape[2:]) == tuple(size)
    ready = images if whole else augment.resized(images.float().div_(255), size)
    for k in symmetries:
        view = augment.symmetry(ready, k)
        yield view.permute(0, 2, 3, 1) if whole else view


def sample(sets: Sequence[Pixels], size: tuple[int, int], count: int = SAMPLE) -> Tensor:
    """Up to ``count`` images spread evenly over the sets, on the CPU, as ``inputs`` gives them."""
    total = sum(map(len, sets))
    wanted = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
    parts, first = [], 0
    for pixels in sets:
        rows = wanted[(wanted >= first) & (wanted < first + len(pixels))] - first
        first += len(pixels)
        if len(rows):
            one = Pixels(pixels.cache, pixels.table_rows[rows], pixels.spec, torch.device("cpu"))
            parts += list(inputs(one, size, len(rows)))
    shape = (0, *size, 3) if pixel_type(sets[0], size) == torch.uint8 else (0, 3, *size)
    return torch.cat(parts) if parts else torch.empty(shape, dtype=pixel_type(sets[0], size))


def pixel_type(pixels: Pixels, size: tuple[int, int]) -> torch.dtype:
    """uint8 where the images are stored at this size, and go to the network as they are; float32 where they are resized."""
    return torch.uint8 if tuple(pixels.cache.pixels.shape[1:3]) == tuple(size) else torch.float32

"""Features of a frozen backbone: each image passes once, the outputs are kept in a memory-mapped array and shared by all heads."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment
from cutis.data.loaders import Pixels
from cutis.files import replacing
from cutis.models.build import Classifier
from cutis.models.predict import autocast, resolved

VERSION = "features-1"
HEAVY = 2.0  # features that weigh more than this many times the stored image are not kept: the run streams


class Features:
    """Kept features, N x V x ..., as a source of batches; with a generator each row takes one of its V views at random."""

    def __init__(self, array: NDArray[np.float32], device: torch.device) -> None:
        self.array, self.device = array, device

    def __len__(self) -> int:
        return len(self.array)

    def batch(self, rows: NDArray[np.int64], size: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Float B x F (or B x C x h x w) on the device."""
        views = self.array.shape[1]
        view = torch.randint(views, (len(rows),), generator=generator).numpy() if generator is not None and views > 1 else 0
        return torch.from_numpy(self.array[rows, view]).to(self.device)


def weight(model: Classifier, size: tuple[int, int]) -> float:
    """How many times the stored image one view's features weigh."""
    with torch.inference_mode():
        one = model.eval().features(torch.zeros(1, 3, *size, device=model.mean.device))
    return one.numel() * 4 / (size[0] * size[1] * 3)


def extract(
    model: Classifier,
    pixels: Pixels,
    spec: recipe.Recipe,
    views: int,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of every row under ``views`` symmetries (the first is the identity), computed or found in ``folder``.

    The key covers the pixels, how they were fitted, the backbone's weights, the size and the number of views.
    """
    size, batch_size = spec.predict_size, spec.predict.batch_size
    precision = resolved(spec.train.precision, pixels.device)
    path = folder / f"{key(model, pixels, spec, views, precision)}.npy"
    if not path.is_file():
        symmetries = augment.symmetries(*size, views)
        model.eval()
        with torch.inference_mode(), autocast(pixels.device, precision), replacing(path) as aside:
            array = None
            for start in range(0, len(pixels), batch_size):
                rows = np.arange(start, min(start + batch_size, len(pixels)))
                images = pixels.batch(rows, size, None)
                out = torch.stack([model.features(augment.symmetry(images, k)).float() for k in symmetries], 1).cpu().numpy()
                if array is None:
                    array = np.lib.format.open_memmap(aside, "w+", np.float32, (len(pixels), *out.shape[1:]))
                array[rows] = out
                if progress:
                    progress(int(rows[-1]) + 1, len(pixels))
            assert array is not None, "no rows"
            array.flush()
    return Features(np.load(path, mmap_mode="r"), pixels.device)


def key(model: Classifier, pixels: Pixels, spec: recipe.Recipe, views: int, precision: str) -> str:
    """Everything that decides the features, as one hash."""
    digest = hashlib.sha256(f"{VERSION} {spec.images} {spec.predict_size} {views} {precision} {model.neck} {model.own_pooling}".encode())
    for text in pixels.cache.sha256[pixels.table_rows]:
        digest.update(str(text).encode())
    for name, tensor in model.backbone.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(torch.cat([model.mean, model.std]).cpu().numpy().tobytes())
    return digest.hexdigest()[:32]

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
from cutis.data.images import DECODER
from cutis.data.loaders import Pixels
from cutis.errors import TrainingError
from cutis.files import replacing
from cutis.models.backbones import ghost
from cutis.models.build import Classifier
from cutis.models.predict import autocast, resolved

VERSION = "features-1"
HEAVY = 2.0  # features that weigh more than this many times the image they are of are not kept: the run streams


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


def weight(model: Classifier, size: tuple[int, int], views: int) -> float:
    """How many times an image (uint8) the features of all its views (float32) weigh."""
    one = ghost(model).features(torch.empty(1, 3, *size, device="meta"))
    return views * one.numel() * 4 / (size[0] * size[1] * 3)


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

    The file's name covers all that decides them (``key``). Raises TrainingError where the disk is full.
    """
    precision = resolved(spec.train.precision, pixels.device)
    path = folder / f"{key(model, pixels, spec, views, precision)}.npy"
    if not path.is_file():
        model.eval()
        try:
            with replacing(path) as aside, aside.open("wb") as file:
                for start in range(0, len(pixels), spec.predict.batch_size):
                    rows = np.arange(start, min(start + spec.predict.batch_size, len(pixels)))
                    values = _batch(model, pixels, rows, spec.predict_size, views, precision)
                    if start == 0:
                        header = {"descr": "<f4", "fortran_order": False, "shape": (len(pixels), *values.shape[1:])}
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(values.data)  # not through a memory map: a full disk would kill the process there
                    if progress:
                        progress(int(rows[-1]) + 1, len(pixels))
        except OSError as error:
            raise TrainingError(
                f"The features cannot be written to {folder} ({error.strerror}). Free space, set CUTIS_CACHE to a folder on another disk, "
                "or compute them anew each epoch (--set train.views=0)."
            ) from error
    return Features(np.load(path, mmap_mode="r"), pixels.device)


def _batch(
    model: Classifier, pixels: Pixels, rows: NDArray[np.int64], size: tuple[int, int], views: int, precision: str
) -> NDArray[np.float32]:
    """Features of some rows, B x V x ..."""
    with torch.inference_mode(), autocast(pixels.device, precision):
        images = pixels.batch(rows, size, None)
        out = [model.features(augment.symmetry(images, k)).float() for k in augment.symmetries(*size, views)]
        return np.asarray(torch.stack(out, 1).cpu().numpy())


def key(model: Classifier, pixels: Pixels, spec: recipe.Recipe, views: int, precision: str) -> str:
    """Hash of everything that decides the features: pixels and their fitting, backbone, its weights, scaling, size, views, precision."""
    how = [VERSION, DECODER, spec.images.size, spec.images.fit, spec.model.backbone, spec.model.options, spec.predict_size]
    digest = hashlib.sha256(f"{how} {views} {precision} {model.neck} {model.own_pooling}".encode())
    for text in pixels.cache.sha256[pixels.table_rows]:
        digest.update(str(text).encode())
    for name, tensor in model.backbone.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(torch.cat([model.mean, model.std]).cpu().numpy().tobytes())
    return digest.hexdigest()[:32]

"""What a run's network saw in its training images: features, class means and their covariance, kept beside the run.

New images are compared with it: whether they are like anything it was trained on (``scope``), and which cases are nearest (``neighbours``).
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from scipy.linalg import cholesky, solve_triangular
from torch import Tensor

from cutis import recipe
from cutis.data.loaders import Pixels, ahead
from cutis.errors import ArtifactError
from cutis.files import cache_folder, replacing, sha256
from cutis.models import backends, features, predict
from cutis.models.build import Classifier
from cutis.models.outline import Outline
from cutis.runs import Run

FORMAT: Final = "cutis-reference-1"
FILE: Final = "reference.safetensors"
LARGEST: Final = float(np.finfo(np.float16).max)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network makes of N images as they are, in one view: ``features`` N x F, a map averaged over its places; ``logits`` N x C."""

    features: Floats
    logits: Floats


@dataclass(frozen=True, eq=False)
class Reference:
    """What the network of a run saw in its N training images.

    ``images``, ``labels``: N names, and indices into ``classes``; ``features``: N x F; ``means``: C x F, those of the classes;
    ``covariance``: F x F, within classes, the same for all of them (``shrunk``).
    """

    images: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    features: NDArray[np.float16]
    means: Floats
    covariance: Floats

    @cached_property
    def units(self) -> Floats:
        """The features at length 1, N x F."""
        return unit(self.features)

    @cached_property
    def outline(self) -> Outline:
        """Of ``units``, by which a search for the nearest leaves most of them out."""
        return Outline.of(self.units)

    @cached_property
    def whitened(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The covariance's lower Cholesky factor L, F x F, and L^-1 of the classes' means, F x C."""
        lower = cholesky(self.covariance.astype(np.float64), lower=True)
        return lower, solve_triangular(lower, self.means.T.astype(np.float64), lower=True)


def see(
    model: Classifier,
    pixels: Pixels,
    spec: recipe.Recipe,
    *,
    work: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Seen:
    """Features and logits of stored images; features that are kept anyway are found or kept in the cache folder.

    ``work``: how many passes the whole job has (``features.extract``): give the same one for all images that are compared.
    """
    model.eval()
    parts = (_streamed if streamed(model) else _kept)(model, pixels, spec, work, progress)
    with torch.inference_mode():
        found = [(values.numpy(), logits.numpy()) for values, logits in parts]
    empty = np.zeros((0, 1), np.float32), np.zeros((0, len(model.classes)), np.float32)
    values, logits = zip(*found, strict=True) if found else tuple(zip(empty, strict=True))
    return Seen(np.concatenate(values), np.concatenate(logits))


def streamed(model: Classifier) -> bool:
    """Whether what the head takes is too much to keep, or a map in one row, whose covariance would fill the memory."""
    return features.heavy(model, 1) or (len(model.feature_shape) == 1 and model.feature_shape[0] > features.POOLED)


def work(train: int, val: int, spec: recipe.Recipe) -> int:
    """Passes of a training on kept features: as ``see`` is given it, the backend that was chosen then is chosen again."""
    return train * max(1, spec.train.views) + val


def of(model: Classifier, seen: Seen, images: NDArray[np.str_], labels: NDArray[np.int64]) -> Reference:
    """The reference from what the network saw in training images with these names and labels; each class has one at least."""
    means = np.stack([seen.features[labels == c].mean(axis=0, dtype=np.float64) for c in range(len(model.classes))]).astype(np.float32)
    kept = seen.features.clip(-LARGEST, LARGEST).astype(np.float16)
    return Reference(images, labels, model.classes, kept, means, shrunk(seen.features - means[labels])[0])


def save(reference: Reference, run: Run) -> None:
    """Write it beside the model it is of; names and labels are those of split.csv, whose labelled training rows it has in their order."""
    tensors: dict[str, NDArray[Any]] = {"features": reference.features, "means": reference.means, "covariance": reference.covariance}
    about = {"classes": reference.classes, "images": len(reference.images), "model": sha256(run.model_file)}
    with replacing(run.folder / FILE) as aside:
        save_file(tensors, aside, metadata={FORMAT: json.dumps(about)})


def load(run: Run) -> Reference | None:
    """The reference of a run; None where it has none, or one of another model. Raises ArtifactError where the file is damaged."""
    path = run.folder / FILE
    if not path.is_file():
        return None
    rows = training_rows(run)
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[FORMAT])
        tensors = load_file(path)
        if about["model"] != sha256(run.model_file) or about["images"] != len(rows):
            return None
        classes = tuple(about["classes"])
        labels = np.array([classes.index(label) for label in rows["label"]], np.int64)
        return Reference(rows["image"].to_numpy(np.str_), labels, classes, tensors["features"], tensors["means"], tensors["covariance"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run: cutis scope {run.folder}") from error


def training_rows(run: Run) -> pd.DataFrame:
    """The rows of split.csv that the run was trained on."""
    table = run.table
    return table[(table["split"] == "train") & table["label"].notna()]


def unit(values: NDArray[np.float16] | Floats) -> Floats:
    """Rows at length 1; a row of zeros stays one."""
    wide = values.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, length, out=wide, where=length > 0), np.float32)


def shrunk(centred: Floats) -> tuple[Floats, float]:
    """Covariance of N x F values about 0, drawn towards a multiple of the identity, and how far (Ledoit & Wolf 2004, eq. 14).

    S + shrinkage (m I - S), m the mean of S's diagonal, shrinkage = min(1, b / d), d = |S - m I|^2 / F, b = mean over rows of
    |x x' - S|^2 / (N F). What never varies gets a millionth of m, so that the matrix can be inverted.
    """
    n, f = centred.shape
    s = (centred.T @ centred / n).astype(np.float64)
    mean, square = np.trace(s) / f, float((s**2).sum())
    distance = square / f - mean**2
    noise = (float((np.einsum("nf,nf->n", centred, centred, dtype=np.float64) ** 2).mean()) - square) / (n * f)
    share = min(1.0, max(0.0, noise / distance)) if distance > 0 else 1.0
    s *= 1 - share
    s[np.diag_indices(f)] += (share + 1e-6) * mean + math.ulp(1.0)
    return s.astype(np.float32), share


def _kept(
    model: Classifier, pixels: Pixels, spec: recipe.Recipe, work: int | None, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    found = features.extract(model, pixels, spec, 1, cache_folder() / "features", work=work, progress=progress)
    for rows in _batches(len(pixels), spec):
        values = found.batch(rows, spec.predict_size, None)
        yield averaged(values).cpu(), model.head(values).float().cpu()


def _streamed(
    model: Classifier, pixels: Pixels, spec: recipe.Recipe, work: int | None, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Through the backbone's last map, batch by batch; nothing is kept."""
    size, pictures = spec.predict_size, predict.sample([pixels], spec.predict_size)
    where, dtype = pixels.device, pictures.dtype
    choice = backends.chosen(model, "maps", spec, pictures, work=work or len(pixels), device=where, dtype=dtype)
    engine = backends.engine(
        model, "maps", size, backend=choice.backend, precision=choice.precision, dtype=dtype, device=where, calibration=pictures
    )
    done = 0
    with closing(ahead(predict.inputs(pixels, size, spec.predict.batch_size))) as batches:
        for array in engine.stream(batches):
            maps = torch.from_numpy(array).to(where)
            yield averaged(maps).cpu(), model.from_maps(maps).float().cpu()
            done += len(maps)
            if progress:
                progress(done, len(pixels))


def _batches(count: int, spec: recipe.Recipe) -> Iterator[NDArray[np.int64]]:
    size = spec.predict.batch_size
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))


def averaged(values: Tensor) -> Tensor:
    """B x F as it is; a map B x C x h x w, or tokens B x N x C, averaged over its places."""
    values = values.float()
    return values.mean((2, 3)) if values.ndim == 4 else values.mean(1) if values.ndim == 3 else values

"""Features of a frozen backbone: each version of each image passes once, the outputs are kept and shared by all heads."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment
from cutis.data.images import DECODER
from cutis.data.loaders import Pixels, fed
from cutis.errors import TrainingError
from cutis.files import write_json
from cutis.models import backends
from cutis.models.build import Classifier
from cutis.models.feature_store import FeatureStore, Names, names

FORMAT = "features-2"
HEAVY = 2.0  # features that weigh more than this many times the image they are of are not kept: the run streams
POOLED = 4096  # values; what pooling leaves is fewer in any backbone, and is kept however small the image
SAMPLE = 64  # images on which a backend is chosen

Progress = Callable[[int, int], None]


class Features:
    """Kept features as a source of batches; with a generator each row takes one of its V versions at random.

    ``stored``: float32 M x F (or M x C x h x w), memory-mapped, of everything the store holds; ``index``: int64 N x V, where the versions
    of N rows are in it.
    """

    def __init__(self, stored: NDArray[np.float32], index: NDArray[np.int64], device: torch.device) -> None:
        self.stored, self.index, self.device = stored.view(np.ndarray), index, device

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: NDArray[np.int64], version: int | NDArray[np.int64] = 0) -> NDArray[np.float32]:
        """A copy of the features of these rows in this version, the same for all or one a row."""
        taken: NDArray[np.float32] = np.take(self.stored, self.index[rows, version], axis=0)
        return taken

    def batch(self, rows: NDArray[np.int64], size: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Float B x F (or B x C x h x w) on the device."""
        versions = self.index.shape[1]
        drawn = torch.randint(versions, (len(rows),), generator=generator).numpy() if generator is not None and versions > 1 else 0
        return torch.from_numpy(self.take(rows, drawn)).to(self.device)

    def apart(self, changes: recipe.Augment) -> tuple["Features", "Features"]:
        """The images as they are, and their further versions, which are those ``changes`` already."""
        return Features(self.stored, self.index[:, :1], self.device), Features(self.stored, self.index[:, 1:], self.device)


def weight(model: Classifier, views: int) -> float:
    """How many times an image (uint8) the features of all its versions (float32) weigh."""
    return views * 4 * math.prod(model.feature_shape) / (3 * math.prod(model.size))


def heavy(model: Classifier, views: int) -> bool:
    """Whether the features are maps, or maps in a row, that weigh too much to be kept."""
    return math.prod(model.feature_shape) > POOLED and weight(model, views) > HEAVY


def extract(
    model: Classifier,
    pixels: Pixels,
    spec: recipe.Recipe,
    views: int,
    folder: Path,
    *,
    work: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of every row in its first ``views`` versions (``versions``), computed or found in ``folder``.

    ``work``: how many passes the whole job has, for the choice of what computes them; without it, rows times views. ``progress`` is told
    (done, total) of the passes that have to be made, and may raise: what was computed is kept. Images with the same pixels pass once.
    Raises TrainingError where the disk is full; what was stored before stays valid.
    """
    model.eval()
    job = _Pass(model, pixels, spec, versions(spec, views))
    choice = backends.chosen(
        model, "features", spec, job.sample(), work=work or len(pixels) * len(job.versions), device=pixels.device, dtype=job.dtype
    )
    about = described(model, spec, choice.backend, choice.precision)
    store = FeatureStore(folder / key(about), model.feature_shape)
    wanted = names(pixels.cache.sha256[pixels.table_rows], [version.name for version in job.versions])
    rows = store.find(wanted)
    if (rows < 0).any():
        try:
            with store.locked(lambda: progress(0, int((rows < 0).sum())) if progress else None):
                if not (store.folder / "about.json").is_file():
                    write_json(store.folder / "about.json", about)
                job.fill(store, wanted, choice, progress)
        except OSError as error:
            raise TrainingError(
                f"The features cannot be written to {store.folder} ({error.strerror}). Free space, set CUTIS_CACHE to a folder on another "
                "disk, or compute them anew each epoch (--set train.views=0)."
            ) from error
        rows = store.find(wanted)
    return Features(store.open(), rows, pixels.device)


@dataclass(frozen=True)
class Version:
    """A version of an image: what the store calls it, and which symmetry it is, or that it is augmented."""

    name: str
    symmetry: int | None


def versions(spec: recipe.Recipe, views: int) -> list[Version]:
    """The versions on which a recipe trains a frozen backbone's head, the image as it is first; oblong pictures have four symmetries.

    An augmented version is drawn from its name and the image's hash alone, so it does not depend on the other images.
    """
    if spec.train.view_kind == "symmetries":
        return [Version(f"symmetry {k}", k) for k in augment.symmetries(*spec.predict_size, 8)[:views]]
    how = spec.view_augment.model_dump_json(exclude={"mixup", "cutmix"})
    return [Version("symmetry 0", 0), *(Version(f"augmented {k} seed {spec.seed} {how}", None) for k in range(1, views))]


def described(model: Classifier, spec: recipe.Recipe, backend: str, precision: str) -> dict[str, Any]:
    """Everything that decides the features of a given image and version."""
    return {
        "format": FORMAT,
        "decoder": DECODER,
        "stored_size": list(spec.images.size),
        "fit": spec.images.fit,
        "size": list(spec.predict_size),
        "backbone": spec.model.backbone,
        "options": spec.model.options,
        "network": backends.fingerprint(model, "features"),
        "backend": backend,
        "precision": precision,
    }


def key(about: dict[str, Any]) -> str:
    """The name of the folder: a hash of what ``described`` says."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


class _Pass:
    """The pass of some rows, in some versions, through a frozen backbone."""

    def __init__(self, model: Classifier, pixels: Pixels, spec: recipe.Recipe, wanted: list[Version]) -> None:
        self.model, self.pixels, self.spec, self.versions = model, pixels, spec, wanted
        # by the recipe and not by these versions, so that training and validation rows take the same way
        augmenting = spec.train.view_kind == "augmented" and spec.train.views > 1
        stored = tuple(pixels.cache.pixels.shape[1:3])
        self.dtype = torch.uint8 if stored == tuple(spec.predict_size) and not augmenting else torch.float32

    def sample(self) -> Tensor:
        """Up to 64 images spread evenly over the rows, as they are."""
        return self._batch(np.linspace(0, len(self.pixels) - 1, min(SAMPLE, len(self.pixels)), dtype=np.int64), Version("symmetry 0", 0))

    def fill(self, store: FeatureStore, wanted: Names, choice: backends.Choice, progress: Progress | None) -> None:
        """Compute what the store lacks of N x V names."""
        _, first = np.unique(wanted[:, 0], return_index=True)  # of images with the same pixels one passes
        rows = np.sort(first)
        lacking = store.find(wanted[rows]) < 0
        some = lacking.any(1)
        if not some.any():
            return
        tasks = list(self._tasks(rows[some], lacking[some]))
        engine = backends.engine(
            self.model,
            "features",
            self.spec.predict_size,
            backend=choice.backend,
            precision=choice.precision,
            dtype=self.dtype,
            device=self.pixels.device,
            calibration=self.sample(),
        )
        done, total = 0, int(lacking.sum())
        made = fed(((self._batch(part, self.versions[v]),) for part, v in tasks), self.pixels.device)
        with store.adding() as add, closing(made) as batches:
            for (part, v), values in zip(tasks, engine.stream(batch for (batch,) in batches), strict=True):
                add(wanted[part, v], values)
                done += len(part)
                if progress:
                    progress(done, total)

    def _tasks(self, rows: NDArray[np.int64], lacking: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Batches of rows that lack a version, all versions of some rows before the next rows, whose pages are then still in memory."""
        size = self.spec.predict.batch_size
        for start in range(0, len(rows), size):
            part, lack = rows[start : start + size], lacking[start : start + size]
            for v in range(len(self.versions)):
                if lack[:, v].any():
                    yield part[lack[:, v]], v

    def _batch(self, rows: NDArray[np.int64], version: Version) -> Tensor:
        """One version of some rows: uint8 B x H x W x 3 where no pixel is computed anew, else float B x 3 x h x w in 0..1."""
        if self.dtype == torch.uint8:
            assert version.symmetry is not None
            return augment.symmetry(self.pixels.raw(rows), version.symmetry).permute(0, 2, 3, 1).contiguous()
        if version.symmetry is not None:
            return augment.symmetry(self.pixels.batch(rows, self.spec.predict_size, None), version.symmetry).contiguous()
        images = self.pixels.cache.sha256[self.pixels.table_rows[rows]]
        draws = augment.draws(f"{image} {version.name}" for image in images)
        return augment.changed(self.pixels.raw(rows).float().div_(255), self.spec.view_augment, self.spec.predict_size, draws)

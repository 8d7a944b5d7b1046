"""What is to be explained: the networks that a run answers with, and the images in question, of one of its sets or from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from cutis.data import cache as caches
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.data.masks import Masks
from cutis.ensemble import combined
from cutis.errors import CutisError, DataError
from cutis.explain.together import Together
from cutis.models import build, predict
from cutis.models.build import Classifier
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.randomness import stream
from cutis.recipe import Augment, Images, Recipe
from cutis.registry import unknown
from cutis.runs import Run

AT_ONCE: Final = 100  # files that one page shows at most


@dataclass(frozen=True, eq=False)
class Member:
    """A network of the run, the only one or one of an ensemble's, with the pictures in question as it takes them."""

    name: str
    run: Run
    model: Classifier
    spec: Recipe
    pixels: Pixels

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """Float B x 3 x H x W in 0..1 on the device."""
        return self.pixels.batch(rows, self.spec.predict_size, None)


@dataclass(frozen=True, eq=False)
class Subject:
    """N readable images, what was answered for them (``answers``, classes unknown where they are), and the networks.

    ``root``: the folder that image paths are relative to; ``total``: how many images there were to draw from.
    """

    members: tuple[Member, ...]
    together: Together
    answers: Predictions
    root: Path
    total: int


def of_set(run: Run, name: str, count: int, masks: Masks | None, method: str, progress: Progress) -> Subject:
    """Up to ``count`` images of an evaluated set whose class is known, drawn by chance; where masks are given, of those that have one.

    Raises CutisError for a set that does not exist, DataError where no image is left.
    """
    if name not in run.sets:
        raise CutisError(unknown("set", name, run.sets))
    answers = run.predictions(name).known()
    if masks is not None:
        answers = answers.rows(np.array([masks.known([image]) > 0 for image in answers.images], bool))
        if not len(answers.images):
            raise DataError(f"None of the images of {name} has a mask there. Masks are matched by the image's name.")
    total = len(answers.images)
    answers = answers.rows(np.sort(stream(run.recipe.seed, "explain").choice(total, min(total, count), replace=False)))
    about = run.provenance
    root = Path(about["evaluated"].get(name, {}).get("root") or about["data"]["root"])
    members, together, rows = _networks(run, pd.DataFrame({"image": answers.images}), root, method, progress)
    return Subject(members, together, answers.over(together.classes).rows(rows), root, total)


def of_files(run: Run, files: Sequence[str | Path], method: str, progress: Progress) -> Subject:
    """Pictures by their paths, or keys of the run's own images, whose class is then known; answered here, in fp32.

    Raises CutisError for one that does not exist, and for too many.
    """
    if len(files) > AT_ONCE:
        raise CutisError(f"One page shows at most {AT_ONCE} images; {len(files):,} are given. Name fewer, or explain a set with --set.")
    root = Path(run.provenance["data"]["root"]).resolve()
    labels = run.table.drop_duplicates("image").set_index("image")["label"]
    places = []
    for file in map(str, files):
        if Path(file).is_file():
            places.append((str(Path(file).resolve()), None))
        elif file in labels.index or (root / file).is_file():
            places.append((file, labels.get(file)))
        else:
            raise CutisError(f"There is no image {file}, neither here nor below {root}. Give the path of a picture.")
    table = pd.DataFrame(places, columns=["image", "label"]).drop_duplicates("image").reset_index(drop=True)
    members, together, rows = _networks(run, table, root, method, progress)
    with progress.part("predict"):
        each = [predict.probabilities(m.model, m.pixels, m.spec) for m in members]
    images = table["image"].to_numpy(np.str_)[rows]
    known = pd.Categorical(table["label"].iloc[rows], categories=list(together.classes)).codes.astype(np.int64)
    answers = Predictions(images, images, known, together.combine(each), together.classes)
    return Subject(members, together, answers, root, len(table))


def _networks(
    run: Run, table: pd.DataFrame, root: Path, method: str, progress: Progress
) -> tuple[tuple[Member, ...], Together, NDArray[np.int64]]:
    """The run's networks, and which rows of the table all of them can read."""
    kept = combined.load(run) if run.recipe.ensemble is not None else None
    named = [(m.name, m.run, *m.load()) for m in kept.members] if kept else [(run.folder.name, run, *build.load(run.model_file))]
    table.attrs["root"] = str(root)
    stores: dict[Images, Cache] = {}
    with progress.part("cache") as on_step:
        for images in {spec.images for _, _, _, spec in named}:
            stores[images] = caches.build(table, images.model_copy(update={"max_unreadable": 1.0}), progress=on_step)
    rows = np.flatnonzero(np.logical_and.reduce([cache.row >= 0 for cache in stores.values()]))
    if len(rows) < len(table):
        lost = next(cache.failures for cache in stores.values() if len(cache.failures))
        first = f"{lost['image'][0]} ({lost['reason'][0]})"
        if not len(rows):
            raise DataError(f"None of these {len(table):,} images can be read: {first}. Restore them, or name others.")
        progress.warn(f"{len(table) - len(rows):,} of {len(table):,} images cannot be read and are left out: {first}")
    where = predict.device()
    members = tuple(
        Member(name, of, build.placed(model, where), spec, Pixels(stores[spec.images], rows, Augment(), where))
        for name, of, model, spec in named
    )
    together = Together(
        models=tuple(m.model for m in members),
        fits=tuple(m.spec.images.fit for m in members),
        weights=kept.weights if kept else np.ones(1),
        classes=kept.classes if kept else members[0].model.classes,
        combine=kept.combine if kept else (lambda answers: answers[0]),
        method=method,
    )
    return members, together, rows

"""An ensemble's answers for other data: every member's network on its own pixels, then combined and added to the run."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data import cache as caches
from cutis.data import labels
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.ensemble import combined
from cutis.ensemble.make import joined
from cutis.ensemble.measure import summary
from cutis.ensemble.members import Member
from cutis.errors import DataError
from cutis.models import build, predict
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.recipe import Augment, Images
from cutis.runs import Run


def evaluate(
    run: Run, table: pd.DataFrame, name: str, *, files: Sequence[dict[str, str]], ignore_unknown: bool, progress: Progress
) -> None:
    """Answer a table with all members and add the figures under ``name``: all but the page. The caller holds the lock.

    ``files``: what provenance says of the files that the rows came from.
    Raises DataError where labels are not the members', or none is known; ArtifactError where a member is gone or changed.
    """
    ensemble, spec, about = combined.load(run), run.recipe, run.provenance
    table = labels.matched(table, ensemble.classes, ignore_unknown)
    stores: dict[Images, Cache] = {}
    for member in ensemble.members:
        if (images := member.run.recipe.images) not in stores:
            stores[images] = _decoded(table, images, progress)
    pictures = [stores[member.run.recipe.images] for member in ensemble.members]
    rows = np.flatnonzero(np.logical_and.reduce([cache.row >= 0 for cache in pictures]))
    kept = table.iloc[rows]
    if not kept["label"].notna().any():
        raise DataError("No image that can be read has a label, so there is nothing to measure. Give data with labels.")
    twins = int(np.logical_or.reduce([_seen(m, cache.sha256[rows]) for m, cache in zip(ensemble.members, pictures, strict=True)]).sum())
    if twins:
        progress.warn(f"{twins:,} of these images are identical to training images: the figures under {name!r} are too good for them.")
    parts = [
        _answered(member, kept, Pixels(cache, rows, Augment(), predict.device()), progress)
        for member, cache in zip(ensemble.members, pictures, strict=True)
    ]
    together = joined(ensemble, parts)
    with progress.part("evaluate"):
        named = {member.name: part for member, part in zip(ensemble.members, parts, strict=True)}
        figures = summary(together, named, spec, about["majority"])
    run.save_predictions(name, together)
    run.metrics = run.metrics | {name: figures}
    about["evaluated"][name] = {
        "root": table.attrs["root"],
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": list(files),
        "training_twins": twins,
        "unreadable": len(table) - len(rows),
        "seconds": progress.seconds,
    }
    run.provenance = about


def _decoded(table: pd.DataFrame, images: Images, progress: Progress) -> Cache:
    with progress.part("cache") as on_step:
        cache = caches.build(table, images, progress=on_step)
    if len(cache.failures):
        first = "; ".join(f"{row.image} ({row.reason})" for row in cache.failures.head(3).itertuples())
        progress.warn(f"{len(cache.failures):,} of {len(table):,} images cannot be read and are left out: {first}")
    return cache


def _seen(member: Member, hashes: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which pictures a member was trained on; hashes are of pixels decoded for its image size."""
    table = member.run.table
    return np.isin(hashes, table.loc[table["split"] == "train", "sha256"].to_numpy(np.str_))


def _answered(member: Member, rows: pd.DataFrame, pixels: Pixels, progress: Progress) -> Predictions:
    """One member's answers, classes in its own order."""
    model, spec = member.load()
    build.placed(model, pixels.device)
    progress.say(f"Member {member.name}")
    with progress.part("predict") as on_step:
        choice = predict.chosen(model, [pixels], spec)
        probabilities = predict.probabilities(model, pixels, spec, choice=choice, progress=on_step)
    return Predictions(
        images=rows["image"].to_numpy(dtype=np.str_),
        groups=rows["group"].to_numpy(dtype=np.str_),
        labels=pd.Categorical(rows["label"], categories=list(model.classes)).codes.astype(np.int64),
        probabilities=probabilities,
        classes=model.classes,
    )

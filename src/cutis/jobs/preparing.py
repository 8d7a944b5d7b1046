"""Before training: data decoded, divided and proved, all that can be refused early refused, and the network with its first weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis.data import balance, labels, proof, splits
from cutis.data import cache as caches
from cutis.data.cache import Cache
from cutis.errors import DataError, LeakError
from cutis.jobs import answers, fitting
from cutis.models import build
from cutis.models.build import Classifier
from cutis.progress import Progress
from cutis.randomness import stream
from cutis.recipe import Recipe, augments
from cutis.train import inputs, losses
from cutis.train.checkpoint import Interrupt


@dataclass(frozen=True)
class Prepared:
    """Checked data: the table with split and sha256 (readable rows only), its cache, and what was proved."""

    table: pd.DataFrame
    cache: Cache
    rows: NDArray[np.int64]  # of the cache, for each row of the table
    proof: proof.Proof


def prepare(table: pd.DataFrame, spec: Recipe, progress: Progress, interrupt: Interrupt, pictures: Cache | None = None) -> Prepared:
    """Decode (where ``pictures`` are not given), split and prove. Raises DataError for too many unreadable files or too little to split."""
    table, cache = decoded(table, spec, progress, interrupt, pictures)
    told = len(table.attrs["notes"])
    with progress.part("split"):
        table = splits.split(table, spec.split)
    for note in table.attrs["notes"][told:]:
        progress.say(note)
    with progress.part("proof"):
        proved = proof.prove(table)
    return Prepared(table, cache, np.flatnonzero(cache.row >= 0), proved)


def decoded(
    table: pd.DataFrame, spec: Recipe, progress: Progress, interrupt: Interrupt, pictures: Cache | None = None
) -> tuple[pd.DataFrame, Cache]:
    """The readable rows with their ``sha256``, and the cache of all rows."""

    def heed(done: int, total: int) -> None:
        interrupt.check()
        on_step(done, total)

    with progress.part("cache") as on_step:
        cache = pictures or caches.build(table, spec.images, progress=heed)
    if len(cache.failures):
        first = "; ".join(f"{row.image} ({row.reason})" for row in cache.failures.head(3).itertuples())
        progress.warn(f"{len(cache.failures):,} of {len(table):,} images cannot be read and are left out: {first}")
    return table.assign(sha256=cache.sha256)[cache.row >= 0].reset_index(drop=True), cache


def trained_classes(table: pd.DataFrame) -> tuple[str, ...]:
    """The classes, grades from the lowest up and all others in alphabetical order. Raises DataError where training has fewer than two."""
    counts = table.loc[table["split"] == "train", "label"].value_counts()
    if len(counts) < 2:
        found = ", ".join(f"{name} ({n:,})" for name, n in counts.items()) or "none"
        raise DataError(f"Training needs at least two classes with images; the training part has {found}. Check the labels, or the split.")
    absent = sorted(set(table.loc[table["split"].isin(["val", "test"]), "label"].dropna()) - set(counts.index))
    if absent:
        raise DataError(f"Classes without a training image: {', '.join(absent)}. Add images, merge classes (--map), or leave them out.")
    return labels.in_order(counts.index)


def checked(table: pd.DataFrame, spec: Recipe, allow_leaks: bool) -> tuple[Classifier, dict[str, Any]]:
    """As ``made``. All that can be refused before minutes of decoding is: split, groups, classes, names, weights, stages."""
    table = splits.split(table, spec.split)
    heed(proof.prove(table), allow_leaks)
    classes = trained_classes(table)
    fitting.checked(spec.evaluate, classes)
    trained = answers.codes(table.loc[table["split"] == "train", "label"], classes)
    for within in map(spec.within, spec.stages):
        losses.function(within.loss, torch.ones(len(classes)), classes)
        balance.indices(trained, within.balance, spec.seed, 0)
        augments[within.balance.preset]()
    model, facts = made(spec, classes)
    for stage in spec.stages:
        inputs.worth_keeping(model, stage, spec.within(stage), lambda _: None)
    return model, facts


def heed(proved: proof.Proof, allow_leaks: bool) -> None:
    """Raise LeakError for a split that leaks, unless that is allowed."""
    if not proved.ok and not allow_leaks:
        raise LeakError(proved.message())


def made(spec: Recipe, classes: Sequence[str]) -> tuple[Classifier, dict[str, Any]]:
    """The network with its first weights, and what provenance says of it."""
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(spec.seed, "weights").integers(2**63)))
        model, source = build.build(spec, classes)
    return model, {
        "backbone": spec.model.backbone,
        "weights": source.name,
        "weights_sha256": source.sha256,
        "weights_licence": source.licence,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": max(sum(p.numel() for p in build.trainable(model, s.train)) for s in spec.stages),
    }

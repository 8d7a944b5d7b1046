"""For whom a run's model works: the groups that its data name, and the figures of each, added to an evaluated set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cutis.data import headers
from cutis.data.groupings import groupings
from cutis.evaluate import conformal
from cutis.evaluate.after import Bootstrap
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.slices import Slicing, sliced
from cutis.predictions import Predictions
from cutis.runs import Run

KEY = "slices"


def measure(run: Run, name: str, table: pd.DataFrame) -> None:
    """Figures of a set by group, under ``slices`` of it in metrics.json; ``table`` has a row for each of its images, and others.

    The sizes of the pictures come from their headers, where they are at hand. Nothing is added where no image has a known class. The
    caller holds the lock.
    """
    answers, spec = run.predictions(name), run.recipe
    if not len(answers.known().labels):
        return
    rows = table[table["image"].isin(answers.images)].drop_duplicates("image").reset_index(drop=True)
    root = Path(table.attrs.get("root") or run.provenance["data"]["root"])
    ways, left_out = groupings(rows, headers.read(root, rows["image"].tolist()) if root.is_dir() else None)
    place = pd.Index(rows["image"]).get_indexer(answers.images)
    slicings = [
        Slicing(way.name, way.title, pd.Categorical(way.of, categories=list(way.groups)).codes.astype("int64")[place], way.groups)
        for way in ways
    ]
    options: dict[str, Any] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
    told = run.metrics
    found = sliced(answers, slicings, **options) | {"left_out": left_out} | _covered(run, answers, slicings)
    run.metrics = told | {name: told[name] | {KEY: found}}


def _covered(run: Run, answers: Predictions, ways: Sequence[Slicing]) -> dict[str, Any]:
    """How often conformal sets hold the true class in each group, under ``coverage``; empty where none were fitted."""
    fitted, spec, known = run.fitted.get("conformal", {}), run.recipe, answers.known()
    if "rules" not in fitted:
        return {}
    weights = bootstrap_weights(known.groups, spec.evaluate.replicates, np.random.default_rng(spec.seed))
    labelled = [replace(way, of=way.of[answers.labels >= 0]) for way in ways]
    return {"coverage": conformal.by_slice(fitted, known, labelled, Bootstrap(weights, spec.evaluate.level, spec.seed))}


def own(run: Run) -> None:
    """``measure`` on the run's test part, by the table that its split left; nothing where it has no such part."""
    tables = [part for part in (run, *run.parts) if (part.folder / "split.csv").is_file()]
    if "test" in run.sets and tables:
        measure(run, "test", tables[0].table)


def due(run: Run) -> bool:
    """Whether a run's test part was measured, but not by group: one made by an older Cutis."""
    return "test" in run.sets and KEY not in run.metrics.get("test", {})

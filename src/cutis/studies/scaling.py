"""How a recipe and a table are cut down to a scale, and in which words that is said."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from cutis.data import splits
from cutis.recipe import Recipe, Split
from cutis.report import words
from cutis.studies.catalog import Scale

DRAWN_TO = 8  # a count that classes are brought to is at most this part of the images, so that it means balancing, not many more epochs


def fitted(recipe: Recipe, scale: Scale) -> tuple[Recipe, list[str]]:
    """The recipe within the limits of a scale, and what that changed, a phrase each."""
    changes: dict[str, Any] = {}
    said = []
    size, inner = recipe.images.size, [*recipe.train.size, *filter(None, [recipe.predict.size])]
    if scale.size and max(*size, *inner) > scale.size:
        share = min(1.0, scale.size / max(size))

        def shrunk(side: int) -> int:
            return min(scale.size or side, max(1, round(side * share)))  # what the network sees may be larger than what is stored

        smaller = tuple(map(shrunk, size))
        changes["images.size"] = smaller
        changes["train.size"] = [shrunk(side) for side in recipe.train.size]
        changes["predict.size"] = recipe.predict.size and shrunk(recipe.predict.size)
        enlarged = f"images enlarged to {scale.size} pixels instead of {max(inner, default=0)}"
        said.append(f"images of {_pixels(smaller)} instead of {_pixels(size)}" if smaller != size else enlarged)
    if scale.epochs:
        told = []
        for i, stage in enumerate(recipe.stages):
            if stage.epochs > scale.epochs:
                changes[f"stages.{i}.epochs"] = scale.epochs
                told.append(f"{scale.epochs} instead of {stage.epochs}" + (f" in stage {i + 1}" if len(recipe.stages) > 1 else ""))
        said += [f"epochs at most: {', '.join(told)}"] if told else []
        span, epochs = recipe.balance.options.get("epochs"), sum(min(stage.epochs, scale.epochs) for stage in recipe.stages)
        if isinstance(span, int) and span > epochs:
            changes["balance.options.epochs"] = epochs
    if scale.batch and recipe.train.batch_size > scale.batch:
        changes["train.batch_size"] = scale.batch
        said.append(f"batches of {scale.batch} instead of {recipe.train.batch_size}")
    count = recipe.balance.options.get("count")
    if scale.images and isinstance(count, int) and count > (most := max(1, scale.images // DRAWN_TO)):
        changes["balance.options.count"] = most
        said.append(f"classes brought to {most:,} images instead of {count:,}")
    if scale.replicates and recipe.evaluate.replicates > scale.replicates:
        changes["evaluate.replicates"] = scale.replicates
        said.append(f"{scale.replicates:,} bootstrap replicates instead of {recipe.evaluate.replicates:,}")
    return (recipe.changed(**changes) if changes else recipe), said


def reduced(table: pd.DataFrame, scale: Scale, strata: Mapping[Hashable, str] | None = None) -> pd.DataFrame:
    """The rows of a divided table that a scale allows: whole groups, classes in proportion, the same ones every time.

    Training and validation share ``scale.images`` in their own proportion; the test part, or a table in no part, is cut to ``scale.test``.
    ``strata`` gives an image's class where the table's own labels will not do: tables of the same images and split under other labels
    keep the same rows by it. Rows in no part of a table that is divided go.
    """
    part = table["split"]
    if part.isna().all():
        return _kept(table, table, scale.test, strata)
    held, rest = table[part == "test"], table[part.isin(["train", "val"])]
    kept = [_kept(rest[rest["split"] == name], rest, scale.images, strata) for name in ("train", "val")]
    rows = pd.concat([*kept, _kept(held, held, scale.test, strata)]).sort_index()
    rows.attrs = table.attrs
    return rows


def _kept(rows: pd.DataFrame, of: pd.DataFrame, most: int | None, strata: Mapping[Hashable, str] | None) -> pd.DataFrame:
    """Of ``rows`` the share that brings ``of`` down to ``most`` rows."""
    rows = rows[rows["label"].notna()]
    total = int(of["label"].notna().sum())
    if most is None or total <= most or rows.empty:
        return rows
    label = rows["label"] if strata is None else rows["image"].map(dict(strata)).fillna(rows["label"])
    told = splits.split(
        rows.assign(label=label, split=None), Split(test=1 - most / total, val=0)
    )  # train is what is kept: it is served first
    return rows[told["split"] == "train"]


def shortened(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """What ``reduced`` left out of each part, a phrase each."""
    said = []
    for name, held in (("training", ["train", "val"]), ("test", ["test"])):
        was, now = (int(t["split"].isin(held).sum()) for t in (before, after))
        if now < was:
            said.append(f"{now:,} of {words.count(was, name + ' image')}" + (" (validation included)" if name == "training" else ""))
    return said


def _pixels(size: tuple[int, ...]) -> str:
    return f"{size[0]} x {size[1]} pixels"

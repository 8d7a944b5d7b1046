"""Splits: which rows train, validate and test; groups are never cut, classes keep their shares, the seed alone decides."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data import delimited
from cutis.data.formats import SYNONYMS
from cutis.data.table import connected, noted, part
from cutis.errors import DataError
from cutis.recipe import Split
from cutis.registry import unknown


def split(table: pd.DataFrame, spec: Split) -> pd.DataFrame:
    """The table with ``split`` filled in, whatever the order of its rows.

    Without a split in the data, the shares of ``spec`` are cut, or fold ``spec.fold`` of ``spec.folds``. A split in the data is
    kept; where it has no val, that is cut from train (with no train: from the rows in no part). Rows without a label get no part.
    What is cut here never cuts a group, nor separates identical pictures where ``sha256`` tells them.
    Raises DataError where there is too little to split.
    """
    labelled = table["label"].notna()
    if not labelled.any():
        raise DataError("No image has a label, so there is nothing to split. Check the label column.")
    whole = table
    if "sha256" in table:
        table = table.assign(group=connected(table, ["group", "sha256"]).astype(str))
    given = table["split"].where(labelled)
    parts = set(given.dropna())
    notes = [f"{int((~labelled).sum()):,} images have no label and are left out."] if not labelled.all() else []
    if spec.folds:
        if parts:
            notes.append(f"The split that came with the data is replaced by fold {spec.fold} of {spec.folds}.")
        result = _fold(table[labelled], spec)
    elif not parts:
        result = _cut(table[labelled], {"train": 1 - spec.test - spec.val, "test": spec.test, "val": spec.val}, (spec.seed,))
    else:
        result = _completed(table, given, parts, spec, notes)
    result = result.reindex(table.index).astype("str")
    return noted(whole.assign(split=result), *notes, *_scarce(whole.assign(split=result)))


def from_file(table: pd.DataFrame, file_and_column: str) -> pd.DataFrame:
    """The table with ``split`` from a column of a delimited file, given as ``FILE:COLUMN``.

    Rows are matched by image key, else by the file's name without folders and ending; those the file does not name get no part.
    Raises DataError for an unknown column, an unknown part, a name that fits several rows, or no match at all.
    """
    name, _, column = file_and_column.rpartition(":")
    path = Path(name)
    columns = delimited.header(path) if path.is_file() else ()
    if not columns:
        raise DataError(f"A split is given as FILE:COLUMN with a CSV file that exists; {file_and_column!r} is not. Correct it.")
    if column not in columns:
        raise DataError(f"{unknown('column', column, columns)} It is looked for in {path}.")
    key = next((c for n in SYNONYMS["image"] for c in columns if c.casefold() == n), columns[0])
    rows = delimited.rows(path, text=[key, column]).dropna(subset=[key])
    parts = rows[column].map(part, na_action="ignore")
    odd = rows[column][rows[column].notna() & parts.isna()].unique()
    if len(odd):
        raise DataError(f"{path}:{column} holds {', '.join(map(repr, sorted(odd)[:5]))}; write train, val or test. Or name another column.")
    assigned = _matched(table["image"], dict(zip(rows[key], parts, strict=True)), path)
    found, missing = assigned.notna(), int((table["label"].notna() & assigned.isna()).sum())
    if not found.any():
        raise DataError(f"{path}:{column} puts none of the {len(table)} images in a part. Check that its column {key} names them.")
    notes = [f"The split is {path.name}:{column}."]
    if missing:
        notes.append(f"{missing:,} images are in no part of {path.name}:{column} and are left out.")
    return noted(table.assign(split=assigned.astype("str")), *notes)


def named(file_and_column: str) -> str:
    """``FILE:COLUMN`` in words."""
    file, _, column = file_and_column.rpartition(":")
    return f"column {column} of {Path(file).name}"


def _matched(images: pd.Series, parts: dict[str, Any], path: Path) -> pd.Series:
    exact = images.map(parts)
    if images.isin(parts.keys()).all():
        return exact
    stems = images.map(_stem)
    by_stem: dict[str, Any] = {}
    torn = set()
    for name, value in parts.items():
        if by_stem.setdefault(_stem(name), value) != value:
            torn.add(_stem(name))
    twice = set(stems[stems.duplicated(keep=False)]) | torn
    unclear = stems[~images.isin(parts.keys()) & stems.isin(twice) & stems.isin(by_stem.keys())]
    if len(unclear):
        raise DataError(f"{path} does not say which of several files {unclear.iloc[0]!r} is. Write the image's path from the table there.")
    return exact.where(images.isin(parts.keys()), stems.map(by_stem))


def _stem(name: str) -> str:
    return name if "::" in name else Path(name).stem


def _completed(table: pd.DataFrame, given: pd.Series, parts: set[str], spec: Split, notes: list[str]) -> pd.Series:
    """A split in the data: kept, with val cut from the training rows where there is none."""
    free = table["label"].notna() & given.isna()
    pool = given == "train"
    if not pool.any() and free.any():
        pool, given = free, given.mask(free, "train")
        notes.append(f"The data say what is {' and '.join(sorted(parts))}; the other {int(free.sum()):,} images are the training pool.")
    elif free.any():
        notes.append(f"{int(free.sum()):,} images are in no part of the split that came with the data and are left out.")
    if "val" not in parts and pool.any() and spec.val:
        share = spec.val / (1 - spec.test)
        given = given.mask(pool, _cut(table[pool], {"train": 1 - share, "val": share}, (spec.seed, 1)))
        notes.append(f"The data have no validation part; {int((given == 'val').sum()):,} images for it are cut from train.")
    if "test" not in parts:
        notes.append("The data have no test part: no figure of this run is from unseen images. Evaluate the run on other data.")
    return given


def _fold(table: pd.DataFrame, spec: Split) -> pd.Series:
    """Fold ``spec.fold`` is test; val is cut from the others."""
    groups = table["group"].nunique()
    if groups < spec.folds:
        raise DataError(f"{groups} groups cannot make {spec.folds} folds. Use at most {groups}: --folds {max(groups, 2)}")
    share = spec.val / (1 - 1 / spec.folds)
    if share >= 1:
        raise DataError(f"split.val={spec.val} leaves nothing to train on with {spec.folds} folds. Use a smaller share or more folds.")
    folds = _cut(table, {str(k): 1 / spec.folds for k in range(spec.folds)}, (spec.seed, 2))
    rest = folds != str(spec.fold)
    return folds.mask(~rest, "test").mask(rest, _cut(table[rest], {"train": 1 - share, "val": share}, (spec.seed, 3, spec.fold)))


def _cut(table: pd.DataFrame, shares: dict[str, float], seed: tuple[int, ...]) -> pd.Series:
    """A part for each row: whole groups, dealt so that each class comes as near to its shares as groups allow.

    Greedy: groups in random order, large ones first, each to the part where it lowers (or least raises) the chi-square distance
    sum over parts and classes of (images - wanted)^2 / wanted. As parts fill in proportion, large groups are spread by the shares
    too. A class with at least as many groups as parts gives each part at least one group's worth; with fewer, the first part
    (train) is served first.
    """
    names = [name for name, share in shares.items() if share > 0]
    rows = table[["image", "label", "group"]].sort_values("image")
    group, _ = pd.factorize(rows["group"])
    label, classes = pd.factorize(rows["label"], sort=True)
    counts = np.zeros((group.max() + 1, len(classes) + 1))  # the last column counts all images, so that parts keep their size too
    np.add.at(counts, (group, label), 1)
    counts[:, -1] = counts.sum(axis=1)
    wanted = _wanted(counts, np.array([shares[n] for n in names]))
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    dealt = np.zeros_like(wanted)
    choice = np.zeros(len(counts), np.int64)
    for g in order.tolist():
        k = counts[g].nonzero()[0]
        n = counts[g, k]
        gain = (n * (2 * (dealt[:, k] - wanted[:, k]) + n) / wanted[:, k]).sum(axis=1)
        choice[g] = best = int(gain.argmin())
        dealt[best, k] += n
    empty = [name for i, name in enumerate(names) if not dealt[i, -1]]
    if empty:
        raise DataError(
            f"{len(counts)} groups (lesions, patients or single images) of {len(classes)} classes leave nothing for {', '.join(empty)}. "
            "Add images, or ask for fewer parts: --set split.val=0"
        )
    return pd.Series(np.array(names, object)[choice[group]], index=rows.index).reindex(table.index)


def _wanted(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Images of each class (columns) that each part (rows) should get: the shares, but no less than one average group."""
    total, groups = counts.sum(axis=0), (counts > 0).sum(axis=0)
    wanted = shares[:, None] * total
    least = np.where(groups >= len(shares), total / groups, 0.0)
    raised = np.maximum(wanted, least)
    raised[0] -= (raised - wanted)[1:].sum(axis=0)
    result: NDArray[np.float64] = np.maximum(raised, np.minimum(wanted, np.maximum(least, 1e-9)))
    return result


def _scarce(table: pd.DataFrame) -> list[str]:
    """What the user should know of classes that are missing from a part."""
    rows = table[table["split"].notna()]
    notes = []
    for name in sorted(set(rows["split"])):
        lacking = sorted(set(rows["label"]) - set(rows.loc[rows["split"] == name, "label"]))
        if lacking:
            groups = rows[rows["label"].isin(lacking)].groupby("label")["group"].nunique()
            told = ", ".join(f"{c} ({groups[c]} groups in all)" for c in lacking[:5]) + (", ..." if len(lacking) > 5 else "")
            what = "the model cannot learn them" if name == "train" else "their figures are n/a there"
            notes.append(f"{name} has no image of {told}: {what}.")
    return notes

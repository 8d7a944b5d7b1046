"""The table: one row an image, the one form in which data move through Cutis (docs/formats.md lists its columns)."""

import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cutis.errors import DataError
from cutis.registry import unknown

COLUMNS: tuple[str, ...] = ("image", "label", "lesion", "patient", "group", "split", "sex", "age", "site", "skin_tone", "source")
PARTS: tuple[str, ...] = ("train", "val", "test")

_PART_NAMES = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "validate", "dev", "development", "tune"),
    "test": ("test", "testing", "tst", "holdout", "held-out"),
}
_PARTS = {name: part for part, names in _PART_NAMES.items() for name in names}
_SEXES = {"female": "female", "f": "female", "woman": "female", "male": "male", "m": "male", "man": "male"}
_TONES = {str(n): str(n) for n in range(1, 7)} | {roman: str(n) for n, roman in enumerate(("i", "ii", "iii", "iv", "v", "vi"), 1)}
_UNKNOWN = frozenset({"unknown", "nan", "none", "n/a", "na", "-1", "-"})


def part(name: str) -> str | None:
    """train, val or test for any usual name of that part of the data; None for another word."""
    return _PARTS.get(name.strip().casefold())


def finish(rows: pd.DataFrame, root: Path, reader: str, files: Sequence[Path]) -> pd.DataFrame:
    """The table from a reader's rows: columns completed, values normalised, linked rows given one group.

    ``rows`` needs only ``image`` (unique paths relative to ``root``); ``rows.attrs["notes"]`` is kept. Raises DataError for an
    image with two labels, an unknown part in ``split``, or no rows at all.
    """
    if rows.empty:
        raise DataError(f"{root} gives no images. Check that the path is right and that the images are beside the table.")
    notes: list[str] = list(rows.attrs.get("notes", []))
    table = rows.reset_index(drop=True)
    for name in COLUMNS:
        values = table[name] if name in table else pd.Series(np.nan, index=table.index)
        table[name] = pd.to_numeric(values, errors="coerce") if name == "age" else _text(values, strip=name != "image")
    assert table["image"].notna().all(), "a reader gave a row without an image"
    table["sex"] = _translated(table["sex"], _SEXES.get)
    table["site"] = table["site"].mask(table["site"].str.casefold().isin(_UNKNOWN))
    table["split"] = _parts(table["split"])
    table = _with_skin_tone(table, notes)
    table["group"] = _groups(table, notes)
    table = _without_repeats(table, notes)
    place = os.path.abspath(root)  # noqa: PTH100 - links in it stay as the user gave them
    table = table[[*COLUMNS, *(c for c in table.columns if c not in COLUMNS)]].copy()
    table.attrs = {
        "root": place,
        "reader": reader,
        "files": [str(f) for f in files],
        "notes": list(dict.fromkeys(notes)),
    }
    return table


def merge(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several tables as one; with different roots, paths become relative to their common parent.

    Rows that share a lesion, patient or given group across tables get one group. Raises DataError where an image is in two tables.
    """
    assert tables, "nothing to merge"
    if len(tables) == 1:
        return tables[0]
    root = Path(os.path.commonpath([t.attrs["root"] for t in tables]))
    moved = []
    for table in tables:
        prefix = Path(table.attrs["root"]).relative_to(root).as_posix()
        own = table["group"] == table["image"]  # such a group says no more than the path, which may change
        image = table["image"] if prefix == "." else prefix + "/" + table["image"]
        moved.append(table.assign(image=image, group=table["group"].mask(own)))
    joined = pd.concat([t.dropna(axis="columns", how="all") for t in moved], ignore_index=True)
    twice = joined["image"][joined["image"].duplicated()]
    if len(twice):
        raise DataError(
            f"{len(twice)} images are in more than one table, such as {_examples(twice)}. Leave one of the tables out, or its rows."
        )
    joined.attrs = {"notes": _joined(tables, "notes")}
    readers = dict.fromkeys(name for t in tables for name in t.attrs["reader"].split("+"))
    return finish(joined, root, "+".join(readers), [Path(f) for f in _joined(tables, "files")])


def mapped(table: pd.DataFrame, mapping: Mapping[str, str]) -> pd.DataFrame:
    """The table with labels renamed; an empty new name takes the label away.

    Raises DataError, naming the nearest labels, for an old name that does not occur.
    """
    known = set(table["label"].dropna())
    for old in mapping:
        if old not in known:
            raise DataError(f"{unknown('label', old, known)} Correct the label map.")
    new = table["label"].map(lambda label: mapping.get(label, label), na_action="ignore")
    return table.assign(label=_text(new))


def describe(table: pd.DataFrame) -> dict[str, Any]:
    """Counts: ``images lesions patients groups unlabelled classes`` (name to images), and the same for each part under ``splits``."""
    counts = _counts(table)
    counts["splits"] = {p: _counts(table[table["split"] == p]) for p in PARTS if (table["split"] == p).any()}
    counts["unassigned"] = int(table["split"].isna().sum())
    return counts


def noted(table: pd.DataFrame, *notes: str) -> pd.DataFrame:
    """The table with more notes (plain sentences for the user) in its attributes."""
    table = table.copy(deep=False)
    table.attrs = {**table.attrs, "notes": [*table.attrs.get("notes", []), *notes]}
    return table


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "images": len(table),
        "lesions": int(table["lesion"].nunique()),
        "patients": int(table["patient"].nunique()),
        "groups": int(table["group"].nunique()),
        "unlabelled": int(table["label"].isna().sum()),
        "classes": {str(c): int(n) for c, n in table["label"].value_counts().sort_index().items()},
    }


def _text(values: pd.Series, strip: bool = True) -> pd.Series:
    """Text in composed form (NFC) without surrounding blanks; empty is missing. Paths stay as the disk spells them."""
    text = values.map(str, na_action="ignore").astype("str")
    if strip:
        text = text.map(lambda t: unicodedata.normalize("NFC", t.strip()), na_action="ignore").astype("str")
    return text.mask(text == "")


def _translated(values: pd.Series, translate: Callable[[str], str | None]) -> pd.Series:
    return values.map(lambda v: translate(v.casefold()), na_action="ignore").astype("str")


def _parts(values: pd.Series) -> pd.Series:
    found = _translated(values, part)
    odd = values[values.notna() & found.isna()].unique()
    if len(odd):
        raise DataError(f"The split column holds {_examples(odd)}. Write train, val or test there, or rename the column.")
    return found


def _with_skin_tone(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Fitzpatrick 1 to 6 where it can be told; another scale is kept under another name."""
    given = table["skin_tone"].mask(table["skin_tone"].str.casefold().isin(_UNKNOWN))
    tone = _translated(given.str.removesuffix(".0"), _TONES.get)
    other = given[given.notna() & tone.isna()]
    if len(other):
        notes.append(f"skin_tone is not Fitzpatrick 1 to 6 in {len(other)} rows ({_examples(other.unique())}); kept as skin_tone_given.")
        table = table.assign(skin_tone_given=given)
    return table.assign(skin_tone=tone)


def connected(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """A number for each row, the same for all rows that equal values in any of these columns connect, also by a chain of them.

    Rows and values are the nodes of a graph; a number is a connected component. A missing value connects nothing.
    """
    rows, ids, nodes = [], [], len(table)
    for column in columns:
        codes, values = pd.factorize(table[column])
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        ids.append(codes[known] + nodes)
        nodes += len(values)
    row, other = np.concatenate(rows), np.concatenate(ids)
    graph = coo_array((np.ones(len(row), np.int8), (row, other)), shape=(nodes, nodes))
    component: NDArray[np.int64] = pd.factorize(connected_components(graph, directed=False)[1][: len(table)])[0]
    return component


def _groups(table: pd.DataFrame, notes: list[str]) -> pd.Series:
    """One name for all rows that a given group, a patient, a lesion or the same image connects.

    It is named after the first of its patients, else lesions, else given groups, else its image.
    """
    kinds = ("image", "group", "lesion", "patient")
    component = connected(table, kinds)
    shared = table["lesion"].groupby(table["lesion"]).transform("size").gt(1) & table["patient"].notna()
    several = table[shared].groupby("lesion")["patient"].nunique().loc[lambda k: k > 1]
    if len(several):
        notes.append(
            f"{len(several)} lesions occur under several patients, such as {_examples(several.index)}; each is one group with all of them. "
            "If lesions are numbered anew for each patient, write patient and number together."
        )
    name = np.empty(component.max() + 1, object)
    kind_of = np.empty(len(name), object)
    for kind in kinds:  # a later kind overrides an earlier one
        first = table[[kind]].assign(component=component).dropna().sort_values(kind).drop_duplicates("component")
        name[first["component"]], kind_of[first["component"]] = first[kind], kind
    if len(set(name)) < len(name):  # a lesion and a patient of the same name, not connected
        name = np.array([f"{k} {v}" for k, v in zip(kind_of, name, strict=True)], object)
    return pd.Series(name[component], index=table.index).astype("str")


def _without_repeats(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """An image named by several rows stays once; with two labels it is an error."""
    repeated = table["image"].duplicated(keep=False)
    if not repeated.any():
        return table
    labels = table[repeated].groupby("image")["label"].agg(lambda s: sorted(s.dropna().unique()))
    torn = labels[labels.map(len) > 1]
    if len(torn):
        shown = "; ".join(f"{image}: {' and '.join(names)}" for image, names in torn.head(3).items())
        raise DataError(f"{len(torn)} images have two labels ({shown}). Keep one row for each image.")
    notes.append(f"{len(labels)} images are named by several rows, such as {_examples(labels.index)}; the first row is kept.")
    return table.drop_duplicates("image").reset_index(drop=True)


def _joined(tables: Sequence[pd.DataFrame], key: str) -> list[str]:
    return list(dict.fromkeys(item for table in tables for item in table.attrs.get(key, [])))


def _examples(values: Sequence[Any] | pd.Series | pd.Index | NDArray[Any], n: int = 3) -> str:
    shown = [repr(str(v)) for v in list(values)[:n]]
    return ", ".join(shown) + (", ..." if len(values) > n else "")

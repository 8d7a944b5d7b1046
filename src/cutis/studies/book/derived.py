"""Tables that several studies derive from what was given: the same images under other labels, and splits that leak or do not."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data import labels
from cutis.data.table import mapped, noted
from cutis.errors import DataError
from cutis.recipe import Split
from cutis.studies.catalog import Given, Tables

BINARY = ("isic2019-binary", "ham10000-binary")
LEAKING = 0.3
"""Share of a lesion's further training images that a leaking split tests on: 773 of about 2,500 in DermaMNIST's official one."""


def malignancy(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every diagnosis called benign or malignant, by the first shipped map that knows them all.

    Raises DataError where none does.
    """
    names = table["label"].dropna().unique()
    folded = {str(name).casefold() for name in names}
    if folded == {"benign", "malignant"}:
        return table
    for name in BINARY:
        if folded <= {old.casefold() for old in labels.label_maps[name]()}:
            return mapped(table, labels.chosen(name, names))
    raise DataError(
        f"No label map says which of {', '.join(sorted(names))} are malignant. Name the classes as ISIC 2019 (MEL, NV, BCC, AK, BKL, DF, "
        "VASC, SCC) or HAM10000 (akiec, bcc, bkl, df, mel, nv, vasc) does: --map OLD=NEW"
    )


def corrected(given: Given, split: Split) -> Tables:
    """``corrected``: no lesion crosses (the split of that name, or without name, or cut here); ``external``, where given."""
    known = {"corrected": given.divided(split, "corrected" if "corrected" in given.splits else "")}
    return known if given.external is None else known | {"external": given.external}


def leaky(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """A clean split made to leak as one by image does: of groups with several training images, some of the further ones go to test.

    DermaMNIST-C was made of DermaMNIST the other way round, by moving every lesion that crosses to train: here as there the test images
    whose group is in no other part are the test images of the clean split.
    """
    train = table[table["split"] == "train"].sort_values("image")
    moved = train[train["group"].duplicated()].sample(frac=LEAKING, random_state=split.seed).index
    torn = noted(
        table.assign(split=table["split"].mask(table.index.isin(moved), "test")),
        f"{len(moved):,} training images of lesions with several are moved to test: this split leaks as one by image does.",
    )
    torn.attrs["how"] = "the clean split, made to leak as a split by image does"
    return torn


def leaking(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Test images whose group is also in training or validation: one truth value a row."""
    seen = table.loc[table["split"].isin(["train", "val"]), "group"]
    return ((table["split"] == "test") & table["group"].isin(seen)).to_numpy(bool)


def clean(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Test images whose group is in no other part: one truth value a row."""
    return (table["split"] == "test").to_numpy(bool) & ~leaking(table)

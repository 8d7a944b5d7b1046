"""What the columns of a table are: facts about a picture, identifiers, the label in other words."""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data.formats import SYNONYMS

Integers = NDArray[np.int64]

PERSON: Final = ("age", "sex", "site", "skin_tone")
"""Facts of the patient, which a doctor knows before the diagnosis too: what they tell is medicine as much as it is chance."""

AFTERWARDS: Final = frozenset({
    "dx_type", "diagnosis_confirm_type", "biopsed", "concomitant_biopsy", "benign_malignant", "melanocytic",
    "mel_class", "mel_type", "mel_mitotic_index", "mel_thick_mm", "mel_ulcer", "tbp_lv_dnn_lesion_confidence",
})  # fmt: skip
"""Columns of public collections (HAM10000, ISIC archive, PAD-UFES-20, SLICE-3D) that are filled in with the diagnosis or because of it."""

SAYS_THE_LABEL: Final = 0.8
"""Share of the label's entropy that a column explains, or the label of the column's, from which on it is the label in other words;
the same labels with 3 in 100 of them wrong have about 0.85."""

FEW: Final = 0.1  # distinct values per image, at most, of what can be a label
IDENTIFIER: Final = re.compile(r"(^|[_\s-])(id|uid|uuid|md5|sha1|sha256|hash|url|path|file|filename)$", re.IGNORECASE)
_KEYS = ("image", "lesion", "patient", "group", "split")
_NEVER = frozenset({"label", "sha256", *_KEYS, *(name for key in _KEYS for name in SYNONYMS[key])})


@dataclass(frozen=True)
class LabelColumn:
    """A column that says the label, or a coarser or finer one, in other words; ``odd``: places of images where the two do not fit."""

    name: str
    finer: bool
    """Whether the label follows from the column (else the column from the label)."""
    odd: Integers


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they are; ``facts`` are those that are probed."""

    facts: tuple[str, ...] = ()
    labels: tuple[LabelColumn, ...] = ()
    identifiers: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()


def sorted_out(table: pd.DataFrame, labels: Integers, groups: Integers) -> Columns:
    """The columns of a table of n images with a label (class index) and a group each; those that say where an image belongs are left out.

    An identifier is a text whose values hardly occur in two groups, or a column that is called one: no probe could carry what it tells
    to other groups.
    """
    found: dict[str, list[Any]] = {"facts": [], "labels": [], "identifiers": [], "constant": []}
    for name in (c for c in map(str, table.columns) if c.casefold() not in _NEVER and table[c].notna().any()):
        column = table[name]
        if column.nunique(dropna=False) < 2:
            found["constant"].append(name)
        elif (again := _says_the_label(name, column, labels)) is not None:
            found["labels"].append(again)
        elif _identifies(name, column, groups):
            found["identifiers"].append(name)
        else:
            found["facts"].append(name)
    return Columns(**{kind: tuple(names) for kind, names in found.items()})


def _says_the_label(name: str, column: pd.Series, labels: Integers) -> LabelColumn | None:
    from sklearn.metrics import homogeneity_completeness_v_measure

    known = column.notna().to_numpy()
    values, _ = pd.factorize(column[known])
    own = labels[known]
    if name in PERSON or known.mean() < 0.5 or not 1 < values.max(initial=-1) + 1 <= FEW * len(values) or len(np.unique(own)) < 2:
        return None
    # Theil's uncertainty coefficients, of the label given the column and of the column given the label
    explained, explains, _ = homogeneity_completeness_v_measure(own, values)
    if max(explained, explains) < SAYS_THE_LABEL:
        return None
    finer = bool(explained >= explains)
    usual = _usual(values, own) if finer else _usual(own, values)
    return LabelColumn(name, finer, np.flatnonzero(known)[usual != (own if finer else values)])


def _usual(given: Integers, wanted: Integers) -> Integers:
    """For each image the most frequent ``wanted`` among those with the same ``given``."""
    counts = np.zeros((given.max() + 1, wanted.max() + 1), np.int64)
    np.add.at(counts, (given, wanted), 1)
    return np.asarray(counts.argmax(axis=1)[given])


def _identifies(name: str, column: pd.Series, groups: Integers) -> bool:
    if IDENTIFIER.search(name):
        return True
    if pd.api.types.is_numeric_dtype(column):
        return False
    reach = pd.Series(groups, index=column.index).groupby(column).transform("nunique")
    return bool((reach[column.notna()] > 1).mean() < 0.5)

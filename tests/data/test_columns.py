"""Columns: what says the label again, what only identifies, what is kept from models."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.data import columns
from cutis.data.columns import Columns

N = 700
RNG = np.random.default_rng(0)
LABELS = RNG.choice(7, N, p=[0.4, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05])
GROUPS = np.arange(N) // 2
NAMES = np.array(["naevus", "melanoma", "keratosis", "carcinoma", "bowen", "vascular", "fibroma"])


def sorted_out(**given: Any) -> Columns:
    return columns.sorted_out(pd.DataFrame({"image": [f"{i}.png" for i in range(N)], **given}), LABELS, GROUPS)


def swapped(values: Any, share: float) -> tuple[Any, Any]:
    """The values, a share of them exchanged for another; and which."""
    other = np.array(values)
    odd = RNG.random(N) < share
    other[odd] = np.roll(NAMES, 1)[LABELS[odd]]
    return other, np.flatnonzero(odd)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03])
def test_the_label_in_another_spelling_is_recognised(share: float) -> None:
    values, odd = swapped(NAMES[LABELS], share)
    (found,) = sorted_out(diagnosis_full=values).labels
    assert found.name == "diagnosis_full"
    assert np.array_equal(found.odd, odd)


def test_a_code_is_the_label_too() -> None:
    (found,) = sorted_out(target=LABELS + 100).labels
    assert (found.name, len(found.odd)) == ("target", 0)


def test_coarser_and_finer_labels_are_recognised() -> None:
    finer = np.char.add(NAMES[LABELS], RNG.choice([" 1", " 2", " 3"], N))
    found = {column.name: column.finer for column in sorted_out(malignant=np.isin(LABELS, [1, 3, 4]), subtype=finer).labels}
    assert found == {"malignant": False, "subtype": True}


def test_facts_that_only_lean_to_a_class_are_no_labels() -> None:
    leaning = np.where(RNG.random(N) < 0.7, LABELS == 0, RNG.random(N) < 0.5)
    found = sorted_out(asked=leaning, clinic=RNG.choice(list("abc"), N), size_mm=RNG.normal(size=N), rarely=np.arange(N) < 3)
    assert found.labels == ()
    assert found.facts == ("asked", "clinic", "size_mm", "rarely")


def test_identifiers_constants_and_places_are_not_facts() -> None:
    found = sorted_out(
        lesion=GROUPS,
        Patient_ID=GROUPS,
        split="train",
        sha256="0",
        label=NAMES[LABELS],
        visit_uuid=RNG.integers(9, size=N),
        code=np.char.add("case ", GROUPS.astype(str)),
        camera="one",
        empty=None,
        only_some=np.where(LABELS == 1, "yes", None),
    )
    assert found.identifiers == ("visit_uuid", "code")
    assert found.constant == ("camera",)
    assert found.facts == ("only_some",), "whether it is known may tell the class"
    assert found.labels == ()


def test_what_a_person_is_stays_a_fact() -> None:
    assert sorted_out(skin_tone=(LABELS % 6 + 1).astype(str)).facts == ("skin_tone",)

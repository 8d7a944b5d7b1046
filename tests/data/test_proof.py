"""The proof of a split: planted leaks are all found, and said in full."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.data.proof import prove
from cutis.data.readers import read
from cutis.data.splits import from_file
from cutis.data.table import finish


def table(**columns) -> pd.DataFrame:
    n = len(columns["split"])
    rows = {"image": [f"{i}.jpg" for i in range(n)], "label": ["a"] * n, **columns}
    return finish(pd.DataFrame(rows), Path("/data"), "csv", [])


def test_a_clean_split_is_said_to_be_clean():
    proof = prove(table(lesion=["1", "1", "2"], split=["train", "train", "test"], sha256=["x", "x", "y"]))
    assert proof.ok
    assert not proof.leaks
    assert (
        proof.message()
        == "The split is clean: no lesion and no identical picture among 3 images is in more than one part (train 2, test 1)."
    )


def test_fault_d4_a_crossing_patient_and_lesion_are_found():
    proof = prove(table(patient=["P", "P", "Q", "R"], split=["train", "test", "test", "val"], label=["m", "m", "n", "n"]))
    assert not proof.ok
    assert proof.kind == "patient"
    assert proof.groups == ("P",)
    assert proof.images == 2
    assert proof.classes["m"] == {"test": 1, "test_in_train": 1, "test_in_val": 0, "val": 0, "val_in_train": 0}
    message = proof.message()
    assert "1 patient (2 images)" in message
    assert "--allow-leaks" in message
    assert any(line.split() == ["m", "1", "1", "(100.0%)", "0", "(0.0%)", "0", "-"] for line in message.splitlines())


def test_fault_d4_an_identical_picture_across_the_split_is_found_once():
    proof = prove(table(lesion=["1", "2", "3", "3"], split=["train", "test", "train", "test"], sha256=["x", "x", "y", "y"]))
    assert proof.identical == (("0.jpg", "1.jpg"),), "the pair of lesion 3 is the group's fault, not another one"
    assert proof.groups == ("3",)
    assert proof.classes["a"]["test_in_train"] == 2


def test_identical_pictures_with_two_labels_are_told_but_do_not_stop():
    proof = prove(table(split=["train", "train"], label=["a", "b"], sha256=["x", "x"]))
    assert proof.ok
    assert proof.conflicts == (("0.jpg", "1.jpg"),)
    assert "0.jpg = 1.jpg" in proof.message()


def test_rows_in_no_part_and_pictures_without_hash_do_not_count():
    proof = prove(table(lesion=["1", "1", "2"], split=["train", None, "test"], sha256=["x", "x", ""]))
    assert proof.ok
    assert proof.unhashed == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["train", "val", "test"]), st.sampled_from("xyzw")), min_size=1, max_size=25))
@settings(max_examples=40)
def test_every_crossing_pair_is_found(rows):
    """Against all pairs by hand."""
    t = table(lesion=[f"L{r[0]}" for r in rows], split=[r[1] for r in rows], sha256=[r[2] + str(r[0] % 2) for r in rows])
    proof = prove(t)
    crossing = {f"L{a[0]}" for a in rows for b in rows if a[0] == b[0] and a[1] != b[1]}
    assert set(proof.groups) == crossing
    hashes = t["sha256"].tolist()
    sets = {h: [r for r, k in zip(rows, hashes, strict=True) if k == h] for h in hashes}
    copied = [same for same in sets.values() if len({r[1] for r in same}) > 1 and len({r[0] for r in same}) > 1]
    assert sorted(map(len, proof.identical)) == sorted(map(len, copied))
    assert proof.ok == (not crossing and not copied)
    json.dumps(proof.to_dict(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.skipif("CUTIS_DATA" not in os.environ, reason="CUTIS_DATA is not set")
def test_the_official_dermamnist_split_is_refused_and_the_corrected_one_is_clean():
    folder = Path(os.environ["CUTIS_DATA"]) / "isic2018"
    t = read(folder / "HAM10000_metadata.csv")
    proof = prove(from_file(t, f"{folder / 'dermamnist_splits.csv'}:split_official"))
    assert "1,006 lesions (2,398 images)" in proof.message()
    raw = pd.read_csv(folder / "dermamnist_splits.csv")
    lesions = {p: set(raw.loc[raw["split_official"] == p, "lesion_id"]) for p in ("train", "val", "test")}
    test = raw[raw["split_official"] == "test"]
    for name, rows in test.groupby("dx"):
        assert proof.classes[name]["test"] == len(rows)
        assert proof.classes[name]["test_in_train"] == np.isin(rows["lesion_id"], list(lesions["train"])).sum()
        assert proof.classes[name]["test_in_val"] == np.isin(rows["lesion_id"], list(lesions["val"])).sum()
    assert prove(from_file(t, f"{folder / 'dermamnist_splits.csv'}:split_corrected")).ok

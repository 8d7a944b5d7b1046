"""Splits: whole groups, class shares, determinism, folds, given splits."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cutis.data.proof import prove
from cutis.data.readers import read
from cutis.data.splits import from_file, split
from cutis.data.table import finish
from cutis.errors import DataError
from cutis.recipe import Split


def table(labels, groups=None, **columns) -> pd.DataFrame:
    rows = pd.DataFrame({"image": [f"{i:05}.jpg" for i in range(len(labels))], "label": labels, **columns})
    return finish(rows if groups is None else rows.assign(lesion=groups), Path("/data"), "csv", [])


def crowd(n=2000, seed=0) -> pd.DataFrame:
    """Lesions of one to four images, classes 80, 15 and 5 %."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 4], size=n, p=[0.7, 0.2, 0.07, 0.03])
    labels = rng.choice(["nv", "mel", "df"], size=n, p=[0.8, 0.15, 0.05])
    return table(np.repeat(labels, sizes).tolist(), np.repeat([f"L{i}" for i in range(n)], sizes).tolist())


rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 12)), min_size=1, max_size=60)
specs = st.builds(Split, test=st.sampled_from([0.0, 0.2, 0.5]), val=st.sampled_from([0.0, 0.1, 0.3]), seed=st.integers(0, 5))


@given(rows, specs)
@settings(max_examples=40)
def test_fault_d4_a_split_never_cuts_a_group(rows, spec):
    t = table([r[0] for r in rows], [f"g{r[1]}" for r in rows])
    try:
        s = split(t, spec)
    except DataError:
        assume(False)
    assert s.groupby("group")["split"].nunique().max() <= 1
    assert (s["split"].isna() == s["label"].isna()).all()
    assert set(s["split"].dropna()) == {"train", *(["test"] if spec.test else []), *(["val"] if spec.val else [])}
    assert prove(s).ok


@given(rows, st.integers(2, 4), st.integers(0, 3))
@settings(max_examples=12)
def test_every_group_is_test_in_exactly_one_fold(rows, k, seed):
    t = table([r[0] for r in rows], [f"g{r[1]}" for r in rows])
    try:
        folds = [split(t, Split(folds=k, fold=i, val=0.1, seed=seed)) for i in range(k)]
    except DataError:
        assume(False)
    tested = sum((f["split"] == "test").astype(int) for f in folds)
    assert (tested == t["label"].notna()).all()
    assert all(prove(f).ok for f in folds)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=8)
def test_the_seed_alone_decides_not_the_order_of_rows(seed, shuffle):
    t = crowd(60)
    mixed = t.sample(frac=1, random_state=shuffle)
    one, two = split(t, Split(seed=seed)), split(mixed, Split(seed=seed))
    assert one.set_index("image")["split"].sort_index().equals(two.set_index("image")["split"].sort_index())


def test_another_seed_gives_another_split():
    t = crowd(200)
    assert (split(t, Split(seed=1))["split"] != split(t, Split(seed=2))["split"]).mean() > 0.2


@pytest.mark.parametrize("spec", [Split(), Split(test=0.15, val=0.15, seed=3), Split(test=0.1, val=0)])
def test_class_shares_are_met(spec):
    s = split(crowd(), spec)
    shares = pd.crosstab(s["label"], s["split"], normalize="index")
    for name, wanted in {"test": spec.test, "val": spec.val, "train": 1 - spec.test - spec.val}.items():
        if wanted:
            counts = s["label"].value_counts().sort_index()
            assert ((shares[name] - wanted).abs() <= 2 / counts).all(), f"{name}: off by more than two images of a class"


def test_large_lesions_are_spread_by_the_shares_too():
    t = crowd()
    s = split(t, Split())
    several = s["group"].map(s["group"].value_counts()) > 1
    assert abs((s.loc[several, "split"] == "test").mean() - 0.2) < 0.02


def test_folds_are_stratified():
    t = crowd(400)
    for k in range(5):
        s = split(t, Split(folds=5, fold=k))
        share = pd.crosstab(s["label"], s["split"], normalize="index")["test"]
        assert ((share - 0.2).abs() <= 2 / s["label"].value_counts().sort_index()).all()


def test_fault_d5_a_class_with_one_group_goes_to_train_and_is_told():
    t = table(["nv"] * 60 + ["df"], None)
    s = split(t, Split())
    assert s.loc[s["label"] == "df", "split"].tolist() == ["train"]
    assert any("df (1 groups in all)" in note and note.startswith("test") for note in s.attrs["notes"])


def test_a_class_with_as_many_groups_as_parts_is_in_each():
    s = split(table(["nv"] * 200 + ["df"] * 3), Split())
    assert set(s.loc[s["label"] == "df", "split"]) == {"train", "val", "test"}


def test_too_little_to_split_is_said():
    with pytest.raises(DataError, match="2 groups"):
        split(table(["a", "b"]), Split())
    with pytest.raises(DataError, match="No image has a label"):
        split(table([None, None]), Split())
    with pytest.raises(DataError, match="3 groups cannot make 5 folds"):
        split(table(["a"] * 3), Split(folds=5))


def test_a_whole_split_in_the_data_is_kept():
    before = ["train"] * 10 + ["val"] * 5 + ["test"] * 5
    assert split(table(["a", "b"] * 10, split=before), Split(seed=4))["split"].tolist() == before


def test_val_is_cut_from_train_where_only_test_is_given():
    for before in (["train"] * 80 + ["test"] * 20, [None] * 80 + ["test"] * 20):
        s = split(table(["a", "b"] * 50, [f"g{i // 2}" for i in range(100)], split=before), Split(test=0.2, val=0.1))
        assert (s["split"] == "test").tolist() == [part == "test" for part in before]
        assert (s["split"] == "val").sum() == 10  # 0.1 / (1 - 0.2) of the 80 training images
        assert prove(s).ok


def test_no_test_part_is_told():
    s = split(table(["a", "b"] * 10, split=["train"] * 15 + ["val"] * 5), Split())
    assert set(s["split"]) == {"train", "val"}
    assert any("no test part" in note for note in s.attrs["notes"])


def test_rows_in_no_part_of_a_given_split_are_left_out():
    s = split(table(["a", "b"] * 10, split=["train"] * 10 + ["val"] * 4 + ["test"] * 4 + [None] * 2), Split())
    assert s["split"].isna().sum() == 2
    assert any("2 images are in no part" in note for note in s.attrs["notes"])


def test_a_split_from_a_file(tmp_path):
    t = finish(pd.DataFrame({"image": ["x/a.jpg", "x/b.jpg", "y/c.jpg"], "label": list("mmn")}), tmp_path, "csv", [])
    file = tmp_path / "s.csv"
    file.write_text("image;mine;other\na;Training;1\nx/b.jpg;validation;2\nzz;test;3\n", "utf-8")
    s = from_file(t, f"{file}:mine")
    assert s["split"].tolist()[:2] == ["train", "val"]
    assert pd.isna(s["split"][2])
    assert any("1 images are in no part" in note for note in s.attrs["notes"])
    with pytest.raises(DataError, match="'1', '2', '3'"):
        from_file(t, f"{file}:other")
    with pytest.raises(DataError, match=r"Unknown column 'mien'\. Did you mean 'mine'"):
        from_file(t, f"{file}:mien")
    with pytest.raises(DataError, match="FILE:COLUMN"):
        from_file(t, str(tmp_path / "absent.csv"))
    file.write_text("image,mine\nq,train\n")
    with pytest.raises(DataError, match="none of the 3 images"):
        from_file(t, f"{file}:mine")


def test_fault_d3_a_bare_name_that_fits_two_files_is_refused_in_a_split_file(tmp_path):
    t = finish(pd.DataFrame({"image": ["x/a.jpg", "y/a.jpg"], "label": ["m", "n"]}), tmp_path, "csv", [])
    (tmp_path / "s.csv").write_text("image,part\na,train\n")
    with pytest.raises(DataError, match="which of several files 'a'"):
        from_file(t, f"{tmp_path / 's.csv'}:part")
    (tmp_path / "s.csv").write_text("image,part\nx/a.jpg,train\ny/a.jpg,test\n")
    assert from_file(t, f"{tmp_path / 's.csv'}:part")["split"].tolist() == ["train", "test"]


@pytest.mark.slow
@pytest.mark.skipif("CUTIS_DATA" not in os.environ, reason="CUTIS_DATA is not set")
def test_ham10000_meets_its_shares_to_an_image():
    t = read(Path(os.environ["CUTIS_DATA"]) / "isic2018" / "HAM10000_metadata.csv")
    s = split(t, Split(seed=1))
    assert prove(s).ok
    counts = pd.crosstab(s["label"], s["split"])
    assert ((counts["test"] - 0.2 * counts.sum(axis=1)).abs() < 2).all()
    assert ((counts["val"] - 0.1 * counts.sum(axis=1)).abs() < 2).all()


@given(rows, specs)
@settings(max_examples=40)
def test_fault_d4_a_split_never_separates_identical_pictures(rows, spec):
    t = table([r[0] for r in rows]).assign(sha256=[f"pixels {r[1]}" for r in rows])
    try:
        s = split(t, spec)
    except DataError:
        assume(False)
    assert s.groupby("sha256")["split"].nunique().max() <= 1
    assert s["group"].tolist() == t["group"].tolist()

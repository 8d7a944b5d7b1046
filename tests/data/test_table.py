"""The table: completion, groups, merging, label maps, counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.data.table import COLUMNS, describe, finish, mapped, merge
from cutis.errors import DataError


def table(root: str = "/data/a", **columns: list) -> pd.DataFrame:
    return finish(pd.DataFrame(columns), Path(root), "csv", [Path(root) / "t.csv"])


def test_every_column_exists_and_metadata_keep_their_names():
    t = table(image=["a.jpg"], dx_type=["histo"], age=["45"])
    assert list(t.columns) == [*COLUMNS, "dx_type"]
    assert t.loc[0, "age"] == 45
    assert t.attrs["root"] == "/data/a"
    assert t.attrs["reader"] == "csv"
    assert t.attrs["files"] == ["/data/a/t.csv"]


def test_values_are_normalised():
    t = table(
        image=["a", "b", "c"], sex=["F", "MALE", "unknown"], skin_tone=["3.0", "IV", None], split=["Training", "valid", "TEST"],
        label=[" mel ", "", "Nevüs"],
    )  # fmt: skip
    assert t["sex"].tolist()[:2] == ["female", "male"]
    assert pd.isna(t["sex"][2])
    assert t["skin_tone"].tolist()[:2] == ["3", "4"]
    assert t["split"].tolist() == ["train", "val", "test"]
    assert t["label"][0] == "mel"
    assert pd.isna(t["label"][1])
    assert t["label"][2] == "Nev\u00fcs"


def test_another_skin_tone_scale_is_kept_under_another_name():
    t = table(image=["a", "b"], skin_tone=["12", "56"])
    assert t["skin_tone"].isna().all()
    assert t["skin_tone_given"].tolist() == ["12", "56"]
    assert "skin_tone_given" in t.attrs["notes"][0]


def test_an_unknown_part_is_an_error():
    with pytest.raises(DataError, match="trian"):
        table(image=["a"], split=["trian"])


def test_group_is_patient_else_lesion_else_image():
    t = table(image=["a", "b", "c", "d"], lesion=["L1", "L2", None, "L1"], patient=[None, "P", None, None])
    assert t["group"].tolist() == ["L1", "P", "c", "L1"]


def test_lesions_and_patients_that_connect_rows_are_one_group():
    t = table(image=list("abcde"), lesion=["1", "1", "2", "3", "4"], patient=["P", None, "P", "Q", "R"])
    assert t["group"].tolist() == ["P", "P", "P", "Q", "R"]
    t = table(image=list("abc"), lesion=["1", "1", "2"], patient=["P", "Q", "Q"])
    assert t["group"].nunique() == 1
    assert "several patients" in t.attrs["notes"][0]


def test_a_lesion_and_a_patient_of_the_same_name_stay_apart():
    t = table(image=["a", "b"], lesion=["1", None], patient=[None, "1"])
    assert t["group"].nunique() == 2


ids = st.one_of(st.none(), st.sampled_from("123"))


@given(st.lists(st.tuples(ids, ids, ids), min_size=1, max_size=12))
@settings(max_examples=40)
def test_groups_are_the_connected_components(rows):
    """Against union-find by hand: rows are connected when they share a lesion, a patient or a given group."""
    t = table(
        image=[f"{i}.jpg" for i in range(len(rows))], **{k: [r[j] for r in rows] for j, k in enumerate(("lesion", "patient", "group"))}
    )
    parent = list(range(len(rows)))

    def find(i: int) -> int:
        return i if parent[i] == i else find(parent[i])

    for i, a in enumerate(rows):
        for j, b in enumerate(rows[:i]):
            if any(x is not None and x == y for x, y in zip(a, b, strict=True)):
                parent[find(i)] = find(j)
    expected = np.array([find(i) for i in range(len(rows))])
    actual = t["group"].to_numpy()
    assert ((expected[:, None] == expected) == (actual[:, None] == actual)).all()


def test_fault_d3_one_image_with_two_labels_is_refused_and_a_repeat_is_noted():
    with pytest.raises(DataError, match=r"two labels .*a\.jpg: bkl and mel"):
        table(image=["a.jpg", "a.jpg"], label=["mel", "bkl"])
    t = table(image=["a.jpg", "a.jpg", "b.jpg"], label=["mel", "mel", "nv"])
    assert t["image"].tolist() == ["a.jpg", "b.jpg"]
    assert "several rows" in t.attrs["notes"][0]


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="no images"):
        finish(pd.DataFrame({"image": []}), Path("/x"), "csv", [])


def test_merging_moves_paths_to_the_common_parent():
    one = table("/data/a", image=["x.jpg"], label=["mel"])
    two = table("/data/b/c", image=["x.jpg", "y.jpg"], label=["nv", "nv"], lesion=["L", "L"])
    both = merge([one, two])
    assert both["image"].tolist() == ["a/x.jpg", "b/c/x.jpg", "b/c/y.jpg"]
    assert both["group"].tolist() == ["a/x.jpg", "L", "L"]
    assert both.attrs["root"] == "/data"
    assert both.attrs["files"] == ["/data/a/t.csv", "/data/b/c/t.csv"]
    assert both.attrs["reader"] == "csv"


def test_merging_the_same_image_twice_is_an_error():
    one = table(image=["x.jpg"])
    with pytest.raises(DataError, match=r"x\.jpg"):
        merge([one, one])


def test_merging_joins_a_lesion_known_to_both():
    both = merge([table("/d/a", image=["1"], lesion=["L"], patient=["P"]), table("/d/b", image=["2"], lesion=["L"])])
    assert both["group"].tolist() == ["P", "P"]


def test_mapping_renames_and_an_unknown_name_is_an_error():
    t = table(image=["a", "b", "c"], label=["scc", "mel", "unk"])
    assert mapped(t, {"scc": "akiec"})["label"].tolist() == ["akiec", "mel", "unk"]
    assert mapped(t, {"unk": ""})["label"].isna().tolist() == [False, False, True]
    with pytest.raises(DataError, match="Did you mean 'mel'"):
        mapped(t, {"mell": "x"})


def test_describe_counts():
    t = table(image=list("abcd"), label=["m", "n", "n", None], lesion=["1", "1", "2", None], split=["train", "train", "test", None])
    counts = describe(t)
    assert {k: counts[k] for k in ("images", "lesions", "patients", "groups", "unlabelled", "unassigned")} == {
        "images": 4, "lesions": 2, "patients": 0, "groups": 3, "unlabelled": 1, "unassigned": 1,
    }  # fmt: skip
    assert counts["classes"] == {"m": 1, "n": 2}
    assert counts["splits"]["train"] == {
        "images": 2, "lesions": 1, "patients": 0, "groups": 1, "unlabelled": 0, "classes": {"m": 1, "n": 1},
    }  # fmt: skip
    assert list(counts["splits"]) == ["train", "test"]

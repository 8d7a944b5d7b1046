"""Derived tables: diagnoses as benign or malignant, splits that leak, and which test images leak."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutis.data import proof
from cutis.data.table import finish
from cutis.errors import DataError
from cutis.recipe import Split
from cutis.studies.book.derived import clean, corrected, leaking, leaky, malignancy
from cutis.studies.catalog import Given


def table(labels: list[str], lesions: list[str], split: list[str] | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"image": [f"{i:03d}.jpg" for i in range(len(labels))], "label": labels, "lesion": lesions})
    return finish(rows if split is None else rows.assign(split=split), Path("images"), "csv", [Path("labels.csv")])


def many(lesions: int = 60) -> pd.DataFrame:
    """Lesions with one, two or three images each, of two classes."""
    of = [f"L{i}" for i in range(lesions) for _ in range(1 + i % 3)]
    return table(["nv" if int(name[1:]) % 2 else "mel" for name in of], of)


def test_isic_2019s_classes_are_malignant_by_the_convention_that_gives_the_printed_share() -> None:
    classes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
    told = malignancy(table(classes, [f"L{c}" for c in classes]))
    assert list(told["label"]) == ["malignant", "benign", "malignant", "benign", "benign", "benign", "benign", "malignant"]


def test_ham10000s_classes_are_malignant_with_akiec() -> None:
    classes = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    told = malignancy(table(classes, [f"L{c}" for c in classes]))
    assert list(told["label"][told["label"] == "malignant"].index) == [0, 1, 4]


def test_labels_that_are_binary_already_stay() -> None:
    given = table(["benign", "malignant"], ["a", "b"])
    pd.testing.assert_frame_equal(malignancy(given), given)


def test_an_unknown_diagnosis_is_an_error_that_says_how_to_name_it() -> None:
    with pytest.raises(DataError, match=r"wart.*--map OLD=NEW"):
        malignancy(table(["nv", "wart"], ["a", "b"]))


def test_a_split_by_lesion_made_to_leak_keeps_its_test_images_clean() -> None:
    sound = corrected(Given(many()), Split(test=0.2, val=0.2))["corrected"]
    torn = leaky(sound, Split())
    assert proof.prove(sound).ok
    assert not proof.prove(torn).ok
    assert set(torn["image"][clean(torn)]) == set(sound["image"][sound["split"] == "test"])
    assert set(torn.loc[leaking(torn), "group"]) <= set(torn.loc[torn["split"] == "train", "group"])
    pd.testing.assert_series_equal(torn["split"], leaky(sound, Split())["split"])
    assert list(sound["split"] == "val") == list(torn["split"] == "val")


def test_a_test_image_leaks_where_its_lesion_is_in_training_or_validation() -> None:
    split = ["train", "test", "val", "test", "test", "train", "test"]
    given = table(["nv"] * 7, ["a", "a", "b", "b", "c", "d", "c"], split)
    np.testing.assert_array_equal(leaking(given), [False, True, False, True, False, False, False])
    np.testing.assert_array_equal(clean(given), [False, False, False, False, True, False, True])


def test_data_from_elsewhere_are_a_table_of_their_own(tmp_path: Path) -> None:
    elsewhere = table(["nv", "mel"], ["x", "y"])
    assert set(corrected(Given(many()), Split())) == {"corrected"}
    assert corrected(Given(many(), external=elsewhere), Split())["external"] is elsewhere


def test_the_split_given_by_name_comes_before_the_one_without(tmp_path: Path) -> None:
    given = many()
    file = tmp_path / "splits.csv"
    parts = np.array(["train", "val", "test"])[pd.factorize(given["group"])[0] % 3]
    pd.DataFrame({"image": given["image"], "a": parts, "b": np.roll(parts, 0)}).assign(b="train").to_csv(file, index=False)
    told = corrected(Given(given, {"corrected": f"{file}:a", "": f"{file}:b"}), Split())["corrected"]
    assert list(told["split"]) == list(parts)

"""Label maps: what ships, and how a user's map is understood."""

import pytest

from cutis.data.labels import by_grade, chosen, in_order, label_maps
from cutis.errors import DataError

ISIC2019 = {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628}


def test_the_binary_convention_of_isic2019_is_that_of_the_published_study():
    """1,412 of 4,221 test images are malignant in the printed confusion matrix: the share of MEL, BCC and SCC, not of AK too."""
    binary = label_maps["isic2019-binary"]()
    share = sum(n for c, n in ISIC2019.items() if binary[c] == "malignant") / sum(ISIC2019.values())
    assert share == pytest.approx(1412 / 4221, abs=2e-4)
    assert set(binary) == set(ISIC2019)


def test_ham_binary_and_isic_with_ak_agree():
    to_ham, ham = label_maps["ham-from-isic2019"](), label_maps["ham10000-binary"]()
    assert {c: ham[to_ham[c]] for c in ISIC2019} == label_maps["isic2019-binary-ak"]()


@pytest.mark.parametrize("name", list(label_maps))
def test_every_map_is_documented_with_its_source(name):
    assert len(label_maps[name].__doc__ or "") > 80


def test_a_shipped_map_ignores_case_and_covers_all_labels():
    assert chosen("ham10000-binary", ["MEL", "nv"]) == {"MEL": "malignant", "nv": "benign"}
    with pytest.raises(DataError, match="'wart'"):
        chosen("ham10000-binary", ["mel", "wart"])


def test_a_users_map_may_be_a_list_a_text_or_a_mapping():
    labels = ["scc", "AK", "mel"]
    expected = {"scc": "akiec", "AK": "akiec"}
    assert chosen(["SCC=akiec", "ak=akiec"], labels) == expected
    assert chosen("SCC=akiec, ak=akiec", labels) == expected
    assert chosen({"SCC": "akiec", "ak": "akiec"}, labels) == expected


def test_an_unknown_map_names_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'ham10000-binary'"):
        chosen("ham1000-binary", ["mel"])


@pytest.mark.parametrize(
    "grades",
    [
        ("grade0", "grade1", "grade2", "grade10"),
        ("0 clear", "1 mild", "2 bad"),
        ("Clear", "almost_clear", "Mild", "moderate", "SEVERE", "very-severe"),
        ("mild", "severe"),
    ],
)
def test_grades_are_ordered_by_their_names(grades):
    assert by_grade(reversed(grades)) == in_order(sorted(grades)) == grades


@pytest.mark.parametrize(
    "names", [("bcc", "mel", "nv"), ("mild", "nv"), ("a1", "b1"), ("1 of 4", "2 of 4"), ("grade 1", "grade"), ("mild", "Mild")]
)
def test_names_that_say_no_order_are_in_alphabetical_order(names):
    assert by_grade(names) == ()
    assert in_order(reversed(names)) == tuple(sorted(names))

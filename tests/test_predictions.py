"""Predictions come back from CSV as they went, whatever the names are, and no cell is a formula."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis.errors import ArtifactError
from cutis.predictions import Predictions

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
AWKWARD = st.sampled_from(
    ["", "=cmd()", "+1", "-", "@x", "\t", "\r", "'", "''=", "\n", '"', ",", ";", "\ufeff", "e\u0301", "\xe9", "ışğ", "a\r\nb"]
)
NAMES = st.builds("".join, st.lists(AWKWARD | TEXT, max_size=3))


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    classes = draw(st.lists(NAMES.filter(bool), min_size=1, max_size=4, unique=True))
    n = draw(st.integers(0, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    raw = np.random.default_rng(seed).dirichlet(np.full(len(classes), 0.2), n).reshape(n, len(classes))
    return Predictions(
        images=np.array(draw(st.lists(NAMES, min_size=n, max_size=n)), dtype=np.str_),
        groups=np.array(draw(st.lists(NAMES, min_size=n, max_size=n)), dtype=np.str_),
        labels=np.array(draw(st.lists(st.integers(-1, len(classes) - 1), min_size=n, max_size=n)), dtype=np.int64),
        probabilities=raw.astype(np.float32).astype(np.float64),
        classes=tuple(classes),
    )


@given(predictions())
def test_fault_d7_d9_csv_keeps_every_name_and_number_and_holds_no_formula(made: Predictions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.csv"
        made.save(path)
        back = Predictions.load(path)
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
    for name in ("images", "groups", "labels"):
        assert getattr(back, name).tolist() == getattr(made, name).tolist()
    assert back.classes == made.classes
    np.testing.assert_array_equal(back.probabilities.astype(np.float32), made.probabilities)  # nine digits tell all 32-bit floats apart
    assert not [cell for row in [header, *rows] for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def some() -> Predictions:
    return Predictions(
        images=np.array(["a.jpg", "b.jpg", "c.jpg"]),
        groups=np.array(["g1", "g1", "g2"]),
        labels=np.array([1, -1, 0]),
        probabilities=np.array([[0.25, 0.75], [0.5, 0.5], [1, 0]]),
        classes=("nv", "mel"),
    )


def test_the_file_is_as_documented(tmp_path: Path) -> None:
    some().save(tmp_path / "test.csv")
    assert (tmp_path / "test.csv").read_bytes().decode().split("\r\n") == [
        "image,group,label,predicted,p_nv,p_mel",
        "a.jpg,g1,mel,mel,0.25,0.75",
        "b.jpg,g1,,nv,0.5,0.5",
        "c.jpg,g2,nv,nv,1,0",
        "",
    ]
    assert pd.read_csv(tmp_path / "test.csv").p_mel.tolist() == [0.75, 0.5, 0]


def test_rows_and_known() -> None:
    assert some().known().images.tolist() == ["a.jpg", "c.jpg"]
    assert some().rows([2, 0]).labels.tolist() == [0, 1]
    assert some().rows([]).probabilities.shape == (0, 2)
    assert some().rows(np.array([False, True, False])).groups.tolist() == ["g1"]


def test_parts_that_do_not_fit_are_refused() -> None:
    good = some()
    with pytest.raises(ValueError, match="do not fit together: 3 images, 3 groups, 3 labels"):
        Predictions(good.images, good.groups, good.labels, good.probabilities[:, :1], good.classes)
    with pytest.raises(ValueError, match=r"not finite for 1 or more images: b\.jpg"):
        Predictions(good.images, good.groups, good.labels, np.array([[1, 0], [np.nan, 0], [0, 1]]), good.classes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There are no predictions at .*test.csv. Make them with: cutis evaluate RUN DATA --name test"),
        ("", "not a predictions file"),
        ("image,label\na,b\n", "not a predictions file"),
        ("image,group,label,predicted\na,b,,\n", "not a predictions file"),
        ("image,group,label,predicted,p_x,p_y\na,a,x,x,1,0\nb,b,z,x,1,0\n", "damaged in row 2 .KeyError: 'z'"),
        ("image,group,label,predicted,p_x,p_y\na,a,x,x,1\n", "damaged in row 1"),
        ("image,group,label,predicted,p_x,p_y\na,a,x,x,1,one\n", "damaged in row 1"),
        ("image,group,label,predicted,p_x,p_y\na,a\n", "damaged in row 1"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "test.csv").write_text(text)
    with pytest.raises(ArtifactError, match=said):
        Predictions.load(tmp_path / "test.csv")

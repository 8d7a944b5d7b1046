"""Synthetic pictures: the same from the same seed, described truly, and as hard as was asked for."""

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from cutis.data.synthetic import COLUMNS, KINDS, draw, write
from cutis.errors import CutisError

kinds = pytest.mark.parametrize("kind", list(KINDS))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@kinds
def test_fault_g1_the_same_seed_draws_the_same_files(tmp_path, kind):
    for name in ("a", "b"):
        write(tmp_path / name, kind=kind, lesions=6, size=32, seed=5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    write(tmp_path / "c", kind=kind, lesions=6, size=32, seed=6)
    assert contents(tmp_path / "c") != contents(tmp_path / "a")


def test_a_lesion_is_the_same_however_many_are_drawn(tmp_path):
    few, many = (contents(write(tmp_path / str(n), lesions=n, size=32).parent) for n in (7, 12))
    assert many["labels.csv"].startswith(few.pop("labels.csv"))
    assert few.items() <= many.items()
    assert len(few) < len(many) - 1


@kinds
def test_the_table_describes_what_was_written(tmp_path, kind):
    path = write(tmp_path, kind=kind, lesions=40, views=(1, 3), size=32, seed=1)
    table = pd.read_csv(path)
    assert path == tmp_path / "labels.csv"
    assert tuple(table.columns) == COLUMNS
    assert not table.isna().any().any()
    assert table["image"].is_unique
    assert {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "images").iterdir()} == set(table["image"])
    assert {cv2.imread(str(tmp_path / image)).shape for image in table["image"]} == {(32, 32, 3)}
    assert table.groupby("lesion").size().between(1, 3).all()
    assert table.groupby("lesion").size().nunique() == 3
    assert table.groupby("lesion").nunique().drop(columns="image").eq(1).all().all()
    assert table.groupby("patient")[["sex", "age", "skin_tone", "source"]].nunique().eq(1).all().all()
    assert sorted(table.groupby("patient")["lesion"].nunique().unique()) == [1, 2, 3]
    assert set(table["label"]) <= set(KINDS[kind].shares)
    assert set(table["skin_tone"]) <= set(range(1, 7))
    assert set(table["sex"]) == {"female", "male"}
    assert table["age"].between(10, 90).all()


def test_draw_is_what_write_writes(tmp_path):
    table = pd.read_csv(write(tmp_path, lesions=4, views=(2, 2), size=64, seed=3))
    for i, row in table.iterrows():
        picture, same = draw(i // 2, i % 2, size=64, seed=3)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert same == row.to_dict()
        written = cv2.imread(str(tmp_path / row["image"]))[..., ::-1].astype(float)
        assert np.abs(written - picture).mean() < 5  # JPEG at quality 90


def test_classes_are_as_frequent_as_asked():
    labels = [draw(i, size=16, difficulty=1, kind="acne", classes={"Cysts": 3, "Papules": 1})[1]["label"] for i in range(200)]
    assert stats.binomtest(labels.count("Cysts"), 200, 0.75).pvalue > 0.001
    assert set(labels) == {"Cysts", "Papules"}


@kinds
def test_views_of_a_lesion_differ_but_resemble(kind):
    def colours(picture):
        return np.concatenate([picture.mean((0, 1)), picture.std((0, 1))])

    views = np.array([[colours(draw(i, v, kind=kind, size=48)[0]) for v in (0, 1)] for i in range(30)])
    assert np.abs(views[:, 0] - views[:, 1]).min(0).max() > 0
    within = np.linalg.norm(views[:, 0] - views[:, 1], axis=1).mean()
    between = np.linalg.norm(views[:, 0] - np.roll(views[:, 1], 1, axis=0), axis=1).mean()
    assert within < 0.7 * between


@kinds
def test_the_same_lesion_is_drawn_at_any_size(kind):
    for lesion in range(4):
        large, small = (draw(lesion, kind=kind, size=size)[0] for size in (192, 64))
        shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.9


def test_grades_differ_in_the_number_of_spots_and_are_ordered():
    """Red or dark or light against their surroundings: the share of such pixels grows from grade to grade."""
    shares = {grade: [] for grade in KINDS["acne-severity"].shares}
    for i in range(120):
        picture, row = draw(i, kind="acne-severity", size=64, difficulty=0)
        green = picture[..., 1].astype(np.float32)
        shares[row["label"]].append(float((np.abs(green - cv2.medianBlur(green.astype(np.uint8), 31)) > 25).mean()))
    means = [np.mean(shares[grade]) for grade in sorted(shares)]
    assert means == sorted(means)
    assert means[3] > 3 * means[0]


def auroc(kind, difficulty, lesions=200):
    """Mean one-against-rest AUROC of a forest on tiny pictures and colour quantiles, patients never cut."""
    drawn = [draw(i, kind=kind, size=40, difficulty=difficulty) for i in range(lesions)]
    pixels = np.stack([picture for picture, _ in drawn])
    labels = np.array([row["label"] for _, row in drawn])
    tiny = [cv2.resize(p, (6, 6), interpolation=cv2.INTER_AREA).ravel() for p in pixels]
    detail = np.stack([p.astype(np.int16) - cv2.medianBlur(p, 15) for p in pixels])
    levels = np.linspace(0, 1, 15)
    quantiles = [np.quantile(x.reshape(lesions, -1, 3), levels, axis=1).transpose(1, 0, 2).reshape(lesions, -1) for x in (pixels, detail)]
    forest = RandomForestClassifier(120, min_samples_leaf=2, random_state=0)
    groups = [row["patient"] for _, row in drawn]
    p = cross_val_predict(forest, np.hstack([tiny, *quantiles]), labels, groups=groups, cv=GroupKFold(4), method="predict_proba")
    accuracy = (np.unique(labels)[p.argmax(1)] == labels).mean()
    return roc_auc_score(labels, p, multi_class="ovr"), accuracy, max(np.mean(labels == c) for c in np.unique(labels))


@kinds
def test_easy_pictures_can_be_learnt(kind):
    area, accuracy, majority = auroc(kind, 0.1)
    assert area > 0.8
    assert accuracy > majority + 0.12


@kinds
def test_the_hardest_pictures_hold_nothing_about_the_label(kind):
    area, accuracy, majority = auroc(kind, 1.0)
    assert 0.4 < area < 0.6
    assert accuracy < majority + 0.05


def test_metadata_lean_with_the_class_and_at_the_hardest_do_not():
    easy, hard = (pd.DataFrame([draw(i, size=16, difficulty=d)[1] for i in range(500)]) for d in (0.0, 1.0))

    def p_values(rows):
        ages = [group["age"] for _, group in rows.groupby("label")]
        crossed = {c: stats.chi2_contingency(pd.crosstab(rows["label"], rows[c])).pvalue for c in ("site", "source", "sex", "skin_tone")}
        return crossed | {"age": stats.kruskal(*ages).pvalue}

    assert p_values(easy)["site"] < 0.001
    assert p_values(easy)["age"] < 0.001
    assert min(p_values(hard).values()) > 0.001


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "dermascopy"}, "Did you mean 'dermoscopy'"),
        ({"difficulty": 1.5}, "Difficulty is 0 to 1"),
        ({"size": 4}, "at least 16"),
        ({"views": (3, 1)}, "fewest first"),
        ({"lesions": 0}, "at least one"),
        ({"classes": {"melanoma": 1}}, "Unknown dermoscopy class 'melanoma'"),
        ({"classes": {"mel": 0.0, "nv": 1.0}}, "above 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_written(tmp_path, wrong, says):
    with pytest.raises(CutisError, match=says):
        write(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()

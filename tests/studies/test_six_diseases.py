"""S4: the printed confusion matrix says what the printed figures say, and every ensemble is set beside each of its members."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from cutis.data import balance, readers, synthetic
from cutis.recipe import Split
from cutis.studies.book.six_diseases import CONFUSION, six_diseases
from cutis.studies.catalog import Cell, Combined, Given, Scale, Trained
from cutis.studies.work import Work

CLASSES = ("Enfeksiyonel", "Ekzama", "Akne", "Pigment", "Benign", "Malign")
STUDY = six_diseases()


def rows() -> tuple[np.ndarray, np.ndarray]:
    """True and answered class of every image in the printed matrix."""
    true, answered = np.indices((6, 6)).reshape(2, -1)
    counts = np.array(CONFUSION).ravel()
    return true.repeat(counts), answered.repeat(counts)


def row(title: str) -> dict[str, Cell]:
    table = STUDY.published[0]
    return {cell.figure: cell for cell in table.rows[title] if cell is not None}


def test_the_printed_figures_of_the_ensemble_follow_from_its_matrix() -> None:
    true, answered = rows()
    assert len(true) == 3928
    printed = {figure: cell.printed for figure, cell in row("ensemble (test)").items()}
    assert printed["accuracy"] == pytest.approx(sk.accuracy_score(true, answered), abs=5e-5)
    for average in ("macro", "weighted"):
        found = sk.precision_recall_fscore_support(true, answered, average=average)
        for name, value in zip(("precision", "sensitivity", "f1"), found, strict=False):
            if f"{name}_{average}" in printed:
                assert printed[f"{name}_{average}"] == pytest.approx(value, abs=5e-5)


def test_figures_by_class_follow_from_the_matrix() -> None:
    found = sk.precision_recall_fscore_support(*rows(), average=None)
    table = STUDY.published[1]
    assert tuple(table.rows) == table.classes == CLASSES
    for c, name in enumerate(CLASSES):
        cells = [cell for cell in table.rows[name] if cell is not None]
        assert [cell.printed for cell in cells] == pytest.approx([values[c] for values in found[:3]])
        assert [cell.figure for cell in cells] == [f"{figure}/{name}" for figure in ("precision", "sensitivity", "f1")]
    assert sum(CONFUSION[5]) - CONFUSION[5][5] == 229  # malignant images that are missed


def test_members_are_compared_on_validation_and_the_impossible_figure_is_not() -> None:
    for title, printed in {
        "MobileNetV2 (validation)": (0.6834, 0.6203, 0.6848, 0.6358),
        "EfficientNet-B1 (validation)": (0.6832, 0.6249, 0.6842, 0.6454),
        "ResNet-50 (validation)": (0.7127, 0.6538, 0.6229, 0.6718),
    }.items():
        cells = row(title)
        assert tuple(cells[f].printed for f in ("accuracy", "precision_macro", "sensitivity_macro", "f1_macro")) == printed
        assert {cell.at for cell in cells.values()} == {"val"}
        impossible = printed[3] > (printed[1] + printed[2]) / 2  # of each class F1 <= (P + R) / 2, so on average too
        assert bool(cells["f1_macro"].unlike) == impossible
        assert not cells["accuracy"].unlike
    assert row("ResNet-50 (validation)")["f1_macro"].unlike


def test_balancing_draws_3000_training_rows_of_every_class() -> None:
    labels = np.repeat(np.arange(3), [7000, 3000, 200])
    for name in ("mobilenetv2", "efficientnet-b1", "resnet50"):
        drawn = balance.indices(labels, STUDY.arm(name).plan()[0].balance, 0, 0)
        assert np.bincount(labels[drawn]).tolist() == [3000, 3000, 3000]
        assert len(set(drawn[labels[drawn] == 0])) == 3000
        assert set(np.bincount(drawn)[labels == 2]) == {15}


def test_ensembles_are_the_published_one_and_every_other_way() -> None:
    arms = {arm.name: arm for arm in STUDY.arms if isinstance(arm, Combined)}
    published = [arm for arm in arms.values() if not arm.ours]
    assert [(arm.members, arm.method, arm.weights) for arm in published] == [
        (("mobilenetv2", "efficientnet-b1", "resnet50"), "given", (0.30, 0.30, 0.40))
    ]
    for members in (("mobilenetv2", "efficientnet-b1", "resnet50"), ("plain", "rare", "strong")):
        assert {"fitted", "greedy", "rank", "stacking"} <= {arm.method for arm in arms.values() if arm.members == members}


def test_every_ensemble_is_paired_with_each_of_its_members() -> None:
    wanted = {(arm.name, member) for arm in STUDY.arms if isinstance(arm, Combined) for member in arm.members}
    assert {(pair.first, pair.second) for pair in STUDY.pairs} == wanted


def test_the_three_trainings_are_one_network_trained_differently() -> None:
    recipes = [STUDY.arm(name).plan()[0] for name in ("plain", "rare", "strong")]
    assert len({recipe.model.model_dump_json() for recipe in recipes}) == 1
    assert len({(r.balance.model_dump_json(), r.loss.model_dump_json(), r.augment.model_dump_json()) for r in recipes}) == 3
    assert all(arm.ours for arm in STUDY.arms if isinstance(arm, Trained) and arm.name in ("plain", "rare", "strong"))


def test_an_ensemble_for_which_validation_is_too_small_is_left_out_and_the_others_are_made(tmp_path: Path) -> None:
    table = readers.read(synthetic.write(tmp_path / "pictures", lesions=40, views=(1, 1), size=32, classes={"nv": 0.93, "mel": 0.07}))
    ways = tuple(Combined(name=method, members=("plain", "rare"), method=method) for method in ("stacking", "mean"))
    study = replace(STUDY, arms=(STUDY.arm("plain"), STUDY.arm("rare"), *ways), pairs=(), published=(), split=Split(test=0.3, val=0.15))
    scale = Scale("smoke", size=32, epochs=1, replicates=100)
    work = Work(study, Given(table), scale, tmp_path, backbone="plain_cnn", drawn=True)
    assert list(work.run()) == ["plain", "rare", "mean"]
    assert list(work.left_out) == ["stacking"]
    assert "at least two groups" in work.left_out["stacking"]
    assert not (tmp_path / "stacking").exists()

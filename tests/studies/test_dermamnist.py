"""DermaMNIST: its printed figures, its splits, and what stands beside what."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cutis.data import proof, readers, synthetic
from cutis.studies.book.dermamnist import tables
from cutis.studies.catalog import Given, Trained, studies
from cutis.train import losses


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return readers.read(synthetic.write(tmp_path_factory.mktemp("pictures"), lesions=90, views=(1, 3), size=16, seed=1))


def test_printed_figures_with_their_number_of_test_images() -> None:
    study = studies["dermamnist"]()
    small, large = study.published[:2]
    assert (small.n, large.n) == ((2005,), (1232,))
    assert {row: cells[0].printed for row, cells in small.rows.items() if cells[0]} == {"EfficientNetV2-L": 0.7017, "ResNet-50": 0.6663}
    assert {row: cells[0].printed for row, cells in large.rows.items() if cells[0]} == {"Effv1": 0.8271, "Effv3": 0.8490, "Effv4": 0.8247}


def test_arms_on_the_official_split_are_trained_with_leaks_and_only_those() -> None:
    arms = [arm for arm in studies["dermamnist"]().arms if isinstance(arm, Trained)]
    assert {arm.leaks for arm in arms} == {True, False}
    assert all(arm.leaks == (arm.data == "official") for arm in arms)


def test_without_a_split_one_is_cut_by_lesion_and_made_to_leak(table: pd.DataFrame) -> None:
    found = tables(Given(table), studies["dermamnist"]().split)
    assert set(found) == {"corrected", "official"}
    assert proof.prove(found["corrected"]).ok
    assert not proof.prove(found["official"]).ok
    subset = next(s for s in studies["dermamnist"]().subsets if s.name == "clean")
    kept = found["official"]["image"][subset.rows(found["official"])]
    assert set(kept) == set(found["corrected"].query("split == 'test'")["image"])


def test_splits_given_by_name_are_taken(table: pd.DataFrame, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {name: rng.choice(["train", "val", "test"], len(table)) for name in ("official", "corrected")}
    file = tmp_path / "splits.csv"
    pd.DataFrame({"image": table["image"], **parts}).to_csv(file, index=False)
    found = tables(Given(table, {name: f"{file}:{name}" for name in parts}), studies["dermamnist"]().split)
    for name, part in parts.items():
        assert list(found[name]["split"]) == list(part)


def test_the_pairs_that_tell_cleaning_look_at_images_that_both_arms_answer(table: pd.DataFrame) -> None:
    study = studies["dermamnist"]()
    found = tables(Given(table), study.split)
    subset = {s.name: s.rows for s in study.subsets}
    crossing = [pair for pair in study.pairs if study.arm(pair.first).data != study.arm(pair.second).data]
    assert {pair.at for pair in crossing} == {"test:clean"}
    for pair in crossing:
        first, second = (found[study.arm(name).data] for name in (pair.first, pair.second))
        assert set(first["image"][subset["clean"](first)]) == set(second["image"][subset["clean"](second)])


def test_effv4s_class_weights_are_scikit_learns_balanced() -> None:
    arm = studies["dermamnist"]().arm("effv4")
    counts = np.array([228, 359, 769, 80, 779, 4693, 99])  # of the official training part
    labels = np.repeat(np.arange(7), counts)
    ours = losses.class_weights(arm.plan()[0].loss, torch.tensor(counts, dtype=torch.float32))
    assert ours is not None
    np.testing.assert_allclose(ours.numpy(), compute_class_weight("balanced", classes=np.arange(7), y=labels), rtol=1e-6)


def test_effv3_and_effv4_differ_in_class_weights_alone() -> None:
    study = studies["dermamnist"]()
    three, four = (study.arm(name).plan()[0].model_dump() for name in ("effv3", "effv4"))
    assert {key for key in three if three[key] != four[key]} == {"loss"}

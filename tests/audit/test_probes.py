"""Probes: folds that cut nothing, answers of what never saw the group, AUROC as scikit-learn counts it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cutis.audit import probes
from cutis.audit.copies import Copies, Pair
from cutis.audit.probes import Design


def plan(n: int = 300, classes: int = 3, seed: int = 0) -> Design:
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // 2
    labels = rng.choice(classes, n, p=np.array([6, 3, 1][:classes]) / sum([6, 3, 1][:classes]))
    folds = rng.integers(5, size=n // 2 + 1)[groups]
    return Design(np.arange(n), labels, groups, folds, tuple("abc"[:classes]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(30, 120), st.integers(1, 4))
def test_folds_cut_no_group_and_part_no_copies(subject_of: Any, seed: int, n: int, views: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{g}" for g in rng.integers(max(1, n // views), size=n)]
    near = tuple(Pair(int(a), int(b), 3, 0.99, 0.9, 0) for a, b in np.sort(rng.choice(n, (n // 8, 2), replace=False), axis=1))
    hashes = rng.integers(1, 2 * n, size=n)
    found = Copies((), near, tuple((pair.a, pair.b) for pair in near))
    labels = rng.choice(["a", "b", "rare"], n, p=[0.5, 0.45, 0.05])
    subject = subject_of(list(labels), group=groups, found=found, hashes=hashes)
    made = probes.design(subject)
    if made is None:
        return
    table = subject.readable.iloc[made.rows].assign(fold=made.folds)
    assert table.groupby("group")["fold"].nunique().max() == 1
    assert table.groupby("sha256")["fold"].nunique().max() == 1
    fold = dict(zip(made.rows.tolist(), made.folds.tolist(), strict=True))
    assert all(fold[p.a] == fold[p.b] for p in near if {p.a, p.b} <= fold.keys())
    assert not set(made.rare) & set(made.classes)
    assert set(table["label"]) == set(made.classes)
    spread = table.groupby("label")["fold"].nunique()
    assert (spread > 1).all(), "each class is known to the probe of every fold"


def test_the_design_leaves_out_what_cannot_be_folded(subject_of: Any) -> None:
    labels = ["a"] * 40 + ["b"] * 30 + ["four"] * 4 + [None] * 3 + ["one lesion"] * 12
    lesions = [f"l{i}" for i in range(77)] + ["same"] * 12
    seen = np.ones(89, bool)
    seen[:5] = False
    made = probes.design(subject_of(labels, lesion=lesions, readable=seen))
    assert made is not None
    assert made.classes == ("a", "b")
    assert made.rare == {"four": 4, "one lesion": 1}
    assert len(made.rows) == 35 + 30
    assert np.array_equal(np.bincount(made.labels), [35, 30])
    assert "four (4)" in made.limits[0]
    assert "one lesion (1)" in made.limits[0]
    assert np.bincount(made.folds, made.labels == 1).min() >= 5, "classes are spread evenly"


@pytest.mark.parametrize("labels", [["a"] * 30, ["a"] * 20 + ["b"] * 4, [None] * 9], ids=["one class", "one and a rare one", "none"])
def test_no_design_without_two_classes(subject_of: Any, labels: list[str | None]) -> None:
    assert probes.design(subject_of(labels)) is None


def test_a_probe_never_sees_the_groups_it_answers_for() -> None:
    made = plan()
    values = np.arange(300)
    seen = []

    def fit(known: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any], classes: int) -> NDArray[np.float64]:
        assert np.array_equal(labels, made.labels[known])
        assert not set(made.groups[known]) & set(made.groups[asked])
        seen.extend(asked)
        return np.tile([0.2, 0.3, 0.5], (len(asked), 1))

    answers = probes.out_of_fold(made, values, fit)
    assert sorted(seen) == list(range(300))
    assert answers.sum(axis=1) == pytest.approx(1)


def test_a_probe_that_knows_only_how_frequent_classes_are_is_at_chance() -> None:
    made = plan()

    def prior(known: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any], classes: int) -> NDArray[np.float64]:
        return np.tile(np.bincount(labels, minlength=classes) / len(labels), (len(asked), 1))

    answers = probes.out_of_fold(made, np.zeros(300), prior)
    assert answers == pytest.approx(np.tile(np.bincount(made.labels) / 300, (300, 1)))
    found = probes.measured(made, np.round(answers, 12))
    assert [figure["value"] for figure in found.per_class.values()] == pytest.approx([0.5] * 3)


def test_auroc_is_that_of_scikit_learn_and_lies_in_its_interval() -> None:
    made = plan()
    rng = np.random.default_rng(1)
    answers = rng.dirichlet(np.ones(3), 300)
    answers[np.arange(300), made.labels] += 0.2
    answers /= answers.sum(axis=1, keepdims=True)
    found = probes.measured(made, answers)
    for c, name in enumerate(made.classes):
        figure = found.per_class[name]
        assert figure["value"] == pytest.approx(roc_auc_score(made.labels == c, answers[:, c]))
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] == (made.labels == c).sum()
    assert found.macro["value"] == pytest.approx(roc_auc_score(made.labels, answers, multi_class="ovr"))
    assert found.macro["low"] < found.macro["value"] < found.macro["high"]
    assert found.surely == max([found.macro["low"], *(figure["low"] for figure in found.per_class.values())])
    assert found.per_class[found.strongest]["low"] == max(figure["low"] for figure in found.per_class.values())


def test_the_interval_is_over_groups() -> None:
    rng = np.random.default_rng(2)
    labels, score = np.repeat(np.arange(40) % 2, 10), np.repeat(rng.random(40), 10)
    answers = np.stack([1 - score, score], axis=1)

    def width(groups: NDArray[np.int64]) -> float:
        found = probes.measured(Design(np.arange(400), labels, groups, np.zeros(400, np.int64), ("a", "b")), answers)
        return float(found.macro["high"] - found.macro["low"])

    assert width(np.repeat(np.arange(40), 10)) > 2.5 * width(np.arange(400)), "ten equal images are one"


def test_linear_is_logistic_regression_on_standardised_numbers() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=200)
    values = (rng.normal(size=(200, 5)) + labels[:, None]) * [1, 10, 0.1, 5, 0] + [0, 100, 0, -3, 7]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=50)).fit(values[:150], labels[:150])
    assert probes.linear(values[:150], labels[:150], values[150:], 3) == pytest.approx(pipeline.predict_proba(values[150:]), abs=1e-4)


@pytest.mark.parametrize("fit", [probes.linear, probes.trees])
def test_a_class_that_a_fold_does_not_know_gets_no_probability(fit: probes.Fit) -> None:
    rng = np.random.default_rng(4)
    labels = np.array([0, 3] * 20)
    answers = fit(rng.normal(size=(40, 2)) + labels[:, None], labels, rng.normal(size=(9, 2)), 5)
    assert answers.shape == (9, 5)
    assert (answers[:, [1, 2, 4]] == 0).all()
    assert answers.sum(axis=1) == pytest.approx(1)


def test_trees_take_missing_numbers_and_what_is_not_linear() -> None:
    made = plan(classes=2)
    rng = np.random.default_rng(5)
    ring = np.stack([np.where(made.labels == 1, rng.choice([-2, 2], 300), 0) + rng.normal(0, 0.3, 300), rng.normal(size=300)], axis=1)
    ring[rng.random(300) < 0.1, 0] = np.nan
    assert probes.measured(made, probes.out_of_fold(made, ring, probes.trees)).macro["value"] > 0.9


def test_shares_by_hand() -> None:
    known, labels = np.array([1, 1, 1, 2]), np.array([0, 0, 1, 1])
    answers = probes.shares(known, labels, np.array([1, 2, 7]), 2)
    m = probes.SMOOTHING
    assert answers == pytest.approx(np.array([[2 + m / 2, 1 + m / 2], [m / 2, 1 + m / 2], [m / 2, m / 2]]) / [[3 + m], [1 + m], [m]])


def test_codes_keep_values_apart_and_bin_numbers() -> None:
    words = probes.codes(pd.Series(["x", None, "y", "x"]))
    assert words[1] == 0
    assert words[0] == words[3] != words[2]
    numbers = pd.Series([np.nan, *np.random.default_rng(6).exponential(size=1000)])
    bins = probes.codes(numbers)
    assert bins[0] == 0
    assert sorted(np.unique(bins, return_counts=True)[1]) == [1, *[50] * probes.BINS]
    ends = pd.DataFrame({"bin": bins, "x": numbers}).dropna().groupby("bin")["x"].agg(["min", "max"]).sort_values("min")
    assert (ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all()
    assert len(np.unique(probes.codes(pd.Series([True, False, True])))) == 2
    assert len(np.unique(probes.codes(pd.Series([0.0] * 500 + list(range(1, 101)))))) <= probes.BINS + 1, "many equal numbers"

"""Conformal sets: limits against NumPy's quantile and by hand, sets by hand, and that they hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis.errors import DataError
from cutis.evaluate import after, conformal
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.slices import Slicing
from cutis.recipe import Evaluation


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_without_groups_the_limit_is_the_usual_quantile(scores, coverage):
    scores = np.array(scores)
    found = conformal.limit(scores, np.arange(len(scores)).astype(str), coverage)
    level = math.ceil((len(scores) + 1) * coverage - 1e-9) / len(scores)
    assert found == (np.quantile(scores, level, method="inverted_cdf") if level <= 1 else None)


def test_each_group_counts_the_same_whatever_its_images():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    groups = np.array(["a", "a", "a", "a", "b", "c"])
    # of 4 groups, the new one among them: "a" gives each of its images 1/16, "b" and "c" 1/4; together at most 3/4
    assert conformal.limit(scores, groups, 0.25) == 0.4
    assert conformal.limit(scores, groups, 0.26) == 0.5
    assert conformal.limit(scores, groups, 0.75) == 0.6
    assert conformal.limit(scores, groups, 0.76) is None


def test_scores_by_hand():
    p = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    assert conformal.lac(p) == pytest.approx(np.array([[0.9, 0.4, 0.7], [0.5, 0.8, 0.7]]))
    assert conformal.aps(p) == pytest.approx(np.array([[1.0, 0.6, 0.9], [0.5, 1.0, 0.8]]))


def test_a_class_with_too_few_groups_has_no_limit_and_is_in_every_set(noisy):
    val = noisy((60, 40, 8))
    told = conformal.fit(val, Evaluation(coverage=0.9))
    assert told["needed"] == 9
    for rule in told["rules"].values():
        limits = rule["limits"]
        assert (limits["c"] is None) == rule["by_class"]
        if rule["by_class"]:
            assert conformal.sets(rule, np.eye(3), val.classes)[:, 2].all()


def test_too_few_groups_in_all_are_said_and_fit_nothing_else_away(answers):
    p = np.full((8, 2), 0.5)
    few = answers([0, 1] * 4, p)
    with pytest.raises(DataError, match="8 groups, and sets that hold the true class for 90% take 9"):
        conformal.fit(few, Evaluation(coverage=0.9))
    told = after.fitted(few, Evaluation(coverage=0.9))
    assert "take 9" in told["conformal"]["why"]
    assert "at" in told["selective"]


def test_what_is_measured_is_what_is_counted(noisy):
    val, test = noisy((80, 60, 30)), noisy((50, 30, 25), seed=1, views=3)
    spec = Evaluation(replicates=200, coverage=0.8)
    told = after.fitted(val, spec)
    found = after.measured(told, test, spec, 0)["conformal"]
    for name, rule in told["conformal"]["rules"].items():
        score = {"lac": 1 - test.probabilities, "aps": np.array([[row[row >= p].sum() for p in row] for row in test.probabilities])}
        limits = np.array([rule["limits"][c] for c in test.classes])
        possible = score[rule["score"]] <= limits + 1e-12
        held, size = possible[np.arange(len(possible)), test.labels], possible.sum(axis=1)
        mine = found["rules"][name]
        assert mine["coverage"]["value"] == pytest.approx(held.mean())
        each = [held[test.groups == g].mean() for g in np.unique(test.groups)]
        assert mine["coverage_by_group"]["value"] == pytest.approx(np.mean(each))
        assert mine["size"]["value"] == pytest.approx(size.mean())
        assert mine["by_size"]["1"]["share"]["value"] == pytest.approx((size == 1).mean())
        assert sum(mine["by_size"][s]["share"]["value"] for s in mine["by_size"]) == pytest.approx(1)
        for c, label in enumerate(test.classes):
            assert mine["per_class"][label]["coverage"]["value"] == pytest.approx(held[test.labels == c].mean())
            assert mine["per_class"][label]["size"]["value"] == pytest.approx(size[test.labels == c].mean())


def test_coverage_by_slice_is_counted_where_a_slice_is_large_enough(noisy):
    val, test = noisy((80, 60, 30)), noisy((50, 40, 25), seed=1)
    rng = np.random.default_rng(0)
    of = np.where(rng.random(115) < 0.1, -1, rng.choice(3, 115, p=[0.5, 0.45, 0.05]))
    told = conformal.fit(val, Evaluation())
    bootstrap = after.Bootstrap(bootstrap_weights(test.groups, 100, rng), 0.95, 0)
    found = conformal.by_slice(told, test, [Slicing("sex", "sex", of, ("female", "male", "other"))], bootstrap)
    assert set(found) == {"sex"}
    assert set(found["sex"]) == {"female", "male"}
    for i, group in enumerate(("female", "male")):
        mine = test.rows(of == i)
        held = 1 - mine.probabilities[np.arange(len(mine.labels)), mine.labels] <= told["rules"]["lac"]["limits"]["a"]
        assert found["sex"][group]["lac"]["value"] == pytest.approx(held.mean())
        assert found["sex"][group]["lac"]["n"] == len(held)


def test_sets_hold_the_true_class_as_often_as_promised_also_where_groups_have_several_images():
    """Over calibration sets of 40 groups: the mean is at least the promise, and above it by no more than 1 in 41 and the noise."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        sizes = rng.integers(1, 6, 80)
        index = np.repeat(np.arange(80), sizes)
        scores = rng.normal(size=80)[index] + 0.5 * rng.normal(size=len(index)) + 0.3 * sizes[index]  # alike within a group
        first = index < 40
        limit = conformal.limit(scores[first], index[first].astype(str), 0.9)
        held.append(np.mean([np.mean(scores[index == g] <= limit) for g in range(40, 80)]))
    error = np.std(held) / math.sqrt(len(held))
    assert 0.9 - 3 * error < np.mean(held) < 0.9 + 1 / 41 + 3 * error

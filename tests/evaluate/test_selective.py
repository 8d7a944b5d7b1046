"""Selective prediction against counting by hand: areas over every order of equals, limits, accuracy above them."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis.evaluate import after, selective
from cutis.evaluate.intervals import bootstrap_weights
from cutis.recipe import Evaluation


def by_hand(right, sure):
    """The area as it is defined, averaged over every order of the rows that does not put a less sure one first."""
    n = range(len(right))
    orders = [o for o in permutations(n) if all(sure[a] >= sure[b] for a, b in pairwise(o))]
    return np.mean([np.mean([np.mean([not right[i] for i in order[: k + 1]]) for k in n]) for order in orders])


rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.4, 0.6, 0.9])), min_size=1, max_size=6)


@given(rows)
def test_the_areas_are_those_of_every_order_of_equals(given_rows):
    right, sure = (np.array(column) for column in zip(*given_rows, strict=True))
    area, excess = selective.areas(right, sure)
    assert area == pytest.approx([by_hand(right, sure)])
    ideal = by_hand(np.sort(right)[::-1], np.arange(len(right), 0, -1))
    assert excess == pytest.approx(area - ideal, abs=1e-12)


@given(rows, st.integers(0, 2**16))
def test_a_row_that_is_drawn_twice_counts_as_two(given_rows, seed):
    right, sure = (np.array(column) for column in zip(*given_rows, strict=True))
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(right)), np.uint8)
    weights[:, 0] += 1
    found = selective.areas(right, sure, weights)
    for i, w in enumerate(weights):
        alone = selective.areas(right.repeat(w), sure.repeat(w))
        assert (found[0][i], found[1][i]) == pytest.approx((alone[0][0], alone[1][0]), abs=1e-12)


def test_a_worked_example():
    right, sure = np.array([True, False, True, True]), np.array([0.9, 0.8, 0.7, 0.6])
    area, excess = selective.areas(right, sure)  # shares wrong: 0, 1/2, 1/3, 1/4; at best 0, 0, 0, 1/4
    assert area == pytest.approx([(1 / 2 + 1 / 3 + 1 / 4) / 4])
    assert excess == pytest.approx([(1 / 2 + 1 / 3) / 4])


def test_the_curve_is_the_share_wrong_among_the_surest():
    rng = np.random.default_rng(0)
    right, sure = rng.random(50) < 0.7, rng.permutation(50) / 50
    curve = selective.risk_coverage(right, sure, bootstrap_weights(np.arange(50), 50, rng), 0.95)
    wrong = np.cumsum(~right[(-sure).argsort()]) / np.arange(1, 51)
    assert curve.y[::2] == pytest.approx(wrong)  # every second point is a whole number of images
    assert curve.x[::2] == pytest.approx(np.arange(1, 51) / 50)
    assert (curve.low <= curve.high).all()


def test_each_limit_leaves_its_share_of_validation_and_is_the_highest_that_does(noisy):
    val = noisy((40, 30, 13))
    sure = val.probabilities.max(axis=1)
    for at in selective.fit(val, Evaluation())["at"]:
        assert (sure >= at["limit"]).mean() >= at["coverage"]
        assert (sure > at["limit"]).mean() < at["coverage"]


def test_what_is_measured_is_what_is_counted(noisy):
    val, test = noisy((60, 40, 20)), noisy((50, 30, 25), seed=1, views=2)
    spec = Evaluation(replicates=200)
    found = after.measured(after.fitted(val, spec), test, spec, 0)["selective"]
    right, sure = test.predicted == test.labels, test.probabilities.max(axis=1)
    assert found["error"]["value"] == pytest.approx(1 - right.mean())
    for at in found["at"]:
        kept = sure >= at["limit"]
        assert at["answered"]["value"] == pytest.approx(kept.mean())
        assert at["accuracy"]["value"] == pytest.approx(right[kept].mean())
        assert at["accuracy"]["n"] == kept.sum()
        assert at["accuracy"]["low"] < at["accuracy"]["value"] < at["accuracy"]["high"]
        for c, name in enumerate(test.classes):
            mine = test.labels == c
            assert at["per_class"][name]["answered"]["value"] == pytest.approx(kept[mine].mean())
            assert at["per_class"][name]["sensitivity"]["value"] == pytest.approx(right[mine & kept].mean())


def test_a_set_of_one_group_has_no_figures_and_says_why(answers):
    one = answers([0, 1, 0], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], groups=["a", "a", "a"])
    spec = Evaluation(replicates=100)
    found = after.measured(after.fitted(one, spec), one, spec, 0)["selective"]
    for figure in (found["area"], found["error"], found["at"][0]["accuracy"]):
        assert figure["value"] is None
        assert figure["why"] == "all images are of one group"

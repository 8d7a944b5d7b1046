"""Balancing: how often each class and each row is drawn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis.data import balance
from cutis.errors import CutisError
from cutis.recipe import Balance

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))
SPECS = st.sampled_from([Balance(), Balance(name="sampling"), Balance(name="sampling", options={"power": 0.5}), Balance(name="count")])


@given(LABELS, SPECS, st.integers(0, 99), st.integers(0, 9))
def test_only_rows_that_were_given_are_drawn_and_the_same_again(labels: np.ndarray, spec: Balance, seed: int, epoch: int) -> None:
    rows = balance.indices(labels, spec, seed, epoch)
    assert rows.dtype == np.int64
    assert ((rows >= 0) & (rows < len(labels))).all()
    assert set(labels[rows]) <= set(labels)
    assert np.array_equal(rows, balance.indices(labels, spec, seed, epoch))


@given(LABELS, st.integers(0, 9))
def test_none_is_every_row_once(labels: np.ndarray, epoch: int) -> None:
    assert balance.indices(labels, Balance(), 0, epoch).tolist() == list(range(len(labels)))


@given(LABELS, st.integers(1, 40), st.integers(0, 9))
def test_count_brings_every_class_to_the_count_and_uses_its_rows_evenly(labels: np.ndarray, count: int, epoch: int) -> None:
    rows = balance.indices(labels, Balance(name="count", options={"count": count}), 1, epoch)
    times = np.bincount(rows, minlength=len(labels))
    for c in np.unique(labels):
        assert times[labels == c].sum() == count
        assert np.ptp(times[labels == c]) <= 1  # a class with too many rows gives some once, one with too few all about equally often


@pytest.mark.parametrize(("sizes", "target"), [((10, 2), 6), ((7, 0, 1), 4), ((5,), 5)])
def test_count_goes_to_the_middle_of_smallest_and_largest_by_itself(sizes: tuple[int, ...], target: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    drawn = labels[balance.indices(labels, Balance(name="count"), 0, 0)]
    assert np.bincount(drawn, minlength=len(sizes)).tolist() == [target if n else 0 for n in sizes]


def test_count_is_drawn_once_for_the_run_and_sampling_anew_each_epoch() -> None:
    labels = np.repeat([0, 1], [50, 10])
    count, sampling = Balance(name="count", options={"count": 30}), Balance(name="sampling")
    assert np.array_equal(balance.indices(labels, count, 0, 0), balance.indices(labels, count, 0, 7))
    assert not np.array_equal(balance.indices(labels, count, 0, 0), balance.indices(labels, count, 1, 0))
    assert not np.array_equal(balance.indices(labels, sampling, 0, 0), balance.indices(labels, sampling, 0, 1))


@pytest.mark.parametrize(
    ("power", "shares"),
    [
        (1.0, [1 / 3, 1 / 3, 1 / 3]),
        (0.5, [9 / 14, 4 / 14, 1 / 14]),  # roots of 81, 16, 1
        (0.0, [81 / 98, 16 / 98, 1 / 98]),
    ],
)
def test_sampling_draws_classes_in_the_stated_shares(power: float, shares: list[float]) -> None:
    labels = np.repeat([0, 1, 2], [81, 16, 1])
    spec = Balance(name="sampling", options={"power": power})
    rows = np.concatenate([balance.indices(labels, spec, 0, epoch) for epoch in range(100)])
    assert len(rows) == 100 * len(labels)
    # 9,800 draws: a share has a standard deviation of at most 0.005
    np.testing.assert_allclose(np.bincount(labels[rows]) / len(rows), shares, atol=0.02)
    assert len(np.unique(rows)) == len(labels)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("none", {"count": 3}, "balance.options={'count': 3}.*'none'"),
        ("count", {"cuont": 3}, "cuont"),
        ("count", {"count": -3}, "balance.options.count=-3"),
        ("sampling", {"power": "much"}, "'power': 'much'"),
        ("smapling", {}, "Did you mean 'sampling'"),
    ],
)
def test_what_does_not_fit_is_named(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(CutisError, match=named):
        balance.indices(np.array([0, 1, 1]), Balance(name=name, options=options), 0, 0)

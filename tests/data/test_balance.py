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
SPECS = st.sampled_from(
    [
        Balance(),
        Balance(name="sampling"),
        Balance(name="sampling", options={"power": 0.5}),
        Balance(name="count"),
        Balance(name="progressive", options={"epochs": 5}),
    ]
)


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
    progressive = Balance(name="progressive", options={"epochs": 1})  # equal shares from epoch 1 on
    assert not np.array_equal(balance.indices(labels, progressive, 0, 1), balance.indices(labels, progressive, 0, 2))


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
        ("progressive", {}, "balance.options={}.*'progressive'.*'epochs'"),
        ("progressive", {"epochs": 0}, "balance.options.epochs=0"),
        ("smapling", {}, "Did you mean 'sampling'"),
    ],
)
def test_what_does_not_fit_is_named(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(CutisError, match=named):
        balance.indices(np.array([0, 1, 1]), Balance(name=name, options=options), 0, 0)


@pytest.mark.parametrize(
    ("epoch", "shares"),
    [
        (0, [0.81, 0.16, 0.03]),
        (5, [0.5 * 0.81 + 0.5 / 3, 0.5 * 0.16 + 0.5 / 3, 0.5 * 0.03 + 0.5 / 3]),
        (10, [1 / 3, 1 / 3, 1 / 3]),
        (30, [1 / 3, 1 / 3, 1 / 3]),  # and so it stays
    ],
)
def test_progressive_goes_from_the_frequencies_of_the_data_to_equal_ones(epoch: int, shares: list[float]) -> None:
    labels = np.repeat([0, 1, 3], [81, 16, 3])  # class 2 has no row, and takes no share
    spec = Balance(name="progressive", options={"epochs": 10})
    rows = np.concatenate([balance.indices(labels, spec, seed, epoch) for seed in range(100)])
    assert len(rows) == 100 * len(labels)
    # 10,000 draws: a share has a standard deviation of at most 0.005
    np.testing.assert_allclose(np.bincount(labels[rows])[[0, 1, 3]] / len(rows), shares, atol=0.02)


# blending the repeated rows of oversampled classes


@given(LABELS, SPECS, st.floats(0.01, 1), st.integers(0, 99), st.integers(0, 9))
def test_partners_are_given_rows_of_the_same_class_and_the_same_again(
    labels: np.ndarray, spec: Balance, most: float, seed: int, epoch: int
) -> None:
    rows = np.random.default_rng(seed).permutation(balance.indices(labels, spec, seed, epoch))
    others, shares = balance.partners(labels, rows, most, seed, epoch)
    assert others.shape == shares.shape == rows.shape
    assert others.dtype == np.int64
    assert shares.dtype == np.float32
    assert (labels[others] == labels[rows]).all()
    assert (shares >= 0).all()
    assert (shares <= np.float32(most)).all()
    assert (others[shares == 0] == rows[shares == 0]).all()
    again = balance.partners(labels, rows, most, seed, epoch)
    assert np.array_equal(others, again[0])
    assert np.array_equal(shares, again[1])


def test_only_repeats_of_oversampled_classes_are_blended() -> None:
    labels = np.repeat([0, 1, 2], [40, 10, 1])
    rows = np.random.default_rng(0).permutation(balance.indices(labels, Balance(name="count", options={"count": 30}), 0, 0))
    others, shares = balance.partners(labels, rows, 1.0, 0, 0)
    assert [np.count_nonzero(shares[labels[rows] == c]) for c in range(3)] == [0, 30 - 10, 30 - 1]
    blended = shares > 0
    assert len(np.unique(rows[~blended])) == (~blended).sum()  # what stays as it is, stays once
    assert set(rows[~blended & (labels[rows] == 1)]) == set(range(40, 50))
    two = labels[rows] == 1
    assert (others[blended & two] != rows[blended & two]).all()
    assert (others[labels[rows] == 2] == 50).all()  # a class of one row has no other


def test_nothing_is_blended_where_nothing_is_oversampled() -> None:
    labels = np.repeat([0, 1], [40, 10])
    for spec in (Balance(), Balance(name="count", options={"count": 10})):
        rows = balance.indices(labels, spec, 0, 0)
        others, shares = balance.partners(labels, rows, 1.0, 0, 0)
        assert np.array_equal(others, rows)
        assert not shares.any()


def test_a_row_drawn_twice_of_a_class_that_is_not_oversampled_stays_as_it_is() -> None:
    labels = np.repeat([0, 1], [4, 2])
    others, shares = balance.partners(labels, np.array([0, 0, 1, 2, 4, 4, 5]), 1.0, 0, 0)  # class 0: 4 drawn of 4; class 1: 3 of 2
    assert (shares > 0).tolist() == [False] * 5 + [True, False]
    assert others.tolist() == [0, 0, 1, 2, 4, 5, 5]


def test_every_other_row_of_the_class_is_a_partner_equally_often_and_shares_are_uniform() -> None:
    labels = np.repeat([0, 1], [400, 5])[np.random.default_rng(1).permutation(405)]
    own = np.flatnonzero(labels == 1)
    rows = np.concatenate([np.flatnonzero(labels == 0), np.repeat(own, 80)])
    drawn = [balance.partners(labels, rows, 0.5, 0, epoch) for epoch in range(50)]
    others = np.concatenate([o[s > 0] for o, s in drawn])
    own_of = np.concatenate([rows[s > 0] for _, s in drawn])
    shares = np.concatenate([s[s > 0] for _, s in drawn])
    pairs = np.array([[np.count_nonzero((own_of == a) & (others == b)) for b in own] for a in own])
    # 50 x 79 = 3,950 draws a row over four others: 987.5 each, standard deviation 27
    np.testing.assert_array_equal(np.diag(pairs), 0)
    assert np.abs(pairs[~np.eye(5, dtype=bool)] - 3950 / 4).max() < 5 * 27
    # uniform in 0..0.5: mean 0.25, variance 1/48; 19,750 draws
    assert shares.mean() == pytest.approx(0.25, abs=0.005)
    assert shares.var() == pytest.approx(1 / 48, rel=0.05)
    assert not np.array_equal(drawn[0][0], drawn[1][0])

"""The bootstrap against resampling by index, limits against SciPy and hand calculation, coverage by enumeration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from cutis.evaluate.intervals import bootstrap_weights, mean_limits, percentile_limits, replicated, share_limits, wilson
from cutis.evaluate.sample import Rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(0, 1000))
def test_a_replicate_draws_as_many_groups_as_there_are_each_with_all_its_rows(groups, seed):
    weights = bootstrap_weights(groups, 50, np.random.default_rng(seed))
    assert weights.shape == (50, len(groups))
    names, first, index = np.unique(groups, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(weights, weights[:, first][:, index])
    np.testing.assert_array_equal(weights[:, first].sum(axis=1), len(names))


def test_groups_are_drawn_evenly_and_independently():
    weights = bootstrap_weights(np.arange(40), 20_000, np.random.default_rng(0)).astype(float)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.04)  # counts are multinomial: mean 1, variance 1 - 1/G, covariance -1/G
    covariance = np.cov(weights.T)
    np.testing.assert_allclose(np.diag(covariance), 1 - 1 / 40, atol=0.06)
    np.testing.assert_allclose(covariance[~np.eye(40, dtype=bool)], -1 / 40, atol=0.04)


def test_replicates_equal_resampling_by_index(noisy):
    a = noisy([30, 15, 8], views=2)
    rows, weights = Rows(a.labels, a.probabilities), bootstrap_weights(a.groups, 60, np.random.default_rng(3))
    drawn = replicated(rows, weights)
    for r, w in enumerate(weights):
        i = np.repeat(np.arange(len(w)), w)
        y, p = a.labels[i], a.probabilities[i]
        assert drawn["accuracy"][r] == pytest.approx(sk.accuracy_score(y, p.argmax(1)))
        assert drawn["log_loss"][r] == pytest.approx(sk.log_loss(y, p, labels=[0, 1, 2]))
        for c in np.unique(y):
            assert drawn["auroc"][r, c] == pytest.approx(sk.roc_auc_score(y == c, p[:, c]))
            assert drawn["auprc"][r, c] == pytest.approx(sk.average_precision_score(y == c, p[:, c]))


def test_blocks_do_not_change_the_figures(noisy, monkeypatch):
    a = noisy([20, 10])
    rows, weights = Rows(a.labels, a.probabilities), bootstrap_weights(a.groups, 50, np.random.default_rng(0))
    whole = replicated(rows, weights)
    monkeypatch.setattr("cutis.evaluate.intervals.BLOCK", 7 * 30)
    for name, values in replicated(rows, weights).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (1, 5), (17, 30), (30, 30)])
def test_wilson_limits_equal_scipy(right, n):
    wanted = stats.binomtest(right, n).proportion_ci(0.9, method="wilson")
    np.testing.assert_allclose(wilson(right / n, n, 0.9), (wanted.low, wanted.high), atol=1e-12)


def test_share_limits_equal_a_loop_with_the_same_draws(noisy):
    a = noisy([60, 25], views=2)
    weights = bootstrap_weights(a.groups, 300, np.random.default_rng(1))
    value = sk.accuracy_score(a.labels, a.predicted)
    loop = [sk.accuracy_score(a.labels[i], a.predicted[i]) for i in (np.repeat(np.arange(len(w)), w) for w in weights)]
    n = len(np.unique(a.groups))
    error = np.std(loop, ddof=1) * np.sqrt(n / (n - 1)) / (value * (1 - value))
    wanted = stats.logistic.cdf(stats.logistic.ppf(value) + stats.t(n - 1).ppf([0.025, 0.975]) * error)
    ours = share_limits(np.array(value), replicated(Rows(a.labels, a.probabilities), weights, ["accuracy"])["accuracy"], n, 0.95)
    np.testing.assert_allclose(ours, wanted, rtol=1e-9)


def test_percentile_limits_of_an_unbiased_figure_agree_with_scipy(noisy):
    a = noisy([200, 100])
    losses = -np.log(a.probabilities[np.arange(300), a.labels])
    theirs = stats.bootstrap((losses,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    weights = bootstrap_weights(a.groups, 9999, np.random.default_rng(1))
    drawn = replicated(Rows(a.labels, a.probabilities), weights, ["log_loss"])["log_loss"]
    ours = percentile_limits(losses.mean(), drawn, 0.95)
    np.testing.assert_allclose(ours, theirs, atol=0.03 * (theirs.high - theirs.low))


def test_percentile_limits_hold_the_value_and_know_when_they_cannot():
    high = np.linspace(0.2, 0.4, 1001)  # every replicate above the value, as for a calibration error
    low, up = percentile_limits(np.array(0.1), high, 0.9)
    np.testing.assert_allclose([low, up], [0.01, 0.19], atol=1e-12)
    columns = np.stack([np.where(np.arange(1001) < 300, np.nan, high), np.where(np.arange(1001) < 200, np.nan, high)], axis=1)
    low, up = percentile_limits(np.array([0.3, 0.3]), columns, 0.95)
    np.testing.assert_array_equal(np.isnan(low), [True, False])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_never_varies_gets_limits_from_its_number_of_groups(share):
    drawn = np.full(500, share)
    wanted = stats.binomtest(int(20 * share), 20).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(share_limits(np.array(share), drawn, 20, 0.95), (wanted.low, wanted.high), atol=1e-12)


def test_limits_of_a_mean_add_as_errors_do():
    rng = np.random.default_rng(0)
    values, low, high = np.array([0.8, 0.6, np.nan]), np.array([0.7, 0.4, np.nan]), np.array([0.85, 0.75, np.nan])
    apart = rng.normal(size=(200_000, 3))
    ends = mean_limits(values, low, high, apart)  # independent: half of the root of the sum of squares
    np.testing.assert_allclose(ends, (0.7 - np.hypot(0.1, 0.2) / 2, 0.7 + np.hypot(0.05, 0.15) / 2), atol=1e-3)
    together = np.repeat(apart[:, :1], 3, axis=1)
    np.testing.assert_allclose(mean_limits(values, low, high, together), (0.7 - 0.15, 0.7 + 0.1), atol=1e-9)
    still = np.column_stack([np.ones(100), apart[:100, 0], apart[:100, 0]])  # a class without an error still counts
    np.testing.assert_allclose(mean_limits(values, low, high, still), (0.7 - np.hypot(0.1, 0.2) / 2, 0.7 + np.hypot(0.05, 0.15) / 2))


@pytest.mark.parametrize("truth", [0.5, 0.8, 0.9, 0.97])
def test_limits_of_a_sensitivity_on_30_images_cover_the_truth(truth):
    """Coverage summed over all 31 possible outcomes; plain percentiles hold 0.97 in about 60 of 100."""
    weights = bootstrap_weights(np.arange(30), 1000, np.random.default_rng(0))
    covered = 0.0
    for right in range(31):
        drawn = weights @ (np.arange(30) < right) / 30
        low, high = share_limits(np.array(right / 30), drawn, 30, 0.95)
        covered += stats.binom.pmf(right, 30, truth) * (low <= truth <= high)
    assert 0.93 <= covered <= 0.99

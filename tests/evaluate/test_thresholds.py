"""Thresholds against SciPy's exact binomial limit, scikit-learn's ROC curve, an analysis of variance, and draws with a known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_curve

from cutis.errors import DataError
from cutis.evaluate.thresholds import effective, guaranteed, lower_limit, plain


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (1, 5), (29, 29), (81, 84), (500, 511)])
def test_the_lower_limit_is_the_exact_binomial_one(hits, n):
    theirs = stats.binomtest(hits, n, alternative="greater").proportion_ci(0.95, "exact").low
    assert lower_limit(hits / n, n, 0.95) == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_plain_is_the_highest_threshold_of_the_roc_curve_that_meets_the_target(whole, target):
    scores = np.array(whole) / 30
    found = plain(scores, np.arange(len(scores)), target, 0.95)
    labels, both = np.append(np.ones(len(scores)), 0), np.append(scores, -1)
    _, sensitivity, thresholds = roc_curve(labels, both, drop_intermediate=False)
    assert found.threshold == thresholds[sensitivity >= target - 1e-9].max()
    assert found.sensitivity == pytest.approx((scores >= found.threshold).mean())


@given(st.lists(st.integers(0, 200), min_size=30, max_size=80), st.sampled_from([0.8, 0.9]))
def test_guaranteed_is_the_highest_threshold_whose_exact_limit_meets_the_target(whole, target):
    scores = np.array(whole) / 200
    found = guaranteed(scores, np.arange(len(scores)), target, 0.95)

    def limit(t):
        return stats.binomtest(int((scores >= t).sum()), len(scores), alternative="greater").proportion_ci(0.95, "exact").low

    assert found.threshold == max(t for t in scores if limit(t) >= target)
    assert found.lower == pytest.approx(limit(found.threshold))


def test_with_distinct_scores_it_is_the_tolerance_limit_of_order_statistics():
    """Wilks: the r-th smallest of n leaves at least a share of 0.9 above it with probability P(Binomial(n, 0.1) >= r)."""
    n = 100
    r = max(r for r in range(1, n) if stats.binom.sf(r - 1, n, 0.1) >= 0.95)
    assert guaranteed(np.arange(n) / n, np.arange(n), 0.9, 0.95).threshold == (r - 1) / n


@pytest.mark.parametrize("n", [1, 5, 28])
def test_too_few_images_for_a_promise_say_how_many_it_takes(n):
    with pytest.raises(DataError, match="It takes 29 independent"):  # 0.9 ** 28 > 0.05 >= 0.9 ** 29
        guaranteed(np.arange(n) / n, np.arange(n), 0.9, 0.95)
    assert guaranteed(np.arange(29) / 29, np.arange(29), 0.9, 0.95).threshold == 0


def test_effective_counts_by_hand_and_by_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=60)
    assert effective(scores, np.arange(60)) == 60
    assert effective(np.repeat(scores, 3), np.repeat(np.arange(60), 3)) == pytest.approx(60)  # copies count once
    assert effective(scores, np.zeros(60)) == pytest.approx(1)
    sizes = rng.integers(1, 6, 20)
    groups, n = np.repeat(np.arange(20), sizes), sizes.sum()
    alike = rng.normal(size=20)[groups] + rng.normal(size=n)
    ranks = stats.rankdata(alike)
    f = stats.f_oneway(*(ranks[groups == g] for g in range(20))).statistic
    size = (n - (sizes**2).sum() / n) / 19
    icc = (f - 1) / (f + size - 1)
    assert 0.1 < icc < 0.9
    assert effective(alike, groups) == pytest.approx(n / (1 + ((sizes**2).sum() / n - 1) * icc))


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_promise_is_kept_on_draws_whose_true_sensitivity_is_known_also_in_groups(alike):
    """Of 300 draws of 45 groups, at most 5 in 100, and three standard errors, may have a true sensitivity under 0.9."""
    rng, kept, plainly = np.random.default_rng(1), [], []
    for _ in range(300):
        groups = np.repeat(np.arange(45), rng.integers(1, 5, size=45))
        scores = np.sqrt(alike) * rng.normal(size=45)[groups] + np.sqrt(1 - alike) * rng.normal(size=len(groups))
        kept.append(stats.norm.sf(guaranteed(scores, groups, 0.9, 0.95).threshold) >= 0.9)
        plainly.append(stats.norm.sf(plain(scores, groups, 0.9, 0.95).threshold) >= 0.9)
    assert np.mean(kept) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(plainly) < 0.7  # which is why there are two

"""The corrected resampled t-test against SciPy's plain one and the published correction."""

import numpy as np
import pytest
from scipy import stats

from cutis.evaluate.resampled import corrected

GAINS = [0.021, 0.005, 0.034, -0.004, 0.018]


def test_without_correction_it_is_the_t_test_of_scipy():
    plain = stats.ttest_1samp(GAINS, 0)
    found = corrected(GAINS, 0.0, 0.9)
    assert (found["value"], found["p"], found["df"]) == pytest.approx((np.mean(GAINS), plain.pvalue, 4))
    assert (found["low"], found["high"]) == pytest.approx(tuple(plain.confidence_interval(0.9)))


def test_the_correction_divides_t_as_nadeau_and_bengio_do():
    found = corrected(GAINS, 1 / 4, 0.95)  # five folds
    t = stats.ttest_1samp(GAINS, 0).statistic / np.sqrt(1 + 5 / 4)
    assert found["p"] == pytest.approx(2 * stats.t.sf(t, 4))
    assert found["high"] - found["value"] == pytest.approx(stats.t.ppf(0.975, 4) * np.mean(GAINS) / t)


def test_overlapping_trainings_do_not_find_what_is_not_there():
    """Differences that share a part, as trainings on common images do: the plain test is wrong three times as often as it says."""
    rng = np.random.default_rng(0)
    ratio, count = 0.25, 10
    rate = ratio / (1 + ratio)  # the correlation that the correction stands for
    drawn = np.sqrt(rate) * rng.normal(size=(600, 1)) + np.sqrt(1 - rate) * rng.normal(size=(600, count))
    careful, plain = (np.mean([corrected(list(gains), r, 0.95)["p"] < 0.05 for gains in drawn]) for r in (ratio, 0.0))
    assert careful == pytest.approx(0.05, abs=0.027)  # three standard errors of 600 draws
    assert plain > 0.15


def test_too_few_or_equal_trainings_have_no_interval():
    for gains in ([0.1], [0.1, 0.1], [0.1, float("nan")], []):
        found = corrected(gains, 0.2, 0.95)
        assert (found["low"], found["high"], found["p"]) == (None, None, None)
    assert corrected([0.0, 0.0], 0.2, 0.95)["p"] == 1

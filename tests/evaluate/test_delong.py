"""DeLong's variance and test against the definition summed pair by pair, Obuchowski's sums, scikit-learn and the jackknife."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy import stats

from cutis.errors import CutisError
from cutis.evaluate.delong import area, auroc, difference, limits


def placements(positive, score):
    """V10 and V01 of DeLong et al. 1988, by comparing every pair."""
    own, rest = score[positive], score[~positive]
    wins = (own[:, None] > rest) + 0.5 * (own[:, None] == rest)
    return wins.mean(axis=1), wins.mean(axis=0)


def drawn(seed, m=25, n=40):
    """Correlated scores of two models, with ties."""
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(m + n) < m)
    both = rng.normal(size=m + n) + positive
    return positive, *((both + rng.normal(size=m + n)).round(1) for _ in range(2))


@pytest.mark.parametrize("seed", range(4))
def test_area_variance_and_test_are_the_definition_pair_by_pair(seed):
    positive, one, two = drawn(seed)
    (own_1, rest_1), (own_2, rest_2) = placements(positive, one), placements(positive, two)
    found = area(positive, one)
    assert found.value == pytest.approx(sk.roc_auc_score(positive, one))
    assert found.variance(np.arange(65)) == pytest.approx(own_1.var(ddof=1) / 25 + rest_1.var(ddof=1) / 40)
    covariance = np.cov(own_1, own_2) / 25 + np.cov(rest_1, rest_2) / 40
    z = (own_1.mean() - own_2.mean()) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    told = limits(found.less(area(positive, two)), np.arange(65), 0.9)
    assert told["value"] == pytest.approx(own_1.mean() - own_2.mean())
    assert told["p"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert told["high"] - told["low"] == pytest.approx(2 * stats.norm.ppf(0.95) * told["value"] / z)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_summed_as_obuchowski_does(seed):
    positive, score, _ = drawn(seed)
    groups = np.random.default_rng(seed + 9).integers(0, 22, 65)
    own, rest = placements(positive, score)
    value, count = own.mean(), len(np.unique(groups))
    s10 = s01 = s11 = 0.0
    for g in np.unique(groups):
        x, y = own[groups[positive] == g], rest[groups[~positive] == g]
        a, b = x.sum() - len(x) * value, y.sum() - len(y) * value
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01 = (len(np.unique(groups[side])) for side in (positive, ~positive))
    s10, s01, s11 = s10 * i10 / ((i10 - 1) * 25), s01 * i01 / ((i01 - 1) * 40), s11 * count / (count - 1)
    assert area(positive, score).variance(groups) == pytest.approx(s10 / 25 + s01 / 40 + 2 * s11 / (25 * 40))


def test_copies_inside_a_group_change_nothing():
    positive, score, _ = drawn(1)
    thrice = [np.repeat(x, 3) for x in (positive, score, np.arange(65))]
    once, copied = area(positive, score), area(*thrice[:2])
    assert copied.variance(thrice[2]) == pytest.approx(once.variance(np.arange(65)))
    assert copied.variance(np.arange(195)) < once.variance(np.arange(65)) / 2.5  # what ignoring the groups would claim


def test_the_macro_area_agrees_with_scikit_learn_and_its_variance_with_the_jackknife(noisy):
    one = noisy([40, 60, 50], 2, strength=0.7)
    found = auroc(one, "auroc_macro")
    assert found.value == pytest.approx(sk.roc_auc_score(one.labels, one.probabilities, multi_class="ovr"))
    rows = np.arange(150)
    left_out = [sk.roc_auc_score(one.labels[rows != i], one.probabilities[rows != i], multi_class="ovr") for i in rows]
    jackknife = 149 / 150 * np.square(left_out - np.mean(left_out)).sum()
    assert found.variance(rows) == pytest.approx(jackknife, rel=0.03)
    two = noisy([40, 30], 3)
    assert auroc(two, "auroc_macro").variance(two.groups) == pytest.approx(auroc(two, "auroc/a").variance(two.groups))


def test_a_difference_of_nothing_is_found_as_often_as_it_says():
    rng, found = np.random.default_rng(0), 0
    positive = np.arange(150) < 50
    for _ in range(400):
        both = rng.normal(size=150) + positive
        one, two = (area(positive, both + rng.normal(size=150)) for _ in range(2))
        p = limits(one.less(two), np.arange(150), 0.95)["p"]
        found += p is not None and p < 0.05
    low, high = stats.binom.ppf([0.001, 0.999], 400, 0.05)
    assert low <= found <= high


def test_what_cannot_be_told_is_none(noisy, answers):
    one = noisy([10, 20])
    assert difference(one, one, "auroc/b", 0.95) == {"value": 0, "low": 0, "high": 0, "p": 1}
    flipped = answers([0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    worse = replace(flipped, probabilities=flipped.probabilities[:, ::-1])
    assert difference(flipped, worse, "auroc_macro", 0.95) == {"value": 1, "low": None, "high": None, "p": None}  # no row varies
    alone = replace(one, labels=np.zeros(30, int))
    assert difference(alone, alone, "auroc/a", 0.95) == dict.fromkeys(("value", "low", "high", "p"))
    for name in ("auroc", "auroc_weighted", "accuracy", "auroc/z", "auroc_macro/a"):
        with pytest.raises(CutisError, match="There is no area"):
            auroc(one, name)

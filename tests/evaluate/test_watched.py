"""One question against scikit-learn, the scoring code of ISIC 2024, the definition of net benefit, and all orders of a tie."""

from itertools import permutations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import assume, given
from hypothesis import strategies as st

from cutis.evaluate.watched import Question, among_first, net_benefit, partial_auroc, rates


def isic_2024(labels, scores, above):
    """The challenge's published scoring: classes turned round, scikit-learn's standardised partial area, put back on its scale."""
    width = 1 - above
    scaled = sk.roc_auc_score(1 - labels, 1 - scores, max_fpr=width)
    return 0.5 * width**2 + (width - 0.5 * width**2) / 0.5 * (scaled - 0.5)


rows = st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 3)), min_size=4, max_size=40)


@given(rows, st.sampled_from([0.5, 0.8, 0.9]))
def test_partial_auroc_is_the_measure_of_isic_2024_also_with_ties_and_weights(drawn, above):
    positive, score, weights = (np.array(column) for column in zip(*drawn, strict=True))
    assume(0 < positive.sum() < len(positive))
    score = score / 12
    labels = positive.astype(int)
    assert partial_auroc(positive, score, above=above) == pytest.approx(isic_2024(labels, score, above), abs=1e-12)
    again = isic_2024(labels.repeat(weights), score.repeat(weights), above)
    assert partial_auroc(positive, score, weights[None], above) == pytest.approx(again, abs=1e-12)
    assert partial_auroc(positive, score, above=0) == pytest.approx(sk.roc_auc_score(labels, score), abs=1e-12)


def test_partial_auroc_at_its_ends_and_where_a_side_is_missing():
    positive = np.arange(40) % 2 == 0
    assert partial_auroc(positive, positive.astype(float)) == pytest.approx(0.2)
    assert partial_auroc(positive, np.full(40, 0.5)) == pytest.approx(0.02)
    assert partial_auroc(positive, 1.0 - positive) == pytest.approx(0)
    assert np.isnan(partial_auroc(np.ones(3, bool), np.ones(3)))
    one_side_drawn = np.where(positive, 2, 0)[None]
    assert np.isnan(partial_auroc(positive, np.linspace(0, 1, 40), one_side_drawn))


def question(positive, score, groups=None):
    images = np.array([f"i{i}" for i in range(len(score))])
    return Question(images, images if groups is None else np.asarray(groups, np.str_), np.asarray(positive, bool), np.asarray(score, float))


def test_rates_are_those_of_scikit_learn_under_weights():
    rng = np.random.default_rng(0)
    positive, called, weights = rng.random(50) < 0.3, rng.random(50) < 0.4, rng.integers(0, 4, (3, 50))
    found = rates(question(positive, rng.random(50)), called, weights.astype(float))
    for i, w in enumerate(weights):
        assert found["sensitivity"][i] == pytest.approx(sk.recall_score(positive, called, sample_weight=w))
        assert found["specificity"][i] == pytest.approx(sk.recall_score(~positive, ~called, sample_weight=w))
        assert found["precision"][i] == pytest.approx(sk.precision_score(positive, called, sample_weight=w))
        assert found["called"][i] == pytest.approx(np.average(called, weights=w))


def test_net_benefit_is_its_definition_under_weights():
    rng = np.random.default_rng(1)
    positive, weights = rng.random(60) < 0.3, rng.integers(0, 3, (2, 60)).astype(float)
    score = np.round(0.5 * positive + rng.random(60) / 2, 1)  # scores on the thresholds too: those are called
    thresholds = np.array([0.1, 0.3, 0.5, 0.7])
    own, everyone = net_benefit(question(positive, score), thresholds, weights)
    for i, w in enumerate(weights):
        for j, t in enumerate(thresholds):
            (_, false), (_, true) = sk.confusion_matrix(positive, score >= t, sample_weight=w)
            assert own[i, j] == pytest.approx(true / w.sum() - false / w.sum() * t / (1 - t))
            share = np.average(positive, weights=w)
            assert everyone[i, j] == pytest.approx(share - (1 - share) * t / (1 - t))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2, max_size=6), st.integers(1, 4))
def test_among_the_first_is_the_mean_over_all_orders_of_ties(patient, k):
    positive, score = (np.array(column) for column in zip(*patient, strict=True))
    asked, hits, chance = among_first(question(positive, score, ["p"] * len(score)), k)
    if len(score) <= k or positive.all() or not positive.any():
        assert not asked.any()
        return
    orders = [np.array(o) for o in permutations(range(len(score))) if (np.diff(score[list(o)]) <= 0).all()]
    assert (asked == positive).all()
    assert hits == pytest.approx([np.mean([i in o[:k] for o in orders]) for i in np.flatnonzero(positive)])
    assert chance == pytest.approx(k / len(score))


def test_among_the_first_looks_within_each_patient():
    positive = [True, False, False, True, False, True, False]
    score = [0.2, 0.1, 0.0, 0.3, 0.9, 0.5, 0.6]
    groups = ["a", "a", "a", "b", "b", "c", "c"]
    asked, hits, chance = among_first(question(positive, score, groups), 1)
    assert asked.tolist() == positive
    assert hits.tolist() == [1, 0, 0]
    assert chance == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    asked, hits, _ = among_first(question(positive, score, groups), 2)  # b and c have no more than two
    assert asked.tolist() == [True, *[False] * 6]
    assert hits.tolist() == [1]

"""Curves against scikit-learn, thinned without harm; the reliability diagram against the calibration error."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cutis.evaluate.curves import POINTS, precision_recall, reliability, roc
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.metrics import Rows, figures


@pytest.mark.parametrize("digits", [1, 2, 8])  # one digit: many ties
def test_roc_has_the_corners_of_scikit_learn(noisy, digits):
    a = noisy([30, 20])
    positive, score = a.labels == 1, a.probabilities[:, 1].round(digits)
    x, y, _ = sk.roc_curve(positive, score, drop_intermediate=False)
    ours = roc(positive, score)
    assert set(zip(ours.x, ours.y, strict=True)) <= set(zip(x, y, strict=True))
    assert np.trapezoid(ours.y, ours.x) == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    assert (ours.x[0], ours.y[0], ours.x[-1], ours.y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("digits", [1, 2, 8])
def test_precision_recall_has_the_points_of_scikit_learn(noisy, digits):
    a = noisy([30, 20])
    positive, score = a.labels == 1, a.probabilities[:, 1].round(digits)
    precision, recall, _ = sk.precision_recall_curve(positive, score)
    ours = precision_recall(positive, score)
    np.testing.assert_allclose(ours.x, recall[:-1][::-1])
    np.testing.assert_allclose(ours.y, precision[:-1][::-1])


def test_long_curves_are_thinned_without_harm(noisy):
    a = noisy([4000, 3000], strength=1.0)
    positive, score = a.labels == 1, a.probabilities[:, 1]
    thin, pr = roc(positive, score), precision_recall(positive, score)
    assert 200 < len(thin.x) <= POINTS
    assert 200 < len(pr.x) <= POINTS
    assert np.trapezoid(thin.y, thin.x) == pytest.approx(sk.roc_auc_score(positive, score), abs=0.002)
    assert np.sum(np.diff(pr.x, prepend=0) * pr.y) == pytest.approx(sk.average_precision_score(positive, score), abs=0.01)
    assert (thin.x[-1], thin.y[-1], pr.x[-1]) == (1, 1, 1)


def test_band_holds_the_pointwise_percentiles_of_resampled_curves(noisy):
    a = noisy([40, 30], views=2)
    positive, score = a.labels == 1, a.probabilities[:, 1]
    weights = bootstrap_weights(a.groups, 200, np.random.default_rng(0))
    ours = roc(positive, score, weights, 0.9)
    curves = []
    for w in weights:
        i = np.repeat(np.arange(len(w)), w)
        x, y, _ = sk.roc_curve(positive[i], score[i], drop_intermediate=False)
        curves.append(np.interp(ours.x, x, y))
    low, high = np.quantile(curves, [0.05, 0.95], axis=0)
    jump = np.isin(ours.x, ours.x[:-1][np.diff(ours.x) == 0])  # on a vertical step either end is a fair reading
    np.testing.assert_allclose(ours.low[~jump], low[~jump], atol=0.02)
    np.testing.assert_allclose(ours.high[~jump], high[~jump], atol=0.02)
    assert (ours.low <= ours.high).all()


def test_curves_without_one_side_have_no_points():
    score = np.array([0.1, 0.9])
    assert len(roc(np.array([True, True]), score).x) == 0
    assert len(roc(np.array([False, False]), score).x) == 0
    assert len(precision_recall(np.array([False, False]), score).x) == 0
    np.testing.assert_allclose(precision_recall(np.array([True, True]), score).y, 1)


def test_the_gaps_of_the_reliability_diagram_are_the_calibration_error(noisy):
    a = noisy([90, 47, 20])
    bins = reliability(a.labels, a.probabilities)
    error = figures(Rows(a.labels, a.probabilities).weighted(), ["ece"])["ece"][0]
    assert np.mean(np.abs(bins.confidence - bins.right)) == pytest.approx(error, abs=1e-12)
    assert bins.right.mean() == pytest.approx(sk.accuracy_score(a.labels, a.predicted))
    assert (np.diff(bins.confidence) > 0).all()
    assert ((bins.low <= bins.right + 1e-12) & (bins.right <= bins.high + 1e-12)).all()


def test_reliability_bins_are_those_of_whole_images_where_they_divide(noisy):
    a = noisy([40, 20])
    bins = reliability(a.labels, a.probabilities, bins=6)
    order = np.argsort(a.probabilities.max(axis=1))
    np.testing.assert_allclose(bins.confidence, [a.probabilities.max(axis=1)[i].mean() for i in np.split(order, 6)])
    np.testing.assert_allclose(bins.right, [(a.predicted == a.labels)[i].mean() for i in np.split(order, 6)])
    assert bins.images == 10


def test_few_images_give_few_bins(answers):
    a = answers([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    bins = reliability(a.labels, a.probabilities)
    np.testing.assert_allclose(bins.confidence, [0.6, 0.7, 0.9])
    np.testing.assert_allclose(bins.right, [1, 0, 1])

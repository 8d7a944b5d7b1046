"""Calibration against scikit-learn, sums by hand, and answers whose right correction is known because they were made that way."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from cutis.errors import DataError
from cutis.evaluate import calibration
from cutis.evaluate.after import Bootstrap
from cutis.evaluate.calibration import calibrated, calibrators, fit, measure
from cutis.evaluate.intervals import bootstrap_weights
from cutis.recipe import Evaluation


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def spec(method):
    return Evaluation(calibration=method)


@pytest.fixture
def made(answers):
    """Answers to images whose classes were drawn by softmax(slopes * logits + offsets), stated as softmax(logits)."""

    def make(n, slopes=(0.4, 0.4, 0.4), offsets=(0.0, 0.0, 0.0), seed=0, views=1):
        rng = np.random.default_rng(seed)
        logs = np.log(softmax(rng.normal(0, 3, (n, 3))))
        true = softmax(np.array(slopes) * logs + np.array(offsets))
        labels = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(max=2)
        stated = np.repeat(np.exp(logs), views, axis=0)
        return answers(np.repeat(labels, views), stated, [f"g{i // views}" for i in range(n * views)])

    return make


class Logits(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision is its input."""

    classes_ = np.arange(3)

    def fit(self, x, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)


def test_temperature_equals_scikit_learns(made):
    val, test = made(400), made(50, seed=1)
    theirs = CalibratedClassifierCV(FrozenEstimator(Logits()), method="temperature").fit(np.log(val.probabilities), val.labels)
    ours = calibrated(fit(val, spec("temperature")), test.probabilities)
    assert ours == pytest.approx(theirs.predict_proba(np.log(test.probabilities)), abs=1e-4)


def test_temperature_is_found_again_with_an_interval_that_knows_groups(made):
    found = fit(made(4000), spec("temperature"))
    assert found["low"] < 1 / 0.4 < found["high"]
    alone, thrice = fit(made(300), spec("temperature")), fit(made(300, views=3), spec("temperature"))
    for key in ("temperature", "low", "high"):  # copies of an image within a group add nothing
        assert thrice[key] == pytest.approx(alone[key], rel=1e-6)


def test_temperature_interval_holds_the_truth_about_as_often_as_it_says(made):
    held = [f["low"] < 2.5 < f["high"] for f in (fit(made(120, seed=s), spec("temperature")) for s in range(200))]
    assert 0.90 <= np.mean(held) <= 0.99


def test_perfect_and_worthless_answers_stop_at_the_limit(answers):
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    assert fit(answers([0, 1, 0, 1], p), spec("temperature")) == {"method": "temperature", "temperature": 0.05, "low": None, "high": None}
    assert fit(answers([1, 0, 1, 0], p), spec("temperature")) == {"method": "temperature", "temperature": 20.0, "low": None, "high": None}
    for method in ("vector", "isotonic"):
        out = calibrated(fit(answers([0, 1, 0, 1], p), spec(method)), p)
        assert np.isfinite(np.log(out)).all()


def test_vector_meets_the_conditions_of_its_optimum_and_finds_what_answers_were_made_by(made):
    slopes, offsets = (0.4, 0.7, 0.5), (0.6, -0.4, -0.2)
    val = made(20_000, slopes, offsets)
    found = fit(val, spec("vector"))
    assert found["slopes"] == pytest.approx(slopes, abs=0.06)
    assert found["offsets"] == pytest.approx(offsets, abs=0.12)
    out, truth, logs = calibrated(found, val.probabilities), np.eye(3)[val.labels], np.log(val.probabilities)
    assert out.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=1e-5)  # derivative by the offsets
    assert (out * logs).mean(axis=0) == pytest.approx((truth * logs).mean(axis=0), abs=1e-4)  # and by the slopes


def test_isotonic_equals_scikit_learns_of_each_class_against_the_rest(made):
    val, test = made(500), made(200, seed=1)
    val = replace(val, probabilities=val.probabilities.round(2))  # with many equal ones
    least = 1 / 502
    each = [
        IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(val.probabilities[:, c], val.labels == c)
        for c in range(3)
    ]
    theirs = np.stack([one.predict(test.probabilities[:, c]) for c, one in enumerate(each)], axis=1)
    ours = calibrated(fit(val, spec("isotonic")), test.probabilities)
    assert ours == pytest.approx(theirs / theirs.sum(axis=1, keepdims=True), abs=1e-6)


@given(st.integers(0, 10_000), st.sampled_from(["temperature", "vector", "isotonic"]))
def test_every_calibration_gives_probabilities_and_does_not_raise_the_log_loss_it_is_fitted_on(seed, method):
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.full(3, 0.3), 60), np.append(rng.integers(0, 3, 57), [0, 1, 2])
    names = np.arange(60).astype(str)
    val = calibration.Predictions(names, names, labels, p, ("a", "b", "c"))
    out = calibrated(fit(val, spec(method)), p)
    assert (out >= 0).all()
    assert out.sum(axis=1) == pytest.approx(1)
    if method != "isotonic":  # which is fitted class by class, before the division by the sum
        losses = [sk.log_loss(labels, q.clip(1e-15), labels=[0, 1, 2]) for q in (p, out)]
        assert losses[1] <= losses[0] + 1e-6


def test_figures_before_and_after_equal_scikit_learns_and_differ_as_they_do(made):
    val, test = made(2000), made(600, seed=1)
    found = fit(val, spec("temperature"))
    told = measure(found, test, Bootstrap(bootstrap_weights(test.groups, 300, np.random.default_rng(0)), 0.95, 0))
    after = calibrated(found, test.probabilities)
    assert told["before"]["log_loss"]["value"] == pytest.approx(sk.log_loss(test.labels, test.probabilities))
    assert told["after"]["log_loss"]["value"] == pytest.approx(sk.log_loss(test.labels, after))
    assert told["after"]["brier"]["value"] == pytest.approx(sk.brier_score_loss(test.labels, after, labels=[0, 1, 2], scale_by_half=False))
    for name, gain in told["difference"].items():
        assert gain["value"] == pytest.approx(told["after"][name]["value"] - told["before"][name]["value"])
        assert gain["low"] < gain["value"] < gain["high"] < 0
    assert told["changed"] == 0


def test_none_fits_nothing_and_leaves_answers_alone(made):
    val = made(50)
    assert fit(val, spec("none")) is None
    assert calibrated(None, val.probabilities) is val.probabilities
    assert set(calibrators) >= {"none", "temperature", "vector", "isotonic"}


def test_too_little_validation_is_refused_with_what_to_do(answers, made):
    p = np.full((6, 2), 0.5)
    with pytest.raises(DataError, match=r"split\.val"):
        fit(answers([0] * 6, p), spec("temperature"))
    with pytest.raises(DataError, match="one group"):
        fit(answers([0, 1] * 3, p, ["g"] * 6), spec("temperature"))
    two = made(30)
    two = two.rows(two.labels < 2)
    for method in ("vector", "isotonic"):
        with pytest.raises(DataError, match="no image of c"):
            fit(two, spec(method))

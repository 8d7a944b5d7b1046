"""Every metric against scikit-learn, under weights and ties; and what must not matter does not."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from cutis.evaluate.metrics import Rows, figures, metrics
from cutis.registry import Registry


@st.composite
def tables(draw, ties=True):
    """Labels, probabilities (with many ties, zeros and ones), and three sets of weights, one of them all ones."""
    n, c = draw(st.integers(1, 30)), draw(st.integers(2, 4))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, c - 1)))
    if ties:
        parts = draw(arrays(np.int64, (n, c), elements=st.integers(0, 3))) + np.eye(c, dtype=int)[0]
    else:
        parts = np.random.default_rng(draw(st.integers(0, 10**6))).random((n, c))
    counts = draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    counts[draw(st.integers(0, n - 1))] = 1  # never all zero
    reals = draw(arrays(np.float64, n, elements=st.floats(0.125, 4)))
    return labels, parts / parts.sum(axis=1, keepdims=True), np.stack([np.ones(n), counts, reals])


def reference(labels, p, w):
    """What scikit-learn says of the rows with a positive weight; NaN where it has no answer."""
    labels, p, w = labels[w > 0], p[w > 0], w[w > 0]
    every, best = np.arange(p.shape[1]), p.argmax(axis=1)
    present = np.isin(every, labels)
    out = {"accuracy": sk.accuracy_score(labels, best, sample_weight=w)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is undefined
        out["balanced_accuracy"] = sk.balanced_accuracy_score(labels, best, sample_weight=w)
        out["kappa_quadratic"] = sk.cohen_kappa_score(labels, best, labels=every, weights="quadratic", sample_weight=w)
        out["mean_absolute_error"] = sk.mean_absolute_error(labels, best, sample_weight=w)
        for average in (None, "macro", "weighted"):
            scores = sk.precision_recall_fscore_support(
                labels, best, labels=every[present], average=average, sample_weight=w, zero_division=0
            )
            for name, value in zip(("precision", "sensitivity", "f1"), scores, strict=False):
                out[name if average is None else f"{name}_{average}"] = spread_out(value, present) if average is None else value
    out["specificity"] = spread_out(
        [
            sk.recall_score(labels != c, best != c, sample_weight=w, zero_division=0) if (labels != c).any() else np.nan
            for c in every[present]
        ],
        present,
    )
    both = [c for c in every[present] if (labels != c).any()]
    out["auroc"] = spread_out([sk.roc_auc_score(labels == c, p[:, c], sample_weight=w) for c in both], np.isin(every, both))
    out["auprc"] = spread_out([sk.average_precision_score(labels == c, p[:, c], sample_weight=w) for c in every[present]], present)
    out["brier"] = sk.brier_score_loss(labels, p, labels=every, sample_weight=w, scale_by_half=False)
    out["log_loss"] = sk.log_loss(labels, p, labels=every, sample_weight=w)
    return out


def spread_out(values, where):
    out = np.full(len(where), np.nan)
    out[where] = values
    return out


def binned(labels, p, bins=15):
    """Calibration error by cutting each row into ``bins`` equal pieces, so that bins of equal mass hold whole pieces."""
    confidence, right = p.max(axis=1), (p.argmax(axis=1) == labels).astype(float)
    for value in np.unique(confidence):
        right[confidence == value] = right[confidence == value].mean()
    order = np.argsort(confidence)
    pieces = np.repeat((confidence - right)[order], bins)
    return sum(abs(piece.mean()) / bins for piece in np.split(pieces, bins))


@settings(max_examples=50, deadline=None)
@given(tables())
def test_metrics_equal_scikit_learn_with_and_without_weights(table):
    labels, p, weights = table
    ours = figures(Rows(labels, p).weighted(weights))
    for r, w in enumerate(weights):
        for name, value in reference(labels, p, w).items():
            np.testing.assert_allclose(ours[name][r], value, rtol=1e-9, atol=1e-9, err_msg=f"{name}, weights {r}")


def test_averages_of_ranking_metrics_equal_scikit_learn(noisy):
    a = noisy([40, 20, 10, 5])
    ours = figures(Rows(a.labels, a.probabilities).weighted())
    onehot = np.eye(4)[a.labels]
    for average in ("macro", "weighted"):
        auroc = sk.roc_auc_score(a.labels, a.probabilities, multi_class="ovr", average=average)
        assert ours[f"auroc_{average}"][0] == pytest.approx(auroc, abs=1e-12)
        auprc = sk.average_precision_score(onehot, a.probabilities, average=average)
        assert ours[f"auprc_{average}"][0] == pytest.approx(auprc, abs=1e-12)
    present = [sk.recall_score(a.labels != c, a.predicted != c) for c in range(4)]
    assert ours["specificity_macro"][0] == pytest.approx(np.mean(present))
    assert ours["specificity_weighted"][0] == pytest.approx(np.average(present, weights=[40, 20, 10, 5]))


@settings(max_examples=60, deadline=None)
@given(tables())
def test_calibration_error_equals_bins_of_whole_pieces(table):
    labels, p, weights = table
    counts = weights[1].astype(int)
    ours = figures(Rows(labels, p).weighted(weights[:2]), ["ece"])["ece"]
    assert ours[0] == pytest.approx(binned(labels, p), abs=1e-9)
    assert ours[1] == pytest.approx(binned(np.repeat(labels, counts), np.repeat(p, counts, axis=0)), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_weight_of_k_is_the_row_k_times(table):
    labels, p, weights = table
    counts = weights[1].astype(int)
    by_weight = figures(Rows(labels, p).weighted(weights[1:2]))
    by_index = figures(Rows(np.repeat(labels, counts), np.repeat(p, counts, axis=0)).weighted())
    for name, value in by_index.items():
        np.testing.assert_allclose(by_weight[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table, random):
    labels, p, weights = table
    order = list(range(len(labels)))
    random.shuffle(order)
    plain, shuffled = figures(Rows(labels, p).weighted(weights)), figures(Rows(labels[order], p[order]).weighted(weights[:, order]))
    for name in plain:
        np.testing.assert_allclose(shuffled[name], plain[name], rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(tables(ties=False), st.randoms(use_true_random=False))
def test_the_order_of_classes_matters_to_figures_of_grades_only(table, random):
    labels, p, weights = table
    order = list(range(p.shape[1]))
    random.shuffle(order)
    plain = figures(Rows(labels, p).weighted(weights))
    moved = figures(Rows(np.argsort(order)[labels], p[:, order]).weighted(weights))
    for name in set(plain) - {"kappa_quadratic", "mean_absolute_error"}:
        wanted = plain[name][:, order] if plain[name].ndim == 2 else plain[name]
        np.testing.assert_allclose(moved[name], wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_class_never_predicted_has_precision_0_and_an_absent_class_has_no_figure():
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0]])
    ours = figures(Rows(np.array([0, 0, 1]), p).weighted())
    np.testing.assert_array_equal(ours["precision"][0], [2 / 3, 0, np.nan])
    for name in ("sensitivity", "specificity", "f1", "auroc", "auprc"):
        assert np.isnan(ours[name][0, 2])
        assert np.isfinite(ours[name][0, :2]).all()
    assert ours["precision_macro"][0] == pytest.approx(1 / 3)


def test_a_metric_of_another_shape_is_named(monkeypatch):
    made: Registry = Registry("metric")
    made.register("crooked")(lambda s: np.zeros(len(s.weights) + 1))
    monkeypatch.setattr("cutis.evaluate.metrics.metrics", made)
    with pytest.raises(ValueError, match="'crooked' returned shape"):
        figures(Rows(np.array([0, 1]), np.eye(2)).weighted())


def test_each_metric_is_short_and_says_what_it_is():
    for name, metric in metrics.items():
        code = metric.__code__
        lines = {line for _, _, line in code.co_lines() if line}
        assert max(lines) - code.co_firstlineno <= 20, name
        assert metric.__doc__, name

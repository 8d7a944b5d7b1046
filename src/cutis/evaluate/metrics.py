"""Metrics: each is one short function of a sample of answers, for all its sets of row weights at once."""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from cutis.evaluate.sample import Floats, ratio
from cutis.evaluate.sample import Rows as Rows
from cutis.evaluate.sample import Sample as Sample
from cutis.registry import Registry

Basis = Literal["all", "class", "rest", "predicted", "smaller"]

Metric = Callable[[Sample], Floats]
"""Sample to R values (a figure of the whole table) or R x C values (a figure of each class, which then also gets a macro and a weighted
average over the classes that have it). NaN where a figure is not defined."""

metrics: Registry[Metric] = Registry("metric", "cutis.evaluate.metrics")


def share_of(basis: Basis) -> Callable[[Metric], Metric]:
    """Marks a figure in 0..1 as a share of all images, those of the class, of the rest, those predicted as the class, or pairs of one
    of the class and one of the rest (so the smaller side counts). Its interval then rests on how many groups those are
    (``intervals.share_limits``); a metric without the mark gets percentiles. For a figure of the whole table the share is always of all."""

    def mark(metric: Metric) -> Metric:
        vars(metric)["share_of"] = basis
        return metric

    return mark


def less_is_better(metric: Metric) -> Metric:
    """Marks a figure of which the smaller value is the better one."""
    vars(metric)["less_is_better"] = True
    return metric


@metrics.register("accuracy")
@share_of("all")
def accuracy(s: Sample) -> Floats:
    """Share of rows whose most probable class is the true one."""
    return s.mean(s.predicted == s.labels)


@metrics.register("balanced_accuracy")
def balanced_accuracy(s: Sample) -> Floats:
    """Mean sensitivity of the classes that occur."""
    return macro(s, sensitivity(s))


@metrics.register("sensitivity")
@share_of("class")
def sensitivity(s: Sample) -> Floats:
    """Share of the rows of a class that are predicted as such (recall)."""
    return ratio(s.hits, s.support)


@metrics.register("specificity")
@share_of("rest")
def specificity(s: Sample) -> Floats:
    """Share of the rows of other classes that are not predicted as this one; undefined for a class that does not occur."""
    rest = s.support @ (1 - np.eye(s.support.shape[1]))  # not total - support, which rounding keeps from being 0
    return _where_present(s, ratio(rest - (s.called - s.hits), rest))


@metrics.register("precision")
@share_of("predicted")
def precision(s: Sample) -> Floats:
    """Share of the rows predicted as a class that are of it; 0 for a class that occurs and is never predicted."""
    return _where_present(s, np.where(s.called > 0, ratio(s.hits, s.called), 0.0))


@metrics.register("f1")
@share_of("class")
def f1(s: Sample) -> Floats:
    """Harmonic mean of precision and sensitivity; 0 for a class that occurs and is never predicted."""
    return _where_present(s, ratio(2 * s.hits, s.support + s.called))


@metrics.register("auroc")
@share_of("smaller")
def auroc(s: Sample) -> Floats:
    """Probability that a row of the class scores above one of the rest, ties half; undefined where either is missing."""
    return s.ranked[0]


@metrics.register("auprc")
@share_of("smaller")
def auprc(s: Sample) -> Floats:
    """Average precision, sum over thresholds of the gain in sensitivity times precision; rows of equal score are one threshold."""
    return s.ranked[1]


@metrics.register("kappa_quadratic")
def kappa_quadratic(s: Sample) -> Floats:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 - observed / expected squared distance between class indices."""
    index = np.arange(s.support.shape[1])
    distance = (index[:, None] - index) ** 2.0
    observed = np.einsum("rij,ij->r", s.confusion, distance)
    expected = ratio(np.einsum("ri,ij,rj->r", s.support, distance, s.called, optimize=True), s.weights.sum(axis=1))
    return 1 - ratio(observed, expected)


@metrics.register("mean_absolute_error")
@less_is_better
def mean_absolute_error(s: Sample) -> Floats:
    """Mean distance between the indices of the predicted and the true class: for ordered grades, by how many an answer is off."""
    return s.mean(np.abs(s.predicted - s.labels))


@metrics.register("ece")
@less_is_better
def ece(s: Sample) -> Floats:
    """Expected calibration error of the predicted class over 15 bins of equal weight (Nixon et al. 2019)."""
    return np.asarray(np.abs(s.surplus(15)).sum(axis=1))


@metrics.register("brier")
@less_is_better
def brier(s: Sample) -> Floats:
    """Mean squared distance of the probabilities from the one-hot truth, summed over classes: 0..2 (Brier 1950)."""
    return s.mean(((s.probabilities - np.eye(s.probabilities.shape[1])[s.labels]) ** 2).sum(axis=1))


@metrics.register("log_loss")
@less_is_better
def log_loss(s: Sample) -> Floats:
    """Mean negative log-probability of the true class; probabilities are kept 2.2e-16 away from 0 and 1, as scikit-learn does."""
    p, eps = s.probabilities[np.arange(len(s.labels)), s.labels], np.finfo(np.float64).eps
    return s.mean(-np.log(p.clip(eps, 1 - eps)))


def macro(s: Sample, values: Floats) -> Floats:
    """Plain mean, R, of R x C per-class values over the classes that have one."""
    return _average(values, np.ones_like(values))


def weighted(s: Sample, values: Floats) -> Floats:
    """Mean, R, of R x C per-class values over the classes that have one, weighted by class size."""
    return _average(values, s.support)


AVERAGES: dict[str, Callable[[Sample, Floats], Floats]] = {"macro": macro, "weighted": weighted}


def figures(s: Sample, names: Iterable[str] | None = None) -> dict[str, Floats]:
    """Every registered metric, or those named, on a sample: R values, or R x C with ``_macro`` and ``_weighted`` averages (R) beside them.

    Raises ValueError for an unknown name, and for a metric whose answer has another shape.
    """
    found: dict[str, Floats] = {}
    for name, metric in metrics.items() if names is None else [(n, metrics[n]) for n in names]:
        values = np.asarray(metric(s), np.float64)
        if values.shape not in (s.support.shape[:1], s.support.shape):
            raise ValueError(
                f"The metric {name!r} returned shape {values.shape}; for {len(s.weights)} weightings of {s.support.shape[1]} classes "
                f"it must return {s.support.shape[:1]} (whole table) or {s.support.shape} (per class)."
            )
        found[name] = values
        if values.ndim == 2:
            found |= {f"{name}_{average}": mean(s, values) for average, mean in AVERAGES.items()}
    return found


def _where_present(s: Sample, values: Floats) -> Floats:
    return np.where(s.support > 0, values, np.nan)


def _average(values: Floats, weights: Floats) -> Floats:
    known = np.isfinite(values)
    return ratio(np.where(known, values * weights, 0).sum(axis=1), np.where(known, weights, 0).sum(axis=1))

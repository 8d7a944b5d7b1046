"""Calibration: probabilities corrected on validation answers, so that what is stated with 80 % is right in 80 %."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cutis.errors import DataError
from cutis.evaluate.after import After, Bootstrap, afterwards, figure
from cutis.evaluate.intervals import replicated
from cutis.evaluate.sample import Floats, Rows
from cutis.predictions import Predictions
from cutis.recipe import Evaluation
from cutis.registry import Registry

TINY = float(np.finfo(np.float64).eps)  # probabilities below it count as it, as in the log loss
STEEPEST = 20.0  # limit of every slope and offset: without errors on validation the log loss falls without end
FIGURES = ("log_loss", "brier", "ece")  # log loss is what is minimised


@dataclass(frozen=True)
class Calibrator:
    """A map of probabilities, N x C to N x C, of the form that it has and with the numbers that are fitted.

    Log-probabilities stand for logits, which answers averaged over views or members do not have.
    """

    about: str
    """What it is, in words."""
    fit: Callable[[Predictions, float], dict[str, Any] | None]
    """Validation answers with known classes, and the level of intervals, to what JSON holds; None where there is nothing to fit."""
    apply: Callable[[Mapping[str, Any], Floats], Floats]
    """What was fitted, and probabilities, to probabilities whose rows sum to 1."""


calibrators: Registry[Calibrator] = Registry("calibration", "cutis.evaluate.calibration")


def fit(val: Predictions, spec: Evaluation) -> dict[str, Any] | None:
    """The recipe's calibration fitted on validation: ``method`` and its numbers; None where it is turned off.

    Raises DataError where validation has fewer than two classes or groups.
    """
    if len(np.unique(val.labels)) < 2 or len(np.unique(val.groups)) < 2:
        raise DataError("Validation has images of one class or one group only, so calibration is not fitted. Make split.val larger.")
    found = calibrators[spec.calibration].fit(val, spec.level)
    return None if found is None else {"method": spec.calibration, **found}


def calibrated(fitted: Mapping[str, Any] | None, probabilities: Floats) -> Floats:
    """Probabilities N x C, corrected by what ``fit`` found; as they are where that is None."""
    return probabilities if fitted is None else calibrators[fitted["method"]].apply(fitted, probabilities)


def measure(fitted: Mapping[str, Any], predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    """Log loss, Brier score and ECE of a set ``before`` and ``after`` the correction, and the paired ``difference``, after less before.

    ``changed``: how many images get another most probable class.
    """
    corrected = calibrated(fitted, predictions.probabilities)
    changed = int((corrected.argmax(axis=1) != predictions.predicted).sum())
    return {"method": fitted["method"], **compared(predictions, corrected, bootstrap, FIGURES), "changed": changed}


def compared(
    predictions: Predictions, corrected: Floats, bootstrap: Bootstrap, names: tuple[str, ...], importance: Floats | None = None
) -> dict[str, Any]:
    """Figures ``before`` and ``after`` a correction and their paired ``difference``, on the same resamples.

    ``importance``: N factors of the rows' weights; none: 1 each.
    """
    n, whole = len(np.unique(predictions.images)), np.ones((1, len(predictions.labels)))
    sides = [Rows(predictions.labels, probabilities) for probabilities in (predictions.probabilities, corrected)]
    points = [replicated(side, whole, names, importance) for side in sides]
    drawn = [replicated(side, bootstrap.weights, names, importance) for side in sides]
    told = [{m: figure(point[m][0], of[m], bootstrap.level, n) for m in names} for point, of in zip(points, drawn, strict=True)]
    gain = {m: figure(points[1][m][0] - points[0][m][0], drawn[1][m] - drawn[0][m], bootstrap.level, n, signed=True) for m in names}
    return {"before": told[0], "after": told[1], "difference": gain}


afterwards.register("calibration")(After(fit, measure))
calibrators.register("none")(Calibrator("no correction", lambda val, level: None, lambda fitted, probabilities: probabilities))


def _temperature(val: Predictions, level: float) -> dict[str, Any]:
    """The T of softmax(log p / T) with the lowest log loss (Guo et al. 2017), and its interval.

    The slope 1/T solves sum_i s_i = 0 with s_i = E_q[log p_i] - log p_iy, q the corrected answer: the log loss is convex in it. Its
    variance is the sandwich over groups, sum_g S_g^2 / (sum_i Var_q[log p_i])^2 (White 1982), carried to log T.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    logs, each = _logs(val.probabilities), np.arange(len(val.labels))

    def scores(slope: float) -> tuple[Floats, Floats]:
        q = _softmax(slope * logs)
        mean = (q * logs).sum(axis=1)
        return mean - logs[each, val.labels], (q * logs**2).sum(axis=1) - mean**2

    def steepness(log_slope: float) -> float:
        return float(scores(np.exp(log_slope))[0].mean())

    limit = float(np.log(STEEPEST))
    if steepness(-limit) >= 0 or steepness(limit) <= 0:  # worse than chance, or never wrong
        return {"temperature": STEEPEST if steepness(-limit) >= 0 else 1 / STEEPEST, "low": None, "high": None}
    slope = float(np.exp(brentq(steepness, -limit, limit, xtol=1e-10)))
    score, curvature = scores(slope)
    names, index = np.unique(val.groups, return_inverse=True)
    count = len(names)
    sd = np.sqrt((np.bincount(index, score) ** 2).sum() * count / (count - 1)) / curvature.sum() / slope
    half = float(stdtrit(count - 1, (1 + level) / 2) * sd)
    return {"temperature": 1 / slope, "low": float(np.exp(-half)) / slope, "high": float(np.exp(half)) / slope}


def _cooled(fitted: Mapping[str, Any], probabilities: Floats) -> Floats:
    return _softmax(_logs(probabilities) / fitted["temperature"])


calibrators.register("temperature")(Calibrator("one temperature for all answers", _temperature, _cooled))


def _vector(val: Predictions, level: float) -> dict[str, Any]:
    """The slopes w and offsets b of softmax(w log p + b) with the lowest log loss (Guo et al. 2017), which is convex in them."""
    from scipy.optimize import minimize

    _each_class(val)
    logs, truth, classes = _logs(val.probabilities), np.eye(len(val.classes))[val.labels], len(val.classes)

    def loss(x: Floats) -> tuple[float, Floats]:
        z = x[:classes] * logs + x[classes:]
        top = z.max(axis=1)
        total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        wrong = (np.exp(z - total[:, None]) - truth) / len(logs)
        return float((total - (z * truth).sum(axis=1)).mean()), np.concatenate([(wrong * logs).sum(axis=0), wrong.sum(axis=0)])

    bounds = [(0.0, STEEPEST)] * classes + [(-STEEPEST, STEEPEST)] * classes
    start = np.repeat([1.0, 0.0], classes)
    x = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-8}).x
    return {"slopes": x[:classes].tolist(), "offsets": (x[classes:] - x[classes:].mean()).tolist()}  # an offset for all changes nothing


def _bent(fitted: Mapping[str, Any], probabilities: Floats) -> Floats:
    return _softmax(np.array(fitted["slopes"]) * _logs(probabilities) + np.array(fitted["offsets"]))


calibrators.register("vector")(Calibrator("a slope and an offset for each class (vector scaling)", _vector, _bent))


def _isotonic(val: Predictions, level: float) -> dict[str, Any]:
    """Of each class against the rest, the rising steps nearest to the truth, then divided by their sum (Zadrozny & Elkan 2002).

    Isotonic regression by pooled adjacent violators minimises the log loss as it does squares. Shares are kept 1 / (n + 2) away from 0 and
    1, because one image in a step of 0 makes the log loss infinite. Between the steps' ends the line is straight.
    """
    from scipy.optimize import isotonic_regression

    _each_class(val)
    least, steps = 1 / (len(val.labels) + 2), []
    for c in range(len(val.classes)):
        x, index = np.unique(val.probabilities[:, c], return_inverse=True)
        many = np.bincount(index)
        y = isotonic_regression(np.bincount(index, val.labels == c) / many, weights=many).x.clip(least, 1 - least)
        keep = np.ones(len(x), bool)
        keep[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
        steps.append({"stated": x[keep].tolist(), "right": y[keep].tolist()})
    return {"steps": steps}


def _stepped(fitted: Mapping[str, Any], probabilities: Floats) -> Floats:
    found = np.stack([np.interp(p, s["stated"], s["right"]) for p, s in zip(probabilities.T, fitted["steps"], strict=True)], axis=1)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


calibrators.register("isotonic")(Calibrator("rising steps for each class (isotonic regression)", _isotonic, _stepped))


def _each_class(val: Predictions) -> None:
    absent = [name for c, name in enumerate(val.classes) if not (val.labels == c).any()]
    if absent:
        raise DataError(
            f"Validation has no image of {', '.join(absent)}, and this calibration has numbers for each class. "
            "Set evaluate.calibration=temperature, or make split.val larger."
        )


def _logs(probabilities: Floats) -> Floats:
    return np.asarray(np.log(probabilities.clip(TINY)))


def _softmax(logits: Floats) -> Floats:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))

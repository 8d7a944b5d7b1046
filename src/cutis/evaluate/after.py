"""What is fitted on validation answers once training is over, and measured on every set: calibration, thresholds, answer sets, ..."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.errors import DataError
from cutis.evaluate.intervals import bootstrap_weights, percentile_limits, share_limits
from cutis.evaluate.sample import Floats
from cutis.evaluate.summary import Figure, entry
from cutis.predictions import Predictions
from cutis.recipe import Evaluation
from cutis.registry import Registry


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Resamples of a set's groups, made once for all that is measured on it: the ones its other figures have."""

    weights: NDArray[np.uint8]
    """R x N: how often each row is drawn (intervals.bootstrap_weights)."""
    level: float
    """Confidence level of the intervals."""
    seed: int
    """For what else is drawn."""


@dataclass(frozen=True)
class After:
    """Something that is fitted on validation answers after training, and measured on every set.

    Answers are those of the run, as the model gave them, and their classes are known. No test row is ever given to ``fit``.
    """

    fit: Callable[[Predictions, Evaluation], dict[str, Any] | None]
    """Validation answers to what JSON holds. None where there is nothing to fit; DataError, with the reason, where it cannot be fitted.
    ``Evaluation.watch`` names the classes that matter by then, or none."""
    measure: Callable[[Mapping[str, Any], Predictions, Bootstrap], dict[str, Any]]
    """What was fitted, and a set's answers, to figures for metrics.json. DataError, with the reason, where they cannot be measured."""


afterwards: Registry[After] = Registry("measure", "cutis.evaluate")


def fitted(val: Predictions, spec: Evaluation) -> dict[str, Any]:
    """All that is registered, fitted on validation: ``set``, ``n`` images, ``groups``, and under each name what was found, or ``why`` not.

    Raises DataError where no validation image has a label.
    """
    known = val.known()
    if not len(known.labels):
        raise DataError("No validation image has a label, so nothing can be fitted after training. Give validation images with labels.")
    found: dict[str, Any] = {"set": "val", "n": len(np.unique(known.images)), "groups": len(np.unique(known.groups))}
    for name, after in afterwards.items():
        try:
            told = after.fit(known, spec)
        except DataError as error:
            told = {"why": str(error)}
        if told is not None:
            found[name] = told
    return found


def measured(fitted: Mapping[str, Any], predictions: Predictions, spec: Evaluation, seed: int) -> dict[str, Any]:
    """Everything that was fitted, measured on a set: under each name its figures, or ``why`` there are none.

    Empty where no row of the set has a label.
    """
    known = predictions.known()
    if not len(known.labels):
        return {}
    weights = bootstrap_weights(known.groups, spec.replicates, np.random.default_rng(seed))
    bootstrap, found = Bootstrap(weights, spec.level, seed), {}
    for name, after in afterwards.items():
        if name not in fitted:
            continue
        told = fitted[name]
        try:
            found[name] = {"why": told["why"]} if "why" in told else after.measure(told, known, bootstrap)
        except DataError as error:
            found[name] = {"why": str(error)}
    return found


def figure(
    value: float | Floats, drawn: Floats, level: float, n: int, *, groups: ArrayLike | None = None, signed: bool = False, why: str = ""
) -> Figure:
    """One figure of metrics.json from its value and its R values under resampling.

    With ``groups``, a share in 0..1 that rests on so many groups (intervals.share_limits); without, percentiles
    (intervals.percentile_limits), and ``signed`` where it may be negative. ``why`` withholds it.
    """
    point = np.asarray(value, np.float64)
    if groups is None:
        low, high = percentile_limits(point, drawn, level, signed=signed)
    else:
        low, high = share_limits(point, drawn, groups, level)
    return entry(point, low, high, n, why)

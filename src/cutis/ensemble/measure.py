"""Figures of an ensemble beside those of its members, and the paired difference to each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cutis.ensemble.rules import Floats
from cutis.evaluate.intervals import bootstrap_weights, replicated
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions
from cutis.recipe import Recipe

COMPARED = ("accuracy", "balanced_accuracy", "auroc_macro", "log_loss")
METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss")  # as evaluation registers them


def summary(together: Predictions, members: Mapping[str, Predictions], spec: Recipe, majority: str | None) -> dict[str, Any]:
    """One set of metrics.json, with the same figures of each member, and their difference, under ``members``.

    Predictions have the same rows; a member's class order is its own.
    """
    options: dict[str, Any] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
    beside = {}
    for (name, own), difference in zip(members.items(), differences(together, list(members.values()), **options), strict=True):
        told = summarise(own, **options, majority=majority)
        beside[name] = {metric: told[metric] for metric in COMPARED} | {"difference": difference}
    return summarise(together, **options, majority=majority) | {"members": beside}


def differences(
    together: Predictions, members: Sequence[Predictions], *, replicates: int, level: float, seed: int
) -> list[dict[str, dict[str, Any]]]:
    """The ensemble's figure minus each member's, with its interval: both measured on the same resamples of groups.

    Percentiles of the replicated differences, moved by their mean's distance from the value, as for single figures without a share.
    """
    known = together.known()
    weights = bootstrap_weights(known.groups, replicates, np.random.default_rng(seed))
    (whole, drawn), *others = [_figures(p.known(), weights) for p in (together, *members)]
    return [{m: _difference(whole[m] - value[m], drawn[m] - each[m], level) for m in COMPARED} for value, each in others]


def _figures(known: Predictions, weights: Any) -> tuple[dict[str, float], dict[str, Floats]]:
    rows = Rows(known.labels, known.probabilities)
    values = figures(rows.weighted(), METRICS)
    return {m: float(values[m][0]) for m in COMPARED}, replicated(rows, weights, METRICS)


def _difference(value: float, drawn: Floats, level: float) -> dict[str, Any]:
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return {"value": None, "low": None, "high": None}
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - (drawn.mean() - value)
    return {"value": value, "low": float(low), "high": float(high)}

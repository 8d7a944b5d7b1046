"""Figures of an ensemble beside those of its members, and the paired difference to each of them."""

from collections.abc import Mapping
from typing import Any

from cutis.evaluate.paired import each_difference
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions
from cutis.recipe import Recipe

COMPARED = ("accuracy", "balanced_accuracy", "auroc_macro", "log_loss")


def summary(together: Predictions, members: Mapping[str, Predictions], spec: Recipe, majority: str | None) -> dict[str, Any]:
    """One set of metrics.json, with the same figures of each member, and their difference, under ``members``.

    Predictions have the same rows; a member's class order is its own. The difference is the ensemble's figure less the member's.
    """
    options: dict[str, Any] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
    beside = {}
    compared = each_difference([together], [[own] for own in members.values()], COMPARED, **options)
    for (name, own), difference in zip(members.items(), compared, strict=True):
        told = summarise(own, **options, majority=majority)
        beside[name] = {metric: told[metric] for metric in COMPARED} | {"difference": difference}
    return summarise(together, **options, majority=majority) | {"members": beside}

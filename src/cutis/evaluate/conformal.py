"""Conformal prediction: for each image the set of classes that holds the true one as often as promised, with limits from validation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutis.errors import DataError
from cutis.evaluate.after import After, Bootstrap, afterwards
from cutis.evaluate.sample import Floats
from cutis.evaluate.shares import Asked, means
from cutis.evaluate.slices import FEW, Slicing
from cutis.predictions import Predictions
from cutis.recipe import Evaluation

LARGEST: Final = 3  # sets of this size and larger are counted together


def lac(probabilities: Floats) -> Floats:
    """How unlike each class an image is, N x C: one less its probability (Sadinle, Lei & Wasserman 2019); gives the smallest sets."""
    return 1 - probabilities


def aps(probabilities: Floats) -> Floats:
    """The same: the probability of the class and of all that are more probable (Romano, Sesia & Candes 2020, without their random part);
    gives sets that grow with how hard an image is."""
    order = (-probabilities).argsort(axis=1, kind="stable")
    summed = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1)
    found = np.empty_like(summed)
    np.put_along_axis(found, order, summed, axis=1)
    return found


SCORES: Final = {"lac": lac, "aps": aps}


def fit(val: Predictions, spec: Evaluation) -> dict[str, Any]:
    """The limits of four rules: each score, with one limit for all classes, and with one of each class (Mondrian: Vovk 2003).

    A class with fewer than ``needed`` validation groups has no limit of its own, None, and is then in every set. Raises DataError where
    all classes together have fewer.
    """
    needed = math.ceil(spec.coverage / (1 - spec.coverage) - 1e-9)
    groups = {c: len(np.unique(val.groups[val.labels == i])) for i, c in enumerate(val.classes)}
    together = len(np.unique(val.groups))
    if together < needed:
        raise DataError(
            f"Validation has {together} groups, and sets that hold the true class for {spec.coverage:.0%} take {needed}. "
            "Give more validation images, or promise less (--set evaluate.coverage=0.8)."
        )
    rules: dict[str, Any] = {}
    for name, score in SCORES.items():
        true = score(val.probabilities)[np.arange(len(val.labels)), val.labels]
        one = limit(true, val.groups, spec.coverage)
        each = {c: limit(true[val.labels == i], val.groups[val.labels == i], spec.coverage) for i, c in enumerate(val.classes)}
        rules[name] = {"score": name, "by_class": False, "limits": dict.fromkeys(val.classes, one)}
        rules[f"{name}_by_class"] = {"score": name, "by_class": True, "limits": each}
    return {"coverage": spec.coverage, "needed": needed, "groups": groups, "rules": rules}


def limit(scores: Floats, groups: NDArray[np.str_], coverage: float) -> float | None:
    """The smallest of N scores at or below which the next image of a new group lies with at least this probability; None: too few groups.

    Each of G groups counts the same whatever its images, and one more stands for the new group: the smallest s with
    sum over groups of (share of its scores <= s) / (G + 1) >= coverage (hierarchical conformal prediction: Lee, Barber & Willett 2023).
    Where each image is its own group that is the usual ceil((N + 1) coverage)-th smallest. It holds if groups are exchangeable.
    """
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = scores.argsort(kind="stable")
    reached = np.cumsum(1 / counts[index[order]]) / (len(counts) + 1) >= coverage - 1e-9
    return float(scores[order][reached.argmax()]) if reached.any() else None


def sets(rule: Mapping[str, Any], probabilities: Floats, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which classes a rule of ``fit`` leaves possible for each image, N x C; it may be none, for an image unlike all of them."""
    limits = np.array([np.inf if rule["limits"][c] is None else rule["limits"][c] for c in classes])
    return np.asarray(SCORES[rule["score"]](probabilities) <= limits)


def holds(rule: Mapping[str, Any], predictions: Predictions) -> NDArray[np.bool_]:
    """Whether the set of each of N images with a known class holds that class."""
    return sets(rule, predictions.probabilities, predictions.classes)[np.arange(len(predictions.labels)), predictions.labels]


def by_slice(told: Mapping[str, Any], predictions: Predictions, ways: Sequence[Slicing], bootstrap: Bootstrap) -> dict[str, Any]:
    """For each way to divide N images with known classes, and each of its groups that is not too small: the coverage by each rule.

    Nothing promises that: limits of a class hold for the class, and not for the young or for one clinic.
    """
    asked: dict[tuple[str, str, str], Asked] = {}
    for name, rule in told["rules"].items():
        held = holds(rule, predictions)
        for way in ways:
            parts = [(group, way.of == i) for i, group in enumerate(way.groups)]
            asked |= {(way.name, group, name): (held, mine) for group, mine in parts if len(np.unique(predictions.groups[mine])) >= FEW}
    found: dict[str, Any] = {}
    for (way_name, group, name), figure in means(predictions, bootstrap, asked).items():
        found.setdefault(way_name, {}).setdefault(group, {})[name] = figure
    return found


def measure(told: Mapping[str, Any], predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    """For each rule how often its sets hold the true class (each image counting the same, each group, by class, by size), and how large
    they are."""
    rules = {name: _measured(rule, predictions, bootstrap) for name, rule in told["rules"].items()}
    return {"coverage": told["coverage"], "rules": rules}


afterwards.register("conformal")(After(fit, measure))


def _measured(rule: Mapping[str, Any], predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    possible = sets(rule, predictions.probabilities, predictions.classes)
    held, size = possible[np.arange(len(possible)), predictions.labels], possible.sum(axis=1)
    _, index, counts = np.unique(predictions.groups, return_inverse=True, return_counts=True)
    everyone, own = np.ones(len(size), bool), {c: predictions.labels == i for i, c in enumerate(predictions.classes)}
    alike = {str(s): size == s for s in range(LARGEST)} | {f"{LARGEST}+": size >= LARGEST}
    asked = {("coverage", ""): (held, everyone), ("by_group", ""): (held, 1 / counts[index])}
    asked |= {("coverage", c): (held, member) for c, member in own.items()}
    asked |= {("share", s): (chosen, everyone) for s, chosen in alike.items()}
    asked |= {("held", s): (held, chosen) for s, chosen in alike.items()}
    found = means(predictions, bootstrap, asked)
    sizes = means(predictions, bootstrap, {"": (size, everyone)} | {c: (size, member) for c, member in own.items()}, share=False)
    return {
        "coverage": found["coverage", ""],
        "coverage_by_group": found["by_group", ""],
        "size": sizes[""],
        "per_class": {c: {"coverage": found["coverage", c], "size": sizes[c]} for c in own},
        "by_size": {s: {"share": found["share", s], "coverage": found["held", s]} for s in alike},
    }

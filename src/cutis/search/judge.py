"""What a search's winner is worth on groups that the search never saw, and how much better it looked where it was chosen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cutis.evaluate import paired
from cutis.evaluate.intervals import bootstrap_weights, percentile_limits, replicated
from cutis.evaluate.sample import Rows
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions
from cutis.recipe import Evaluation
from cutis.search.genetic import Labelled, Plan, trained
from cutis.search.population import Population
from cutis.search.space import Individual

STARTS = 5
"""Starts from which each side is trained for the difference; the winner's first is the one it won with."""


@dataclass(frozen=True)
class Part(Labelled):
    """Labelled rows with their names and groups."""

    images: NDArray[np.str_]
    groups: NDArray[np.str_]

    def answered(self, logits: Tensor, classes: tuple[str, ...]) -> Predictions:
        """Predictions from N x C logits."""
        return Predictions(self.images, self.groups, self.y, logits.double().softmax(1).numpy(), classes)


def judged(
    plan: Plan,
    found: tuple[Individual, int],
    rival: Individual,
    train: Part,
    val: Part,
    held: Part,
    classes: tuple[str, ...],
    how: Evaluation,
) -> dict[str, Any]:
    """Train the winner (with its key) and a rival as the search trains, and measure both on ``held``.

    For each side its figure on validation and on ``held``, and the ``optimism``: the first less the second, with an interval, both
    resampled over their own groups. The rival was not chosen on validation, so its gap is what the two parts differ by beside that.
    ``difference`` is paired, winner less rival, on ``held``, the mean of ``STARTS`` starts a side.
    """
    individual, key = found
    keys = [key, *range(10**8, 10**8 + 2 * STARTS - 1)]
    population = Population([individual.member] * STARTS + [rival.member] * STARTS, val.x.shape[-1], len(classes), plan.seed, keys=keys)
    for _ in trained(population, plan, train, val):
        pass
    answers = {name: [part.answered(own, classes) for own in population.logits(part.x)] for name, part in (("val", val), ("judge", held))}
    told: dict[str, Any] = {"n": len(held.y), "groups": len(np.unique(held.groups)), "starts": STARTS, "level": how.level}
    for side, first in (("found", 0), ("published", STARTS)):
        parts = {name: own[first] for name, own in answers.items()}
        figures = {
            name: summarise(part, replicates=how.replicates, level=how.level, seed=plan.seed)[plan.metric] for name, part in parts.items()
        }
        told[side] = figures | {"optimism": gap(parts["val"], parts["judge"], plan.metric, how, plan.seed)}
    sides = answers["judge"][:STARTS], answers["judge"][STARTS:]
    difference = paired.differences(*sides, [plan.metric], replicates=how.replicates, level=how.level, seed=plan.seed)
    return told | {"difference": difference[plan.metric]}


def gap(first: Predictions, second: Predictions, metric: str, how: Evaluation, seed: int) -> dict[str, float | None]:
    """A figure on one set less the same on another, whose groups are others: percentiles of the difference of two bootstraps."""
    values, drawn = [], []
    for i, part in enumerate((first, second)):
        rows, name = Rows(part.labels, part.probabilities), metric.removesuffix("_macro")
        weights = bootstrap_weights(part.groups, how.replicates, np.random.default_rng((seed, i)))
        drawn.append(replicated(rows, weights, [name])[metric])
        values.append(replicated(rows, np.ones((1, len(rows.labels))), [name])[metric][0])
    value = values[0] - values[1]
    low, high = percentile_limits(value, drawn[0] - drawn[1], how.level, signed=True)
    return {name: float(v) if np.isfinite(v) else None for name, v in (("value", value), ("low", low), ("high", high))}

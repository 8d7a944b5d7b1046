"""Out of scope: scores of how strange an image is to a network, larger is stranger, and the limits above which it should not answer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from cutis.evaluate.after import figure
from cutis.evaluate.intervals import bootstrap_weights, replicated
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Floats, Rows
from cutis.models.neighbours import nearest
from cutis.models.reference import Reference, Seen
from cutis.recipe import Evaluation
from cutis.registry import Registry

NEIGHBOURS: Final = 10
"""The distance to which of the nearest training images counts."""

Score = Callable[[Reference, Seen], Floats]
scores: Registry[Score] = Registry("scope score", "cutis.models.scope")
"""A score: what a network saw in training images and in N images, to N numbers."""


@scores.register("mahalanobis")
def mahalanobis(reference: Reference, seen: Seen) -> Floats:
    """Distance of the features from the nearest class's mean, in standard deviations within classes (Lee et al. 2018)."""
    lower, means = reference.whitened
    values = solve_triangular(lower, seen.features.T.astype(np.float64), lower=True)
    squares = [((values - mean[:, None]) ** 2).sum(axis=0) for mean in means.T]
    return np.asarray(np.sqrt(np.min(squares, axis=0)))


@scores.register("neighbours")
def neighbours(reference: Reference, seen: Seen) -> Floats:
    """Distance to the tenth nearest training image, features at length 1 (Sun et al. 2022)."""
    return nearest(reference, seen.features, NEIGHBOURS).distances[:, -1].astype(np.float64)


@scores.register("energy")
def energy(_: Reference, seen: Seen) -> Floats:
    """-log of the sum of exp(logits) (Liu et al. 2020): low where some class has a large logit. Of the network's own logits, one view."""
    return np.asarray(-logsumexp(seen.logits.astype(np.float64), axis=1))


def strangeness(reference: Reference, seen: Seen) -> dict[str, Floats]:
    """Every registered score of N images."""
    return {name: score(reference, seen) for name, score in scores.items()}


def limit(strange: Floats, in_scope: float) -> float:
    """The lowest value at or below which at least the share ``in_scope`` of these scores is."""
    return float(np.sort(strange)[math.ceil(in_scope * len(strange) - 1e-9) - 1])


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of N images, and what must be resampled together."""

    strange: Mapping[str, Floats]
    groups: NDArray[np.str_]

    def drawn(self, spec: Evaluation, seed: int, which: int) -> NDArray[np.uint8]:
        """Resamples of the groups, R x N."""
        return bootstrap_weights(self.groups, spec.replicates, np.random.default_rng([seed, which]))


def measured(new: Scored, val: Scored, limits: Mapping[str, float], spec: Evaluation, seed: int) -> dict[str, Any]:
    """For each score with a limit: what share of a set is above it (``refused``), and how often an image of the set is stranger than one of
    validation (``auroc``), with intervals over groups."""
    mine, others = new.drawn(spec, seed, 0), val.drawn(spec, seed, 1)
    n, groups = len(new.groups), len(np.unique(new.groups))
    smaller = min(groups, len(np.unique(val.groups)))
    why = "" if groups > 1 else "1 image" if n == 1 else "all images are of one group"
    found = {}
    for name, cut in limits.items():
        above = new.strange[name] > cut
        rows = _two(new.strange[name], val.strange[name])
        area = figures(rows.weighted(), ["auroc"])["auroc"][0, 1]
        areas = replicated(rows, np.concatenate([mine, others], axis=1), ["auroc"])["auroc"][:, 1]
        shares = mine[:, above].sum(axis=1) / mine.sum(axis=1)
        found[name] = {
            "refused": figure(above.mean(), shares, spec.level, n, groups=groups, why=why),
            "auroc": figure(area, areas, spec.level, n, groups=smaller, why=why),
        }
    return found


def _two(new: Floats, val: Floats) -> Rows:
    """The question whether an image is one of the new ones, answered by the order of a score."""
    both = np.concatenate([new, val])
    place = np.unique(both, return_inverse=True)[1] / len(both)
    return Rows(np.repeat(np.array([1, 0], np.int64), [len(new), len(val)]), np.stack([1 - place, place], axis=1))

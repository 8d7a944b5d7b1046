"""Which threshold finds the wanted share of a class: one that does on the images at hand, and one that will on others like them."""

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import ArrayLike

from cutis.errors import DataError
from cutis.evaluate.sample import Floats, Integers


@dataclass(frozen=True)
class Threshold:
    """A score from which on an image is called; the share of the class that this finds, and that share's one-sided lower limit."""

    threshold: float
    sensitivity: float
    lower: float


def plain(scores: Floats, groups: ArrayLike, target: float, level: float) -> Threshold:
    """The highest threshold that finds at least ``target`` of the class, whose P ``scores`` these are.

    On other images it finds less about as often as more: it was chosen to fit these.
    """
    found = _candidates(scores, groups, level)
    return next(t for t in found if t.sensitivity >= target - 1e-9)


def guaranteed(scores: Floats, groups: ArrayLike, target: float, level: float) -> Threshold:
    """The highest threshold whose lower limit of sensitivity, at one-sided confidence ``level``, is at least ``target``.

    The limit is the exact binomial one (Clopper & Pearson 1934) at the ``effective`` number of images. As sensitivity falls with the
    threshold, looking at all of them costs no confidence: to be deceived, the limit must be wrong at the last threshold that is good
    enough. Where every image is a group of its own this is the distribution-free tolerance limit (Wilks 1941).
    Raises DataError, saying how many images it takes, where even finding all of these shows too little.
    """
    n, found = effective(scores, groups), _candidates(scores, groups, level)
    for t in found:
        if t.lower >= target:
            return t
    worth = "" if round(n) == len(scores) else f", which are worth {n:.0f} independent ones,"
    raise DataError(
        f"Too few images to promise a sensitivity of {target:g}: finding all {len(scores):,} of them{worth} shows no more than "
        f"{found[-1].lower:.3f}. It takes {ceil(log(1 - level) / log(target)):,} independent ones."
    )


def lower_limit(share: ArrayLike, n: float, level: float) -> Floats:
    """One-sided lower limit of a share seen in n trials, n not necessarily whole (Clopper & Pearson 1934; Korn & Graubard 1998)."""
    from scipy.special import betaincinv  # here, because its import takes longer than most commands of the CLI

    p = np.asarray(share, np.float64)
    return np.where(p > 0, betaincinv(np.maximum(p * n, 1e-9), n * (1 - p) + 1, 1 - level), 0.0)


def effective(scores: Floats, groups: ArrayLike) -> float:
    """How many independent images P images in groups are worth: P / (1 + (m - 1) r), at least 1 (Kish 1965).

    m is the size of the group of an image on average, r the intraclass correlation of the scores' ranks (one-way analysis of variance,
    Donner 1986; 0 to 1). Ranks, because they tell alike images from unlike ones wherever the threshold will lie; the share found at a
    threshold is less correlated than they are, so the count errs on the low side.
    """
    _, index, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    n, k = len(index), len(sizes)
    if n == k:
        return float(n)
    return n / (1 + (float((sizes**2).sum()) / n - 1) * (1.0 if k == 1 else _alike(_ranks(scores), index, sizes)))


def _alike(ranks: Floats, index: Integers, sizes: Integers) -> float:
    """The intraclass correlation of N ranks in k groups, 0 to 1; 1 where all ranks are equal."""
    n, k = len(index), len(sizes)
    means = np.bincount(index, ranks) / sizes
    between = float((sizes * (means - ranks.mean()) ** 2).sum()) / (k - 1)
    within = float(((ranks - means[index]) ** 2).sum()) / (n - k)
    size = (n - float((sizes**2).sum()) / n) / (k - 1)
    whole = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / whole)) if whole > 0 else 1.0


def _ranks(scores: Floats) -> Floats:
    """Ranks from 1, equal scores their mean rank."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[index])


def _candidates(scores: Floats, groups: ArrayLike, level: float) -> list[Threshold]:
    """Every score that occurs as a threshold, the highest first."""
    assert len(scores), "the class has an image"
    values, counts = np.unique(scores, return_counts=True)
    shares = (counts[::-1].cumsum() / len(scores)).astype(np.float64)
    limits = lower_limit(shares, effective(scores, groups), level)
    return [Threshold(*map(float, row)) for row in zip(values[::-1], shares, limits, strict=True)]

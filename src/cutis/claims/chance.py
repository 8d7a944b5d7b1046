"""What chance alone does to shares: limits, the z of a difference, how many images a difference takes, what an accuracy leaves open."""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.evaluate.intervals import wilson

LEVEL = 0.95
SIGNIFICANT = NormalDist().inv_cdf((1 + LEVEL) / 2)  # 1.96
IMPLAUSIBLE = 5.0
"""The z beyond which chance is no explanation. Judged by exact tests at the probability that a normal variable is so far out, 6 in
ten million: 1,000 true tables with a hundred tests each raise one false alarm in 17 times."""
RARE = 2 * NormalDist().cdf(-IMPLAUSIBLE)


def limits(share: float, n: int) -> tuple[float, float]:
    """Wilson's score limits of a share of n images at the level .95."""
    low, high = wilson(share, n, LEVEL)
    return float(low), float(high)


def bracketed(low: float, high: float) -> str:
    """``[0.828, 0.868]``."""
    return f"[{low:.3f}, {high:.3f}]"


def two_shares(one: float, n_one: float, other: float, n_other: float) -> float:
    """z of other - one for shares of two independent samples, with the pooled share under the null (Fleiss, Statistical Methods for
    Rates and Proportions, 2.4); infinite where both samples are all alike and yet differ."""
    pooled = (one * n_one + other * n_other) / (n_one + n_other)
    error = sqrt(pooled * (1 - pooled) * (1 / n_one + 1 / n_other))
    return (other - one) / error if error else inf * (other - one) if other != one else 0.0


def beyond_chance(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two shares, (right, of), are further apart than z = 5 by Fisher's exact test (twice the smaller tail)."""
    from scipy.special import gammaln  # here, because its import takes longer than most commands of the CLI

    (k, n), (right, m) = one, (one[0] + other[0], other[1])
    able = np.arange(max(0, right - m), min(n, right) + 1)  # of the images that are right, how many can be among the first n

    def ways(of: ArrayLike, taken: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(gammaln(np.add(of, 1)) - gammaln(np.add(taken, 1)) - gammaln(np.subtract(of, taken) + 1))

    chance = np.exp(ways(n, able) + ways(m, right - able) - ways(n + m, right))
    return bool(2 * min(chance[able <= k].sum(), chance[able >= k].sum()) < RARE)


def exact_limits(low: int, high: int, n: int) -> tuple[float, float]:
    """Limits of a share of which low to high of n are seen, exact at z = 5 (Clopper & Pearson 1934).

    They also hold for images that are not equally likely to be right, whose number varies less (Hoeffding 1956).
    """
    from scipy.special import betaincinv

    return (
        float(betaincinv(low, n - low + 1, RARE / 2)) if low else 0.0,
        float(betaincinv(high + 1, n - high, 1 - RARE / 2)) if high < n else 1.0,
    )


def images_needed(one: float, other: float) -> float:
    """Images in each of two samples at which two unequal shares are significantly apart (pooled, two-sided p < .05)."""
    pooled = (one + other) / 2
    return 2 * pooled * (1 - pooled) * (SIGNIFICANT / (other - one)) ** 2


def mean_range(accuracy: float, sizes: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest accuracy on ``others`` images a class that recalls can give whose accuracy on ``sizes`` images a class is known.

    A linear programme over recalls in 0..1 with one constraint (a continuous knapsack): the mistakes fall where they weigh least on the
    other set, class after class. Shapes: C and C, not empty sums.
    """
    here, there = [n / sum(sizes) for n in sizes], [n / sum(others) for n in others]
    return 1 - _lost(1 - accuracy, here, there, True), 1 - _lost(1 - accuracy, here, there, False)


def _lost(mistakes: float, here: Sequence[float], there: Sequence[float], most: bool) -> float:
    """The largest (``most``) or smallest share of mistakes there that a share of mistakes here can be."""
    ratio = [b / a if a else inf for a, b in zip(here, there, strict=True)]
    lost = sum(b for a, b in zip(here, there, strict=True) if not a and most)  # a class that is absent here may be all wrong there
    left = mistakes
    for i in sorted((i for i, a in enumerate(here) if a), key=lambda i: ratio[i], reverse=most):
        taken = min(left, here[i])
        lost += taken * ratio[i]
        left -= taken
    return lost

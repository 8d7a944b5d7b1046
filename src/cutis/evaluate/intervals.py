"""Intervals: row weights of a bootstrap over groups, figures on them, and the confidence limits they give.

The place for another method: a function of the value, its replicates and the number of groups, named in ``summary.limits_of``. What
stands was chosen by simulation (benchmarks/coverage.py, docs/results/intervals.md): plain percentiles hold a sensitivity of 0.97 on
30 images about 60 times in 100 instead of 95.
"""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Floats, Rows

METHOD = "bootstrap over groups: logit t limits for shares, combined for macro averages; centred percentiles for other figures"
BLOCK = 1 << 17  # weights worked on at once: 1 MB of float64, so that a block stays in the cache
UNDEFINED = 0.25  # largest share of replicates in which a figure may be undefined


def bootstrap_weights(groups: ArrayLike, replicates: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """How often each of N rows is drawn in each replicate, R x N: as many groups as there are, drawn with replacement, with all their rows.

    Depends on the group of each row only, so rows in another order get the same counts. (A count above 255 would need one group
    drawn 256 times; its probability is below 1e-500.)
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    count = len(names)
    weights = np.empty((replicates, len(index)), np.uint8)
    step = max(1, BLOCK // count)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * count).astype(np.uint8).reshape(rows, count)
        weights[start : start + rows] = counts.take(index, axis=1)
    return weights


def replicated(
    rows: Rows, weights: NDArray[np.uint8] | Floats, names: Iterable[str] | None = None, importance: Floats | None = None
) -> dict[str, Floats]:
    """``figures`` under R x N weights, in blocks of replicates so that memory stays bounded; the same keys, R or R x C values.

    ``importance``: N factors of the weights, where some rows stand for more than themselves.
    """
    names, each = None if names is None else list(names), 1 if importance is None else importance
    step = max(1, BLOCK // max(1, len(rows.labels)))
    blocks = [figures(rows.weighted(weights[start : start + step] * each), names) for start in range(0, len(weights), step)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def wilson(share: ArrayLike, n: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Score limits of a share of n independent trials (Wilson 1927); 0 to 1 where n is 0."""
    p, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    square = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre, half = (p * n + square / 2) / (n + square), np.sqrt(square * (p * (1 - p) * n + square / 4)) / (n + square)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def share_limits(value: Floats, replicates: Floats, groups: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Limits of figures in 0..1, each resting on its number of groups n; value and groups [] or [C], replicates [R] or [R, C].

    The replicates' standard deviation, times sqrt(n / (n - 1)) because a bootstrap of n is too narrow by that, is carried to
    the logit scale and multiplied by Student's t with n - 1 degrees of freedom. Where the value is 0 or 1, or no
    replicate differs, that sees no spread although there is some: Wilson's limits at n take its place.
    """
    from scipy.special import stdtrit  # here, because its import takes longer than most commands of the CLI

    n = np.asarray(groups, np.float64)
    known = np.isfinite(replicates)
    mean = np.where(known, replicates, 0).sum(axis=0) / known.sum(axis=0).clip(1)
    spread = np.sqrt((np.where(known, replicates - mean, 0) ** 2).sum(axis=0) / (known.sum(axis=0) - 1).clip(1))
    seen = (spread > 1e-12) & (value > 0) & (value < 1) & (n > 1)
    p, df = np.where(seen, value, 0.5), np.where(seen, n - 1, 1)
    half = stdtrit(df, (1 + level) / 2) * spread * np.sqrt((df + 1) / df) / (p * (1 - p))  # d logit(p) = dp / (p (1 - p))
    odds, (low, high) = p / (1 - p), wilson(value, n, level)
    with np.errstate(over="ignore"):
        inside = [1 / (1 + np.exp(sign * half) / odds) for sign in (1, -1)]
    return np.where(seen, inside[0], low), np.where(seen, inside[1], high)


def mean_limits(values: Floats, low: Floats, high: Floats, replicates: Floats) -> tuple[Floats, Floats]:
    """Limits of the plain mean of the classes' values [C] from their own limits (MOVER: Zou & Donner 2008), NaN where no class has one.

    Unlike the mean's own replicates, it sees the doubt about a small class without a single error. ``replicates`` [R, C] give the
    correlation of the classes.
    """
    have = np.isfinite(values)
    if not have.any():
        return np.array(np.nan), np.array(np.nan)
    mean, shares = values[have].mean(), 1 / have.sum()
    correlation = _correlation(replicates[:, have])
    below, above = (values - low)[have] * shares, (high - values)[have] * shares
    return mean - np.sqrt(max(0, below @ correlation @ below)), mean + np.sqrt(max(0, above @ correlation @ above))


def difference_limits(
    first: tuple[float, float, float], second: tuple[float, float, float], correlation: float = 0.0
) -> tuple[float, float, float]:
    """``first`` less ``second``, each a value with its limits, and the limits of that (MOVER: Zou & Donner 2008).

    It keeps what is known of each side's own limits, such as the doubt about a share of 0 or 1, which the difference of replicates
    does not see. For two shares with Wilson's limits it is Newcombe's tenth method (1998). ``correlation`` is that of their replicates.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second

    def half(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other)))

    return a - b, a - b - half(a - a_low, b_high - b), a - b + half(a_high - a, b - b_low)


def percentile_limits(value: Floats, replicates: Floats, level: float, *, signed: bool = False) -> tuple[Floats, Floats]:
    """Percentiles of the replicates, moved by their mean's distance from the value; NaN where too many replicates are undefined.

    The move keeps the value inside for figures such as the ECE, which grow with noise and so are larger in every resample.
    Value [] or [C], replicates [R] or [R, C]. A figure that is never negative has no negative limit; ``signed``: it may be.
    """
    columns = replicates.reshape(len(replicates), -1)
    limits = np.full((2, columns.shape[1]), np.nan)
    for c, (v, column) in enumerate(zip(np.atleast_1d(value), columns.T, strict=True)):
        known = column[np.isfinite(column)]
        if np.isfinite(v) and len(known) >= (1 - UNDEFINED) * len(column):
            ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) - (known.mean() - v)
            limits[:, c] = ends if signed or known.min() < 0 else ends.clip(0)
    return limits[0].reshape(np.shape(value)), limits[1].reshape(np.shape(value))


def _correlation(replicates: Floats) -> Floats:
    """C x C over the replicates in which both are defined; 0 with a class that never varies."""
    known = np.isfinite(replicates)
    deviation = np.where(known, replicates - np.where(known, replicates, 0).sum(axis=0) / known.sum(axis=0).clip(1), 0)
    both = known.T.astype(np.float64) @ known
    covariance = deviation.T @ deviation / both.clip(1)
    scale = np.sqrt(np.diag(covariance))
    correlation = np.divide(covariance, np.outer(scale, scale), out=np.zeros_like(covariance), where=np.outer(scale, scale) > 1e-24)
    np.fill_diagonal(correlation, 1)
    return np.asarray(correlation.clip(-1, 1))

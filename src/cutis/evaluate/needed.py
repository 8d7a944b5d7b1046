"""About how many test images a difference as large as the one seen would take to be told from chance."""

import math
from statistics import NormalDist

POWER = 0.8
"""How often so many images would show the difference, if it is truly as large."""


def images(value: float, se: float, n: int, *, level: float, power: float = POWER, df: int | None = None) -> int | None:
    """From the standard error that ``n`` images give: n ((z[(1 + level) / 2] + z[power]) se / value)^2, rounded up; None where value is 0.

    Groups of images grow with them, so what they share is allowed for. ``df``: quantiles of Student's t take the normal's place, for a
    standard error from so few trainings. Only a guess: the true difference may be smaller or larger than the one seen.
    """
    if not value:
        return None
    shares = ((1 + level) / 2, power)
    if df is None:
        far = sum(map(NormalDist().inv_cdf, shares))
    else:
        from scipy.stats import t  # here, because its import takes longer than most commands of the CLI

        far = float(t.ppf(shares, df).sum())
    return _up(n * (far * se / value) ** 2)


def discordant(only_first: int, only_second: int, n: int, *, level: float, power: float = POWER) -> int | None:
    """From McNemar's counts, for images that are their own groups; None where neither side is right more often.

    With shares d of discordant images and g of gain: (z[(1 + level) / 2] sqrt(d) + z[power] sqrt(d - g^2))^2 / g^2 (Connor 1987,
    Biometrics 43:207).
    """
    either, gain = (only_first + only_second) / n, abs(only_first - only_second) / n
    z = NormalDist().inv_cdf
    return _up(((z((1 + level) / 2) * either**0.5 + z(power) * (either - gain**2) ** 0.5) / gain) ** 2) if gain else None


def _up(count: float) -> int:
    return math.ceil(count - 1e-9)

"""Several trainings of two recipes, over folds or seeds: is the difference more than what another training would change?"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def corrected(differences: Sequence[float], ratio: float, level: float) -> dict[str, Any]:
    """The corrected resampled t-test of J paired differences (Nadeau & Bengio 2003, Machine Learning 52:239).

    ``ratio``: test images for each training image of one training; 1 / (K - 1) for K folds (Bouckaert & Frank 2004). The variance of the
    mean is (1 / J + ratio) s2, because trainings share images and so are not independent; the plain 1 / J would find differences that
    are not there. Gives ``value`` (the mean), ``low`` and ``high`` at ``level``, ``p``, ``se`` and ``df`` = J - 1; limits and p are None
    where there are fewer than two, where one is not defined, or where they do not differ and are not 0.
    """
    from scipy.stats import t  # here, because its import takes longer than most commands of the CLI

    found = np.asarray(differences, np.float64)
    count = len(found)
    value = float(found.mean()) if count and np.isfinite(found).all() else None
    told: dict[str, Any] = {"value": value, "low": None, "high": None, "p": None, "se": None, "df": count - 1}
    if value is None or count < 2:
        return told
    spread = float(found.std(ddof=1) * (1 / count + ratio) ** 0.5)
    if spread < 1e-12:
        return told if abs(value) > 1e-12 else told | {"low": 0.0, "high": 0.0, "p": 1.0, "se": 0.0}
    half = float(t.ppf((1 + level) / 2, count - 1)) * spread
    p = float(2 * t.sf(abs(value) / spread, count - 1))
    return told | {"low": value - half, "high": value + half, "p": p, "se": spread}

"""Means over chosen images with their intervals, many at once: all are resampled in one matrix product."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cutis.evaluate.after import Bootstrap, figure
from cutis.evaluate.intervals import BLOCK
from cutis.evaluate.sample import Floats, ratio
from cutis.evaluate.summary import Figure
from cutis.predictions import Predictions

Key = TypeVar("Key", bound=Hashable)
Asked = tuple[NDArray[np.bool_] | Floats, NDArray[np.bool_] | Floats]
"""A value an image, and what the image weighs in the mean: N each; 0 leaves it out."""


def means(predictions: Predictions, bootstrap: Bootstrap, asked: Mapping[Key, Asked], *, share: bool = True) -> dict[Key, Figure]:
    """The figure of each mean that is asked for; ``share``: values are in 0..1, and intervals are those of shares."""
    if not asked:
        return {}
    weight = np.stack([np.asarray(among, np.float64) for _, among in asked.values()], axis=1)
    value = np.stack([np.asarray(values, np.float64) for values, _ in asked.values()], axis=1) * weight
    drawn = _drawn(bootstrap.weights, value, weight)
    whole = ratio(value.sum(axis=0), weight.sum(axis=0))
    images, groups = (np.unique(names, return_inverse=True)[1] for names in (predictions.images, predictions.groups))
    found = {}
    for k, key in enumerate(asked):
        among = weight[:, k] > 0
        n, many = len(np.unique(images[among])), len(np.unique(groups[among]))
        why = "" if many > 1 else "no image" if not n else "1 image" if n == 1 else "all images are of one group"
        found[key] = figure(whole[k], drawn[:, k], bootstrap.level, n, groups=many if share else None, why=why)
    return found


def _drawn(weights: NDArray[np.uint8], value: Floats, weight: Floats) -> Floats:
    """R x K means, in blocks of replicates so that memory stays bounded."""
    step = max(1, 8 * BLOCK // len(value))
    blocks = (weights[start : start + step].astype(np.float64) for start in range(0, len(weights), step))
    return np.concatenate([ratio(block @ value, block @ weight) for block in blocks])

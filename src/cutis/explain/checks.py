"""The faithfulness of a run's maps: every measure on some images, and what they say together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis.explain import faithfulness as f
from cutis.explain import sanity
from cutis.explain.means import Means
from cutis.explain.together import Together

BATCH: Final = 12
"""Images that are changed together; for each some 90 altered copies pass through the networks."""
AREAS: Final = ("insertion", "insertion_random", "deletion", "deletion_random")


def measured(
    together: Together,
    batches: Iterable[Tensor],
    classes: NDArray[np.int64],
    rng: np.random.Generator,
    noise: Callable[[], torch.Generator],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, f.Floats]:
    """Each measure of each of N images (N classes, pictures in ``batches`` that serve all networks); NaN where its map is empty.

    ``insertion`` and ``deletion``: areas under the curves, and with ``_random`` those of places drawn by chance; ``road``; ``stability``;
    ``noise STAGE``: rank correlation of the map with that under random weights (``sanity.STAGES``), 0 where that is empty.
    ``noise`` gives the same fresh generator each time, so that all images meet the same random network.
    """
    found: dict[str, list[f.Floats]] = {}
    done = 0
    for images in batches:
        own = classes[done : done + len(images)]
        heat = together.heat(images, own)
        values = _changed(together, images, own, heat, rng) | {"stability": f.stability(together.heat, images, own, heat)}
        for stage, random in together.randomised(images, noise()):
            values[f"noise {stage}"] = np.nan_to_num(f.alike(heat, random.heat(images, own)))
        empty = heat.reshape(len(heat), -1).max(axis=1) <= 0
        for name, value in values.items():
            found.setdefault(name, []).append(np.where(empty, np.nan, value))
        done += len(images)
        if progress:
            progress(done, len(classes))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def summary(values: Mapping[str, f.Floats], means: Means) -> dict[str, Any]:
    """Means with intervals, what the maps have better than chance on the same images, and whether the sanity check is passed.

    ``passed`` is None where the interval does not tell.
    """
    told: dict[str, Any] = {name: means.of(values[name], share=True) for name in AREAS}
    told["insertion_over_random"] = means.of(values["insertion"] - values["insertion_random"])
    told["deletion_under_random"] = means.of(values["deletion_random"] - values["deletion"])
    told |= {name: means.of(values[name]) for name in ("road", "stability")}
    noise = {stage: means.of(values[f"noise {stage}"]) for stage in sanity.STAGES}
    low, high = noise["all"]["low"], noise["all"]["high"]
    passed = None if high is None or low <= sanity.LIMIT <= high else bool(high < sanity.LIMIT)
    return {"n": len(means.groups), **told, "noise": noise, "limit": sanity.LIMIT, "passed": passed}


def _changed(together: Together, images: Tensor, classes: NDArray[np.int64], heat: f.Heat, rng: np.random.Generator) -> dict[str, f.Floats]:
    places, chance = f.order(heat, rng), f.order(np.zeros_like(heat), rng)
    curves = {"insertion": f.insertion, "deletion": f.deletion}
    found = {}
    for name, curve in curves.items():
        found[name] = f.area(curve(together.score, images, classes, places))
        found[f"{name}_random"] = f.area(curve(together.score, images, classes, chance))
    return found | {"road": f.road(together.score, images, classes, places, rng)}

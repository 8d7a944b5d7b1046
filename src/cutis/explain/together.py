"""One network or several that answer together: their maps, weighted as the answer is, and how far the members agree."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis.explain import cam as cams
from cutis.explain import sanity
from cutis.explain.faithfulness import Floats, Heat, alike
from cutis.explain.frame import onto
from cutis.models.backends import Engine
from cutis.models.build import Classifier


@dataclass(frozen=True, eq=False)
class Together:
    """M networks over C ``classes``; a single one is M = 1.

    ``fits``: how each network's input is made of a photo; ``weights``: what each counts, sum 1; ``combine``: each network's B x C
    probabilities, columns in its own order of classes, to those of the answer; ``method``: the heat map.
    """

    models: tuple[Classifier, ...]
    fits: tuple[str, ...]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    combine: Callable[[Sequence[Floats]], Floats]
    method: str

    @property
    def one_frame(self) -> bool:
        """Whether all networks see the same part of a photo at the same size, so that one picture serves all."""
        return len({(model.size, fit) for model, fit in zip(self.models, self.fits, strict=True)}) == 1

    def maps(self, images: Sequence[Tensor], classes: NDArray[np.int64], engines: Sequence[Engine | None] | None = None) -> list[Heat]:
        """Of each network B x K x h x w in 0..1, for B x K classes. ``images``: each network's own, float B x 3 x H x W in 0..1, or what
        its engine takes (``engines``, as ``cam`` has them)."""
        found = []
        for model, batch, engine in zip(self.models, images, engines or [None] * len(self.models), strict=True):
            own = np.array([model.classes.index(c) for c in self.classes])
            found.append(cams.cam(model, batch, own[classes], method=self.method, engine=engine).maps)
        return found

    def over(self, maps: Sequence[Heat], photo: tuple[int, int]) -> Heat:
        """Each network's map, h x w, over the whole photo: M x H x W, NaN where it saw nothing."""
        sizes = [model.size for model in self.models]
        return np.stack([onto(m, photo, size, fit) for m, size, fit in zip(maps, sizes, self.fits, strict=True)])

    def joined(self, heats: Heat) -> Heat:
        """The networks' maps over one photo, M x H x W, as one: their weighted mean, NaN where none saw anything."""
        mean = np.tensordot(self.weights, np.nan_to_num(heats), 1)
        return np.where(np.isfinite(heats).any(axis=0), mean, np.nan).astype(np.float32)

    def score(self, images: Tensor) -> Floats:
        """Pictures that serve all networks to the answer's probabilities, B x C, without averaging over views."""
        with torch.inference_mode():
            return self.combine([model(images).double().softmax(1).cpu().numpy() for model in self.models])

    def heat(self, images: Tensor, classes: NDArray[np.int64]) -> Heat:
        """Pictures that serve all networks, and a class for each, to the joined maps at their size, B x H x W."""
        size = (images.shape[2], images.shape[3])
        each = [cams.resized(m, size)[:, 0] for m in self.maps([images] * len(self.models), classes[:, None])]
        return np.asarray(np.tensordot(self.weights, np.stack(each), 1), np.float32)

    def randomised(self, images: Tensor, generator: torch.Generator) -> Iterator[tuple[str, "Together"]]:
        """The same with more and more of all networks' weights noise (``sanity.randomised``)."""
        for stages in zip(*(sanity.randomised(model, images, generator) for model in self.models), strict=True):
            models = tuple(model for _, model in stages)
            yield stages[0][0], Together(models, self.fits, self.weights, self.classes, self.combine, self.method)


def agreement(heats: Heat) -> float:
    """The mean rank correlation of the members' maps over one photo, M x H x W, pair by pair, where both saw something.

    NaN for a single member, and where a map of each pair is flat.
    """
    found = []
    for one, other in combinations(heats, 2):
        both = np.isfinite(one) & np.isfinite(other)
        found.append(alike(one[both][None], other[both][None])[0])
    known = [value for value in found if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")

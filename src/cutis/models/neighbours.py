"""The training cases nearest to an image in the features of a run's network: their names, labels and distance."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutis.models.reference import Floats, Reference, unit

BLOCK: Final = 1 << 24  # distances computed at once: 64 MB


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of N images its K nearest training cases, the nearest first: ``rows`` of the reference, and ``distances``, N x K each."""

    reference: Reference
    rows: NDArray[np.int64]
    distances: Floats

    def cases(self, i: int) -> list[tuple[str, str, float]]:
        """Image, label and distance of each of the cases nearest to image ``i``."""
        of = self.reference
        found = zip(self.rows[i], self.distances[i], strict=True)
        return [(str(of.images[row]), of.classes[of.labels[row]], float(distance)) for row, distance in found]


def nearest(reference: Reference, features: Floats, count: int) -> Nearest:
    """The ``count`` (or as many as there are) nearest cases to each of N x F features (``reference.see``).

    The distance is that of two feature vectors at length 1, from 0 to 2: sqrt(2 - 2 cos) (Sun et al. 2022). Of equally near ones the first.
    """
    cases, asked = reference.units, unit(features)
    count = min(count, len(cases))
    rows, distances = np.empty((len(asked), count), np.int64), np.empty((len(asked), count), np.float32)
    step = max(1, BLOCK // len(cases))
    for start in range(0, len(asked), step):
        cosine = asked[start : start + step] @ cases.T
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        best.sort(axis=1)  # by row, so that the stable order below breaks ties by it
        near = np.take_along_axis(cosine, best, axis=1)
        order = (-near).argsort(axis=1, kind="stable")
        rows[start : start + step] = np.take_along_axis(best, order, axis=1)
        distances[start : start + step] = np.sqrt((2 - 2 * np.take_along_axis(near, order, axis=1)).clip(0))
    return Nearest(reference, rows, distances)

"""The training cases nearest to an image in the features of a run's network: their names, labels and distance."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutis.models.outline import ERROR
from cutis.models.reference import Floats, Reference, unit

BLOCK: Final = 1 << 24  # bounds computed at once: 64 MB
FIRST: Final = 64  # likely ones, whose cosines say what the others have to reach


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
        part = asked[start : start + step]
        likely = [_likely(cases, one, most, count) for one, most in zip(part, reference.outline.most(part), strict=True)]
        many = [i for i, some in enumerate(likely) if len(some) > len(cases) / 8]  # picked out one by one they are slower than all rows
        whole = dict(zip(many, part[many] @ cases.T, strict=True)) if many else {}
        for i, some in enumerate(likely):
            cosine = whole[i][some] if i in whole else cases[some] @ part[i]
            best = np.flatnonzero(cosine >= np.partition(cosine, -count)[-count])  # by row, which breaks ties
            best = best[(-cosine[best]).argsort(kind="stable")[:count]]
            rows[start + i], distances[start + i] = some[best], np.sqrt((2 - 2 * cosine[best]).clip(0))
    return Nearest(reference, rows, distances)


def _likely(cases: Floats, asked: Floats, most: Floats, count: int) -> NDArray[np.int64]:
    """Which of N cases can be among the nearest ``count``, where the cosine of each is at most ``most``; by row."""
    first = np.argpartition(most, -min(len(cases), max(FIRST, count)))[-max(FIRST, count) :]
    reached = np.partition(cases[first] @ asked, -count)[-count]
    return np.flatnonzero(most >= reached - ERROR)

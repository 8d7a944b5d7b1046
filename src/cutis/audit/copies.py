"""Copies of one photograph: equal pixels, or nearly so after mirroring, turning, cropping, brightening or another compression.

Candidates come from perceptual hashes and from features; each is confirmed on its pixels.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cutis.audit import perceptual, registered
from cutis.audit.subject import Subject

NEIGHBOURS: Final = 4
"""Nearest hashes that are looked at, in each symmetry and window; of more copies than that, a chain connects all."""
RADIUS: Final = 56
"""Bits, of 256, in which a copy's hash may differ, at the best symmetry and window; unrelated hashes differ in 128."""
WIDE: Final = 104
"""The same for the nearest hashes of whole pictures, whose windows are compared then."""
ALIKE: Final = 0.77
"""Cosine of the features of a candidate that its hash did not show."""
COMPONENTS: Final = 128
"""Principal components of the features in which neighbours are looked for, which bounds time and memory."""
SAMPLE: Final = 5_000  # pictures on which the principal components are fitted
BLOCK: Final = 4096  # pairs, or pictures, that are looked at together
CONFIRMED: Final = 0.5
"""Correlation of details from which two pictures are one photograph. Chosen on HAM10000: on 167 images a copy compressed at quality 50 has
0.57 or more and a 95 % crop 0.62 or more in 99 of 100; of 13,871 candidates under different lesions, 13 are above 0.5, and the others were
below 0.45. Two photographs of one lesion taken alike can pass it."""
LIKE: Final = registered.GIVE_UP
"""Correlation of details from which two pictures under different groups are told as perhaps of one lesion. Chosen on HAM10000 too: 37
pairs under different lesions there have 0.25 or more; looked at as pictures, 21 show one lesion, the first 18 among them."""

Rows = NDArray[np.int64]
Sets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photograph, by their positions in ``subject.readable``, ``a < b``."""

    a: int
    b: int
    distance: int
    """Bits, of 256, in which their hashes differ at the best symmetry and window."""
    similarity: float
    """Cosine of their features, -1..1; nan without features."""
    correlation: float
    """Of their details, laid over each other; 1 where they are the same."""
    symmetry: int
    """Of ``data.augment.symmetry``: the one that brings ``b`` to lie as ``a``."""


@dataclass(frozen=True)
class Copies:
    """All copies, as positions in ``subject.readable``: ``exact`` sets, ``near`` pairs, the likeliest first, ``clusters`` they make.

    ``alike``: pairs under different groups that are no copies, but perhaps of one lesion.
    """

    exact: Sets
    near: tuple[Pair, ...]
    clusters: Sets
    alike: tuple[Pair, ...] = ()


def exact(subject: Subject) -> Sets:
    """Sets of pictures whose decoded pixels are equal, with two or more members, rising."""
    hashes = subject.readable["sha256"]
    return tuple(tuple(np.asarray(places).tolist()) for places in hashes.groupby(hashes).indices.values() if len(places) > 1)


def exact_only(subject: Subject) -> Copies:
    """Exact copies of a whole collection; cheap."""
    same = exact(subject)
    return Copies(same, (), same)


def found(subject: Subject) -> Copies:
    """Exact and near copies of a whole collection; of an exact set, the first stands for all."""
    same = exact(subject)
    further = {i for members in same for i in members[1:]}
    rows = np.array([i for i in range(len(subject.rows)) if i not in further], np.int64)
    stored = subject.cache.row[subject.rows[rows]]
    with subject.progress.part("near copies") as tell:
        hashes = perceptual.hashed(subject.cache.pixels, stored)
        features = None if subject.features is None else _embedded(subject.features, rows)
        pairs = _confirmed(subject.cache.pixels, stored, rows, _candidates(hashes, features), tell)
    near = tuple(pair for pair in pairs if pair.correlation >= CONFIRMED)
    group = subject.readable["group"].to_numpy()
    alike = tuple(pair for pair in pairs if pair.correlation < CONFIRMED and group[pair.a] != group[pair.b])
    links = [(members[0], other) for members in same for other in members[1:]] + [(pair.a, pair.b) for pair in near]
    return Copies(same, near, clusters(len(subject.rows), links), alike)


def clusters(count: int, links: Sequence[tuple[int, int]]) -> Sets:
    """The connected components, of two or more, of a graph with ``count`` nodes."""
    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    component = connected_components(graph, directed=False)[1]
    linked = np.unique(ends)
    order = linked[np.argsort(component[linked], kind="stable")]
    starts = np.flatnonzero(np.diff(component[order])) + 1
    return tuple(sorted(tuple(members.tolist()) for members in np.split(order, starts) if len(members)))


@dataclass(frozen=True)
class _Candidates:
    """K pairs that may be copies, and what is known of them without their pixels."""

    a: Rows
    b: Rows
    distance: Rows
    symmetry: Rows
    similarity: NDArray[np.float32]


def _candidates(hashes: perceptual.Hashed, features: NDArray[np.float32] | None) -> _Candidates:
    """Neighbours by hash or by features, whose hashes or features are near enough."""
    a, b = _distinct([*_by_hash(hashes), *_by_features(features)], hashes.whole.shape[1])
    distance, symmetry = np.empty(len(a), np.int64), np.empty(len(a), np.int64)
    similarity = np.full(len(a), np.nan, np.float32)
    for part in perceptual.blocks(len(a), BLOCK):
        distance[part], symmetry[part] = _nearest(hashes, a[part], b[part])
        if features is not None:
            similarity[part] = np.einsum("nf,nf->n", features[a[part]], features[b[part]])
    keep = (distance <= RADIUS) | (similarity >= ALIKE)
    return _Candidates(a[keep], b[keep], distance[keep], symmetry[keep], similarity[keep])


def _by_hash(hashes: perceptual.Hashed) -> list[tuple[Rows, Rows]]:
    """Pairs (queried, found): the nearest hashes to each picture's in its eight symmetries, and to those of its windows."""
    import faiss

    index = faiss.IndexBinaryFlat(perceptual.BITS)
    index.add(hashes.whole[0])
    return [pairs for codes in (*hashes.whole, *hashes.windows) for pairs in _searched(index, codes, lambda bits: bits <= WIDE)]


def _by_features(features: NDArray[np.float32] | None) -> list[tuple[Rows, Rows]]:
    """Pairs (queried, found): the nearest features."""
    import faiss

    if features is None:
        return []
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(features)
    return _searched(index, features, lambda cosine: cosine >= ALIKE)


def _searched(index: Any, queries: NDArray[Any], near: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> list[tuple[Rows, Rows]]:
    """The nearest of an index to each query, those that are near enough, in blocks.

    The threads are ours, one of OpenMP's each: where processors are shared, its own wait for one another by spinning.
    """
    import faiss

    def search(part: slice) -> tuple[Rows, Rows]:
        score, places = index.search(queries[part], min(NEIGHBOURS + 1, index.ntotal))  # one of them may be the picture itself
        kept = near(score)
        return np.nonzero(kept)[0] + part.start, places[kept]

    with ThreadPoolExecutor(cpu_count() or 1, "cutis-neighbours", faiss.omp_set_num_threads, (1,)) as pool:
        return list(pool.map(search, perceptual.blocks(len(queries), BLOCK)))


def _distinct(pairs: Sequence[tuple[Rows, Rows]], count: int) -> tuple[Rows, Rows]:
    """Each pair once, the lower place first, without pairs of one."""
    keys = [np.minimum(a, b) * count + np.maximum(a, b) for a, b in pairs]
    a, b = np.divmod(np.unique(np.concatenate(keys)), count)
    return a[a != b], b[a != b]


def _nearest(hashes: perceptual.Hashed, a: Rows, b: Rows) -> tuple[Rows, Rows]:
    """The fewest bits in which the hashes of each pair differ, in any symmetry, or in this one or none where one is a window."""
    whole = perceptual.differing(hashes.whole[:, b], hashes.whole[0, a])
    best = whole.argmin(0)
    distance, symmetry = whole.min(0), best
    for turn in (np.zeros_like(best), best):
        one = perceptual.differing(hashes.windows[:, a], hashes.whole[turn, b]).min(0)
        other = perceptual.differing(hashes.windows[:, b], hashes.whole[np.array(perceptual.INVERSE)[turn], a]).min(0)
        nearer = np.minimum(one, other) < distance
        symmetry = np.where(nearer, turn, symmetry)
        distance = np.minimum(distance, np.minimum(one, other))
    return distance, symmetry


def _embedded(features: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
    """The first principal components of the features of these rows, unit length: n x at most 128."""

    def unit(block: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12))

    sample = features[rows[:: 1 + len(rows) // SAMPLE]]
    mean = sample.mean(0)
    count = features.shape[1]
    wanted = (max(0, count - COMPONENTS), count - 1)
    axes = eigh((sample - mean).T @ (sample - mean), subset_by_index=wanted)[1].astype(np.float32)
    result = np.empty((len(rows), axes.shape[1]), np.float32)
    for part in perceptual.blocks(len(rows), BLOCK):
        result[part] = unit((features[rows[part]] - mean) @ axes)
    return result


def _confirmed(
    pixels: NDArray[np.uint8], stored: Rows, rows: Rows, candidates: _Candidates, tell: Callable[[int, int], None]
) -> list[Pair]:
    """The candidates whose pictures may be one photograph, or of one lesion, the likeliest first."""

    def match(i: int) -> registered.Match:
        one, other = (perceptual.grey(pixels, stored[place], registered.SIDE) for place in (candidates.a[i], candidates.b[i]))
        return registered.match(one, perceptual.turn(other, int(candidates.symmetry[i])))

    pairs, total = [], len(candidates.a)
    with ThreadPoolExecutor(cpu_count() or 1, "cutis-copies") as pool:
        for i, found in enumerate(pool.map(match, range(total))):
            tell(i + 1, total)
            if found.correlation >= LIKE:
                a, b = int(rows[candidates.a[i]]), int(rows[candidates.b[i]])
                figures = int(candidates.distance[i]), float(candidates.similarity[i]), found.correlation, int(candidates.symmetry[i])
                pairs.append(Pair(a, b, *figures))
    return sorted(pairs, key=lambda pair: (-pair.correlation, pair.a, pair.b))

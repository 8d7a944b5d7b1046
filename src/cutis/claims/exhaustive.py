"""Exact search for a confusion matrix that gives printed figures, where there are not too many to go through."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cutis.claims.printed import Range
from cutis.claims.problem import Constraint, Problem

LARGEST = 300_000  # partial matrices at a time
WIDE = 10**9  # denominators beyond which 64 bits may not hold a product
SLACK = 1e-12  # averages are summed as floats, which only ever lets more through: their error is below 1e-14

OF_MEANS = {"f1_macro": ("precision_macro", "recall_macro"), "f1_weighted": ("precision_weighted", "accuracy")}

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def exact(problem: Problem) -> bool | None:
    """The answer by going through all pairs (t, q) class by class; None where there are too many. Needs sizes.

    Partial matrices with equal sums are one, the one that leaves most room being kept, unless a figure needs more than the sums.
    """
    assert problem.sizes
    n, sizes = sum(problem.sizes), problem.sizes
    tables: list[tuple[Counts, Counts] | None] = [pairs(problem, c) for c in range(problem.classes)]
    lengths = [LARGEST + 1 if table is None else len(table[0]) for table in tables]
    *first, last = sorted(range(problem.classes), key=lambda c: lengths[c])
    if any(lengths[c] > LARGEST for c in first):
        return None
    needed = _needed(problem)
    right = predicted = worst = np.zeros(1, np.int64)
    sums = {name: np.zeros(1) for name in needed}
    left = n
    for c in first:
        table = tables[c]
        assert table
        t, q = table
        if len(right) * len(t) > LARGEST:
            return None
        left -= sizes[c]
        right, predicted = _outer(right, t), _outer(predicted, q)
        worst = np.maximum(np.repeat(worst, len(t)), np.tile(sizes[c] + q - 2 * t, len(right) // max(len(t), 1)))
        own = _values(problem, c, sums, t, q)
        sums = {name: (total[:, None] + own[name]).ravel() for name, total in sums.items()}
        kept = (predicted <= n) & (right < problem.right.stop) & (right + left >= problem.right.start) & (worst <= n - right)
        right, predicted, worst = right[kept], predicted[kept], worst[kept]
        sums = {name: total[kept] for name, total in sums.items()}
        if not needed:
            right, predicted, worst = _merged(right, predicted, worst)
    return _completed(problem, last, right, predicted, worst, sums)


def _completed(problem: Problem, c: int, right: Counts, predicted: Counts, worst: Counts, sums: dict[str, Array]) -> bool | None:
    """Whether a last class completes one of the partial matrices: what is told to be of it is what remains."""
    assert problem.sizes
    n, size = sum(problem.sizes), problem.sizes[c]
    low, high = np.maximum(problem.right.start - right, 0), np.minimum(problem.right.stop - 1 - right, np.minimum(size, n - predicted))
    width = int((high - low).max(initial=-1)) + 1
    if width * len(right) > LARGEST:
        return None
    t = (low[:, None] + np.arange(width)).ravel()
    row = np.repeat(np.arange(len(right)), width)
    q, wrong = (n - predicted)[row], n - right[row] - t
    rights = [one.range.counts(size) for one in problem.about(c) if one.figure == "recall" and size]
    kept = (t <= high[row]) & (worst[row] <= wrong) & (size + q - 2 * t <= wrong)
    for allowed in rights:
        kept &= (allowed.start <= t) & (t < allowed.stop)
    t, q, row = t[kept], q[kept], row[kept]
    first, last = _predicted(problem, c, t)
    kept = (first <= q) & (q <= last)
    t, q, row = t[kept], q[kept], row[kept]
    own = _values(problem, c, sums, t, q)
    sums = {name: total[row] + own[name] for name, total in sums.items()}
    for one in problem.overall:
        if one.figure != "accuracy":
            kept = _total_fits(one, sums)
            sums = {name: total[kept] for name, total in sums.items()}
            t = t[kept]
    return bool(len(t))


def _total_fits(one: Constraint, sums: dict[str, Array]) -> NDArray[np.bool_]:
    """Where a total lies in its range; an average over a class without the figure is not held to it, as some leave the class out."""
    kept = _inside(sums[one.figure], one.range)
    if one.figure in OF_MEANS:  # by the other definition, F1 of the means
        p, r = (sums[name] for name in OF_MEANS[one.figure])
        kept |= _inside(np.divide(2 * p * r, p + r, out=np.zeros_like(p), where=p + r > 0), one.range)
    return kept | (sums["no images" if one.figure == "recall_macro" else "undefined"] > 0)


def pairs(problem: Problem, c: int) -> tuple[Counts, Counts] | None:
    """All (t, q) of a class that fit its own figures; None where there are too many to list."""
    assert problem.sizes
    n, size = sum(problem.sizes), problem.sizes[c]
    rights = [one.range.counts(size) for one in problem.about(c) if one.figure == "recall" and size]
    low, high = max([r.start for r in rights], default=0), min([r.stop for r in rights], default=size + 1)
    t = np.arange(low, max(high, low))
    first, last = _predicted(problem, c, t)
    first, last = np.maximum(first, t), np.minimum(last, t + n - size)
    lengths = np.maximum(last - first + 1, 0)
    if (total := int(lengths.sum())) > LARGEST:
        return None
    starts = np.cumsum(lengths) - lengths
    return np.repeat(t, lengths), np.arange(total) + np.repeat(first - starts, lengths)


def _predicted(problem: Problem, c: int, t: Counts) -> tuple[Counts, Counts]:
    """For each number of right answers, the lowest and the highest number of predicted images that fit the class's figures; exact.

    low <= part / whole <= high is part / high <= whole <= part / low. A precision that is not defined is printed as 0, or as 1.
    """
    assert problem.sizes
    n, size = sum(problem.sizes), problem.sizes[c]
    first, last = np.zeros_like(t), np.full_like(t, n)
    for one in problem.about(c):
        allowed = one.range
        if one.figure == "specificity" and n > size:
            negatives = allowed.counts(n - size)
            first, last = np.maximum(first, t + n - size - (negatives.stop - 1)), np.minimum(last, t + n - size - negatives.start)
        elif one.figure in ("precision", "f1"):
            part, more = (t, 0) if one.figure == "precision" else (2 * t, size)
            least, rest = _divided(part, allowed.high)
            first = np.maximum(first, np.where(part > 0, least + (rest if allowed.high_in else 1) - more, 0))
            if allowed.low > 0:
                most, rest = _divided(part, allowed.low)
                last = np.minimum(last, most - (0 if allowed.low_in else 1 - rest) - more)
            if one.figure == "precision" and 0 not in allowed and 1 not in allowed:
                first = np.maximum(first, 1)
    return first, last


def _divided(part: Counts, end: Fraction) -> tuple[Counts, Counts]:
    """part / end rounded down, and 1 where that left a rest; ``end`` is above 0."""
    wide = part.astype(object) if end.denominator > WIDE else part
    whole, rest = wide * end.denominator // end.numerator, wide * end.denominator % end.numerator
    return np.minimum(whole, np.iinfo(np.int64).max // 4).astype(np.int64), (rest != 0).astype(np.int64)


def _inside(value: Array, allowed: Range) -> NDArray[np.bool_]:
    return (value >= float(allowed.low) - SLACK) & (value <= float(allowed.high) + SLACK)


def _needed(problem: Problem) -> frozenset[str]:
    """The totals beyond right and predicted answers that the figures need."""
    names = {one.figure for one in problem.overall} - {"accuracy"}
    names |= {name for figure in names for name in OF_MEANS.get(figure, ())}
    return frozenset(names | {"undefined", "no images"} if names else ())


def _values(problem: Problem, c: int, needed: Iterable[str], t: Counts, q: Counts) -> dict[str, Array]:
    """What a class adds to each total that is needed."""
    assert problem.sizes
    n, size = sum(problem.sizes), problem.sizes[c]
    weights = {"macro": 1 / problem.classes, "weighted": size / n}
    found: dict[str, Array] = {}
    for name in needed:
        base, _, average = name.rpartition("_")
        if name in ("undefined", "no images"):
            found[name] = 1.0 * ((size == 0) | ((q == 0) & (name == "undefined")))
        elif name == "accuracy":
            found[name] = t / n
        else:
            part, whole = {"precision": (t, q), "recall": (t, size + 0 * t), "f1": (2 * t, size + q)}[base]
            found[name] = part / np.maximum(whole, 1) * weights[average]
    return found


def _outer(sums: Counts, more: Counts) -> Counts:
    return np.add.outer(sums, more).ravel()


def _merged(right: Counts, predicted: Counts, worst: Counts) -> tuple[Counts, Counts, Counts]:
    order = np.lexsort((worst, predicted, right))
    right, predicted, worst = right[order], predicted[order], worst[order]
    new = np.ones(len(right), bool)
    new[1:] = (np.diff(right) != 0) | (np.diff(predicted) != 0)
    return right[new], predicted[new], worst[new]

"""Two models on the same images: the differences of their figures with intervals, and tests of whether there is a difference."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.errors import CutisError, DataError
from cutis.evaluate.intervals import bootstrap_weights, percentile_limits, replicated
from cutis.evaluate.metrics import AVERAGES, figures, metrics
from cutis.evaluate.sample import Floats, Rows
from cutis.predictions import Predictions

Difference = dict[str, float | None]
Sides = Mapping[str, tuple[float, Floats]]  # a figure's value, and R of them under resampling


def differences(
    first: Sequence[Predictions], second: Sequence[Predictions], names: Sequence[str], *, replicates: int, level: float, seed: int
) -> dict[str, Difference]:
    """``first`` less ``second``: for each figure its ``value``, the ends ``low`` and ``high`` of its interval at ``level``, and ``p``.

    ``names``: whole-table names of metrics.json (``accuracy``, ``auroc_macro``), a figure of one class (``f1/mel``), or of each
    (``f1/*``, which comes back as ``f1/mel``, ...). Several predictions a side are seeds: a side's figure is then their mean, also within
    each resample. Both sides are measured on the same resamples of groups, so what is hard for both does not widen the interval: the
    percentiles of the replicated differences, moved by their mean's distance from the value, and stretched to hold it where few rows
    make them lopsided. ``p`` is two-sided and inverts that interval: twice the share of the replicates, moved alike, that do not lie on
    the value's side of 0, counting one more of them (Davison & Hinkley 1997, 4.4).
    A figure that is not defined is None throughout. Seeds are not resampled: the interval is about other images, not other seeds.

    Raises DataError where rows, labels or classes differ, CutisError for a figure that does not exist.
    """
    return each_difference(first, [second], names, replicates=replicates, level=level, seed=seed)[0]


def each_difference(
    first: Sequence[Predictions], others: Sequence[Sequence[Predictions]], names: Sequence[str], *, replicates: int, level: float, seed: int
) -> list[dict[str, Difference]]:
    """As ``differences``, to each of several other sides; ``first`` is measured once."""
    mine, *theirs = _measured([first, *others], names, replicates, seed)
    return [_differences(mine, side, level) for side in theirs]


def every_difference(
    sides: Sequence[Sequence[Predictions]], names: Sequence[str], *, replicates: int, level: float, seed: int
) -> dict[tuple[int, int], dict[str, Difference]]:
    """As ``differences``, of every two of the sides, the earlier less the later; each side is measured once."""
    measured = _measured(sides, names, replicates, seed)
    return {(i, j): _differences(measured[i], measured[j], level) for i, j in combinations(range(len(sides)), 2)}


def values(predictions: Predictions, names: Sequence[str]) -> dict[str, float]:
    """Figures by the names that ``differences`` takes, of the labelled rows; NaN where one is not defined."""
    known = predictions.known()
    once = np.ones((1, len(known.labels)), np.uint8)
    return {name: value for name, (value, _) in _figures(known, _expanded(names, known.classes), once).items()}


def expanded(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The names with ``f1/*`` as ``f1/CLASS`` for each class. Raises CutisError for what is not a figure of these classes."""
    return list(_expanded(names, classes))


def less_is_better(figure: str) -> bool:
    """Whether the smaller value of a figure, by the names that ``differences`` takes, is the better one."""
    return getattr(metrics[_metric(figure.partition("/")[0])], "less_is_better", False)


def settled(difference: Mapping[str, Any]) -> int:
    """1 where the whole interval of a difference lies above 0, -1 where it lies below, 0 where it cannot be told."""
    if difference.get("low") is None:
        return 0
    return int(difference["low"] > 0) - int(difference["high"] < 0)


def aligned(part: Predictions, like: Predictions, name: str, other: str, which: str) -> Predictions:
    """The rows of ``part`` in the order of ``like``. Raises DataError naming both where images or labels differ in the set ``which``."""
    mine, theirs = set(part.images), set(like.images)
    if mine != theirs:
        examples = sorted(mine ^ theirs)
        raise DataError(
            f"{name} and {other} answered different images in the set {which}: {len(mine - theirs):,} only in {name}, "
            f"{len(theirs - mine):,} only in {other}, for example {examples[0]}. They are set side by side on the same images: train "
            "them on one split (--split FILE:COLUMN)."
        )
    row = {image: i for i, image in enumerate(part.images)}
    part = part.rows(np.array([row[image] for image in like.images], np.int64))
    own, given = (np.array([*p.classes, ""])[p.labels] for p in (part, like))
    different = np.flatnonzero(own != given)
    if len(different):
        i = different[0]
        raise DataError(
            f"{len(different):,} images of the set {which} have other labels in {name} than in {other}, for example {like.images[i]}: "
            f"{own[i] or 'none'} and {given[i] or 'none'}. Train both on the same labels."
        )
    return part


def mcnemar(first: Predictions, second: Predictions) -> dict[str, float]:
    """On how many images ``only_first`` and ``only_second`` is right, and the exact two-sided ``p`` that such a split is chance.

    The binomial test of the images on which one of both is right (McNemar 1947). It takes images for independent; where groups have
    several, ``differences`` is the one to trust. Raises DataError as that does.
    """
    from scipy.stats import binomtest  # here, because its import takes longer than most commands of the CLI

    (one,), (other,) = _matched([[first], [second]])
    right = [part.predicted == part.labels for part in (one, other)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    either = only_first + only_second
    p = float(binomtest(only_first, either).pvalue) if either else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979), in the order given: the i-th smallest of m, times m - i + 1, never falling."""
    p = np.asarray(p_values, np.float64)
    order = p.argsort(kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return [float(value) for value in adjusted]


def _matched(sides: Sequence[Sequence[Predictions]]) -> list[list[Predictions]]:
    """The labelled rows of all predictions, classes in the order of the first."""
    assert all(sides), "each side has predictions"
    like = sides[0][0]
    matched = [[part.over(like.classes) for part in side] for side in sides]
    for part in (part for side in matched for part in side):
        if not np.array_equal(part.images, like.images):
            raise DataError(f"{_unlike(like.images, part.images)} A difference is paired: answer the same images in the same order.")
        if not np.array_equal(part.labels, like.labels):
            i = int(np.flatnonzero(part.labels != like.labels)[0])
            raise DataError(f"The labels differ, for example of {like.images[i]}. A difference is paired: give both sides the same labels.")
    if not (like.labels >= 0).any():
        raise DataError("None of these images has a label, so there is no difference to measure. Give data with labels.")
    return [[part.known() for part in side] for side in matched]


def _unlike(one: NDArray[np.str_], other: NDArray[np.str_]) -> str:
    alone = sorted(set(one.tolist()) ^ set(other.tolist()))
    if not alone:
        return "The images are the same in another order, or not as often."
    return f"The images differ: {len(alone):,} are on one side only, for example {alone[0]}."


def _expanded(names: Sequence[str], classes: Sequence[str]) -> dict[str, tuple[str, str, int | None]]:
    """For each figure the metric behind it, its name among ``metrics.figures``, and the number of the class where it is of one."""
    found: dict[str, tuple[str, str, int | None]] = {}
    for name in names:
        figure, slash, of = name.partition("/")
        if not slash:
            found[name] = (_metric(figure), figure, None)
            continue
        if of not in ("*", *classes):
            raise CutisError(f"There is no figure {name!r}: the classes are {', '.join(classes)}. Write {figure}/* for all of them.")
        found |= {f"{figure}/{c}": (_metric(figure), figure, i) for i, c in enumerate(classes) if of in ("*", c)}
    return found


def _metric(figure: str) -> str:
    """The registered metric of a figure: its own name without the kind of average."""
    stem, _, average = figure.rpartition("_")
    return stem if figure not in metrics and average in AVERAGES else figure


def _figures(part: Predictions, wanted: Mapping[str, tuple[str, str, int | None]], weights: NDArray[np.uint8]) -> Sides:
    rows, names = Rows(part.labels, part.probabilities), sorted({metric for metric, _, _ in wanted.values()})
    whole, drawn = figures(rows.weighted(), names), replicated(rows, weights, names)
    found = {}
    for name, (_, figure, c) in wanted.items():
        if whole[figure].ndim != (1 if c is None else 2):
            kinds = f"{figure}_macro or {figure}/CLASS" if c is None else figure
            raise CutisError(f"There is no figure {name!r}. Write {kinds}.")
        found[name] = (float(whole[figure][0]), drawn[figure]) if c is None else (float(whole[figure][0, c]), drawn[figure][:, c])
    return found


def _measured(sides: Sequence[Sequence[Predictions]], names: Sequence[str], replicates: int, seed: int) -> list[Sides]:
    """Every side on the same resamples of groups."""
    matched = _matched(sides)
    known = matched[0][0]
    weights = bootstrap_weights(known.groups, replicates, np.random.default_rng(seed))
    wanted = _expanded(names, known.classes)
    return [_mean([_figures(part, wanted, weights) for part in side]) for side in matched]


def _mean(seeds: Sequence[Sides]) -> Sides:
    return {
        name: (float(np.mean([s[name][0] for s in seeds])), np.mean([s[name][1] for s in seeds], axis=0, dtype=np.float64))
        for name in seeds[0]
    }


def _differences(mine: Sides, theirs: Sides, level: float) -> dict[str, Difference]:
    return {name: _difference(mine[name][0] - theirs[name][0], mine[name][1] - theirs[name][1], level) for name in mine}


def _difference(value: float, drawn: Floats, level: float) -> Difference:
    low, high = (float(end) for end in percentile_limits(np.array(value), drawn, level, signed=True))
    if not np.isfinite([value, low, high]).all():
        return {"value": None, "low": None, "high": None, "p": None}
    known = drawn[np.isfinite(drawn)]
    moved = known - (known.mean() - value)
    across = int((moved * np.sign(value) <= 0).sum())
    p = min(1.0, 2 * (1 + across) / (1 + len(moved)))
    return {"value": value, "low": min(low, value), "high": max(high, value), "p": p}

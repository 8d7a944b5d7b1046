"""For whom it works: every figure in each group of the images, its gap to the rest, and how sure that gap is."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutis.errors import DataError
from cutis.evaluate.intervals import bootstrap_weights, difference_limits, replicated
from cutis.evaluate.metrics import Basis, figures, metrics
from cutis.evaluate.paired import holm
from cutis.evaluate.sample import Floats, Integers, Rows
from cutis.evaluate.summary import TWINS, Figure, bases, entry, limits_of
from cutis.predictions import Predictions

FEW: Final = 30
"""Groups of images below which nothing is said of a slice: of 30 a share of one half has an interval of plus or minus 0.17 (Wilson)."""
FEW_OF_CLASS: Final = 5
"""Groups with a class, in the slice and in the rest, below which the class is left out of both sides' means over classes."""
NO_GAP: Final[Mapping[str, str]] = {
    "ece": "it grows as images get fewer, so groups of unlike size cannot be compared; Brier and log loss can"
}
"""Figures of which no gap is told, and why."""
BY_CLASS: Final = "sensitivity"  # the figure of each class that is told of each slice
METHOD: Final = (
    "gap: the slice less all other images of known value; from both sides' intervals and the correlation of their replicates on the same "
    "resamples of groups (MOVER); p by Holm over all slices, for each figure by itself"
)
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slicing:
    """A way to divide N images: ``of`` the place of each one's group among ``groups``, -1 where it is not known."""

    name: str
    title: str
    of: Integers
    groups: tuple[str, ...]


class Worst(NamedTuple):
    """The group that is furthest below the rest: its way and name, its place in metrics.json, and whether that is sure."""

    way: str
    title: str
    group: str
    told: Mapping[str, Any]
    sure: bool


@dataclass(frozen=True, eq=False)
class _Side:
    """What is measured on some of the rows: figures ([] or [C]) and their replicates ([R] or [R, C]), images and groups behind them."""

    values: dict[str, Floats]
    drawn: dict[str, Floats]
    groups: dict[Basis, Integers]
    images: int
    of_class: Integers

    def over(self, counted: Mask) -> "_Side":
        """The same, means over classes taken over the ``counted`` ones [C] only."""
        values, drawn = dict(self.values), dict(self.drawn)
        for name in (n for n in metrics if n in values and values[n].ndim):
            values[name] = np.where(counted, values[name], np.nan)
            drawn[name] = np.where(counted, drawn[name], np.nan)
            values[f"{name}_macro"], drawn[f"{name}_macro"] = _mean(values[name]), _mean(drawn[name])
        return replace(self, values=values, drawn=drawn)

    def bounded(self, level: float) -> "dict[str, _Bounded]":
        """Every figure with its limits."""
        limits = limits_of(self.values, self.drawn, self.groups, level)
        values = {TWINS.get(name, name): self.values[TWINS.get(name, name)] for name in self.values}
        return {name: _Bounded(value, *limits[name], self.drawn[name]) for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class _Bounded:
    """A figure ([]), or that of each class ([C]), its limits, and its replicates ([R] or [R, C])."""

    value: Floats
    low: Floats
    high: Floats
    drawn: Floats

    def of(self, c: int) -> "_Bounded":
        """That of one class."""
        return _Bounded(self.value[c], self.low[c], self.high[c], self.drawn[:, c])

    @property
    def limits(self) -> tuple[float, float, float]:
        """Value, low, high."""
        return float(self.value), float(self.low), float(self.high)


def sliced(
    predictions: Predictions, ways: Sequence[Slicing], *, replicates: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """``slices`` of one set of metrics.json (docs/formats.md): under ``by`` each way, its groups, their figures and gaps.

    ``ways`` divide the rows of ``predictions``; those without a label are left out. A slice is compared with the rest: all other images
    whose value is known. Both are measured on the same resamples of groups. Means over classes are taken, on both sides, over the
    classes of which both have ``FEW_OF_CLASS`` groups, so that a slice is not marked down, or up, for the diagnoses it lacks. Figures
    that mix all images, such as accuracy, still tell how hard a slice's cases are too.
    Raises DataError where no row has a label.
    """
    known = predictions.known()
    if not len(known.labels):
        raise DataError("None of these images has a label, so there is nothing to measure. Give data with labels.")
    ways = [replace(way, of=way.of[predictions.labels >= 0]) for way in ways]
    weights = bootstrap_weights(known.groups, replicates, np.random.default_rng(seed))
    sides = _measured(known, weights, _needed(known, ways))
    found: dict[str, dict[str, Any]] = {}
    for way in ways:
        parts = {}
        for i, group in enumerate(way.groups):
            mine = way.of == i
            if mine.any():
                parts[group] = _part(known, mine, (way.of >= 0) & ~mine, sides, level)
        found[way.name] = {"title": way.title, "known": _images(known, way.of >= 0), "groups": parts}
    tests = _adjusted(found)
    return {"by": found, "few": FEW, "few_of_class": FEW_OF_CLASS, "tests": tests, "level": level, "method": METHOD}


def worst(slices: Mapping[str, Any], figure: str) -> Worst | None:
    """Where a figure of which more is better lies furthest below the rest: among the gaps that are sure (adjusted p below 1 - level), or
    else among all; None where no gap is below 0."""
    below = [
        Worst(way, told["title"], group, part, part["figures"][figure]["gap"]["p_holm"] < 1 - slices["level"])
        for way, told in slices["by"].items()
        for group, part in told["groups"].items()
        if (part.get("figures", {}).get(figure, {}).get("gap", {}).get("value") or 0) < 0
    ]
    return min(below, key=lambda w: (not w.sure, w.told["figures"][figure]["gap"]["value"]), default=None)


def _needed(known: Predictions, ways: Sequence[Slicing]) -> Iterator[tuple[Mask, bool]]:
    """The rows of each slice that is large enough, and of the rest where that is large enough too; whether it is a slice."""
    for way in ways:
        for i in range(len(way.groups)):
            mine, rest = way.of == i, (way.of >= 0) & (way.of != i)
            if _enough(known, mine):
                yield mine, True
                if _enough(known, rest):
                    yield rest, False


def _measured(known: Predictions, weights: NDArray[np.uint8], needed: Iterator[tuple[Mask, bool]]) -> dict[bytes, _Side]:
    """Each set of rows once, by its mask (one of two groups is the rest of the other); what is only a rest without figures of no gap."""
    masks: dict[bytes, Mask] = {}
    slices: set[bytes] = set()
    for mask, is_slice in needed:
        masks[mask.tobytes()] = mask
        slices |= {mask.tobytes()} if is_slice else set()

    def side(key: bytes) -> _Side:
        names = [name for name in metrics if key in slices or name not in NO_GAP]
        return _side(known.rows(masks[key]), weights[:, masks[key]], names)

    with ThreadPoolExecutor(os.cpu_count(), "cutis-slices") as pool:
        return dict(zip(masks, pool.map(side, masks), strict=True))


def _side(own: Predictions, weights: NDArray[np.uint8], names: Sequence[str]) -> _Side:
    rows = Rows(own.labels, own.probabilities)
    values = {name: value[0] for name, value in figures(rows.weighted(), names).items()}
    of_class = [_images(own, own.labels == c) for c in range(len(own.classes))]
    return _Side(values, replicated(rows, weights, names), bases(own, rows), _images(own, own.labels >= 0), np.array(of_class, np.int64))


def _part(known: Predictions, mine: Mask, others: Mask, sides: Mapping[bytes, _Side], level: float) -> dict[str, Any]:
    """A slice as metrics.json has it; without figures, and saying ``why``, where it is too small."""
    own, rest = sides.get(mine.tobytes()), sides.get(others.tobytes())
    told = {"n": _images(known, mine), "groups": len(np.unique(known.groups[mine]))}
    if own is None:
        return told | {"why": f"too few to say: {told['groups']} of the {FEW} groups that a figure needs"}
    counted = own.groups["class"] >= FEW_OF_CLASS
    if rest is not None:
        counted &= rest.groups["class"] >= FEW_OF_CLASS
    here, beside = own.over(counted).bounded(level), rest.over(counted).bounded(level) if rest else {}
    why = "" if counted.sum() > 1 else f"fewer than 2 classes have {FEW_OF_CLASS} groups on both sides"
    return told | {
        "classes": [name for name, there in zip(known.classes, counted, strict=True) if there],
        "figures": {
            name: _figure(here[twin], beside.get(twin), own.images, level, why if twin.endswith("_macro") else "", NO_GAP.get(name, ""))
            for name, twin in ((name, TWINS.get(name, name)) for name, value in own.values.items() if not value.ndim)
        },
        "per_class": {
            known.classes[c]: {
                BY_CLASS: _figure(here[BY_CLASS].of(c), beside[BY_CLASS].of(c) if beside else None, int(own.of_class[c]), level)
            }
            for c in map(int, np.flatnonzero(counted))
        },
    }


def _figure(own: "_Bounded", rest: "_Bounded | None", n: int, level: float, why: str = "", no_gap: str = "") -> Figure:
    """A figure of a slice, and under ``gap`` what it is less the rest's, with limits and ``p``; without them, and saying ``why``, where
    either side has none, or the figure has no gap (``no_gap``)."""
    told = entry(own.value, own.low, own.high, n, why)
    none = {"value": None, "low": None, "high": None, "p": None}
    if rest is None:
        return told | {"gap": none | {"why": f"the rest has fewer than {FEW} groups"}}
    if why or no_gap or not np.isfinite([*own.limits, *rest.limits]).all():
        return told | {"gap": none | {"why": why or no_gap or "not defined on both sides"}}
    value, low, high = difference_limits(own.limits, rest.limits, _correlated(own.drawn, rest.drawn))
    return told | {"gap": {"value": value, "low": low, "high": high, "p": _p(value, high if value < 0 else low, level)}}


def _p(value: float, towards: float, level: float) -> float:
    """Two-sided p whose interval ends at ``towards``, the limit on the side of 0: below 1 - level where 0 is outside."""
    half, normal = abs(value - towards), NormalDist()
    return 2 * normal.cdf(-abs(value) / half * normal.inv_cdf((1 + level) / 2)) if half else float(not value)


def _correlated(one: Floats, other: Floats) -> float:
    """Correlation over the replicates in which both are defined; 0 where one never varies."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 2 or np.ptp(one[both]) < 1e-12 or np.ptp(other[both]) < 1e-12:
        return 0.0
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _adjusted(found: Mapping[str, Any]) -> int:
    """Write ``p_holm`` beside every p, and say how many slices of a figure were tested at most.

    The two groups of a way that has no third are one question, with one p, and count once.
    """
    families: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}  # by figure, then by question
    for way, told in found.items():
        for group, part in told["groups"].items():
            shown = part.get("figures", {}) | {f"{BY_CLASS}/{c}": each[BY_CLASS] for c, each in part.get("per_class", {}).items()}
            question = (way, "" if len(told["groups"]) == 2 else group)
            for name, gap in ((name, figure["gap"]) for name, figure in shown.items()):
                if gap["p"] is not None:
                    families.setdefault(name, {}).setdefault(question, []).append(gap)
    for family in families.values():
        for same, p in zip(family.values(), holm([same[0]["p"] for same in family.values()]), strict=True):
            for gap in same:
                gap["p_holm"] = p
    return max(map(len, families.values()), default=0)


def _enough(known: Predictions, rows: Mask) -> bool:
    return len(np.unique(known.groups[rows])) >= FEW


def _images(known: Predictions, rows: Mask) -> int:
    return len(np.unique(known.images[rows]))


def _mean(values: Floats) -> Floats:
    """Over the classes that have a value, the last axis; NaN where none has."""
    have = np.isfinite(values)
    count = have.sum(axis=-1)
    return np.where(count > 0, np.where(have, values, 0).sum(axis=-1) / count.clip(1), np.nan)

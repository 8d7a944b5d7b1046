"""What a study found beside what was printed: figures of every arm, a verdict a cell, paired differences, parts of the test images."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.errors import DataError
from cutis.evaluate import paired
from cutis.evaluate.summary import picked, pooled, summarise
from cutis.predictions import Predictions
from cutis.report import words
from cutis.runs import Run
from cutis.studies.catalog import Cell, Pair, Published

REPLICATES = 100
"""Resamples a pair, at least: p cannot fall below two over their number, and is multiplied by that of the pairs (Holm)."""


@dataclass
class Answers:
    """What an arm answered: a run, or one for each seed, over all its sets and the subsets of them.

    A set is named as ``Cell.at`` names it: ``test``, another set, or ``test:NAME`` for a subset; ``images`` tells the images of
    (set, subset). ``notes``: what else is remarkable, such as fewer training images; ``cut``: of which sets images were left out;
    ``drawn``: whether Cutis drew the pictures.
    """

    run: Run
    images: Callable[[str, str], frozenset[str]] = lambda name, subset: frozenset()
    notes: Sequence[str] = ()
    cut: Sequence[str] = ()
    drawn: bool = False
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def sets(self) -> list[str]:
        """Names of the answered sets, of one run or of all seeds."""
        return sorted(set.intersection(*(set(run.sets) for run in self._runs)))

    def predictions(self, at: str) -> list[Predictions]:
        """Predictions for labelled images, one a seed; none where the set was not answered, or nothing of it is in the subset."""
        name, _, subset = at.partition(":")
        if name not in self.sets:
            return []
        found = [run.predictions(name).known() for run in self._runs]
        if subset:
            inside = self.images(name, subset)
            found = [p.rows(np.isin(p.images, list(inside))) if inside else p.rows([]) for p in found]
        return found if len(found[0].images) else []

    def summary(self, at: str) -> dict[str, Any] | None:
        """Figures as metrics.json has them; over seeds, of all their answers together."""
        if at not in self._kept:
            self._kept[at] = self.run.metrics.get(at) or self._summarised(at)
        found: dict[str, Any] | None = self._kept[at]
        return found

    def figure(self, at: str, name: str) -> dict[str, Any] | None:
        """A figure by its name (``accuracy``, ``f1/Papules``); with several seeds also ``mean`` and ``sd`` over them."""
        summary = self.summary(at)
        found = None if summary is None else picked(summary, name)
        if found is None or len(self._runs) == 1:
            return found
        each = [picked(run.metrics[at], name) for run in self._runs if at in run.metrics]
        values = [f["value"] for f in each if f is not None and f["value"] is not None]
        if len(values) < 2:
            return found
        return found | {"mean": statistics.fmean(values), "sd": statistics.stdev(values), "seeds": len(values)}

    def baseline(self, at: str, name: str) -> float | None:
        """What always answering the commonest training class gives."""
        told: dict[str, float] = (self.summary(at) or {}).get("baseline", {}).get(name, {})
        return told.get("value")

    @property
    def _runs(self) -> list[Run]:
        return self.run.parts or [self.run]

    def _summarised(self, at: str) -> dict[str, Any] | None:
        found = self.predictions(at)
        if not found:
            return None
        spec = self.run.recipe
        options: dict[str, Any] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
        return summarise(pooled(found), **options, majority=self._runs[0].provenance["majority"])


def judged(cell: Cell, table: Published, answers: Answers | None, left_out: str = "") -> dict[str, Any]:
    """A printed cell beside ours: ``printed ours baseline verdict why remarks`` and where ours is found.

    ``left_out``: why there are no answers, where that is known.

    ``verdict``: reached (the printed figure is not above our upper limit; of figures of which less is better, not below our lower one),
    not reached, not comparable, not run, or nothing where nothing is printed.
    """
    told: dict[str, Any] = {"printed": cell.printed, "arm": cell.arm, "figure": cell.figure, "at": cell.at}
    ours = answers.figure(cell.at, cell.figure) if answers else None
    told |= {"ours": ours, "baseline": answers.baseline(cell.at, cell.figure) if answers else None, "verdict": "", "why": "", "remarks": []}
    if answers is not None:
        told["remarks"] = list(answers.notes)
    if cell.printed is None:
        return told
    if answers is None or ours is None:
        why = f"{cell.at} has no such figure" if answers else f"arm left out: {left_out}" if left_out else "the arm was not made"
        return told | {"verdict": "not run", "why": why}
    if obstructed := obstacle(cell, table, answers):
        return told | {"verdict": "not comparable", "why": obstructed}
    if ours["value"] is None:
        return told | {"verdict": "not comparable", "why": ours.get("why", "there is no figure")}
    less = paired.less_is_better(cell.figure)
    reached = cell.printed >= ours["low"] if less else cell.printed <= ours["high"]
    limit = f"our {'lower' if less else 'upper'} limit is {words.number(ours['low' if less else 'high'])}"
    return told | {"verdict": "reached" if reached else "not reached", "why": limit}


def obstacle(cell: Cell, table: Published, answers: Answers) -> str:
    """Why a cell cannot be compared; empty where it can."""
    summary = answers.summary(cell.at)
    assert summary is not None
    if table.unlike or cell.unlike:
        return cell.unlike or table.unlike
    if answers.drawn:
        return "these pictures are drawn by Cutis"
    own, printed = ({c.casefold() for c in classes} for classes in (summary["classes"], table.classes))
    if printed and own != printed:
        return f"other classes: here {', '.join(summary['classes'])}"
    if cell.at.partition(":")[0] in answers.cut:
        return f"the scale leaves {words.count(summary['n'], 'test image')}"
    if table.n and summary["n"] not in table.n:
        return f"{words.count(summary['n'], 'test image')} here, {counts(table.n)} there"
    return ""


def counts(n: tuple[int, ...] | range) -> str:
    """Numbers of images in words: ``1,003 or 2,005``, ``4,180 to 4,260``."""
    return f"{n[0]:,} to {n[-1]:,}" if isinstance(n, range) else words.listed([f"{each:,}" for each in n], "or")


def compared(pairs: Sequence[Pair], answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Each pair's differences, first less second, on the same images and resamples; p values are also adjusted over all pairs (Holm 1979).

    A pair of which an arm is absent, or which is answered on other images, says so under ``cannot``.
    """
    least = REPLICATES * len(pairs)
    told = [_pair(pair, answers, least) for pair in pairs]
    for pattern in dict.fromkeys(f for pair in pairs for f in pair.figures):
        family = [d for t in told for d in t["figures"].values() if d["asked"] == pattern and d.get("p") is not None]
        for difference, adjusted in zip(family, paired.holm([d["p"] for d in family]) if family else (), strict=True):
            difference["p_holm"] = float(adjusted)
    return told


def _pair(pair: Pair, answers: Mapping[str, Answers], replicates: int) -> dict[str, Any]:
    told: dict[str, Any] = {"first": pair.first, "second": pair.second, "at": pair.at, "asks": pair.why, "figures": {}, "cannot": ""}
    absent = [name for name in (pair.first, pair.second) if name not in answers]
    if absent:
        return told | {"cannot": f"{words.listed(absent)} was not made"}
    first, second = (answers[name].predictions(pair.at) for name in (pair.first, pair.second))
    if not first or not second:
        return told | {"cannot": f"{pair.first if not first else pair.second} has no answers for {pair.at}"}
    spec = answers[pair.first].run.recipe
    wanted = {name: pattern for pattern in pair.figures for name in _each(pattern, first[0].classes)}
    try:
        found = paired.differences(
            first, second, list(wanted), replicates=max(spec.evaluate.replicates, replicates), level=spec.evaluate.level, seed=spec.seed
        )
        told["mcnemar"] = paired.mcnemar(first[0], second[0]) if len(first) == len(second) == 1 else None
    except DataError as error:
        return told | {"cannot": str(error)}
    told["figures"] = {name: {**found[name], "asked": wanted[name]} for name in wanted}
    return told | {"n": len(first[0].images), "groups": len(np.unique(first[0].groups)), "seeds": [len(first), len(second)]}


def _each(pattern: str, classes: Sequence[str]) -> list[str]:
    """``f1/*`` once for each class; another name is itself."""
    metric, _, rest = pattern.partition("/")
    return [f"{metric}/{c}" for c in classes] if rest == "*" else [pattern]


def images(table: Any, rows: NDArray[np.bool_]) -> frozenset[str]:
    """The images of some rows of a table."""
    return frozenset(table["image"][np.asarray(rows, bool)])

"""Runs side by side on the same images: paired differences of every two, what chance gives, and how many images it would take."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np

from cutis import machine
from cutis.evaluate import delong, needed, paired, resampled
from cutis.evaluate.summary import picked, pooled, summarise
from cutis.jobs import provenance
from cutis.jobs.sides import Side, opened
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.report.context import Context
from cutis.report.opening import headline

FORMAT = "cutis-compare-1"
FIGURES = ("accuracy", "balanced_accuracy", "auroc_macro")
"""What is compared where nothing is asked for."""
MOST = 10_000  # resamples, however many comparisons there are


@dataclass(frozen=True)
class Terms:
    """On what everything is compared: figures, level, resamples, seed, over how many comparisons p is adjusted, images, groups."""

    figures: Sequence[str]
    level: float
    replicates: int
    seed: int
    comparisons: int
    n: int
    groups: int

    @property
    def least(self) -> float:
        """The smallest p that so few groups can give: that of swapping both runs in every group at will, of 2^groups ways."""
        return float(2.0 ** (1 - self.groups))

    @property
    def strict(self) -> float:
        """The level that the first of all comparisons must meet (Holm), with which the images needed are counted."""
        return 1 - (1 - self.level) / self.comparisons


def compare(folders: Sequence[str | Path], *, name: str = "test", figures: Sequence[str] = (), command: str = "") -> dict[str, Any]:
    """What compare.json holds (docs/formats.md), of two or more runs on the set ``name``.

    ``figures``: names as ``paired.differences`` takes them; without any, accuracy, balanced accuracy and AUROC. Runs of seeds
    stand for the mean of their seeds, runs of folds for the mean of their folds. Raises DataError naming the runs whose images or labels
    differ, CutisError for a figure that does not exist or a run that is named twice, ArtifactError for an unfinished one.
    """
    sides, folds, notes = opened(folders, name)
    spec = sides[0].recipe
    classes = sides[0].answers[0].classes
    wanted = paired.expanded(tuple(dict.fromkeys(figures)) or FIGURES, classes)
    comparisons = len(wanted) * math.comb(len(sides), 2)
    # so many that the smallest p there can be, times all comparisons, is half of what is allowed
    enough = math.ceil(4 * comparisons / (1 - spec.evaluate.level))
    replicates = max(spec.evaluate.replicates, min(MOST, enough))
    labelled = pooled([part.known() for part in sides[0].answers[: None if folds else 1]])
    terms = Terms(wanted, spec.evaluate.level, replicates, spec.seed, comparisons, len(labelled.images), len(np.unique(labelled.groups)))
    pairs = list(_over_folds(sides, terms) if folds else _over_images(sides, terms))
    _adjust(pairs, terms)
    return {
        "format": FORMAT,
        "cutis": machine.version("cutis"),
        "command": command,
        "finished": provenance.now(),
        "set": name,
        "n": terms.n,
        "groups": terms.groups,
        "classes": list(classes),
        "figures": wanted,
        "over": "folds" if folds else "images",
        "level": terms.level,
        "replicates": None if folds else terms.replicates,
        "seed": terms.seed,
        "comparisons": comparisons,
        "power": needed.POWER,
        "notes": notes,
        "runs": [_told(side, name, wanted) for side in sides],
        "pairs": pairs,
        "differ": differing([side.recipe for side in sides]),
    }


def differing(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """Fields in which recipes differ, apart from their names: ``field``, and the recipes' ``values`` in order, None where absent."""
    flat = [dict(_leaves(spec.model_dump(mode="json", exclude={"name", "description", "assumptions"}))) for spec in recipes]
    fields = dict.fromkeys(field for each in flat for field in each)
    rows = [{"field": field, "values": [each.get(field) for each in flat]} for field in fields]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        parts = {str(i): v for i, v in enumerate(value)} if isinstance(value, list) and any(isinstance(v, dict) for v in value) else value
        if isinstance(parts, dict) and parts:
            yield from _leaves(parts, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _over_images(sides: Sequence[Side], terms: Terms) -> Iterator[dict[str, Any]]:
    """Every pair on the same resamples of groups; of seeds also over the seeds. A difference then has to hold for both."""
    options: dict[str, Any] = {"replicates": terms.replicates, "level": terms.level, "seed": terms.seed}
    found = paired.every_difference([side.answers for side in sides], terms.figures, **options)
    each = [[paired.values(part, terms.figures) for part in side.answers] for side in sides]
    for (i, j), differences in found.items():
        first, second = sides[i], sides[j]
        single = len(first.parts) == len(second.parts) == 1
        told: dict[str, Any] = {"first": first.name, "second": second.name, "figures": {}, "mcnemar": None, "delong": {}}
        for figure, difference in differences.items():
            trained = None
            if len(first.parts) == len(second.parts) > 1:
                gains = [a[figure] - b[figure] for a, b in zip(each[i], each[j], strict=True)]
                trained = _trained(gains, max(first.ratio, second.ratio), terms)
            p = None if difference["p"] is None else max(difference["p"], terms.least)
            told["figures"][figure] = {**difference, "p": p, "p_images": p, "trainings": trained}
        if single:
            told["mcnemar"] = _mcnemar(first.answers[0], second.answers[0], terms)
            areas = [figure for figure in terms.figures if figure.partition("/")[0] in delong.NAMES]
            one, other = (side.answers[0].known() for side in (first, second))
            told["delong"] = {figure: delong.difference(one, other, figure, terms.level) for figure in areas}
        yield told


def _over_folds(sides: Sequence[Side], terms: Terms) -> Iterator[dict[str, Any]]:
    """Every pair over the folds: the mean of the folds' differences, and the corrected test."""
    each = [[paired.values(part, terms.figures) for part in side.answers] for side in sides]
    for i, j in combinations(range(len(sides)), 2):
        first, second = sides[i], sides[j]
        told: dict[str, Any] = {"first": first.name, "second": second.name, "figures": {}, "delong": {}}
        for figure in terms.figures:
            gains = [a[figure] - b[figure] for a, b in zip(each[i], each[j], strict=True)]
            trained = _trained(gains, max(first.ratio, second.ratio), terms)
            told["figures"][figure] = {k: trained[k] for k in ("value", "low", "high", "p")} | {"p_images": None, "trainings": trained}
        yield told | {"mcnemar": _mcnemar(pooled(first.answers), pooled(second.answers), terms)}


def _trained(gains: Sequence[float], ratio: float, terms: Terms) -> dict[str, Any]:
    """The corrected test over trainings, and the differences it rests on."""
    each = [gain if math.isfinite(gain) else None for gain in gains]
    return resampled.corrected(gains, ratio, terms.level) | {"ratio": ratio, "differences": each}


def _mcnemar(first: Predictions, second: Predictions, terms: Terms) -> dict[str, Any]:
    found = paired.mcnemar(first, second)
    counts = int(found["only_first"]), int(found["only_second"])
    return found | {"needed": needed.discordant(*counts, int((first.labels >= 0).sum()), level=terms.level)}


def _adjust(pairs: Sequence[dict[str, Any]], terms: Terms) -> None:
    """Holm's p over all comparisons, which run is better, and where that cannot be told, how many images it would take.

    Of runs of seeds, p is the larger of the two: a difference has to hold for other images and for other seeds.
    """
    family = []
    for told in (figure for pair in pairs for figure in pair["figures"].values()):
        images, seeds = told["p_images"], told["trainings"] and told["trainings"]["p"]
        if images is not None and seeds is not None:
            told["p"] = max(images, seeds)
        told["limited_by"] = "trainings" if images is None or (seeds is not None and images <= 1 - terms.strict) else "images"
        told["p_holm"] = None
        family += [told] if told["p"] is not None else []
    for told, p in zip(family, paired.holm([told["p"] for told in family]), strict=True):
        told["p_holm"] = p
    for pair in pairs:
        for figure, told in pair["figures"].items():
            sign = paired.settled(told) if told["p_holm"] is not None and told["p_holm"] <= 1 - terms.level else 0
            sign = -sign if paired.less_is_better(figure) else sign
            told["better"] = {1: pair["first"], -1: pair["second"], 0: ""}[sign]
            told["needed"] = None if sign else _needed(told, terms)


def _needed(told: Mapping[str, Any], terms: Terms) -> int | None:
    """About how many images would show a difference as large as this one; None where no number would, or seeds are what is lacking."""
    trained = told["trainings"]
    if told["value"] is None or told["low"] is None:
        return None
    if told["p_images"] is None:
        return needed.images(told["value"], trained["se"], terms.n, level=terms.strict, df=trained["df"])
    if told["limited_by"] == "trainings":
        return None
    se = (told["high"] - told["low"]) / (2 * NormalDist().inv_cdf((1 + terms.level) / 2))
    return needed.images(told["value"], se, terms.n, level=terms.strict)


def _told(side: Side, name: str, figures: Sequence[str]) -> dict[str, Any]:
    """A run as the page shows it: what it is, and its own figures; over seeds or folds also their mean and spread."""
    summary = side.run.metrics.get(name) or _summary(side)
    recipe, context = side.recipe, Context(side.run)
    own = {figure: picked(summary, figure) for figure in figures}
    if len(side.parts) > 1:
        each = [paired.values(part, figures) for part in side.answers]
        for figure, found in own.items():
            values = [one[figure] for one in each if math.isfinite(one[figure])]
            if found is not None and len(values) > 1:
                found |= {"mean": fmean(values), "sd": stdev(values), "trainings": len(values)}
    return {
        "name": side.name,
        "folder": str(side.run.folder),
        "recipe": recipe.name,
        "description": recipe.description,
        "members": len(recipe.ensemble.members) if recipe.ensemble else 0,
        "trainings": [part.folder.name for part in side.run.parts],
        "training_images": side.training,
        "leaks": context.leaks,
        "headline": headline(summary)[0],
        "figures": own,
        "baseline": {figure: found["value"] for figure, found in summary.get("baseline", {}).items() if figure in figures},
    }


def _summary(side: Side) -> dict[str, Any]:
    """Figures of a set that the run's own metrics do not have: a run of seeds has those of test only."""
    spec = side.recipe
    options: dict[str, Any] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
    return summarise(pooled(side.answers), **options, majority=side.parts[0].provenance.get("majority"))

"""Runs that are set side by side: their answers to the same images, in one order and under one grouping."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from cutis.errors import ArtifactError, CutisError, DataError
from cutis.evaluate.paired import aligned
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.runs import Run, distinct


@dataclass(frozen=True)
class Side:
    """A run that is compared, or the trainings in it (seeds, folds), and the answers of each."""

    name: str
    run: Run
    parts: Sequence[Run]
    answers: Sequence[Predictions]

    @property
    def recipe(self) -> Recipe:
        """What it was made with."""
        return self.run.recipe

    @property
    def ratio(self) -> float:
        """Compared images for each training image of one training."""
        counts = [(len(p.images), max(1, n)) for p, n in zip(self.answers, self.training, strict=True)]
        return fmean(held / trained for held, trained in counts)

    @property
    def training(self) -> list[int]:
        """Training images of each training."""
        return [int((part.table["split"] == "train").sum()) for part in self.parts]


def opened(folders: Sequence[str | Path], name: str) -> tuple[list[Side], bool, list[str]]:
    """The runs with their answers in the order of the first, whether they are folds, and what a reader must know.

    Raises DataError naming the runs whose images or labels differ, CutisError for one run or one named twice, ArtifactError for an
    unfinished one.
    """
    runs = [Run.open(folder) for folder in folders]
    places = [run.folder.resolve() for run in runs]
    twice = [str(run.folder) for i, run in enumerate(runs) if places[i] in places[:i]]
    if twice:
        raise CutisError(f"{twice[0]} is named twice. Name each run once.")
    if len(runs) < 2:
        raise CutisError("A comparison needs two runs or more: cutis compare RUN RUN ...")
    sides = []
    for run, called in zip(runs, distinct([run.folder for run in runs]), strict=True):
        if not run.finished:
            raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")
        parts = run.parts or [run]
        sides.append(Side(called, run, parts, [part.predictions(name) for part in parts]))
    folds = any(set(answers.images) != set(side.answers[0].images) for side in sides for answers in side.answers)
    sides = [replace(side, answers=answers) for side, answers in zip(sides, _same_rows(sides, folds, name), strict=True)]
    return _same_groups(sides, folds)


def _same_rows(sides: Sequence[Side], folds: bool, name: str) -> Iterator[list[Predictions]]:
    """Every side's answers in the order of the first side's: its first training's, or fold for fold. Raises DataError naming all others."""
    first = sides[0]
    found, wrong = [], []
    for side in sides:
        if folds and len(side.answers) != len(first.answers):
            wrong.append(
                f"{first.name} is made of {len(first.answers)} trainings with test images of their own and {side.name} of "
                f"{len(side.answers)}. Compare runs of the same folds with each other, and single runs with each other."
            )
            continue
        like = first.answers if folds else [first.answers[0]] * len(side.answers)
        try:
            pairs = zip(side.answers, like, strict=True)
            found.append([aligned(part, other, side.name, first.name, name).over(like[0].classes) for part, other in pairs])
        except DataError as error:
            wrong.append(f"{side.name}: {error}" if side.name not in str(error) else str(error))
    if wrong:
        raise DataError("\n".join(wrong))
    if not any((part.labels >= 0).any() for part in found[0]):
        raise DataError(f"None of the images of the set {name} has a label, so there is nothing to compare. Give data with labels.")
    yield from found


def _same_groups(sides: list[Side], folds: bool) -> tuple[list[Side], bool, list[str]]:
    """All sides with the groups of the run that knows the coarsest; fewer groups are the more careful answer."""
    counts = [len(np.unique(np.concatenate([part.groups for part in side.answers]))) for side in sides]
    if len(set(counts)) == 1:
        return sides, folds, []
    coarsest = sides[int(np.argmin(counts))]
    like = [part.groups for part in coarsest.answers]  # all the same rows, or fold for fold
    same = [replace(s, answers=[replace(p, groups=like[i if folds else 0]) for i, p in enumerate(s.answers)]) for s in sides]
    note = f"The runs know different groups of these images; those of {coarsest.name} are used, which are the coarsest ({min(counts):,})."
    return same, folds, [note]

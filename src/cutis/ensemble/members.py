"""Members: finished runs that answer for the same classes and rows, none of them trained on what another is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cutis.errors import ArtifactError, CutisError, DataError, LeakError
from cutis.evaluate.paired import aligned
from cutis.files import sha256
from cutis.predictions import Predictions
from cutis.runs import Run, distinct

if TYPE_CHECKING:
    from cutis.models.build import Classifier
    from cutis.recipe import Recipe

PARTS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Member:
    """A run inside an ensemble: its name there, the SHA-256 of its model file, and its classes in its own order."""

    name: str
    run: Run
    sha256: str
    classes: tuple[str, ...]

    def check(self) -> None:
        """Raise ArtifactError where the model is gone or is not the one that was combined."""
        again = "Restore it, or make the ensemble anew: cutis ensemble RUN RUN ... --out RUN"
        if not self.run.model_file.is_file():
            raise ArtifactError(f"The member {self.name} has no model any more: there is no {self.run.model_file}. {again}")
        if sha256(self.run.model_file) != self.sha256:
            raise ArtifactError(f"The member {self.name} changed since it was combined: {self.run.model_file} is another file. {again}")

    def load(self) -> "tuple[Classifier, Recipe]":
        """The network and its recipe. Raises ArtifactError where the file is gone, damaged or another."""
        from cutis.models import build

        self.check()
        return build.load(self.run.model_file)


def expanded(folders: Sequence[str | Path]) -> list[Run]:
    """The runs in these folders; of a run of runs (seeds) the runs in it. Raises CutisError where a run is named twice, or there is one."""
    named = [Run.open(folder) for folder in folders]
    runs = [run for outer in named for run in (outer.parts or [outer])]
    places = [run.folder.resolve() for run in runs]
    twice = [str(run.folder) for i, run in enumerate(runs) if places[i] in places[:i]]
    if twice:
        raise CutisError(f"{twice[0]} is named twice. Name each member once; --weights says how much it counts.")
    if len(runs) < 2:
        raise CutisError("An ensemble needs two runs or more: cutis ensemble RUN RUN ... --out RUN")
    return runs


def opened(runs: Sequence[Run]) -> tuple[Member, ...]:
    """Runs as members. Raises ArtifactError for one that is unfinished, is an ensemble, or answers for other classes than the first."""
    for run in runs:
        if (inner := run.recipe.ensemble) is not None:
            members = " ".join(str((run.folder / path).resolve()) for path in inner.members)
            raise ArtifactError(f"{run.folder} is an ensemble itself. Name its members instead: {members}")
        if not run.finished:
            raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")
    classes = [tuple(run.provenance["classes"]) for run in runs]
    for run, own in zip(runs, classes, strict=True):
        if set(own) != set(classes[0]):
            raise ArtifactError(
                f"Members must know the same classes: {run.folder} knows {', '.join(own)}, {runs[0].folder} knows {', '.join(classes[0])}. "
                "Train them with the same labels (--map OLD=NEW renames)."
            )
    names = distinct([run.folder for run in runs])
    return tuple(Member(n, run, sha256(run.model_file), own) for n, run, own in zip(names, runs, classes, strict=True))


def together(members: Sequence[Member], name: str) -> list[Predictions]:
    """Each member's predictions for a set: rows as the first member has them, classes as each has them.

    Raises DataError where a member has none, or where images or labels differ.
    """
    lacking = [m.name for m in members if name not in m.run.sets]
    if lacking:
        raise DataError(f"{', '.join(lacking)} has no answers for the set {name}, which others have. Train the members on one split.")
    parts = [m.run.predictions(name) for m in members]
    first = parts[0]
    return [first, *(aligned(part, first, m.name, members[0].name, name) for part, m in zip(parts[1:], members[1:], strict=True))]


def table_of(members: Sequence[Member]) -> pd.DataFrame:
    """All rows of the members' splits; one that is in different parts is there once for each."""
    return pd.concat([m.run.table for m in members], ignore_index=True).drop_duplicates(["image", "split"]).reset_index(drop=True)


def leaks(members: Sequence[Member]) -> list[str]:
    """For each member trained on images that another, or it itself, is judged by (or on their group or pixels): a sentence with counts."""
    tables = [m.run.table for m in members]
    found = []
    for (i, judged), (j, trained) in product(enumerate(tables), repeat=2):
        train, counts = trained[trained["split"] == "train"], []
        for part, word in PARTS.items():
            rows = judged[judged["split"] == part]
            n = sum(np.logical_or.reduce([rows[key].isin(train[key].dropna()) for key in ("image", "group", "sha256")]))
            if n:
                counts.append(f"{n:,} of the {len(rows):,} {word} images")
        if counts:
            whose = "its own" if i == j else f"of {members[i].name}"
            found.append(f"{members[j].name} was trained on {' and '.join(counts)} ({whose})")
    return found


def heed(found: Sequence[str], allowed: bool) -> None:
    """Raise LeakError naming what leaks, unless that is allowed."""
    if found and not allowed:
        raise LeakError(
            f"The members' splits do not fit together: {'; '.join(found)}, or on images of the same group or pixels. "
            "The ensemble's figures would be too good. Train the members on one split (--split FILE:COLUMN), or combine them all the same "
            "with --allow-leaks (the page then says so)."
        )

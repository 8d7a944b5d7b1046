"""The ensemble itself: its members, what each weighs, and the rule that makes their answers one; kept as ensemble.json."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from cutis.ensemble.members import Member
from cutis.ensemble.rules import Floats, Ranked, Stacked, Weighted, rule
from cutis.errors import ArtifactError
from cutis.files import read_json
from cutis.runs import Run

FORMAT = "cutis-ensemble-1"
FILE = "ensemble.json"


@dataclass(frozen=True)
class Combined:
    """M members over C ``classes`` and the rule over them."""

    members: tuple[Member, ...]
    classes: tuple[str, ...]
    rule: Weighted | Ranked | Stacked

    @property
    def weights(self) -> Floats:
        """What each member counts, M shares that sum to 1: its weight, or under another rule what stands for it."""
        return self.rule.importance

    def combine(self, answers: Sequence[Floats]) -> Floats:
        """Each member's N x C probabilities, columns in the order of *its* classes, to the ensemble's N x C in that of ``classes``."""
        columns = [[member.classes.index(c) for c in self.classes] for member in self.members]
        return self.rule.apply(np.stack([answer[:, order] for answer, order in zip(answers, columns, strict=True)]))

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """As JSON holds it, members relative to the ensemble's folder."""
        return {
            "format": FORMAT,
            "classes": list(self.classes),
            "members": [
                {"name": m.name, "run": relative(m.run.folder, folder), "sha256": m.sha256, "classes": list(m.classes), "weight": float(w)}
                for m, w in zip(self.members, self.weights, strict=True)
            ],
            "rule": self.rule.model_dump(mode="json"),
        }


def load(run: Run) -> Combined:
    """The ensemble of a run. Raises ArtifactError where its file is absent or damaged, or a member's model is gone or changed."""
    path = run.folder / FILE
    data = read_json(path)
    try:
        if data["format"] != FORMAT:
            raise ArtifactError(f"{path} has the format {data['format']}; this version of Cutis reads {FORMAT}. Make the ensemble anew.")
        told = rule.validate_python(data["rule"])
        members = tuple(
            Member(m["name"], Run((run.folder / m["run"]).resolve()), m["sha256"], tuple(m["classes"])) for m in data["members"]
        )
        made = Combined(members, tuple(data["classes"]), told)
    except (KeyError, TypeError, ValidationError) as error:
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}). Make the ensemble anew.") from error
    for member in members:
        member.check()
    return made


def relative(folder: Path, start: Path) -> str:
    """A path as seen from the ensemble's folder; absolute where that cannot be (another drive)."""
    try:
        return Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()
    except ValueError:
        return folder.resolve().as_posix()

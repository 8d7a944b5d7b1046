"""From runs to a run: the members' kept answers are combined, measured and written; only validation is fitted on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cutis import machine
from cutis.data import proof
from cutis.data.table import describe
from cutis.ensemble import combiners
from cutis.ensemble.combined import FILE, Combined, relative
from cutis.ensemble.measure import summary
from cutis.ensemble.members import PARTS, Member, expanded, heed, leaks, opened, table_of, together
from cutis.errors import ArtifactError, CutisError
from cutis.files import write_json
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.recipe import Ensemble, Recipe, validated
from cutis.runs import Run, stage_of


def recipe(
    runs: Sequence[str | Path], out: str | Path, *, method: str = "", weights: Sequence[float] = (), options: dict[str, Any] | None = None
) -> Recipe:
    """The recipe of an ensemble of these runs in the folder ``out``; figures are computed as the first run's.

    ``method``: a name of ``combiners``; left empty it is given where there are weights, else mean. A run of runs stands for the runs in it.
    """
    members = expanded(runs)
    method = method or ("given" if weights else "mean")
    spec = {
        "name": "ensemble",
        "description": f"Ensemble of {len(members)} models ({method})",
        "evaluate": members[0].recipe.evaluate.model_dump(mode="json"),
        "ensemble": {
            "members": [relative(run.folder, Path(out)) for run in members],
            "method": method,
            "weights": list(weights),
            "options": options or {},
        },
    }
    return validated(spec)


def make(spec: Recipe, out: str | Path, *, allow_leaks: bool = False, command: str = "", progress: Progress | None = None) -> Run:
    """Combine the runs that a recipe lists into the run folder ``out``: all but its page.

    Sets that all members answered are combined: val, test, and others. Raises CutisError for weights, names or options that do not
    fit; DataError where members answered other rows, or validation is too small; ArtifactError for members that are unfinished,
    ensembles, or know other classes, and where ``out`` holds a run; LeakError where a member was trained on what another is judged by and
    ``allow_leaks`` is not set.
    """
    run, progress, started = Run(out), progress or Progress(), _now()
    if spec.ensemble is None:
        raise CutisError("This recipe lists no members. Combine runs with: cutis ensemble RUN RUN ... --out RUN")
    if (run.folder / "recipe.json").is_file() or run.parts:
        raise ArtifactError(f"{run.folder} holds a run already. Give a new folder: --out RUN")
    members = opened(expanded([(run.folder / path).resolve() for path in spec.ensemble.members]))
    found = leaks(members)
    heed(found, allow_leaks)
    for line in found:
        progress.warn(f"{line}, which is allowed here: the page says so.")
    sets = answered(members, progress)
    combined = Combined(members, members[0].classes, combiners.fitted(spec.ensemble, _task(spec.ensemble, members, sets.get("val"))))
    progress.say(combined.rule.how)
    about = _about(members, found, command) | {"started": started}
    metrics, answers = {}, {}
    with progress.part("evaluate"):
        for name, parts in sets.items():
            answers[name] = joined(combined, parts)
            named = {member.name: part for member, part in zip(members, parts, strict=True)}
            metrics[name] = summary(answers[name], named, spec, about["majority"])
    with run.lock():
        run.save_table("split", table_of(members).drop_duplicates("image"))
        if lost := [left for member in members if len(left := member.run.unreadable)]:
            run.save_table("unreadable", pd.concat(lost).drop_duplicates("image"))
        for name, part in answers.items():
            run.save_predictions(name, part)
        run.metrics = metrics
        write_json(run.folder / FILE, combined.to_dict(run.folder))
        about["members"] = [_member(member, run.folder) for member in members]
        about["evaluated"] = {name: members[0].run.provenance["evaluated"].get(name, {}) | {"when": _now()} for name in sets}
        run.provenance = about | {"finished": _now(), "seconds": progress.seconds}
        run.recipe = spec  # last: a folder with a recipe holds a whole ensemble
    return run


def answered(members: Sequence[Member], progress: Progress) -> dict[str, list[Predictions]]:
    """The members' predictions for each set that all have. Validation and test are all members' or nobody's, on the same rows.

    Raises DataError where those differ, or there is no set; another set that differs is left out, with a warning.
    """
    sets = {}
    for name in sorted({name for member in members for name in member.run.sets if not stage_of(name)}):
        try:
            sets[name] = together(members, name)
        except CutisError as error:
            if name in PARTS:
                raise
            progress.warn(f"The set {name} is left out. {error}")
    if not sets:
        raise ArtifactError("The members have answered nothing. Evaluate them first: cutis evaluate RUN DATA --name SET")
    return sets


def joined(combined: Combined, parts: Sequence[Predictions]) -> Predictions:
    """The ensemble's predictions from its members', on the rows of the first."""
    first = parts[0].over(combined.classes)
    own = [part.over(member.classes) for part, member in zip(parts, combined.members, strict=True)]
    answers = combined.combine([part.probabilities for part in own])
    return Predictions(first.images, first.groups, first.labels, answers, combined.classes)


def _task(spec: Ensemble, members: Sequence[Member], parts: Sequence[Predictions] | None) -> combiners.Task:
    """What a method may look at: of the answers, those of labelled validation rows."""
    known = [part.over(members[0].classes).known() for part in parts or ()]
    answers = [part.probabilities for part in known]
    validation = combiners.Validation(np.stack(answers), known[0].labels, known[0].groups) if known else None
    return combiners.Task(tuple(m.name for m in members), members[0].classes, spec.weights, validation)


def _about(members: Sequence[Member], found: Sequence[str], command: str) -> dict[str, Any]:
    """Provenance: data and split are those of the members together."""
    told = [member.run.provenance for member in members]
    table, first = table_of(members), told[0]
    ways = list(dict.fromkeys(about["split"]["how"] for about in told))
    allowed = bool(found) or any(about["split"]["leaks_allowed"] for about in told)
    return {
        "cutis": machine.version("cutis"),
        "command": command,
        "request": {},
        "data": first["data"] | {"summary": describe(table.drop_duplicates("image"))},
        "split": {"how": "; ".join(ways), "proof": proof.prove(table).to_dict(), "leaks_allowed": allowed},
        "classes": list(members[0].classes),
        "majority": first["majority"],
        "machine": machine.describe(),
        "versions": machine.versions(),
        "overrides": ["--allow-leaks"] if found else [],
    }


def _member(member: Member, folder: Path) -> dict[str, Any]:
    """What provenance says of a member."""
    told = member.run.provenance
    return {
        "name": member.name,
        "run": relative(member.run.folder, folder),
        "sha256": member.sha256,
        "recipe": member.run.recipe.name,
        "model": told.get("model", {}),
        "finished": told.get("finished"),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

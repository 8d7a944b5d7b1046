"""What a study found, as data: study.json, from the work and its runs alone."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pandas as pd
from pydantic_core import to_jsonable_python

from cutis import machine
from cutis.data.table import describe
from cutis.jobs import provenance
from cutis.recipe import Part, Recipe, Split
from cutis.runs import Run
from cutis.studies import compare
from cutis.studies.catalog import Arm, Cell, Published
from cutis.studies.compare import Answers
from cutis.studies.scaling import shortened
from cutis.studies.timing import latency
from cutis.studies.work import Work

FORMAT = "cutis-study-1"
SHOWN = ("accuracy", "balanced_accuracy", "auroc_macro", "kappa_quadratic", "f1_macro")
FEW = 5  # fields of a part that are all told


def record(work: Work, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """All that study.json holds; docs/formats.md lists it."""
    study = work.study
    return {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "scale": asdict(work.scale),
        "backbone": work.backbone or None,
        "from_scratch": work.from_scratch,
        "drawn": work.drawn,
        "command": work.command,
        "finished": provenance.now(),
        "cutis": machine.version("cutis"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "data": {name: _data(work, name) for name in work.tables},
        "arms": [_arm(work, study.arm(name), answers[name]) for name in answers],
        "left_out": work.left_out,
        "published": [_table(table, answers, work.left_out) for table in study.published],
        "pairs": compare.compared(study.pairs, answers),
        "subsets": _subsets(work, answers),
    }


def answered(work: Work, arm: Arm, run: Run) -> Answers:
    """An arm's answers, and what is remarkable about them."""

    def table_of(name: str) -> pd.DataFrame:
        """The table that a set is of: the arm's own for its test, validation and stages."""
        return work.table(arm, name if name in work.tables and name else None)

    def images(name: str, subset: str) -> frozenset[str]:
        table = table_of(name)
        return compare.images(table, next(s for s in work.study.subsets if s.name == subset).rows(table))

    found = Answers(run, images, work.changes(arm), drawn=work.drawn)
    cut = [name for name in found.sets if _cut(work, arm, name)]
    return replace(found, cut=cut)


def _cut(work: Work, arm: Arm, name: str) -> bool:
    """Whether the scale left images of a set out."""
    key = name if name in work.tables and name else arm.data
    part = "val" if name == "val" or name.startswith("val-") else "test"
    before, after = (t["split"].fillna("test") for t in (work.tables[key], work.table(arm, key)))
    return int((after == part).sum()) < int((before == part).sum())


def _data(work: Work, name: str) -> dict[str, Any]:
    """A table as it was given, and how much of it is used at the study's scale."""
    table = work.tables[name]
    counts = describe(table)
    used = work.table(next((arm for arm in work.study.arms if arm.data == name), work.study.arms[0]), name)
    return {key: counts[key] for key in ("images", "lesions", "patients", "groups", "classes")} | {
        "parts": {part: told["images"] for part, told in counts["splits"].items()},
        "how": table.attrs.get("how", "") or ("as the study's tables say" if counts["splits"] else "no parts: it is answered whole"),
        "root": table.attrs["root"],
        "used": len(used),
        "cut": shortened(table, used),
    }


def _arm(work: Work, arm: Arm, answers: Answers) -> dict[str, Any]:
    run, recipe = answers.run, answers.run.recipe
    about = run.provenance
    model = about.get("model", {})
    return {
        "name": arm.name,
        "title": arm.title or arm.name,
        "kind": type(arm).__name__.lower(),
        "ours": arm.ours,
        "data": arm.data,
        "recipe": recipe.name,
        "description": recipe.description,
        "backbone": recipe.model.backbone if recipe.ensemble is None else None,
        "weights": model.get("weights", ""),
        "parameters": model.get("parameters"),
        "members": list(getattr(arm, "members", ())),
        "assumptions": [{"field": field, "value": value} for field, value in assumed(arm, work.study.split).items()],
        "changed": work.changes(arm),
        "leaks": bool(about["split"].get("leaks_allowed")) and not (about["split"].get("proof") or {}).get("ok", False),
        "seeds": max(1, len(run.parts)),
        "seconds": round(sum(about.get("seconds", {}).values()), 1),
        "latency": latency(run),
        "page": f"{arm.name}/report.html",
        "classes": about["classes"],
        "majority": about["majority"],
        "sets": {name: _set(answers, name) for name in answers.sets},
    }


def assumed(arm: Arm, split: Split) -> dict[str, Any]:
    """The fields that the publication leaves open, of any of an arm's recipes, and what is taken for them; the split is the study's."""
    plan = [recipe.changed(split=split) for recipe in reversed(arm.plan())]
    return {field: _value(recipe, field) for recipe in plan for field in recipe.assumptions}


def _value(recipe: Recipe, field: str) -> Any:
    """What a dotted field holds, as JSON; of a part with many fields those that are not as by default."""
    found: Any = recipe
    for step in field.split("."):
        found = found[int(step)] if step.isdigit() else found[step] if isinstance(found, dict) else getattr(found, step)
    if not isinstance(found, Part):
        return to_jsonable_python(found)
    return found.model_dump(mode="json", exclude_defaults=len(type(found).model_fields) > FEW)


def _set(answers: Answers, at: str) -> dict[str, Any]:
    """An arm's first figures on a set, with the majority line."""
    summary = answers.summary(at)
    if summary is None:  # no image of the set has a label
        return {"n": 0, "groups": 0, "figures": {}, "baseline": {}}
    figures = {name: answers.figure(at, name) for name in SHOWN if name in summary}
    lines = {name: told["value"] for name, told in summary.get("baseline", {}).items()}
    return {"n": summary["n"], "groups": summary["groups"], "figures": figures, "baseline": lines}


def _table(table: Published, answers: Mapping[str, Answers], left_out: Mapping[str, str]) -> dict[str, Any]:

    def judged(cell: Cell | None) -> dict[str, Any] | None:
        return compare.judged(cell, table, answers.get(cell.arm), left_out.get(cell.arm, "")) if cell else None

    rows = {name: [judged(cell) for cell in cells] for name, cells in table.rows.items()}
    told = {key: getattr(table, key) for key in ("title", "split", "definition", "unlike")}
    return told | {"columns": list(table.columns), "classes": list(table.classes), "n": compare.counts(table.n), "rows": rows}


def _subsets(work: Work, answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """For each subset the arms and sets of which it is a part."""
    found = []
    for subset in work.study.subsets:
        told: dict[str, Any] = {}
        for arm, own in answers.items():
            sets = {at: _set(own, f"{at}:{subset.name}") for at in own.sets if own.predictions(f"{at}:{subset.name}") and _final(at)}
            told |= {arm: sets} if sets else {}
        found.append({"name": subset.name, "title": subset.title, "arms": told})
    return found


def _final(at: str) -> bool:
    """Whether a set is worth a line of its own: not validation, nor what was answered before training had ended."""
    return at != "val" and "-stage-" not in at


def counted(told: Mapping[str, Any]) -> dict[str, int]:
    """How many printed figures have each verdict."""
    verdicts = [cell["verdict"] for table in told["published"] for row in table["rows"].values() for cell in row if cell]
    return {v: verdicts.count(v) for v in ("reached", "not reached", "not comparable", "not run") if v in verdicts}

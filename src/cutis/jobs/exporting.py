"""From a run to a bundle: networks, what was fitted, what is out of scope, colours and card, put together to be handed over."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from cutis import machine
from cutis.data.labels import malignant
from cutis.data.loaders import Pixels
from cutis.ensemble import combined
from cutis.errors import ArtifactError, CutisError, DataError
from cutis.export import bundle, cases, networks, parity
from cutis.export.about import Answering, Draft, MemberAbout, Parity, Scope
from cutis.files import sha256
from cutis.jobs import fitting, scoping
from cutis.models import build, predict, reference
from cutis.models.build import Classifier
from cutis.models.reference import Reference
from cutis.progress import Progress
from cutis.recipe import Augment, Recipe
from cutis.report import card, handover
from cutis.report.context import Context
from cutis.report.drawing import OKABE_ITO
from cutis.report.words import NOTICE
from cutis.runs import Run

IMAGES: Final = 256
"""Real images on which a converted network is compared."""


@dataclass(frozen=True)
class Wish:
    """What a bundle is to hold beside the networks."""

    kinds: Sequence[str] = ()
    """Formats for other programmes: onnx, openvino."""
    cases: bool = False
    """Thumbnails of the training images, for the nearest known cases."""
    licence: str = ""
    """What allows that, as shown with them."""
    scope: bool = True
    """What is needed to say that a picture is out of scope: features of the training images."""
    images: int = IMAGES
    """Real images on which a format is compared."""


@dataclass(frozen=True, eq=False)
class _Member:
    """A network on its way into the bundle."""

    name: str
    run: Run
    weight: float
    reference: Reference | None = None


def export(run: Run, out: str | Path, wish: Wish | None = None, *, progress: Progress | None = None) -> Path:
    """Make a bundle of a finished run or ensemble: a folder, or one file where ``out`` ends with ``.zip``.

    What was not yet fitted on validation is fitted, and the limits of scope are found where the run has none; the run keeps both. Raises
    ArtifactError for a run that is unfinished, has parts, or whose images are gone though they are needed; CutisError where ``out`` is
    taken or a package lacks.
    """
    wish, progress = wish or Wish(), progress or Progress()
    _check(run, wish)
    members = _members(run)
    scope, members = _scope(members, progress) if wish.scope or wish.cases else (None, members)
    scope = scope if wish.scope else None
    with run.lock():
        if fitting.due(run):
            fitting.fit(run)
    with tempfile.TemporaryDirectory(prefix="cutis-export-", ignore_cleanup_errors=True) as aside:
        parts: dict[str, Path | bytes] = {}
        told = [_member(member, wish, Path(aside), parts, progress) for member in members]
        listed = _cases(members, wish, parts, progress) if wish.cases else None
        draft = _draft(run, slug(Path(out).name.removesuffix(".zip")), told, scope, listed)
        return bundle.write(draft, parts, _card(run, draft), out)


def colours(classes: Sequence[str]) -> dict[str, str]:
    """The colour of each class, as the report draws it."""
    return {name: OKABE_ITO[i % len(OKABE_ITO)] for i, name in enumerate(classes)}


def answering(fitted: dict[str, Any]) -> Answering:
    """The rule for the set of possible classes: limits of each class, so that each is held as often as promised, where validation had
    enough images for that; else one limit for all."""
    told = fitted.get("conformal", {"why": "The run has no validation images, so nothing promises what else a picture may be."})
    if "why" in told:
        return Answering(why=told["why"])
    rare = [name for name, limit in told["rules"]["lac_by_class"]["limits"].items() if limit is None]
    if not rare:
        return Answering(rule="lac_by_class", coverage=told["coverage"], why="Each class has a limit of its own.")
    why = f"Validation had too few images of {', '.join(rare)} for limits of their own, so there is one limit for all classes."
    return Answering(rule="lac", coverage=told["coverage"], why=why)


def _check(run: Run, wish: Wish) -> None:
    for kind in wish.kinds:
        if kind not in parity.KINDS:
            raise CutisError(f"There is no format {kind}. Choose from: {', '.join(parity.KINDS)}.")
    if wish.cases and not wish.licence:
        raise CutisError("Training images in a bundle are given to others: name what allows that, --licence TEXT, or leave --cases out.")
    if run.parts:
        names = ", ".join(str(part.folder) for part in run.parts)
        raise ArtifactError(f"{run.folder} is a run of runs. Export one of them ({names}), or combine them first: cutis ensemble")
    if not run.finished:
        raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")


def _members(run: Run) -> list[_Member]:
    if run.recipe.ensemble is None:
        return [_Member("model", run, 1.0)]
    ensemble = combined.load(run)
    names: list[str] = []
    for member in ensemble.members:
        name = slug(member.name)
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return [_Member(n, m.run, float(w)) for n, m, w in zip(names, ensemble.members, ensemble.weights, strict=True)]


def _scope(members: list[_Member], progress: Progress) -> tuple[Scope | None, list[_Member]]:
    """The limit of scope of the member that counts most, which then has its reference; none where there is no validation."""
    which = max(range(len(members)), key=lambda i: members[i].weight)
    own = members[which].run
    try:
        found = _settled(own, progress)
    except DataError as error:
        progress.warn(f"The bundle will not say when a picture is unlike its training images. {error}")
        return None, members
    except ArtifactError as error:
        raise ArtifactError(f"{error} Or leave it out, and the bundle takes every picture for one it knows: --no-scope") from error
    seen = reference.load(own)
    assert seen is not None, "it was made with the limits"
    told = Scope(
        member=members[which].name,
        by=found["by"],
        limit=found["fitted"]["limits"][found["by"]],
        in_scope=found["in_scope"],
        images=found["fitted"]["n"],
    )
    return told, [_Member(m.name, m.run, m.weight, seen if i == which else None) for i, m in enumerate(members)]


def _settled(run: Run, progress: Progress) -> dict[str, Any]:
    """scope.json of a run, made where it is absent or of another model, and with it the reference."""
    path = run.folder / scoping.FILE
    told: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if told.get("model") == sha256(run.model_file) and reference.load(run) is not None:
        return told
    return scoping.refuse(run, progress=progress)


def _member(member: _Member, wish: Wish, aside: Path, parts: dict[str, Path | bytes], progress: Progress) -> MemberAbout:
    """What bundle.json says of a member, whose files are added to the parts."""
    folder = aside / member.name
    folder.mkdir()
    model, spec = build.load(member.run.model_file)
    file = _private(model, spec, member.run.model_file, folder)
    found: dict[str, Parity] = {}
    files: dict[str, Path] = {bundle.MODEL: file}
    if wish.kinds:
        with progress.part("export"):
            build.placed(model, torch.device("cpu"))
            pictures, from_set = _pictures(member.run, model, spec, wish.images, progress)
            for kind in wish.kinds:
                progress.say(f"Converting {member.name} to {kind}, and comparing it on {len(pictures):,} images of the set {from_set}")
                found[kind], made = parity.converted(kind, member.name, model, pictures, from_set)
                files |= made
    if member.reference is not None:
        networks.keep(member.reference, folder / bundle.REFERENCE)
        files[bundle.REFERENCE] = folder / bundle.REFERENCE
    where, told = bundle.described(member.name, member.weight, file, reference=member.reference is not None, parity=found)
    parts |= {f"{where}/{name}": path for name, path in files.items()}
    return told


def _private(model: Classifier, spec: Recipe, file: Path, folder: Path) -> Path:
    """The model file as it is; written anew where its recipe names a weights file, whose folder is nobody's business."""
    weights = spec.model.weights
    if weights in ("pretrained", "none") or Path(weights).name == weights:
        return file
    build.save(model, folder / bundle.MODEL, spec.changed(**{"model.weights": Path(weights).name}))
    return folder / bundle.MODEL


def _pictures(run: Run, model: Classifier, spec: Recipe, count: int, progress: Progress) -> tuple[Tensor, str]:
    """Up to ``count`` images, spread evenly over the run's test part (else validation, else training), and which part it is."""
    table = run.table
    from_set = next(name for name in ("test", "val", "train") if (table["split"] == name).any())
    rows = table[table["split"] == from_set]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64))
    looking = scoping.Looking.at(run, model, spec, table, progress)
    pixels = Pixels(*scoping.opened(looking, rows.iloc[chosen]), Augment(), torch.device("cpu"))
    return predict.sample([pixels], spec.predict_size, count), from_set


def _cases(members: Sequence[_Member], wish: Wish, parts: dict[str, Path | bytes], progress: Progress) -> str | None:
    """Thumbnails of the training images of the member that has a reference, and the file that lists them; none where none has one."""
    member = next((m for m in members if m.reference is not None), None)
    if member is None:
        progress.warn("The bundle carries no cases: without validation images the run has no reference of its training images.")
        return None
    model, spec = build.load(member.run.model_file)
    rows = reference.training_rows(member.run)
    chosen = cases.chosen(len(rows))
    scoping.opened(scoping.Looking.at(member.run, model, spec, member.run.table, progress), rows.iloc[chosen])  # are they those of then?
    root = Path(member.run.provenance["data"]["root"])
    with progress.part("cases") as on_step:
        parts |= cases.gathered(root, rows, chosen, member.name, wish.licence, spec.images.max_pixels, on_step)
    return cases.FILE


def _draft(run: Run, name: str, members: Sequence[MemberAbout], scope: Scope | None, listed: str | None) -> Draft:
    fitted = run.fitted
    if run.recipe.ensemble is None:
        classes, rule = tuple(map(str, run.provenance["classes"])), None
    else:
        ensemble = combined.load(run)
        classes, rule = ensemble.classes, ensemble.rule
    return Draft(
        name=name,
        cutis=machine.version("cutis"),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=classes,
        colours=colours(classes),
        watched=fitting.checked(run.recipe.evaluate, classes).watch,
        malignant=tuple(c for c in classes if malignant().get(c.lower())),
        about=handover.facts(Context(run)),
        notice=NOTICE,
        members=tuple(members),
        rule=rule,
        fitted=fitted,
        scope=scope,
        answer=answering(fitted),
        cases=listed,
    )


def _card(run: Run, draft: Draft) -> str:
    """The run's card, as a person may have completed it, and what is in the bundle."""
    path = run.folder / card.FILE
    own = path.read_text("utf-8") if path.is_file() else card.card(Context(run))
    return f"{own.rstrip()}\n\n{handover.contents(draft)}"


def slug(text: str) -> str:
    """A name of plain letters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "model"

"""A run's answers explained: heat maps of its images or of others, how faithful they are, whether they lie on the lesion, nearest cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutis import machine
from cutis.data.arrays import open_image
from cutis.data.masks import Masks
from cutis.errors import ArtifactError, CutisError
from cutis.explain import cam as cams
from cutis.explain import checks
from cutis.explain import inside as insides
from cutis.explain.faithfulness import Heat
from cutis.explain.means import Means
from cutis.explain.together import agreement
from cutis.files import write_json
from cutis.jobs import explainable, provenance
from cutis.jobs.explainable import Subject
from cutis.jobs.scoping import Looking
from cutis.models import neighbours, reference
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.randomness import stream, torch_stream
from cutis.recipe import Recipe
from cutis.registry import unknown
from cutis.report import explanation, heat, page
from cutis.runs import Run

FORMAT: Final = "cutis-explanation-1"
EACH: Final = 2  # images of each class that are shown answered rightly, and wrongly
NEAREST: Final = 4
CELLS: Final = 48  # along the longer side of a photo: of the maps that are kept, and on which members are compared


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``of``: ``predicted``, ``all`` or the name of a class; ``images``: how many of the set's are measured;
    ``changed``: how many of these are changed to test the maps (some 90 forward passes each); ``masks``: where lesions are."""

    method: str = "gradcam"
    of: str = cams.PREDICTED
    images: int = 200
    changed: int = 24
    masks: Masks | None = None


@dataclass(frozen=True)
class Explanation:
    """What was found: where the page lies, and what explanation.json holds (docs/formats.md)."""

    page: Path
    told: dict[str, Any]


def explain(
    run: Run,
    files: Sequence[str | Path] = (),
    *,
    name: str = "test",
    wish: Wish | None = None,
    out: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Explanation:
    """Explain a set of a run, or these ``files``; leave ``explain.html`` and ``explanation.json``.

    Of a set: images drawn by chance are measured, and the surest right and wrong answers of each class shown; explanation.json goes into
    the run, whose report is made anew, and the page to ``out``, else beside it. Of files (paths, or keys of the run's own images): each is
    shown, nothing is measured, and both go to ``out``, else to ``RUN/explained``.
    Raises CutisError for what does not exist, DataError where no image can be read, ArtifactError for a run that has no network yet.
    """
    wish, progress = wish or Wish(), progress or Progress()
    _check(run, wish)
    with run.lock():
        if files:
            subject = explainable.of_files(run, files, wish.method, progress)
        else:
            subject = explainable.of_set(run, name, wish.images, wish.masks, wish.method, progress)
        shown = np.arange(len(subject.answers.images)) if files else _surest(subject.answers)
        told: dict[str, Any] = {
            "format": FORMAT,
            "cutis": machine.version("cutis"),
            "command": command,
            "finished": provenance.now(),
            "set": None if files else name,
            "root": str(subject.root),
            "method": wish.method,
            "of": wish.of,
            "classes": list(subject.together.classes),
            "members": [{"name": m.name, "weight": float(w)} for m, w in zip(subject.members, subject.together.weights, strict=True)],
            "n": len(subject.answers.images),
            "groups": len(np.unique(subject.answers.groups)),
            "drawn_from": subject.total,
        }
        told |= _mapped(subject, shown, wish, run.recipe, measure=not files, progress=progress)
        if not files:
            told["faithfulness"] = _faithful(subject, wish, run.recipe, progress)
        told["nearest"] = _add_nearest(subject, shown, told["cases"], progress)
        folder = out or (run.folder / "explained" if files else run.folder)
        write_json((folder if files else run.folder) / explanation.FILE, told)
        path = explanation.write(run, folder, told)
        if not files:
            page.write(run)
    return Explanation(path, told)


def _check(run: Run, wish: Wish) -> None:
    if run.parts:
        raise ArtifactError(f"{run.folder} is a run of runs. Explain one of them: {', '.join(str(p.folder) for p in run.parts)}")
    if not run.finished:
        raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")
    _ = cams.cams[wish.method]
    known = [*run.provenance["classes"], cams.PREDICTED, cams.ALL]
    if wish.of not in known:
        raise CutisError(unknown("class", wish.of, known))


def _surest(answers: Predictions) -> NDArray[np.int64]:
    """Of each class the surest right and the surest wrong answers."""
    order = np.argsort(-answers.probabilities.max(axis=1), kind="stable")
    right, of = answers.predicted[order] == answers.labels[order], answers.labels[order]
    return np.concatenate([order[(of == c) & (right == hit)][:EACH] for c in range(len(answers.classes)) for hit in (True, False)])


def _wanted(answers: Predictions, of: str) -> NDArray[np.int64]:
    """The classes that are mapped, N x K, the measured one first."""
    if of == cams.PREDICTED:
        return answers.predicted[:, None]
    if of == cams.ALL:
        return np.argsort(-answers.probabilities, axis=1, kind="stable")
    return np.full((len(answers.images), 1), answers.classes.index(of))


def _batches(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))


def _mapped(subject: Subject, shown: NDArray[np.int64], wish: Wish, spec: Recipe, *, measure: bool, progress: Progress) -> dict[str, Any]:
    """Maps of all images: the ``cases`` that are shown, and of a set where the heat lies (``inside``) and how far members agree."""
    answers, together = subject.answers, subject.together
    wanted, agree = _wanted(answers, wish.of), np.full(len(answers.images), np.nan)
    masks, draw = wish.masks if measure else None, stream(spec.seed, "random maps")
    cases: dict[int, dict[str, Any]] = {}
    rows: dict[int, insides.Row] = {}
    with progress.part("explain") as on_step:
        for batch in _batches(len(answers.images), subject.members[0].spec.predict.batch_size):
            maps = together.maps([m.batch(batch) for m in subject.members], wanted[batch])
            for j, i in enumerate(map(int, batch)):
                image = str(answers.images[i])
                if i in shown or len(subject.members) > 1:
                    raster = _raster(subject.root, image, spec.images.max_pixels)
                    heats = [together.over([m[j, k] for m in maps], raster) for k in range(wanted.shape[1])]
                    agree[i] = agreement(heats[0])
                    if i in shown:
                        cases[i] = _case(subject, i, wanted[i], heats, agree[i])
                mask = masks.of(image) if masks is not None else None
                if mask is not None and mask.size:
                    over = together.joined(together.over([m[j, 0] for m in maps], (mask.shape[0], mask.shape[1])))
                    if (row := insides.Row.of(over, mask, (maps[0].shape[2], maps[0].shape[3]), draw)) is not None:
                        rows[i] = row
            on_step(int(batch[-1]) + 1, len(answers.images))
    found: dict[str, Any] = {"cases": [cases[int(i)] for i in shown]}
    if not measure:
        return found
    found["interval"] = {"replicates": spec.evaluate.replicates, "level": spec.evaluate.level, "seed": spec.seed}
    if len(subject.members) > 1:
        found["agreement"] = Means.over(answers.groups, **found["interval"]).of(agree)
    if masks is not None:
        some = answers.rows(list(rows))
        found["inside"] = (
            insides.summary(list(rows.values()), Means.over(some.groups, **found["interval"]), _parts(some)) if rows else {"n": 0}
        )
    return found


def _parts(answers: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Which images are answered rightly, which wrongly, and which are of each class."""
    right = answers.predicted == answers.labels
    return {"right": right, "wrong": ~right} | {f"class {c}": answers.labels == k for k, c in enumerate(answers.classes)}


def _raster(root: Path, image: str, max_pixels: int) -> tuple[int, int]:
    """Height and width of a small raster in the aspect ratio of a photo."""
    height, width = open_image(root, image, at_least=(CELLS, CELLS), max_pixels=max_pixels).pixels.shape[:2]
    longer = max(height, width)
    return max(1, round(CELLS * height / longer)), max(1, round(CELLS * width / longer))


def _case(subject: Subject, i: int, wanted: NDArray[np.int64], heats: Sequence[Heat], agree: float) -> dict[str, Any]:
    """One image as explanation.json holds it: the joined map of each class, then each member's of the first."""
    answers, classes = subject.answers, subject.answers.classes
    joined = [(classes[k], None, subject.together.joined(h)) for k, h in zip(wanted, heats, strict=True)]
    each = [(classes[wanted[0]], m.name, h) for m, h in zip(subject.members, heats[0], strict=True)] if len(subject.members) > 1 else []
    return {
        "image": str(answers.images[i]),
        "label": classes[answers.labels[i]] if answers.labels[i] >= 0 else None,
        "answered": classes[int(answers.predicted[i])],
        "probabilities": {c: float(p) for c, p in zip(classes, answers.probabilities[i], strict=True)},
        "agreement": float(agree) if np.isfinite(agree) else None,
        "maps": [{"class": c, "member": m, "heat": heat.packed(h)} for c, m, h in (*joined, *each)],
    }


def _faithful(subject: Subject, wish: Wish, spec: Recipe, progress: Progress) -> dict[str, Any]:
    """How faithful the maps of some images are (``explain.checks``), or why that was not measured."""
    if not wish.changed:
        return {"why": "It was not asked for; --changed N measures it on N images."}
    if not subject.together.one_frame:
        return {"why": "The members see pictures of different sizes or parts, so that no change of a picture is the same for all."}
    total = len(subject.answers.images)
    chosen = np.sort(stream(spec.seed, "faithful").choice(total, min(total, wish.changed), replace=False))
    answers = subject.answers.rows(chosen)
    means = Means.over(answers.groups, replicates=spec.evaluate.replicates, level=spec.evaluate.level, seed=spec.seed)
    with progress.part("faithfulness") as on_step:
        measured = checks.measured(
            subject.together,
            (subject.members[0].batch(chosen[batch]) for batch in _batches(len(chosen), checks.BATCH)),
            _wanted(answers, wish.of)[:, 0],
            stream(spec.seed, "changed"),
            partial(torch_stream, spec.seed, "noise"),
            progress=on_step,
        )
    return checks.summary(measured, means)


def _add_nearest(subject: Subject, shown: NDArray[np.int64], cases: Sequence[dict[str, Any]], progress: Progress) -> dict[str, Any] | None:
    """Add to each case the training cases nearest to it, in the features of the weightiest member that has kept its reference.

    What that is; none where no member has one (``cutis scope RUN`` makes it).
    """
    for case in cases:
        case["nearest"] = []
    for k in np.argsort(-subject.together.weights, kind="stable"):
        member = subject.members[k]
        kept = reference.load(member.run)
        if kept is None:
            continue
        looking = Looking.at(member.run, member.model, member.spec, member.run.table, progress)
        seen = looking.see(member.pixels.cache, member.pixels.table_rows[shown])
        found = neighbours.nearest(kept, seen.features, NEAREST)
        for i, case in enumerate(cases):
            case["nearest"] = [dict(zip(("image", "label", "distance"), near, strict=True)) for near in found.cases(i)]
        return {"member": member.name, "images": len(kept.images), "root": member.run.provenance["data"]["root"]}
    return None

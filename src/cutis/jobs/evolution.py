"""The search put together: kept features, generations of heads, what the winner is worth on unseen groups, and its run."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from optuna.study import Study
from torch.utils.flop_counter import FlopCounterMode

from cutis import recipe as recipes
from cutis.data import splits
from cutis.data.loaders import Pixels
from cutis.errors import ArtifactError, CutisError
from cutis.evaluate import paired
from cutis.files import cache_folder, read_json, write_json
from cutis.jobs import pipeline, preparing, provenance
from cutis.models import build, features, predict
from cutis.models.backbones import ghost
from cutis.progress import Progress
from cutis.recipe import Augment, Recipe, Split, Stage
from cutis.report import page
from cutis.runs import Run
from cutis.search import genetic, shared
from cutis.search.genetic import Generation, Plan
from cutis.search.judge import Part, judged
from cutis.search.population import Epoch
from cutis.search.space import PUBLISHED, Individual
from cutis.train.checkpoint import Interrupt, watching

FORMAT = "cutis-search-1"
FILE = "search.json"
RIVAL = "published"
"""Folder, in the run's, of the run of the published search's choice."""
SHARES = Split(test=0.25, val=0.2)
"""Of the images that are not for testing: the judge's share (``test``), which the search never sees, and the share it chooses on."""
ALSO = ("accuracy", "auroc_macro")
"""Figures compared on the test images beside the one that was maximised."""


@dataclass(frozen=True)
class Asked:
    """What a search is asked beside its plan."""

    storage: str = ""
    """URL of the study's storage; empty: a file in the run's folder."""
    study: str = "search"
    """Name of the study in the storage."""
    at_once: int | None = None
    """Candidates trained together; None: a whole generation."""
    worker: bool = False
    """Only train candidates of a study that another process makes a run of."""
    then: str = "head"
    """head: the winner is a head on the frozen backbone; or a recipe, such as finetune, whose stages follow."""


def search(
    table: pd.DataFrame,
    spec: Recipe,
    out: str | Path,
    plan: Plan,
    asked: Asked | None = None,
    *,
    how: str = "",
    allow_leaks: bool = False,
    resume: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Run | None:
    """Search for the head of a recipe, then train the best one from images into the run folder ``out``; None of a worker.

    Training and validation rows are divided anew by group into those that candidates train on, those they are chosen on, and those that
    judge the winner; test rows are answered by the winner's run alone. Every step that is done already is found again, so ``resume``
    goes on wherever it stopped. Raises as ``pipeline.train`` does, and ArtifactError where a storage holds another search.
    """
    run, asked, progress = Run(out), asked or Asked(), progress or Progress()
    storage = asked.storage or f"{shared.JOURNAL}{run.folder / 'search.journal'}"
    if asked.worker and not asked.storage:
        raise CutisError("A worker joins a study that is shared: name its storage, for example --storage journal:FILE")
    follows = _following(spec, plan, asked.then)
    with watching() as interrupt:
        if asked.worker:
            rooms = _Rooms.of(table, spec, allow_leaks, progress, interrupt)
            _evolved(rooms, plan, storage, asked, progress, interrupt)
            return None
        with run.lock():
            told = _begun(run, resume)
            if "best" not in told:
                rooms = _Rooms.of(table, spec, allow_leaks, progress, interrupt)
                told = told or {"format": FORMAT, "begun": provenance.now(), "request": table.attrs.get("request", {})}
                write_json(run.folder / FILE, told)
                study = _evolved(rooms, plan, storage, asked, progress, interrupt)
                told |= _found(run, rooms, plan, study)
                write_json(run.folder / FILE, told)
    best = Individual.of(told["best"]["genes"])
    options: dict[str, Any] = {"how": how, "allow_leaks": allow_leaks, "command": command, "progress": progress}
    for folder, individual, name in ((run.folder / RIVAL, PUBLISHED, "published-choice"), (run.folder, best, "found")):
        one, wanted = Run(folder), follows(individual).changed(name=f"{spec.name}-{name}", description=_described(individual, spec))
        if one.finished:
            continue
        progress.seconds = {}
        progress.say(f"From images: {wanted.description}")
        begun = (folder / "recipe.json").is_file()
        pipeline.train(table, wanted, folder, resume=begun, report=folder != run.folder, **options)
    write_json(run.folder / FILE, told | {"test": _compared(run, plan)})
    page.write(run)
    return run


def remembered(out: str | Path) -> dict[str, Any]:
    """What the search begun in a folder was asked. Raises ArtifactError where there is none."""
    path = Path(out) / FILE
    if not path.is_file():
        raise ArtifactError(f"There is no search to resume in {out}. Start it without --resume.")
    return dict(read_json(path)["request"])


@dataclass(frozen=True)
class _Rooms:
    """Kept features of training and validation rows, divided for the search; no row that is for testing."""

    spec: Recipe
    classes: tuple[str, ...]
    train: Part
    val: Part
    judge: Part
    backbone: int
    """Multiply-adds of the frozen backbone for an image."""
    name: str
    """A hash of all of it."""

    @classmethod
    def of(cls, table: pd.DataFrame, spec: Recipe, allow_leaks: bool, progress: Progress, interrupt: Interrupt) -> "_Rooms":
        spec = spec.changed(**{"model.head": spec.model.head[:1]})
        ready = preparing.prepare(table, spec, progress, interrupt)
        preparing.heed(ready.proof, allow_leaks)
        classes = preparing.trained_classes(ready.table)
        known = (ready.table["split"].isin(["train", "val"]) & ready.table["label"].notna()).to_numpy()
        rows = ready.table[known].reset_index(drop=True)
        rows.attrs = {**ready.table.attrs, "notes": []}
        parts = splits.split(rows.assign(split=None), SHARES.model_copy(update={"seed": spec.seed}))["split"].to_numpy()
        model, _ = preparing.made(spec, classes)
        build.placed(model, predict.device())
        pixels = Pixels(ready.cache, ready.rows[known], Augment(), predict.device())
        views = max(1, spec.train.views)

        def heed(done: int, total: int) -> None:
            interrupt.check()
            on_step(done, total)

        with progress.part("features") as on_step:
            kept = features.extract(model, pixels, spec, views, cache_folder() / "features", progress=heed)
        if kept.stored.ndim != 2:
            raise CutisError(f"The head {list(spec.model.head)} leaves a map; a search needs a row of features: --set model.head=pool")
        codes = pd.Categorical(rows["label"], categories=list(classes)).codes.astype(np.int64)

        def part(name: str) -> Part:
            chosen = np.flatnonzero(parts == name)
            x = np.stack([kept.take(chosen, v) for v in range(kept.index.shape[1])], 1)
            images, groups = (rows[column].to_numpy(dtype=np.str_)[chosen] for column in ("image", "group"))
            return Part(x, codes[chosen], images, groups)

        about = [rows[c].fillna("").tolist() for c in ("image", "label", "group", "sha256")]
        text = json.dumps([about, parts.tolist(), classes, spec.model.model_dump(), list(spec.predict_size), spec.images.fit, views])
        name = hashlib.sha256(text.encode()).hexdigest()
        return cls(spec, classes, part("train"), part("val"), part("test"), _multiply_adds(model, spec), name)


def _evolved(rooms: _Rooms, plan: Plan, storage: str, asked: Asked, progress: Progress, interrupt: Interrupt) -> Study:
    """The study with all its generations."""
    sizes = [f"{len(part.y):,} ({len(set(part.groups)):,} groups)" for part in (rooms.train, rooms.val, rooms.judge)]
    progress.say(f"Images that candidates train on {sizes[0]}, are chosen on {sizes[1]}; that judge the winner {sizes[2]}")
    study = genetic.opened(shared.storage(storage), asked.study, plan, rooms.name)

    def on_epoch(generation: int, epoch: Epoch) -> None:
        interrupt.check()
        on_step(generation * plan.epochs + epoch.epoch + 1, plan.generations * plan.epochs)

    with progress.part("search") as on_step:
        for lot in genetic.evolve(
            study, plan, rooms.train, rooms.val, len(rooms.classes), at_once=asked.at_once, on_epoch=on_epoch, waiting=interrupt.check
        ):
            progress.say(_line(lot, plan))
    return study


def _found(run: Run, rooms: _Rooms, plan: Plan, study: Study) -> dict[str, Any]:
    """What is known of a search when it is over; its candidates are written to the run."""
    tried = genetic.candidates(study, plan)
    costs = [one.individual.multiply_adds(rooms.val.x.shape[-1], len(rooms.classes)) for one in tried]
    front = genetic.front([(cost, one.value) for cost, one in zip(costs, tried, strict=True)])
    rows = pd.DataFrame([one.row for one in tried]).assign(multiply_adds=costs)
    run.save_table("search", rows.assign(front=rows.index.isin(front)))
    parts = {"train": rooms.train, "val": rooms.val, "judge": rooms.judge}
    best = max(tried, key=lambda one: (one.value, -one.number))
    return {
        "plan": asdict(plan),
        "sampler": plan.sampler,
        "metric": plan.metric,
        "how": f"Heads on the frozen backbone, {plan.population} a generation, trained together on kept features with early stopping.",
        "rows": {name: {"n": len(p.y), "groups": len(set(p.groups))} for name, p in parts.items()},
        "best": {
            "number": best.number,
            "generation": best.generation,
            "value": best.value,
            "genes": best.individual.genes,
        },
        "importance": {name: float(share) for name, share in genetic.importance(study).items()},
        "backbone_multiply_adds": rooms.backbone,
        "judged": judged(
            plan, (best.individual, best.number), PUBLISHED, rooms.train, rooms.val, rooms.judge, rooms.classes, rooms.spec.evaluate
        ),
    }


def _compared(run: Run, plan: Plan) -> dict[str, Any]:
    """The winner less the published choice on the test images, paired; empty where there are none."""
    if "test" not in run.sets:
        return {}
    winner, rival = ([Run(folder).predictions("test")] for folder in (run.folder, run.folder / RIVAL))
    how, names = run.recipe.evaluate, list(dict.fromkeys([plan.metric, *ALSO]))
    return paired.differences(winner, rival, names, replicates=how.replicates, level=how.level, seed=plan.seed)


def _following(spec: Recipe, plan: Plan, then: str) -> Callable[[Individual], Recipe]:
    """From an individual to the recipe of its run: its head on the frozen backbone, and the stages of another recipe after that."""
    if then == "head":
        return lambda individual: individual.recipe(spec, plan.stage).changed(**{"train.batch_size": plan.batch_size})
    other = recipes.load(then)
    kept = {name: getattr(spec, name) for name in ("images", "split", "model", "seed", "evaluate")}
    base = other.changed(**kept)

    def recipe(individual: Individual) -> Recipe:
        whole = individual.recipe(base, plan.stage)
        stages: list[Stage] = [*whole.stages, *other.stages]
        return whole.changed(stages=[stage.model_dump(mode="json") for stage in stages])

    return recipe


def _begun(run: Run, resume: bool) -> dict[str, Any]:
    """What a folder holds of a search. Raises ArtifactError where it holds something else, or nothing to resume."""
    if resume:
        remembered(run.folder)
    elif (run.folder / FILE).is_file() or (run.folder / "recipe.json").is_file():
        raise ArtifactError(f"{run.folder} holds a run or a search already. Go on with --resume, or give another --out.")
    return dict(read_json(run.folder / FILE)) if resume else {}


def _multiply_adds(model: build.Classifier, spec: Recipe) -> int:
    """Of the backbone, for an image; counted on a copy without values."""
    with FlopCounterMode(display=False) as counted:
        ghost(model).features(torch.empty(1, 3, *spec.predict_size, device="meta"))
    return int(counted.get_total_flops()) // 2


def _described(individual: Individual, spec: Recipe) -> str:
    member = individual.member
    weighting = f"class weights to the power {member.class_weighting:.2f}" if member.class_weighting else "no class weights"
    return (
        f"{spec.model.backbone}, head of {' and '.join(map(str, member.widths))} units, dropout {member.dropout:.2f}, "
        f"rate {member.lr:.1e}, {weighting}"
    )


def _line(lot: Generation, plan: Plan) -> str:
    return (
        f"Generation {lot.number + 1} of {plan.generations}: {lot.trained} candidates in {lot.seconds:.0f} s, "
        f"best {lot.best:.3f}, best so far {lot.best_ever:.3f}"
    )

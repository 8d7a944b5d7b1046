"""The verbs that make runs, for Python: train, search, ensemble, study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutis.verbs import given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cutis.audit.findings import Depth
    from cutis.progress import Progress
    from cutis.recipe import Recipe
    from cutis.runs import Run
    from cutis.verbs.given import Data, Map


def train(
    data: Data,
    recipe: str | Path | Recipe = "probe",
    out: str | Path = "run",
    *,
    settings: Sequence[str] = (),
    map: Map = None,
    split: str | None = None,
    folds: int = 0,
    seeds: int = 0,
    allow_leaks: bool = False,
    resume: bool = False,
    audit: Depth = "quick",
    progress: Progress | None = None,
) -> Run:
    """Train a classifier into the folder ``out``, as ``cutis train`` does.

    ``data``: a table (``cutis.read``), or one or several folders or files that it reads, with ``map`` renaming labels. ``recipe``: a
    name, a JSON file or a Recipe, changed by ``settings`` such as ``"stages.0.lr=1e-4"``. ``split``: ``"FILE:COLUMN"``. ``folds`` or
    ``seeds``: a run of runs. ``audit``: none, quick or full, how much of an audit the run's folder begins with. Raises CutisError (a
    ValueError) that says what to do: LeakError for a split that leaks, unless ``allow_leaks``; DataError, TrainingError, ArtifactError,
    LockedError.
    """
    from cutis import recipe as recipes
    from cutis.jobs import pipeline, repeats

    table, how = given.divided(data, map, split)
    spec = recipes.with_settings(recipe if isinstance(recipe, recipes.Recipe) else recipes.load(recipe), settings)
    options: dict[str, Any] = {"how": how, "allow_leaks": allow_leaks, "resume": resume, "command": "cutis.train", "progress": progress}
    options["audit"] = audit
    if folds or seeds:
        return repeats.train(table, spec, out, folds=folds, seeds=seeds, **options)
    return pipeline.train(table, spec, out, **options)


def search(
    data: Data,
    out: str | Path = "search",
    *,
    recipe: str | Path | Recipe = "probe",
    settings: Sequence[str] = (),
    map: Map = None,
    split: str | None = None,
    population: int = 64,
    generations: int = 10,
    sampler: str = "genetic",
    metric: str = "balanced_accuracy",
    then: str = "head",
    allow_leaks: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Search for the head of a recipe and train the best one into the folder ``out``, as ``cutis search`` does.

    ``data``, ``recipe``, ``settings``, ``map`` and ``split``: as for ``train``. ``then``: ``head``, or a recipe such as ``finetune`` whose
    stages follow. Test images are answered by the winner alone. Raises as ``train`` does.
    """
    from cutis import recipe as recipes
    from cutis.jobs import evolution
    from cutis.search.genetic import Plan

    table, how = given.divided(data, map, split)
    spec = recipes.with_settings(recipe if isinstance(recipe, recipes.Recipe) else recipes.load(recipe), settings)
    plan = Plan(population, generations, sampler, metric, seed=spec.seed, batch_size=spec.train.batch_size)
    options: dict[str, Any] = {"how": how, "allow_leaks": allow_leaks, "resume": resume, "command": "cutis.search", "progress": progress}
    run = evolution.search(table, spec, out, plan, evolution.Asked(then=then), **options)
    assert run is not None, "only a worker has none"
    return run


def ensemble(
    runs: Sequence[Run | str | Path],
    out: str | Path = "ensemble",
    *,
    method: str = "",
    weights: Sequence[float] = (),
    options: Mapping[str, Any] | None = None,
    allow_leaks: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Combine the answers of finished runs into a run in the folder ``out``, page included, as ``cutis ensemble`` does.

    ``runs``: runs on the same split; a run of seeds stands for all in it. ``method``: mean, given (by ``weights``), fitted, greedy, rank,
    stacking, or a registered one, with its ``options``; left empty it is given where there are weights, else mean. What is fitted is
    fitted on validation. Raises CutisError (a ValueError) that says what to do: LeakError where a member was trained on what another is
    judged by, unless ``allow_leaks``; DataError, ArtifactError.
    """
    from cutis.ensemble import make
    from cutis.jobs import fitting
    from cutis.report import page
    from cutis.runs import Run

    folders = [run.folder if isinstance(run, Run) else run for run in runs]
    spec = make.recipe(folders, out, method=method, weights=weights, options=dict(options or {}))
    run = make.make(spec, out, allow_leaks=allow_leaks, command="cutis.ensemble", progress=progress)
    with run.lock():
        fitting.fit(run)
    page.write(run)
    return run


def study(
    name: str,
    data: Data,
    out: str | Path,
    *,
    map: Map = None,
    scale: str = "cpu",
    splits: Mapping[str, str] | None = None,
    external: Data | None = None,
    external_map: Map = None,
    backbone: str = "",
    from_scratch: bool = False,
    arms: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Carry a published study out in the folder ``out``, as ``cutis study run`` does; what study.json holds (docs/formats.md).

    ``splits``: name -> ``"FILE:COLUMN"``, one without a name under the empty one. ``external``: data from elsewhere, which are answered
    too. ``arms``: only these. The same call goes on where it stopped. Raises as ``train`` does.
    """
    from pathlib import Path

    from cutis.progress import Progress
    from cutis.studies.catalog import Given, studies
    from cutis.studies.run import carry_out
    from cutis.studies.work import Work

    found = studies[name]()
    elsewhere = None if external is None else given.table(external, external_map)
    data_given = Given(given.table(data, map), dict(splits or {}), elsewhere)
    work = Work(found, data_given, found.scale(scale), Path(out), asked=tuple(arms), backbone=backbone, from_scratch=from_scratch)
    work.progress, work.command = progress or Progress(), "cutis.study"
    return carry_out(work)

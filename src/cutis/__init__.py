"""Cutis: from labelled skin images to a classifier that can be believed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from cutis.audit.findings import Depth
    from cutis.data.masks import Masks
    from cutis.data.readers import read
    from cutis.estimator import CutisClassifier
    from cutis.inspection import Audit
    from cutis.predictions import Predictions
    from cutis.progress import Progress
    from cutis.recipe import Recipe
    from cutis.runs import Run

    Data = pd.DataFrame | str | Path | Sequence[str | Path]
    Map = Mapping[str, str] | str | Sequence[str] | None
    __version__: str

__all__ = [
    "CutisClassifier",
    "Predictions",
    "Recipe",
    "Run",
    "audit",
    "compare",
    "ensemble",
    "evaluate",
    "read",
    "scope",
    "search",
    "study",
    "train",
]

_HOMES = {
    "CutisClassifier": "cutis.estimator",
    "Predictions": "cutis.predictions",
    "Recipe": "cutis.recipe",
    "Run": "cutis.runs",
    "read": "cutis.data.readers",
}


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
    from cutis import pipeline, repeats
    from cutis import recipe as recipes

    table, how = _divided(data, map, split)
    spec = recipes.with_settings(recipe if isinstance(recipe, recipes.Recipe) else recipes.load(recipe), settings)
    options: dict[str, Any] = {"how": how, "allow_leaks": allow_leaks, "resume": resume, "command": "cutis.train", "progress": progress}
    options["audit"] = audit
    if folds or seeds:
        return repeats.train(table, spec, out, folds=folds, seeds=seeds, **options)
    return pipeline.train(table, spec, out, **options)


def audit(
    data: Data,
    out: str | Path = "audit",
    *,
    settings: Sequence[str] = (),
    map: Map = None,
    split: str | None = None,
    masks: Masks | str | Path | None = None,
    only: Sequence[str] = (),
    quick: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Look for what is wrong with images and labels and leave audit.html and audit.json in ``out``, as ``cutis audit`` does.

    ``data``, ``map`` and ``split``: as for ``train``; ``settings`` change the recipe whose backbone looks at the pictures. ``masks``: where
    lesions are, an .npz or a folder. ``only``: these checks; ``quick``: those that take no network and no minutes. The answer has
    ``findings``, ``sections`` and ``mend``, which writes a cleaned table. Raises CutisError (a ValueError) that says what to do.
    """
    from cutis import inspection
    from cutis import recipe as recipes
    from cutis.data import masks as lesions

    table, _ = _divided(data, map, split)
    spec = recipes.with_settings(recipes.load(inspection.RECIPE), settings)
    known = masks if masks is None or isinstance(masks, lesions.Masks) else lesions.read(masks)
    options: dict[str, Any] = {"checks": only, "quick": quick, "masks": known, "command": "cutis.audit", "progress": progress}
    return inspection.audit(table, out, spec=spec, **options)


def evaluate(
    run: Run | str | Path,
    data: Data,
    name: str,
    *,
    map: Map = None,
    ignore_unknown: bool = False,
    prior: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answer other data with a run's model; the figures are added to the run under ``name`` and returned (docs/formats.md).

    ``data`` and ``map``: as for ``train``. ``prior``: how frequent each class is where these data are from; answers are then corrected for
    that, too. Raises DataError for labels the model does not know, unless ``ignore_unknown``.
    """
    from cutis import pipeline
    from cutis.runs import Run

    run = run if isinstance(run, Run) else Run.open(run)
    return pipeline.evaluate(run, _table(data, map), name, ignore_unknown=ignore_unknown, prior=prior or {}, progress=progress)


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
    from cutis import fitting
    from cutis.ensemble import make
    from cutis.report import page
    from cutis.runs import Run

    folders = [run.folder if isinstance(run, Run) else run for run in runs]
    spec = make.recipe(folders, out, method=method, weights=weights, options=dict(options or {}))
    run = make.make(spec, out, allow_leaks=allow_leaks, command="cutis.ensemble", progress=progress)
    with run.lock():
        fitting.fit(run)
    page.write(run)
    return run


def compare(
    runs: Sequence[Run | str | Path], out: str | Path | None = "compare", *, name: str = "test", figures: Sequence[str] = ()
) -> dict[str, Any]:
    """Set runs side by side on the images of the set ``name``, as ``cutis compare`` does; what compare.json holds (docs/formats.md).

    ``figures``: whole-table ones (``f1_macro``), of one class (``f1/mel``) or of each (``f1/*``). ``out``: the folder of compare.html and
    compare.json; None writes nothing. Raises DataError naming the runs that answered other images, CutisError for an unknown figure.
    """
    from pathlib import Path

    from cutis import comparison
    from cutis.report import compare as page

    folders = [run if isinstance(run, str | Path) else run.folder for run in runs]
    told = comparison.compare(folders, name=name, figures=figures, command="cutis.compare")
    if out is not None:
        page.write(Path(out), told)
    return told


def scope(
    run: Run | str | Path, data: str | Path | Sequence[str | Path] | None = None, name: str = "", *, progress: Progress | None = None
) -> dict[str, Any]:
    """What share of pictures a run refuses as unlike those it was trained on, as ``cutis scope`` does; what scope.json then holds.

    ``data``: folders or files of pictures, labelled or not, which are added to the run under ``name``; None: only the run's own validation
    and test images. Raises CutisError (a ValueError) that says what to do.
    """
    from pathlib import Path

    from cutis import scoping
    from cutis.data import piles
    from cutis.runs import Run

    run = run if isinstance(run, Run) else Run.open(run)
    table = None if data is None else piles.read(*([data] if isinstance(data, str | Path) else data))
    return scoping.refuse(run, table, name, progress)


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
    from cutis import evolution
    from cutis import recipe as recipes
    from cutis.search.genetic import Plan

    table, how = _divided(data, map, split)
    spec = recipes.with_settings(recipe if isinstance(recipe, recipes.Recipe) else recipes.load(recipe), settings)
    plan = Plan(population, generations, sampler, metric, seed=spec.seed, batch_size=spec.train.batch_size)
    options: dict[str, Any] = {"how": how, "allow_leaks": allow_leaks, "resume": resume, "command": "cutis.search", "progress": progress}
    run = evolution.search(table, spec, out, plan, evolution.Asked(then=then), **options)
    assert run is not None, "only a worker has none"
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
    given = Given(_table(data, map), dict(splits or {}), None if external is None else _table(external, external_map))
    work = Work(found, given, found.scale(scale), Path(out), asked=tuple(arms), backbone=backbone, from_scratch=from_scratch)
    work.progress, work.command = progress or Progress(), "cutis.study"
    return carry_out(work)


def _divided(data: Data, map: Map, split: str | None) -> tuple[pd.DataFrame, str]:
    """The table, divided by ``FILE:COLUMN`` where that is given, and in words where the split comes from."""
    from cutis.data import splits

    table = _table(data, map)
    return (splits.from_file(table, split), splits.named(split)) if split else (table, "")


def _table(data: Data, map: Map) -> pd.DataFrame:
    import pandas as pd

    from cutis.data import labels, readers, table

    if not isinstance(data, pd.DataFrame):
        return readers.read(*([data] if isinstance(data, str) or not hasattr(data, "__iter__") else data), map=map)
    return data if map is None else table.mapped(data, labels.chosen(map, data["label"].dropna().unique()))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("cutis.machine").version("cutis")
    if name not in _HOMES:
        raise AttributeError(f"module 'cutis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Some rooms, such as ``cutis/train``, bear the names of functions, and Python puts a room in the place of the function when it is
    first imported. So these rooms are made callable: ``cutis.train(...)`` and ``cutis.train.losses`` both work, always."""

    def __setattr__(self, name: str, value: object) -> None:
        function = self.__dict__.get(name)
        if isinstance(value, ModuleType) and callable(function):
            value.__class__ = type("Room", (ModuleType,), {"__call__": lambda _, *args, **kwargs: function(*args, **kwargs)})
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

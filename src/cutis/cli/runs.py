"""Verbs that make and extend runs: train, evaluate, report, runs, demo."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from cutis import recipe as recipes
from cutis.cli.app import NOTICE, number, progress, show_json
from cutis.errors import CutisError
from cutis.progress import Progress
from cutis.runs import Run

Data = Annotated[
    list[str], typer.Argument(help="Folder, CSV, npz, ...; several are merged; train=PATH, val=PATH, test=PATH give whole parts.")
]
Map = Annotated[list[str] | None, typer.Option("--map", help="Rename labels: old=new, or the name of a shipped map; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Accept image paths that lead out of the data's folder.")]
Headline = ("accuracy", "balanced_accuracy", "auroc_macro")


def add(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (train, evaluate, report, runs, demo):
        app.command()(verb)


def train(
    data: Annotated[list[str] | None, typer.Argument(help=Data.__metadata__[0].help)] = None,
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a JSON file.")] = "probe",
    out: Annotated[Path, typer.Option(help="The run folder to make.")] = Path("run"),
    split: Annotated[str | None, typer.Option(help="FILE:COLUMN with train, val, test for each image.")] = None,
    label_map: Map = None,
    folds: Annotated[int, typer.Option(help="Cross-validation with so many folds.")] = 0,
    seeds: Annotated[int, typer.Option(help="Repeat with so many seeds.")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a field of the recipe: stages.0.lr=1e-4; repeatable.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help="Train although the split leaks; every page says so.")] = False,
    allow_outside: Outside = False,
    as_json: Json = False,
) -> None:
    """Train a classifier: images and labels in, a run folder with report.html out."""
    from cutis import pipeline, repeats

    ui = progress(as_json)
    request: dict[str, Any] = {
        "data": data,
        "split": split,
        "map": label_map,
        "folds": folds,
        "seeds": seeds,
        "allow_outside": allow_outside,
    }
    if resume:
        request, spec = _request_of(Run.open(out), request, settings)
    else:
        spec = recipes.with_settings(recipes.load(recipe), settings or [])
    if not request["data"]:
        raise CutisError("Give the data to train on: cutis train DATA --recipe probe --out RUN")
    table, how = read(request["data"], request["map"], request["split"], request["allow_outside"], ui)
    table.attrs["request"] = request | {"data": [_absolute(d) for d in request["data"]]}
    if request["folds"] or request["seeds"]:
        run = repeats.train(
            table, spec, out, folds=request["folds"], seeds=request["seeds"], how=how, allow_leaks=allow_leaks, resume=resume, progress=ui
        )
    else:
        run = pipeline.train(table, spec, out, how=how, allow_leaks=allow_leaks, resume=resume, progress=ui)
    conclude(run, "test" if "test" in run.metrics else "val", as_json)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    data: Data,
    name: Annotated[str, typer.Option(help="Name of this set in the run.")],
    label_map: Map = None,
    ignore_unknown: Annotated[bool, typer.Option("--ignore-unknown", help="Leave out images whose label the model does not know.")] = False,
    allow_outside: Outside = False,
    as_json: Json = False,
) -> None:
    """Answer other data with the same model and add the figures to the run."""
    from cutis import pipeline

    ui = progress(as_json)
    table, _ = read(data, label_map, None, allow_outside, ui)
    opened = Run.open(run)
    pipeline.evaluate(opened, table, name, ignore_unknown=ignore_unknown, progress=ui)
    conclude(opened, name, as_json)


def report(run: Annotated[Path, typer.Argument(help="A run.")]) -> None:
    """Make the page of a run anew."""
    from cutis.report import page

    typer.echo(page.write(Run.open(run)))


def runs(folder: Annotated[Path, typer.Argument(help="A folder that holds runs.")] = Path(), as_json: Json = False) -> None:
    """List the runs below a folder with their figures."""
    found = [Run(p.parent) for p in sorted(folder.glob("**/recipe.json"))]
    rows = [
        {
            "run": str(r.folder),
            "recipe": r.recipe.name,
            "finished": r.finished or bool(r.parts),
            **{m: r.metrics.get("test", {}).get(m, {}) for m in Headline},
        }
        for r in found
    ]
    if as_json:
        return show_json(rows)
    for row in rows:
        figures = "  ".join(f"{m} {number(row[m])}" for m in Headline if row[m]) or ("no test figures" if row["finished"] else "unfinished")
        typer.echo(f"{row['run']}  ({row['recipe']})  {figures}")
    if not rows:
        typer.echo(f"No runs below {folder}. Make one with: cutis train DATA --out RUN")
    return None


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures and run; an earlier demo in it is replaced.")] = Path("demo-run"),
    lesions: Annotated[int, typer.Option(min=60, help="How many lesions to draw.")] = 900,
    seed: Annotated[int, typer.Option(help="Seed of pictures and training.")] = 0,
    as_json: Json = False,
) -> None:
    """The whole main path on pictures that Cutis draws itself: no network, no weights."""
    from cutis import pipeline
    from cutis.data import synthetic

    ui = progress(as_json)
    for stale in (out / "pictures", out / "run"):
        shutil.rmtree(stale, ignore_errors=True)
    with ui.part("draw"):
        ui.say(f"Drawing pictures of {lesions:,} lesions")
        table_file = synthetic.write(out / "pictures", lesions=lesions, size=96, difficulty=0.3, seed=seed)
    table, how = read([str(table_file)], None, None, False, ui)
    run = pipeline.train(table, recipes.load("demo").changed(seed=seed), out / "run", how=how, progress=ui)
    conclude(run, "test", as_json)


def read(data: list[str], label_map: list[str] | None, split: str | None, allow_outside: bool, ui: Progress) -> tuple[pd.DataFrame, str]:
    """The table of some data, said aloud, and in words where its split comes from (empty: from the recipe)."""
    from cutis.data import readers, splits

    with ui.part("read"):
        table = readers.read(*data, map=label_map, allow_outside=allow_outside)
        how = "as the data give it" if table["split"].notna().any() else ""
        if split:
            table = splits.from_file(table, split)
            file, _, column = split.rpartition(":")
            how = f"column {column} of {Path(file).name}"
    for line in readers.summary(table):
        ui.say(line)
    return table, how


def conclude(run: Run, name: str, as_json: bool) -> None:
    """Say the headline figures of a set and where the page lies."""
    figures = run.metrics.get(name, {})
    page = run.folder / "report.html"
    if as_json:
        return show_json({"run": str(run.folder), "set": name, "report": str(page), "metrics": figures, "notice": NOTICE})
    line = figures.get("baseline", {})
    for metric in Headline:
        if metric in figures:
            beside = f"   always the most frequent class: {number(line[metric])}" if metric in line else ""
            typer.echo(f"{name} {metric}: {number(figures[metric])} (n = {figures[metric]['n']:,}){beside}")
    typer.echo(NOTICE)
    typer.echo(page)
    return None


def _request_of(run: Run, given: dict[str, Any], settings: list[str] | None) -> tuple[dict[str, Any], recipes.Recipe]:
    """What the interrupted run was asked; data given again take the place of the remembered ones."""
    if settings:
        raise CutisError("--resume goes on with the run's own recipe; leave --set out, or train anew into another --out.")
    path = run.folder / "provenance.json"
    before = run.provenance.get("request", {}) if path.is_file() else {}
    for part in run.parts:
        before = before or part.provenance.get("request", {})
    return {k: given[k] or before.get(k) for k in given}, run.recipe


def _absolute(source: str) -> str:
    part, equals, path = source.rpartition("=") if source.split("=")[0] in ("train", "val", "test") else ("", "", source)
    return f"{part}{equals}{Path(path).resolve()}"

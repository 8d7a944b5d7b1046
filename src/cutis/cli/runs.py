"""Verbs that make and extend runs: train, evaluate, report, runs, demo."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from cutis import recipe as recipes
from cutis.audit.findings import Depth
from cutis.cli.app import Json, command, number, only_data, progress, show_json
from cutis.errors import CutisError
from cutis.progress import Progress
from cutis.report.words import NOTICE
from cutis.runs import Run, stage_of

DATA = "A folder or file of images and labels; several are merged; train=PATH, val=PATH, test=PATH name whole parts."
FolderOfRun = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Map = Annotated[
    list[str] | None, typer.Option("--map", metavar="OLD=NEW", help="Rename a label, or the name of a shipped map; repeatable.")
]
Outside = Annotated[
    list[str] | None, typer.Option("--allow-outside", metavar="FOLDER", help="Also read images from this folder; repeatable.")
]
Prior = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS=SHARE|FILE", help="How frequent each class is where the model is used; answers are corrected for it; repeatable."
    ),
]
HEADLINE = ("accuracy", "balanced_accuracy", "auroc_macro")


def add(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (train, evaluate, report, runs, demo):
        app.command()(verb)


def train(
    context: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(metavar="DATA", help=DATA)] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="A recipe's name (probe if not given), or a JSON file.")] = None,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to make.")] = Path("run"),
    split: Annotated[str | None, typer.Option(metavar="FILE:COLUMN", help="A CSV column with train, val, test for each image.")] = None,
    label_map: Map = None,
    folds: Annotated[int | None, typer.Option(metavar="K", min=2, help="Cross-validate: K runs, each group tested once.")] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", min=2, help="Repeat with N seeds on one split.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe: stages.0.lr=1e-4; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in RUN.")] = False,
    audit: Annotated[Depth | None, typer.Option(help="How much to audit before training: quick if not given.")] = None,
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help="Train although the split leaks; every page says so.")] = False,
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Train a classifier on DATA into a run folder."""
    from cutis.jobs import pipeline, repeats
    from cutis.jobs.resume import begin

    ui = progress(as_json)
    asked: dict[str, Any] = {"split": split, "map": label_map, "folds": folds or 0, "seeds": seeds or 0, "allow_leaks": allow_leaks}
    asked["audit"] = audit
    if resume:
        only_data(context)
        run = Run.open(out)
        spec, request = run.recipe, asked | _request(run)
    else:
        spec, request = recipes.with_settings(recipes.load(recipe or "probe"), settings or []), asked
    if folds and split:
        raise CutisError("--folds makes its own split: leave --split out.")
    data, allow_outside = data or request.get("data"), allow_outside or request.get("allow_outside")
    if not data:
        raise CutisError("Name the data to train on: cutis train DATA --out RUN")
    begin(Run(out), resume)
    table, how = read(data, request["map"], request["split"], allow_outside, ui)
    table.attrs["request"] = request | {
        "data": [absolute(d) for d in data],
        "allow_outside": [str(Path(f).resolve()) for f in allow_outside or []],
        "split": request["split"] and str(Path(request["split"]).resolve()),
    }
    options: dict[str, Any] = {"how": how, "allow_leaks": request["allow_leaks"], "resume": resume, "command": command(), "progress": ui}
    options["audit"] = request["audit"] or "quick"
    with resumable(out):
        if request["folds"] or request["seeds"]:
            run = repeats.train(table, spec, out, folds=request["folds"], seeds=request["seeds"], **options)
        else:
            run = pipeline.train(table, spec, out, **options)
    conclude(run, "test" if "test" in run.metrics else "val", as_json)


def evaluate(
    run: FolderOfRun,
    data: Annotated[list[str], typer.Argument(metavar="DATA", help=DATA)],
    name: Annotated[str, typer.Option(metavar="SET", help="Name of these figures in the run.")],
    label_map: Map = None,
    ignore_unknown: Annotated[bool, typer.Option("--ignore-unknown", help="Leave out images whose label the model does not know.")] = False,
    allow_outside: Outside = None,
    prior: Prior = None,
    as_json: Json = False,
) -> None:
    """Add the figures of a run's model on other data."""
    from cutis.jobs import pipeline

    opened, ui = Run.open(run), progress(as_json)
    table, _ = read(data, label_map, None, allow_outside, ui)
    pipeline.evaluate(opened, table, name, ignore_unknown=ignore_unknown, prior=prior or [], progress=ui)
    conclude(opened, name, as_json)


def report(run: FolderOfRun, prior: Prior = None, as_json: Json = False) -> None:
    """Make the page of a run anew."""
    from cutis.jobs import fitting, slicing
    from cutis.report import page

    opened = Run.open(run)
    if prior or fitting.due(opened) or slicing.due(opened):
        with opened.lock():
            if fitting.due(opened):
                fitting.fit(opened)
            if slicing.due(opened):
                slicing.own(opened)
            if prior:
                fitting.correct(opened, [name for name in opened.metrics if name != "val" and not stage_of(name)], prior)
    path = page.write(opened)
    return show_json({"report": str(path)}) if as_json else typer.echo(path)


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that holds runs.")] = Path(), as_json: Json = False
) -> None:
    """List the runs below a folder with their test figures."""
    found = [Run(p.parent) for p in sorted(folder.glob("**/recipe.json"))]
    rows = [
        {
            "run": str(r.folder),
            "recipe": r.recipe.name,
            "finished": r.finished,
            **{m: r.metrics.get("test", {}).get(m) for m in HEADLINE},
        }
        for r in found
    ]
    if as_json:
        return show_json(rows)
    for row in rows:
        figures = [f"{m} {number(row[m])} (n = {row[m]['n']:,})" for m in HEADLINE if row[m]]
        typer.echo(f"{row['run']}  ({row['recipe']})  {'  '.join(figures) or ('no test figures' if row['finished'] else 'unfinished')}")
    if not rows:
        typer.echo(f"No runs below {folder}. Make one with: cutis train DATA --out RUN")
    return None


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where pictures and run go; an earlier demo there is replaced.")] = Path(
        "demo-run"
    ),
    lesions: Annotated[int, typer.Option(metavar="N", min=60, help="How many lesions to draw.")] = 900,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Seed of pictures and training.")] = 0,
    as_json: Json = False,
) -> None:
    """Show it all on pictures that Cutis draws: no weights, no network. A bundle to predict with and to serve is made, too."""
    from cutis.data import synthetic
    from cutis.jobs import exporting, pipeline

    ui = progress(as_json)
    held = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if not set(held) <= {"pictures", "run", "bundle"}:
        raise CutisError(f"{out} holds more than an earlier demo ({', '.join(held[:5])}). Give a new folder: --out FOLDER")
    for stale in held:
        shutil.rmtree(out / stale)
    with ui.part("draw"):
        ui.say(f"Drawing pictures of {lesions:,} lesions")
        table_file = synthetic.write(out / "pictures", lesions=lesions, size=96, difficulty=0.3, seed=seed)
    table, how = read([str(table_file)], None, None, None, ui)
    table.attrs["request"] = {"data": [str(table_file.resolve())]}
    with resumable(out / "run"):
        spec = recipes.load("demo").changed(seed=seed)
        run = pipeline.train(table, spec, out / "run", how=how, command=command(), progress=ui, audit="quick")
    wish = exporting.Wish(cases=True, licence="Drawn by Cutis: nobody's skin, free to use.")
    conclude(run, "test", as_json, exporting.export(run, out / "bundle", wish, progress=ui))


def read(
    data: list[str], label_map: list[str] | None, split: str | None, allow_outside: list[str] | None, ui: Progress
) -> tuple[pd.DataFrame, str]:
    """The table of some data, said aloud, and in words where a split given beside them comes from."""
    from cutis.data import readers, splits

    with ui.part("read"):
        table = readers.read(*data, map=label_map, allow_outside=allow_outside or [])
        if split:
            table = splits.from_file(table, split)
    for line in readers.summary(table):
        ui.say(line)
    return table, splits.named(split) if split else ""


def conclude(run: Run, name: str, as_json: bool, bundle: Path | None = None) -> None:
    """Say the headline figures of a set and where the page lies, and the bundle where there is one."""
    figures = run.metrics.get(name, {})
    page = run.folder / "report.html"
    if as_json:
        made = {} if bundle is None else {"bundle": str(bundle)}
        return show_json({"run": str(run.folder), "set": name, "report": str(page), **made, "metrics": figures, "notice": NOTICE})
    line = figures.get("baseline", {})
    for metric in HEADLINE:
        if metric in figures:
            beside = f"   always the most frequent class: {number(line[metric])}" if metric in line else ""
            typer.echo(f"{name} {metric}: {number(figures[metric])} (n = {figures[metric]['n']:,}){beside}")
        told = figures.get("spread", {}).get(metric, {"sd": None})
        if told["sd"] is not None:
            typer.echo(f"{name} {metric} of {len(told['runs'])} runs: mean {told['mean']:.3f}, sd {told['sd']:.3f}")
    if bundle is not None:
        typer.echo(f"Drop pictures on a page in the browser: {shlex.join(['cutis', 'app', str(bundle)])}")
    typer.echo(NOTICE)
    return typer.echo(page)


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Adds to an interruption how to go on."""
    from cutis.train.checkpoint import Interrupted

    try:
        yield
    except Interrupted as stopped:
        saved = (out / "recipe.json").is_file()
        again = shlex.join(["cutis", "train", "--out", str(out), "--resume"])
        stopped.add_note(f"All is saved; go on with: {again}" if saved else "Training had not begun; run the command again.")
        raise


def _request(run: Run) -> dict[str, Any]:
    """What an interrupted run was asked, as it, or the first of the runs in it, remembers."""
    told = [part.provenance.get("request", {}) for part in (run, *run.parts) if (part.folder / "provenance.json").is_file()]
    return dict(told[0]) if told else {}


def absolute(source: str) -> str:
    """A source as it is found from any folder; ``train=PATH`` keeps its part."""
    part, equals, path = source.rpartition("=") if source.split("=")[0] in ("train", "val", "test") else ("", "", source)
    return f"{part}{equals}{Path(path).resolve()}"

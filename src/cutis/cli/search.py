"""search: the best head by a genetic algorithm, and the run it makes."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cutis import recipe as recipes
from cutis.cli.app import Json, command, only_data, progress, show_json
from cutis.cli.runs import DATA, Map, Outside, absolute, conclude, read
from cutis.errors import CutisError


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(search)


def search(
    context: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(metavar="DATA", help=DATA)] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Backbone, images and views come from it (probe if not given).")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to make.")] = Path("search"),
    population: Annotated[int, typer.Option(metavar="N", min=2, help="Candidates a generation.")] = 64,
    generations: Annotated[int, typer.Option(metavar="N", min=1, help="How many generations.")] = 10,
    sampler: Annotated[str, typer.Option(metavar="NAME", help="genetic, tpe, random, or a registered one.")] = "genetic",
    metric: Annotated[
        str,
        typer.Option(metavar="NAME", help="What is maximised on validation groups: balanced_accuracy, accuracy, auroc_macro, f1_macro."),
    ] = "balanced_accuracy",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Epochs of a candidate at most.")] = 60,
    patience: Annotated[int, typer.Option(metavar="N", min=0, help="Epochs without a better figure before it ends; 0: never.")] = 8,
    then: Annotated[
        str, typer.Option(metavar="head|NAME", help="head, or a recipe, such as finetune, whose stages follow the best head's.")
    ] = "head",
    storage: Annotated[
        str, typer.Option(metavar="URL", help="Where processes share the search: journal:FILE, sqlite:///FILE, or a database.")
    ] = "",
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the search in the storage.")] = "search",
    at_once: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Candidates trained together: a share of the generation for each process.")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Only help with the search in --storage; another process makes the run.")
    ] = False,
    split: Annotated[str | None, typer.Option(metavar="FILE:COLUMN", help="A CSV column with train, val, test for each image.")] = None,
    label_map: Map = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe: train.views=8; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted search in RUN, as it was asked.")] = False,
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help="Search although the split leaks; the page says so.")] = False,
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Search for the best classifying layers on a frozen backbone, then train them from images.

    The test images are answered by the winner alone.
    """
    from cutis.jobs import evolution
    from cutis.search.genetic import Plan

    ui = progress(as_json)
    request = _remembered(context, out) if resume else _request(context.params)
    if not request["data"]:
        raise CutisError("Name the data to search on: cutis search DATA --out RUN")
    spec = recipes.with_settings(recipes.load(request["recipe"]), request["set"])
    plan = Plan(
        **{name: request[name] for name in ("population", "generations", "sampler", "metric", "epochs", "patience")},
        seed=spec.seed,
        batch_size=spec.train.batch_size,
    )
    asked = evolution.Asked(**{name: request[name] for name in ("storage", "study", "at_once", "then")}, worker=worker)
    table, how = read(request["data"], request["map"], request["split"], request["allow_outside"], ui)
    table.attrs["request"] = request
    with _resumable(out, worker):
        options: dict[str, Any] = {"how": how, "allow_leaks": request["allow_leaks"], "resume": resume, "command": command()}
        run = evolution.search(table, spec, out, plan, asked, progress=ui, **options)
    if run is None:
        return show_json({"study": study, "storage": storage}) if as_json else typer.echo(f"The search {study} in {storage} is over.")
    return conclude(run, "test" if "test" in run.metrics else "val", as_json)


def _request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked on the command line, with paths that hold from any folder, as the search remembers it."""
    same = ("population", "generations", "sampler", "metric", "epochs", "patience", "then", "storage", "study", "at_once", "allow_leaks")
    return {name: asked[name] for name in same} | {
        "data": [absolute(d) for d in asked["data"] or []],
        "recipe": asked["recipe"] or "probe",
        "set": asked["settings"] or [],
        "split": asked["split"] and str(Path(asked["split"]).resolve()),
        "map": asked["label_map"],
        "allow_outside": [str(Path(f).resolve()) for f in asked["allow_outside"] or []],
    }


def _remembered(context: typer.Context, out: Path) -> dict[str, Any]:
    """What an interrupted search was asked; where the data lie may be told anew. Raises CutisError for any other option."""
    from cutis.jobs import evolution

    only_data(context, "--worker")
    moved = _request(context.params)["data"]
    return evolution.remembered(out) | ({"data": moved} if moved else {})


@contextmanager
def _resumable(out: Path, worker: bool) -> Iterator[None]:
    """Adds to an interruption how to go on."""
    from cutis.train.checkpoint import Interrupted

    try:
        yield
    except Interrupted as stopped:
        again = shlex.join(["cutis", "search", "--out", str(out), "--resume"])
        begun = not worker and (out / "search.json").is_file()
        stopped.add_note(f"All is saved; go on with: {again}" if begun else "What it had begun is given back; run the command again.")
        raise

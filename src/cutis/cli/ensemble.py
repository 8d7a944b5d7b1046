"""ensemble: a run that combines runs."""

from pathlib import Path
from typing import Annotated

import typer

from cutis import recipe as recipes
from cutis.cli.app import Json, command, progress
from cutis.cli.runs import conclude
from cutis.errors import CutisError

METHODS = "mean (the default), given, fitted, greedy, rank, stacking, or a registered one."


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(ensemble)


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Finished runs on the same split; of a run of seeds, all of them.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to make.")] = Path("ensemble"),
    method: Annotated[str, typer.Option(metavar="METHOD", help=f"How answers are combined: {METHODS}")] = "",
    weights: Annotated[str, typer.Option(metavar="W,W,...", help="A weight for each member, divided by their sum: .3,.3,.4")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="ensemble.options.metric=balanced_accuracy (greedy), evaluate.level=0.9; repeatable."
        ),
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Combine although a member was trained on another's test images; the page says so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Combine the answers of several runs into a run; what is fitted is fitted on validation."""
    from cutis.ensemble import make
    from cutis.jobs import fitting, slicing
    from cutis.report import page

    spec = recipes.with_settings(make.recipe(runs, out, method=method, weights=_numbers(weights)), settings or [])
    run = make.make(spec, out, allow_leaks=allow_leaks, command=command(), progress=progress(as_json))
    with run.lock():
        fitting.fit(run)
        slicing.own(run)
    page.write(run)
    conclude(run, "test" if "test" in run.metrics else next(iter(run.metrics)), as_json)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise CutisError(f"--weights takes numbers joined by commas, such as .3,.3,.4; given: {text}") from None

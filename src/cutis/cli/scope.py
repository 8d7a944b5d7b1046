"""The verb scope: what a run's network refuses because it is like nothing it was trained on."""

from typing import Annotated, Any

import typer

from cutis.cli.app import Json, number, progress, show_json
from cutis.cli.runs import FolderOfRun, Outside
from cutis.errors import CutisError
from cutis.report.words import NOTICE, count
from cutis.runs import Run


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(scope)


def scope(
    run: FolderOfRun,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA", help="Pictures that are to be refused, or not: a folder or file; none: the run's own."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="SET", help="Name of these pictures in the run.")] = "",
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Say what share of DATA a run refuses as unlike what it was trained on."""
    from cutis.data import piles
    from cutis.jobs import scoping

    opened, ui = Run.open(run), progress(as_json)
    if data and not name:
        raise CutisError("Name these pictures: --name SET, for example --name photographs")
    table = None
    if data:
        with ui.part("read"):
            table = piles.read(*data, allow_outside=allow_outside or [])
        for line in (f"Read {count(len(table), 'image')} as {table.attrs['reader']}.", *table.attrs["notes"]):
            ui.say(line)
    told = scoping.refuse(opened, table, name, ui)
    page = opened.folder / "report.html"
    if as_json:
        return show_json({"run": str(opened.folder), "report": str(page), **told, "notice": NOTICE})
    for line in lines(told, [name] if data else list(told["sets"])):
        typer.echo(line)
    typer.echo(f"{page}\n{NOTICE}")
    return None


def lines(told: dict[str, Any], names: list[str]) -> list[str]:
    """What is refused of these sets, by each score, the one that decides first."""
    by = sorted(told["fitted"]["limits"], key=lambda score: (score != told["by"], score))
    of_val = told["fitted"]
    first = f"Limits: {told['in_scope']:.0%} of {count(of_val['n'], 'validation image')} pass."
    return [first] + [
        f"{name} ({count(told['sets'][name]['n'], 'image')}) refused by {score}: {number(told['sets'][name]['scores'][score]['refused'])}"
        for name in names
        for score in by
    ]

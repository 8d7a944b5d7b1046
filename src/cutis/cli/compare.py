"""compare: several runs on the same images, with paired tests."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cutis.cli.app import Json, command, number, show_json
from cutis.report.words import NOTICE

OUT = Path("compare")


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(compare)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Two run folders or more, which answered the same images.")],
    name: Annotated[str, typer.Option("--set", metavar="NAME", help="On which answers: test, val, or a name given to evaluate.")] = "test",
    figures: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="What is compared: accuracy,f1_macro,auroc/mel,sensitivity/*; each makes proof harder.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Where compare.html and compare.json go; without it {OUT}, and with --json nowhere."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which run is better and by how much, or that they cannot be told apart and how many images it would take."""
    from cutis.jobs import comparison
    from cutis.report import compare as page

    told = comparison.compare(runs, name=name, figures=[f.strip() for f in figures.split(",") if f.strip()], command=command())
    folder = out or (None if as_json else OUT)
    written = page.write(folder, told) if folder else None
    if as_json:
        show_json({**told, "page": str(written) if written else None, "notice": NOTICE})
    else:
        _say(told)
        typer.echo(written)


def _say(told: dict[str, Any]) -> None:
    """The figures of each run and what every two of them give, in lines to read."""
    from cutis.report import verdicts, words

    for run in told["runs"]:
        typer.echo(f"{run['name']}: " + "; ".join(f"{words.label(f)} {number(own)}" for f, own in run["figures"].items() if own))
    for pair in told["pairs"]:
        for figure in told["figures"]:
            typer.echo(f"{pair['first']} and {pair['second']}, {words.label(figure)}: {verdicts.said(told, pair, figure)}")
    for note in told["notes"]:
        typer.echo(note)
    typer.echo(f"{verdicts.verdict(told)} {NOTICE}")

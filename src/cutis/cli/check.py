"""The verb check: what in a published table cannot be so."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cutis import machine
from cutis.cli.app import Json, show_json
from cutis.errors import FINDINGS, CutisError
from cutis.report.words import NOTICE

OUT = Path("check")


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(check)


def check(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE|-", help="A YAML, JSON or CSV file with the printed figures; - reads standard input. With --example: a study."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Where claims.html and claims.json go; without it {OUT}, and with --json nowhere."),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a commented template; with the name of a study that study's table.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what in a published table cannot be so, what hardly can, and what it does not show."""
    from cutis.claims import examples, reading
    from cutis.claims.check import answer
    from cutis.claims.check import check as checked
    from cutis.report import claims

    if example:
        return typer.echo(examples.text(table) if table else reading.EXAMPLE, nl=False)
    if table is None:
        raise CutisError("Name the table: cutis check FILE, or cutis check - to read it. `cutis check --example` prints a template.")
    claim = reading.read(table)
    findings = checked(claim)
    told = answer(claim, findings)
    folder = out or (None if as_json else OUT)
    page = claims.write(folder, told, version=machine.version("cutis")) if folder else None
    if as_json:
        show_json({**told, "page": str(page) if page else None, "notice": NOTICE})
    else:
        _say(told, claims.verdict(told))
        typer.echo(page)
    raise typer.Exit(FINDINGS if any(finding.severity == "impossible" for finding in findings) else 0)


def _say(told: dict[str, Any], verdict: str) -> None:
    """The findings in lines to read, notes only counted."""
    for finding in told["findings"]:
        if finding["severity"] != "note":
            typer.echo(f"{finding['severity']}: {finding['where']}. {finding['sentence']}\n    {finding['arithmetic']}")
    typer.echo(f"{verdict} {NOTICE}")

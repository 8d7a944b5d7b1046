"""What all commands share: the application, its global options, common parameters, and how progress and figures are shown."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cutis import machine
from cutis.cli.console import JsonProgress, PlainProgress, TerminalProgress
from cutis.errors import CutisError
from cutis.progress import Progress
from cutis.registry import PLUGINS
from cutis.report.words import NOTICE

Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]

app = typer.Typer(
    name="cutis",
    help=f"From labelled skin images to a classifier that can be believed. {NOTICE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@dataclass
class Options:
    """Global options, set before the command runs."""

    debug: bool = False


options = Options()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(machine.version("cutis"))
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of a fault.")] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="A Python file that registers a loss, metric, reader, ...; repeatable."
        ),
    ] = None,
) -> None:
    options.debug = debug
    if plugin:
        os.environ[PLUGINS] = os.pathsep.join([*filter(None, [os.environ.get(PLUGINS)]), *map(str, plugin)])


def command() -> str:
    """The command line as it was given, for provenance."""
    return shlex.join(["cutis", *sys.argv[1:]])


def progress(as_json: bool) -> Progress:
    """Progress for where the output goes: JSON wanted, a terminal, or anything else."""
    if as_json:
        return JsonProgress()
    return TerminalProgress() if os.isatty(2) and os.environ.get("TERM") != "dumb" else PlainProgress()


def show_json(data: Any) -> None:
    """Print JSON and nothing else."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def only_data(context: typer.Context, *also: str) -> None:
    """With --resume everything but where the data lie, and the options named in ``also``, is remembered. Raises CutisError for more."""
    free = {"--out", "--resume", "--json", "--allow-outside", *also}
    sources = ((p.opts[0], context.get_parameter_source(p.name or "")) for p in context.command.params)
    named = [option for option, source in sources if source is not None and source.name == "COMMANDLINE"]
    more = [option for option in named if option.startswith("--") and option not in free]
    if more:
        raise CutisError(f"--resume goes on as it was begun: leave {', '.join(more)} out, or begin anew with another --out.")


def number(figure: dict[str, Any]) -> str:
    """``0.849 [0.828, 0.869]``, or why there is none."""
    if figure["value"] is None:
        return f"n/a ({figure['why']})"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

"""What all commands share: the application, its global options, and how results and progress are shown."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cutis import machine
from cutis.cli.console import JsonProgress, PlainProgress, TerminalProgress
from cutis.progress import Progress
from cutis.registry import PLUGINS

NOTICE = "Research use only. Not a medical device. Not for diagnosis."

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


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of a fault.")] = False,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that registers losses, readers, metrics, recipes, ...")] = None,
) -> None:
    if version:
        typer.echo(machine.version("cutis"))
        raise typer.Exit
    options.debug = debug
    for file in plugin or []:
        os.environ[PLUGINS] = os.pathsep.join(filter(None, [os.environ.get(PLUGINS, ""), str(file)]))


def progress(as_json: bool) -> Progress:
    """Progress for where the output goes: JSON wanted, a terminal, or anything else."""
    if as_json:
        return JsonProgress()
    return TerminalProgress() if os.isatty(2) and os.environ.get("TERM") != "dumb" else PlainProgress()


def show_json(data: Any) -> None:
    """Print JSON and nothing else."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def number(figure: dict[str, Any]) -> str:
    """``0.849 [0.828, 0.869]``, or why there is none."""
    if figure.get("value") is None:
        return f"n/a ({figure.get('why', 'undefined')})"
    if figure.get("low") is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

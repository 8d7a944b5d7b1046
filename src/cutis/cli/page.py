"""The verb app: a bundle's web page, for the people of one room."""

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cutis.cli.app import progress
from cutis.errors import CutisError
from cutis.report.words import NOTICE

MOST = 2


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("app")(page)


def page(
    bundles: Annotated[
        list[str], typer.Argument(metavar="BUNDLE", help="A bundle: folder, .zip or hf://OWNER/NAME. A second one: compare both.")
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the page listens; this machine only if not given.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="The page's port.")] = 8501,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", metavar="NAME", help="A name by which other machines may ask for it; repeatable.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser, too.")] = False,
    backend: Annotated[str, typer.Option(metavar="NAME", help="What computes: auto, eager, openvino, onnxruntime.")] = "auto",
) -> None:
    """Open a web page on which pictures are dropped and answered. Nothing leaves this machine, and no picture is kept."""
    if len(bundles) > MOST:
        raise CutisError(f"The page shows one bundle, or two beside each other; {len(bundles)} are named. Name fewer.")
    from cutis.serve.app import start

    start.ready(host, port, allow_host or ())
    from cutis.serve.predictor import Predictor

    ui = progress(as_json=False)
    models = []
    for bundle in bundles:
        ui.say(f"Opening {Path(bundle).name if '://' not in bundle else bundle}")
        models.append(Predictor.open(bundle, backend=backend))

    def announce(address: str) -> None:
        typer.echo(f"The page is open at {address}\n{NOTICE}\nStop it with Ctrl-C.")
        if show and windows():
            webbrowser.open(address)

    start.serve(models, host=host, port=port, allow=allow_host or (), announce=announce)


def windows() -> bool:
    """Whether there are windows to open a browser in; where there are none, a text browser would take the terminal."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))

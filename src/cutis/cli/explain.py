"""The verb explain: heat maps of a run's answers, what they are worth, and the nearest training cases."""

from pathlib import Path
from typing import Annotated

import typer

from cutis.cli.app import Json, command, progress, show_json
from cutis.cli.runs import FolderOfRun
from cutis.report.words import NOTICE
from cutis.runs import Run

METHODS = "gradcam (the default), gradcam++, hirescam, layercam, eigencam, scorecam (slow), or a registered one."


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(explain)


def explain(
    run: FolderOfRun,
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE", help="Pictures, or keys of the run's own images; none: a set of the run.")
    ] = None,
    name: Annotated[str, typer.Option("--set", metavar="SET", help="The evaluated set that is explained and measured.")] = "test",
    method: Annotated[str, typer.Option(metavar="NAME", help=f"The heat map: {METHODS}")] = "gradcam",
    of: Annotated[str, typer.Option("--class", metavar="NAME", help="Evidence for which class: predicted, all, or a name.")] = "predicted",
    masks: Annotated[
        Path | None, typer.Option(metavar="FILE|FOLDER", help="Where lesions are: an .npz, or a folder with a mask for each image.")
    ] = None,
    count: Annotated[int, typer.Option("--images", metavar="N", min=1, help="How many images of the set are measured.")] = 200,
    changed: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many of them are changed to test the maps (some 90 passes each); 0: none.")
    ] = 24,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where explain.html goes; the run's folder if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a run's answers rest on, and measure whether that can be believed."""
    from cutis.data import masks as lesions
    from cutis.jobs import explaining
    from cutis.report import explanation

    wish = explaining.Wish(method, of, count, changed, lesions.read(masks) if masks else None)
    opened, ui = Run.open(run), progress(as_json)
    found = explaining.explain(opened, images or [], name=name, wish=wish, out=out, command=command(), progress=ui)
    if as_json:
        return show_json(found.told | {"page": str(found.page), "notice": NOTICE})
    for sentence in explanation.verdicts(found.told):
        typer.echo(sentence)
    typer.echo(NOTICE)
    return typer.echo(found.page)

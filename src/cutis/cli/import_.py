"""import: a published state dict, or a Keras head, turned into a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from cutis.cli.app import Json, show_json
from cutis.errors import CutisError
from cutis.report.words import NOTICE


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("import")(import_)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth or .pt state dict or checkpoint, or a Keras .h5 head.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="timm name of the network that the weights are of.")],
    classes: Annotated[str, typer.Option(metavar="A,B,...", help="The classes, in the order of the network's outputs.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder to make; one file where it ends with .zip.")] = Path("bundle"),
    size: Annotated[int, typer.Option(metavar="PIXELS", min=8, max=4096, help="Side at which the network answers.")] = 224,
    head: Annotated[
        str,
        typer.Option(metavar="LAYER,LAYER,...", help="Layers before the last dense one: pool,dense:128,relu; see cutis recipes --fields."),
    ] = "pool",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="How names begin in the file, and what to put there; repeatable."),
    ] = None,
    part: Annotated[str | None, typer.Option(metavar="NAME", help="Which entry of a checkpoint, where several hold weights.")] = None,
    weights: Annotated[
        str, typer.Option(metavar="pretrained|FILE", help="For a Keras head: the backbone's weights that it was trained on.")
    ] = "pretrained",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="images.fit=squash, model.scaling=unit, predict.views=8; repeatable."),
    ] = None,
    unconfined: Annotated[
        bool, typer.Option("--unconfined", help="Read it although this system cannot confine the process that does (Linux can).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn a published state dict into a bundle: weights only, read in a confined process, put in place tensor for tensor."""
    if not file.is_file():
        raise CutisError(f"There is no file {file}. Give the path of the published weights.")
    from cutis.cli.export import lines
    from cutis.export import bundle
    from cutis.jobs import importing

    asked = importing.Asked(
        backbone,
        _listed(classes),
        size,
        _listed(head),
        tuple(mapping or ()),
        part,
        weights,
        tuple(settings or ()),
        unconfined,
    )
    made = importing.take(file, out, asked)
    opened = bundle.open(made.folder)
    if as_json:
        parts = [dict(zip(made.matched.table.columns, row, strict=True)) for row in made.matched.parts]
        return show_json({"bundle": str(made.folder), "version": opened.version, "matched": parts, "held": made.held, "notice": NOTICE})
    for kept in made.held:
        typer.echo(f"Read apart: {kept}.")
    for part_, count, how, theirs, ours in made.matched.parts:
        typer.echo(f"{part_}: all {count} tensors, {how} ({theirs} is {ours} here, and so on).")
    for line in [*lines(opened.about), "It was not measured: see how it does on labelled images before it is believed.", NOTICE]:
        typer.echo(line)
    return typer.echo(made.folder)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()

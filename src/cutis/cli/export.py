"""The verbs export and pull: a run turned into a bundle to hand over, and a bundle fetched from where it was put."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cutis.cli.app import Json, progress, show_json
from cutis.cli.runs import FolderOfRun
from cutis.report import words
from cutis.report.words import NOTICE
from cutis.runs import Run

Out = Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder to make; one file where the name ends with .zip.")]


def add(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(export)
    app.command()(pull)


def export(
    run: FolderOfRun,
    out: Out = Path("bundle"),
    onnx: Annotated[bool, typer.Option("--onnx", help="Also as ONNX, compared with the original on real images.")] = False,
    openvino: Annotated[bool, typer.Option("--openvino", help="Also for OpenVINO, compared likewise.")] = False,
    images: Annotated[int, typer.Option(metavar="N", min=1, help="How many real images they are compared on.")] = 256,
    cases: Annotated[bool, typer.Option("--cases", help="Carry thumbnails of the training images, for the nearest known cases.")] = False,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="What allows that; shown with them.")] = "",
    no_scope: Annotated[
        bool, typer.Option("--no-scope", help="Leave out what tells that a picture is unlike the training images.")
    ] = False,
    push: Annotated[
        str, typer.Option(metavar="hf://OWNER/NAME|FOLDER", help="Also put it on the Hugging Face hub, or into a folder.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a bundle of RUN: all that it takes to answer, to be handed over, predicted with and served."""
    from cutis.export import bundle
    from cutis.jobs import exporting

    kinds = [kind for kind, wanted in (("onnx", onnx), ("openvino", openvino)) if wanted]
    wish = exporting.Wish(kinds, cases, licence, scope=not no_scope, images=images)
    made = exporting.export(Run.open(run), out, wish, progress=progress(as_json))
    opened = bundle.open(made)
    pushed = bundle.push(opened, push) if push else None
    if as_json:
        return show_json(_told(opened, made) | {"pushed": pushed})
    for line in lines(opened.about):
        typer.echo(line)
    if pushed:
        typer.echo(f"Pushed to {pushed}")
    typer.echo(NOTICE)
    return typer.echo(made)


def pull(
    where: Annotated[str, typer.Argument(metavar="hf://OWNER/NAME|BUNDLE", help="Where the bundle is.")],
    out: Out = Path("bundle"),
    as_json: Json = False,
) -> None:
    """Fetch a bundle, compare every part with its SHA-256, and write it to BUNDLE."""
    from cutis.export import bundle

    opened = bundle.open(where)
    made = bundle.copy(opened, out)
    if as_json:
        return show_json(_told(opened, made))
    for line in lines(opened.about):
        typer.echo(line)
    typer.echo(NOTICE)
    return typer.echo(made)


def lines(about: Any) -> list[str]:
    """What a bundle is, a line each: version, networks, other formats with their agreement, scope, sets of possible classes."""
    size = sum(file.bytes for file in about.files.values()) / 1e6
    many = words.count(len(about.members), "network")
    told = [f"Version {about.version}: {many}, {words.count(len(about.classes), 'class')}, {size:.1f} MB."]
    for member in about.members:
        for kind, parity in member.parity.items():
            told.append(
                f"{member.name} as {kind}: same class for {words.per_cent(parity.same_class)} of {words.count(parity.images, 'image')}, "
                f"largest difference of a probability {parity.largest_difference:.1e}, {parity.bytes / 1e6:.1f} MB."
            )
    if about.scope:
        passing = f"{words.per_cent(about.scope.in_scope)} of {words.count(about.scope.images, 'validation image')}"
        told.append(f"Out of scope: beyond the limit that lets {passing} pass.")
    else:
        told.append("Out of scope: never said, because the bundle has no limit.")
    told.append(f"Possible classes: {about.answer.why}")
    return [*told, *([about.about.leaks] if about.about.leaks else [])]


def _told(opened: Any, made: Path) -> dict[str, Any]:
    about = opened.about.model_dump(mode="json", exclude={"files", "fitted", "rule", "seal"})
    return {"bundle": str(made), **about}

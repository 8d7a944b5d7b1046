"""The verb predict: a bundle's answers for many pictures as a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutis.cli.app import Json, progress, show_json
from cutis.cli.runs import Outside
from cutis.errors import FINDINGS
from cutis.report.words import NOTICE, count, listed

if TYPE_CHECKING:
    from cutis.jobs import predicting

PICTURES = "Pictures: folders, zips, tables that name images (CSV), wild cards in quotes, or files."


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(predict)


def predict(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle (cutis export): a folder, a .zip, or hf://OWNER/NAME.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGES", help=PICTURES)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table of answers to make: .csv or .parquet.")] = Path("answers.csv"),
    maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw a heat map of each picture's answer, one PNG each, into this folder.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with answers that were stopped.")] = False,
    backend: Annotated[str, typer.Option(metavar="NAME", help="What computes: auto, eager, openvino or onnxruntime.")] = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="Number format: auto, fp32, bf16 or int8.")] = "auto",
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Answer pictures with a bundle. Memory stays flat; what cannot be read is listed, and the exit code is then 8."""
    from cutis.jobs import predicting

    found = predicting.predict(
        bundle,
        images,
        out,
        maps=maps,
        resume=resume,
        backend=backend,
        precision=precision,
        allow_outside=allow_outside or [],
        progress=progress(as_json),
    )
    if as_json:
        show_json(found.facts() | {"notice": NOTICE})
    else:
        typer.echo("\n".join([*lines(found), NOTICE, str(found.out)]))
    if found.unreadable is not None:
        raise typer.Exit(FINDINGS)


def lines(found: "predicting.Predicted") -> list[str]:
    """What was answered, in sentences."""
    verdicts = listed([f"{n:,} {verdict}" for verdict, n in found.verdicts.items()])
    rate = f", {found.rate:,.0f} pictures/s by {found.backend}" if found.rate else ""
    told = [f"{count(found.answered, 'picture')} answered{rate}: {verdicts}."]
    told.append("Most probable: " + ", ".join(f"{name} {n:,}" for name, n in found.predicted.items() if n) + ".")
    if found.unreadable is not None:
        first = "; ".join(f"{image} ({reason})" for image, reason in list(found.reasons.items())[:3])
        told.append(f"{count(found.images - found.answered, 'picture')} cannot be read: {first}. All are in {found.unreadable}.")
    return told

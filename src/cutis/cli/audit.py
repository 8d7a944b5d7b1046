"""The verb audit: what is wrong with a collection, and a cleaned table where that is wanted."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutis import recipe as recipes
from cutis.cli.app import Json, command, progress, show_json
from cutis.cli.runs import DATA, Map, Outside, read
from cutis.errors import FINDINGS, CutisError
from cutis.files import read_json
from cutis.report import words

if TYPE_CHECKING:
    from cutis.audit.mending import Mended


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(audit)


def audit(
    data: Annotated[list[str], typer.Argument(metavar="DATA", help=DATA)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where audit.html and audit.json go.")] = Path("audit"),
    split: Annotated[str | None, typer.Option(metavar="FILE:COLUMN", help="A CSV column with train, val, test for each image.")] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="FILE|FOLDER", help="Where lesions are: an .npz, or a folder with a mask for each image.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Only this check, such as copies; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only what takes no network and no minutes.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe, such as model.backbone=NAME.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a cleaned table there; needs --leave-out or --merge.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option("--leave-out", metavar="RULE", help="unreadable, copies, conflicting, suspects:50, ...; repeatable.")
    ] = None,
    merge: Annotated[list[str] | None, typer.Option(metavar="RULE", help="copies: put copies into one group; repeatable.")] = None,
    label_map: Map = None,
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with images and labels, before anything is trained on them."""
    from cutis.audit.mending import Plan
    from cutis.data import masks as lesions
    from cutis.jobs import inspection

    spec = recipes.with_settings(recipes.load(inspection.RECIPE), settings or [])
    names = [inspection.short(name) for name in inspection.chosen(only or [], quick)]
    if (leave_out or merge) and write is None:
        raise CutisError("Say where the cleaned table goes: --write FILE.csv")
    ui = progress(as_json)
    table, _ = read(data, label_map, split, allow_outside, ui)
    plan = Plan.of(write, leave_out or [], merge or [], table, names) if write else None
    known = lesions.read(masks) if masks else None
    found = inspection.audit(table, out, spec=spec, checks=names, quick=quick, masks=known, command=command(), progress=ui)
    mended = plan.carry_out(table, found.sections) if plan else None
    chosen = {rule.partition(":")[0] for rule in [*(leave_out or []), *(merge or [])]}
    code = FINDINGS if any(finding.rule not in chosen for finding in found.serious) else 0
    if as_json:
        show_json(read_json(found.folder / inspection.FILE) | {"page": str(found.page), "mended": mended and asdict(mended)})
        raise typer.Exit(code)
    for finding in found.findings:
        typer.echo(f"{finding.severity}: {finding.sentence} {finding.advice}".rstrip())
    if mended:
        _say_mended(mended)
    typer.echo(f"Found: {words.found(found.counts)}. {words.NOTICE}")
    typer.echo(found.page)
    raise typer.Exit(code)


def _say_mended(mended: "Mended") -> None:
    for rule, n in mended.changed.items():
        typer.echo(f"{rule}: {words.count(n, 'image')}")
    again = ["cutis", "train", str(mended.path), *(["--allow-outside", str(mended.outside)] if mended.outside else [])]
    typer.echo(f"{words.count(mended.kept, 'image')} written to {mended.path}, every change to {mended.log}")
    typer.echo(f"Train on it with: {shlex.join(again)}")

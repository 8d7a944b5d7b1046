"""Verbs about what there is: data sets, weights, recipes."""

from dataclasses import asdict
from typing import Annotated

import typer

from cutis import recipe as recipes
from cutis import settings
from cutis.cli.app import Json, show_json


def add(app: typer.Typer) -> None:
    """Add the verbs and their groups."""
    sets = typer.Typer(help="Public data sets: what they are, their licence, where a user gets them.", no_args_is_help=True)
    sets.command("list")(list_sets)
    sets.command("show")(show_set)
    app.add_typer(sets, name="data")
    weights = typer.Typer(help="Pretrained weights on this machine and on the hub.", no_args_is_help=True)
    weights.command("list")(list_weights)
    weights.command("get")(get_weights)
    app.add_typer(weights, name="weights")
    app.command("recipes")(list_recipes)


def list_sets(as_json: Json = False) -> None:
    """Public data sets by name."""
    from cutis.data import catalog

    if as_json:
        return show_json([asdict(c) for c in catalog.catalog.values()])
    for name, collection in catalog.catalog.items():
        typer.echo(f"{name}: {collection.title}")
    return None


def show_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the set.")],
    folder: Annotated[str | None, typer.Option(metavar="FOLDER", help="Check whether this folder holds it.")] = None,
    as_json: Json = False,
) -> None:
    """One data set: what it is, its faults, licence, citation, expected files."""
    from cutis.data import catalog

    lines = catalog.show(name)
    found = catalog.check(name, folder) if folder else []
    if as_json:
        return show_json(asdict(catalog.catalog[name.casefold()]) | {"check": [asdict(c) for c in found]})
    for line in lines:
        typer.echo(line)
    for check in found:
        typer.echo(f"  {'found' if check.ok else 'missing'}   {check.expected}: {check.found}")
    if any(not check.ok for check in found):
        raise typer.Exit(3)
    return None


def list_weights(as_json: Json = False) -> None:
    """Weights files in the local folder."""
    from cutis.models import weights

    files = sorted(weights.folder().glob("*.safetensors")) if weights.folder().is_dir() else []
    rows = [
        {"backbone": f.stem, "megabytes": round(f.stat().st_size / 1e6, 1), "licence": weights.licence(f.stem), "file": str(f)}
        for f in files
    ]
    if as_json:
        return show_json(rows)
    for row in rows:
        typer.echo(f"{row['backbone']}  {row['megabytes']} MB  {row['licence'] or 'licence not stated'}  {row['file']}")
    if not rows:
        typer.echo(
            f"No weights in {weights.folder()}. Fetch some with: cutis weights get NAME, or set CUTIS_WEIGHTS to a folder that has them."
        )
    return None


def get_weights(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A timm name, such as mobilenetv2_100.ra_in1k.")], as_json: Json = False
) -> None:
    """Fetch a backbone's weights from the hub into the local folder."""
    from cutis.models import weights

    path = weights.get(name)
    row = {"backbone": name, "megabytes": round(path.stat().st_size / 1e6, 1), "licence": weights.licence(name), "file": str(path)}
    if as_json:
        return show_json(row)
    return typer.echo(f"{row['file']}  {row['megabytes']} MB  licence: {row['licence'] or 'not stated'}")


def list_recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this recipe as JSON.")] = None,
    fields: Annotated[bool, typer.Option("--fields", help="List every field with its meaning and default.")] = False,
    as_json: Json = False,
) -> None:
    """List the recipes, one of them as JSON, or a recipe's fields."""
    if name:
        return typer.echo(recipes.load(name).to_json().rstrip())
    if fields:
        rows = settings.explained(recipes.Recipe)
        if as_json:
            return show_json(rows)
        for row in rows:
            typer.echo(f"{row['field']} = {row['default']}\n    {row['meaning']}")
        return None
    listed = [
        {"recipe": n, "description": make().description, "about": (make.__doc__ or "").strip()} for n, make in recipes.recipes.items()
    ]
    if as_json:
        return show_json(listed)
    for entry in listed:
        typer.echo(f"{entry['recipe']}: {entry['about']}")
    return None

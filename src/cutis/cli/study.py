"""study: the recipe book on the command line; list, show and run published studies."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cutis.cli.app import Json, command, progress, show_json
from cutis.cli.runs import Map, Outside, read
from cutis.errors import CutisError
from cutis.progress import Progress
from cutis.report import words

if TYPE_CHECKING:
    from cutis.studies.catalog import Given, Scale, Study

ALL = "all"


def add(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(help="Published studies, each rebuilt with one command and set beside its printed figures.", no_args_is_help=True)
    group.command("list")(list_studies)
    group.command("show")(show)
    group.command("run")(run)
    app.add_typer(group, name="study")


def list_studies(as_json: Json = False) -> None:
    """All studies: what they cost on two cores, and which data they need."""
    from cutis.studies.catalog import studies

    made = [make() for _, make in studies.items()]
    if as_json:
        return show_json([_listed(study) for study in made])
    for study in made:
        cost = f"about {study.cpu.minutes} min expected on two cores at the scale cpu" if study.cpu.minutes else "cost not stated"
        typer.echo(f"{study.name}: {study.title}\n    {words.count(len(study.arms), 'arm')}, {cost}\n    needs: {study.needs}")
    return None


def show(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a study.")], as_json: Json = False) -> None:
    """One study: what it is, its arms, the figures that were printed, how it is fitted to two cores."""
    from cutis.studies.catalog import studies

    study = studies[name]()
    if as_json:
        return show_json(_listed(study))
    typer.echo("\n".join(_shown(study, studies[name].__module__)))
    return None


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"Name of a study, or {ALL}.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where runs and page go; a study begun there goes on.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA", help="Images and labels; repeatable. Without it, at the scale smoke, pictures are drawn."),
    ] = None,
    scale: Annotated[Literal["smoke", "cpu", "full"], typer.Option(help="How far it is cut down; the page says how.")] = "cpu",
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]FILE:COLUMN", help="A CSV column with train, val, test; named where a study wants several."),
    ] = None,
    external: Annotated[list[str] | None, typer.Option(metavar="DATA", help="Data from elsewhere, to be answered; repeatable.")] = None,
    external_map: Annotated[
        list[str] | None, typer.Option("--external-map", metavar="OLD=NEW", help="As --map, for the data from elsewhere; repeatable.")
    ] = None,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="Take this backbone in place of every published one.")] = "",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start backbones whose weights are missing from random ones.")
    ] = False,
    arm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Make only this arm; repeatable.")] = None,
    label_map: Map = None,
    allow_outside: Outside = None,
    as_json: Json = False,
) -> None:
    """Carry a study out: train its arms, compare them with what was printed, write a page. The same command goes on where it stopped."""
    from cutis.studies.catalog import studies
    from cutis.studies.run import carry_out, index

    ui = progress(as_json)
    names = list(studies) if name == ALL else [name]
    if not data and (scale != "smoke" or external or split):
        raise CutisError("Name the data: cutis study run NAME --data DATA. Without data a study runs at --scale smoke, on drawn pictures.")
    given = _given(data, split or [], (external or [], external_map), label_map, allow_outside, ui) if data else None
    options = {"asked": tuple(arm or ()), "backbone": backbone, "from_scratch": from_scratch, "progress": ui, "command": command()}
    found: dict[str, dict[str, Any] | str] = {}
    failed: CutisError | None = None
    with _going_on():
        for each in names:
            try:
                work = _work(studies[each](), given, scale, out / each if name == ALL else out, options)
                found[each] = carry_out(work)
            except CutisError as error:
                if name != ALL:
                    raise
                failed, found[each] = error, str(error)
                ui.say(f"{each} is not carried out. {error}")
    page = index(out, found, command()) if name == ALL else out / "study.html"
    _conclude(found, page, as_json)
    if failed is not None:
        raise typer.Exit(failed.code)


def _work(study: "Study", given: "Given | None", scale: str, out: Path, options: dict[str, Any]) -> Any:
    from cutis.studies.run import drawn
    from cutis.studies.work import Work

    own = given or drawn(study, out, options["progress"])
    return Work(study, own, study.scale(scale), out, drawn=given is None, **options)


def _given(
    data: list[str],
    split: Sequence[str],
    external: tuple[list[str], list[str] | None],
    label_map: list[str] | None,
    allow_outside: list[str] | None,
    ui: Progress,
) -> "Given":
    from cutis.studies.catalog import Given

    table, _ = read(data, label_map, None, allow_outside, ui)
    elsewhere = read(*external, None, allow_outside, ui)[0] if external[0] else None
    return Given(table, dict(_named(text) for text in split), elsewhere)


def _named(text: str) -> tuple[str, str]:
    """NAME=FILE:COLUMN, or FILE:COLUMN under the empty name."""
    name, equals, file = text.partition("=")
    return (name, file) if equals and ":" not in name and "/" not in name else ("", text)


@contextmanager
def _going_on() -> Iterator[None]:
    """Adds to an interruption how to go on."""
    from cutis.train.checkpoint import Interrupted

    try:
        yield
    except Interrupted as stopped:
        stopped.add_note("All is saved; the same command goes on.")
        raise


def _conclude(found: dict[str, dict[str, Any] | str], page: Path, as_json: bool) -> None:
    from cutis.studies.tables import verdict

    if as_json:
        return show_json({"page": str(page), "studies": found, "notice": words.NOTICE})
    for name, told in found.items():
        typer.echo(f"{name}: {told if isinstance(told, str) else verdict(told)}")
    typer.echo(words.NOTICE)
    return typer.echo(page)


def _listed(study: "Study") -> dict[str, Any]:
    """A study as data."""
    return {
        "study": study.name,
        "title": study.title,
        "paper": study.paper,
        "needs": study.needs,
        "expects": study.expects,
        "cpu": vars(study.cpu),
        "arms": [
            {"name": arm.name, "title": arm.title, "ours": arm.ours, "data": arm.data, "recipes": [r.name for r in arm.plan()]}
            for arm in study.arms
        ],
        "published": [
            {"title": t.title, "columns": t.columns, "rows": {k: [c and c.printed for c in cells] for k, cells in t.rows.items()}}
            for t in study.published
        ],
        "honest": study.honest,
    }


def _shown(study: "Study", module: str) -> list[str]:
    """A study in lines to read."""
    import sys

    lines = [(sys.modules[module].__doc__ or study.paper).strip(), "", f"needs: {study.needs}", f"expects: {study.expects}", "", "Arms"]
    for arm in study.arms:
        ours = " (ours)" if arm.ours else ""
        plan = "; ".join(recipe.description for recipe in arm.plan())
        lines.append(f"  {arm.name}: {arm.title or arm.name}{ours}. {plan}".rstrip())
    for table in study.published:
        lines += ["", f"Printed: {table.title} ({', '.join(table.columns)})"]
        for row, cells in table.rows.items():
            lines.append(f"  {row}: " + ", ".join("-" if c is None or c.printed is None else f"{c.printed:g}" for c in cells))
    lines += ["", f"At the scale cpu: {_limits(study.cpu)}"]
    again = shlex.join(["cutis", "study", "run", study.name, "--data", "DATA", "--scale", "cpu", "--out", study.name])
    return [*lines, "", f"Run it: {again}", words.NOTICE]


def _limits(scale: "Scale") -> str:
    said = [f"{key} {value:,}" for key, value in vars(scale).items() if isinstance(value, int)]
    return ", ".join(said) or "as published"

"""A study's tables as Markdown, for documentation."""

from cutis.report import words
from cutis.studies import tables
from cutis.studies.context import Context
from cutis.studies.tables import images, verdict
from cutis.tabular import as_markdown


def markdown(context: Context) -> str:
    """The study's tables as Markdown."""
    told, study = context.told, context.study
    lines = [f"# {study.title}", "", f"{study.paper} {images(told)}", "", f"Scale {told['scale']['name']}. {verdict(told)}", ""]
    lines += [f"> {words.NOTICE}", "", "```", told["command"], "```", "", made(told), ""]
    for table in told["published"]:
        sides = tables.sides(told, table)
        lines += [f"## {table['title']}", "", *as_markdown(tables.published(table)), "", *(f"- {k}: {v}" for k, v in sides.items()), ""]
        lines += [*as_markdown(tables.why(table)), ""]
    further = [
        tables.arms(told),
        tables.costs(told),
        tables.sets(told),
        *tables.pairs(told),
        *tables.subsets(told),
        tables.changes(told),
        tables.ours(told),
    ]
    for each in [*further, tables.data(told)]:
        lines += [f"## {each.caption}", "", *as_markdown(each), ""] if each.rows else []
    lines += ["## What is done otherwise here", "", *(f"- {line}" for line in study.honest), ""] if study.honest else []
    return "\n".join(lines).rstrip() + "\n"


def made(told: tables.Told) -> str:
    """On which machine, when, and how long the arms took."""
    machine, seconds = told["machine"], sum(arm["seconds"] for arm in told["arms"])
    place = f"{machine['cpu']}, {words.count(machine['cores'], 'core')}, {machine['gpu'] or 'no GPU'}"
    return f"Made on {place}, {told['finished'][:10]}, by Cutis {told['cutis']}. The arms took {words.duration(seconds)} in all."

"""Facts about for whom it works: how groups of people and pictures were compared, and which one it serves worst."""

from cutis.evaluate.slices import worst
from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.report.opening import headline


@facts.register("comparing_groups")
def comparing_groups(context: Context) -> str:
    """Which groups were compared, and how many tests were corrected for."""
    told = context.figures.get("slices")
    if not told or not told["tests"]:
        return ""
    ways = words.listed([way["title"].lower() for way in told["by"].values()])
    return (
        f"Figures were compared by {ways}, each group with all other images of known value; groups of fewer than {told['few']} were left "
        f"out, and p values corrected by Holm's method over up to {told['tests']} comparisons of a figure."
    )


@facts.register("groups")
def groups(context: Context) -> str:
    """The group that is served worst, and whether that is sure."""
    told = context.figures.get("slices")
    if not told or not told["by"]:
        return ""
    if not told["tests"]:
        return f"No kind of people or pictures has the {told['few']} groups of images in two of its values that a comparison needs."
    name = headline(context.figures)[0]
    found = worst(told, name)
    if found is None:
        return f"In no group was {words.label(name).lower()} below that of the rest."
    figure = found.told["figures"][name]
    gap = f"{figure['gap']['value']:+.3f} [{figure['gap']['low']:+.3f}, {figure['gap']['high']:+.3f}]"
    sure = "" if found.sure else ", which may be chance"
    of = f"{found.title.lower()} {found.group} ({words.count(found.told['n'], 'image')})"
    return f"The group furthest below the rest was {of}: {words.label(name).lower()} {words.figure(figure)}, a gap of {gap}{sure}."

"""The tables of a study as plain text, from study.json alone: the page and the Markdown show the same ones."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cutis.evaluate.paired import settled
from cutis.report import words
from cutis.report.parts.ensemble import signed
from cutis.tabular import Cell, Link, Table

Told = Mapping[str, Any]
FIRST = ("accuracy", "balanced_accuracy", "auroc_macro")


def verdict(told: Told) -> str:
    """How many printed figures are reached, in a sentence."""
    verdicts = [cell["verdict"] for table in told["published"] for row in table["rows"].values() for cell in row if cell]
    if told["scale"]["name"] == "smoke":
        return "A trial run: its figures say only that everything works."
    judged = [v for v in verdicts if v]
    if not judged:
        return "No figures were printed: the arms are compared with one another."
    counts = {v: judged.count(v) for v in ("reached", "not reached", "not comparable", "not run") if v in judged}
    said = words.listed([f"{n} {'is' if n == 1 else 'are'} {v}" for v, n in counts.items()])
    return f"Of {words.count(len(judged), 'printed figure')} {said}."


def images(told: Told) -> str:
    """On what the study ran, in a sentence."""
    if told["drawn"]:
        return "Here it runs on pictures that Cutis draws: nothing is comparable."
    largest = max(told["data"].values(), key=lambda table: int(table["images"]))
    return f"Here it runs on {words.count(largest['images'], 'image')} in {words.count(largest['groups'], 'group')}."


def figure(told: Told | None) -> str:
    """``0.849 [0.828, 0.869]``, and below it mean and spread over seeds."""
    spread = f"\n{told['seeds']} seeds\n{words.number(told['mean'])} ± {words.number(told['sd'])}" if told and "sd" in told else ""
    return words.figure(told) + spread


def printed(table: Told) -> bool:
    """Whether a study's table has a printed figure, or only sets ours side by side."""
    return any(cell and cell["printed"] is not None for cells in table["rows"].values() for cell in cells)


def published(table: Told) -> Table:
    """A printed table with ours in the same rows and columns; where nothing was printed, ours alone above their majority line."""
    own = table["rows"]
    if printed(table):
        rows = [[name, *map(_beside, cells)] for name, cells in own.items()]
    else:
        rows = [[name, *(figure(cell["ours"]) if cell else "" for cell in cells)] for name, cells in own.items()]
        rows.append(["majority line", *map(_majority, zip(*own.values(), strict=True))])
    return Table(table["title"], ("", *table["columns"]), rows)


def _majority(cells: Sequence[Told | None]) -> str:
    """What always answering the commonest class gives in a column; several where its rows are measured on several sets."""
    lines = {words.number(cell["baseline"]) for cell in cells if cell and cell["baseline"] is not None}
    return "\n".join(sorted(lines))


def _beside(cell: Told | None) -> str:
    if cell is None:
        return ""
    printed = [f"printed {words.number(cell['printed'])}"] if cell["printed"] is not None else []
    ours = [f"ours {figure(cell['ours'])}"] if cell["ours"] is not None else []
    line = [f"majority line {words.number(cell['baseline'])}"] if cell["baseline"] is not None else []
    return "\n".join([*printed, *ours, *line, *filter(None, [cell["verdict"]])])


def why(table: Told) -> Table:
    """What decided each verdict, and what else differs; equal reasons share a line."""
    places: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    for name, cells in table["rows"].items():
        for column, cell in zip(table["columns"], cells, strict=True):
            for kind, reason in _reasons(cell) if cell else ():
                places[kind, reason].setdefault(name, []).append(column)
    full = {name: sum(1 for cell in cells if cell) for name, cells in table["rows"].items()}

    def said(at: Mapping[str, Sequence[str]]) -> str:
        """Where a reason holds: everywhere, in whole rows, or in single cells."""
        if sum(map(len, at.values())) == sum(full.values()) > 1:
            return "all"
        return "; ".join(name if len(columns) == full[name] > 1 else f"{name}, {', '.join(columns)}" for name, columns in at.items())

    rows = [[kind, reason, said(at)] for (kind, reason), at in places.items()]
    return Table("What decided, and what else differs", ("", "reason", "cells"), rows, ("reason", "cells"))


def _reasons(cell: Told) -> Iterable[tuple[str, str]]:
    if cell["why"] and cell["verdict"] in ("not comparable", "not run"):
        yield cell["verdict"], cell["why"]
    if cell["ours"] is not None:
        for remark in cell["remarks"]:
            yield "differs", remark


def sides(told: Told, table: Told) -> dict[str, str]:
    """How each side of a table divided the images and what it measured."""
    used = {cell["arm"] for cells in table["rows"].values() for cell in cells if cell}
    arms = [arm for arm in told["arms"] if arm["name"] in used]
    here = dict.fromkeys(told["data"][arm["data"]]["how"] for arm in arms if arm["data"] in told["data"])
    held = sorted({arm["sets"]["test"]["n"] for arm in arms if "test" in arm["sets"]})
    count = f", {words.listed([f'{n:,}' for n in held], 'or')} test images" if held else ""
    split = ("; ".join(here) or "the arms were not made") + count
    if not printed(table):
        return {"split": split, "figures": f"{table['definition']} Intervals by bootstrap over groups."}
    return {
        "their split": table["split"],
        "our split": split,
        "their figures": table["definition"],
        "our figures": "each image once, by its most probable class; intervals by bootstrap over groups",
        "reached": "the printed figure does not lie above the upper limit of ours",
    }


def arms(told: Told) -> Table:
    """Every arm: what it is and its first figures on its test images."""
    columns = ("arm", "what it is", "test images", *map(words.label, FIRST))
    return Table("The arms on their test images", columns, [_arm(arm) for arm in told["arms"]], ("what it is",))


def costs(told: Told) -> Table:
    """What every arm takes: training, and each answer."""
    rows = []
    for arm in told["arms"]:
        speed = [f"{arm['latency'][n]:,.1f}" for n in ("1", "32")]
        parameters = f"{arm['parameters']:,}" if arm["parameters"] else ""
        rows.append([arm["title"], parameters, words.duration(arm["seconds"]), *speed, arm["latency"]["engine"]])
    columns = ("arm", "parameters", "training and measuring", "ms an image, one at once", "ms an image, 32 at once", "computed by")
    return Table("Time and latency", columns, rows, ("computed by",))


def _arm(arm: Told) -> list[Cell]:
    held = arm["sets"].get("test", {"n": 0, "figures": {}, "baseline": {}})
    figures = []
    for name in FIRST:
        line = held["baseline"].get(name)
        figures.append(figure(held["figures"].get(name)) + (f"\nmajority line {words.number(line)}" if line is not None else ""))
    what = [f"{arm['backbone']}, {_started(arm)}" if arm["backbone"] else f"ensemble of {', '.join(arm['members'])}"]
    what += ["(ours)"] * arm["ours"] + ["TRAINED WITH LEAKS: too good to be believed"] * arm["leaks"]
    return [Link(arm["title"], arm["page"]), "\n".join(what), f"{held['n']:,}", *figures]


def _started(arm: Told) -> str:
    return "random weights" if arm["weights"].startswith("none") else "pretrained"


def sets(told: Told) -> Table:
    """The arms on every other set they answered."""
    rows = []
    for arm in told["arms"]:
        for name, held in arm["sets"].items():
            if name != "test" and held["n"]:
                figures = [figure(held["figures"].get(f)) for f in FIRST]
                rows.append([arm["title"], name, f"{held['n']:,}", *figures, _line(held)])
    columns = ("arm", "set", "images", *map(words.label, FIRST), "majority line of accuracy")
    return Table("Validation and other sets", columns, rows, ("set",))


def _line(held: Told) -> str:
    line = held["baseline"].get("accuracy")
    return "" if line is None else words.number(line)


def pairs(told: Told) -> list[Table]:
    """Paired differences, a table for each set of figures that is asked for."""
    groups: dict[tuple[str, ...], list[list[Cell]]] = defaultdict(list)
    for pair in (pair for pair in told["pairs"] if pair["figures"]):
        named = [f"{_title(told, pair['first'])} less {_title(told, pair['second'])}", f"{pair['at']}, {words.count(pair['n'], 'image')}"]
        groups[tuple(pair["figures"])].append([*named, *(_difference(d) for d in pair["figures"].values()), _either(pair)])
    found = []
    for names, rows in groups.items():
        kinds = list(dict.fromkeys(words.label(name.partition("/")[0]) + (" of each class" if "/" in name else "") for name in names))
        columns = ("pair", "on", *map(words.label, names), "only first : only second right")
        found.append(Table(f"First less second: {words.listed(kinds)}", columns, rows, ("on",)))
    return found


def impossible(told: Told) -> list[str]:
    """Pairs that could not be compared, and why."""
    return [f"{pair['first']} against {pair['second']} on {pair['at']}: {pair['cannot']}" for pair in told["pairs"] if pair["cannot"]]


def _difference(found: Told) -> str:
    if found["value"] is None:
        return "n/a"
    said = {1: "first is higher", -1: "second is higher", 0: "cannot be told apart"}[settled(found)]
    p = f"\np {words.p_value(found['p'])}, all pairs {words.p_value(found['p_holm'])}" if found.get("p_holm") is not None else ""
    return f"{signed(found)}\n{said}{p}"


def _either(pair: Told) -> str:
    found = pair.get("mcnemar")
    return f"{found['only_first']:,} : {found['only_second']:,}\np {words.p_value(found['p'])}" if found else ""


def subsets(told: Told) -> list[Table]:
    """For each part of the test images the arms that answered it."""
    found = []
    for subset in told["subsets"]:
        rows = [
            [_title(told, arm), at, f"{held['n']:,}", *(figure(held["figures"].get(f)) for f in FIRST), _line(held)]
            for arm, answered in subset["arms"].items()
            for at, held in answered.items()
        ]
        columns = ("arm", "set", "images", *map(words.label, FIRST), "majority line of accuracy")
        found += [Table(subset["title"], columns, rows, ("set",))] if rows else []
    return found


def data(told: Told) -> Table:
    """The tables: how many images, how they are divided."""
    rows: list[list[Cell]] = []
    for name, table in told["data"].items():
        parts = ", ".join(f"{part} {n:,}" for part, n in table["parts"].items()) or "no parts"
        classes = ", ".join(f"{c} {n:,}" for c, n in table["classes"].items())
        used = f"{table['used']:,}" + (f"\n{'; '.join(table['cut'])}" if table["cut"] else "")
        rows.append([name or "the data", f"{table['images']:,}", f"{table['groups']:,}", used, parts, table["how"], classes])
    columns = ("table", "images", "groups", "used", "parts", "divided", "classes")
    return Table("The data", columns, rows, ("parts", "divided", "classes"))


def ours(told: Told) -> Table:
    """Settings that the publication leaves open and what is taken for them; equal ones share a line."""
    return _shared(told, "(ours): what the publication leaves open", ("setting", "value (ours)", "arms"), _assumed)


def changes(told: Told) -> Table:
    """What is done otherwise than published or planned, because of the scale, the backbone or the weights at hand."""
    return _shared(told, "Done otherwise", ("", "what", "arms"), lambda arm: [("here", line) for line in arm["changed"]])


def _assumed(arm: Told) -> list[tuple[str, str]]:
    return [(a["field"], words.setting(a["value"])) for a in arm["assumptions"]]


def _shared(told: Told, caption: str, columns: tuple[str, str, str], lines: Callable[[Told], list[tuple[str, str]]]) -> Table:
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for arm in told["arms"]:
        for line in lines(arm):
            places[line].append(arm["title"])
    rows = [[*line, "all" if len(who) == len(told["arms"]) > 1 else ", ".join(who)] for line, who in places.items()]
    return Table(caption, columns, rows, columns[1:])


def _title(told: Told, name: str) -> str:
    return next((arm["title"] for arm in told["arms"] if arm["name"] == name), name)

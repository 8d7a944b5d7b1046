"""The Markdown table of what the benchmarks found, made from their JSON files and from nothing else: ``python -m benchmarks._table``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "benchmarks"
HEAD = ("row", "case", "peer", "Cutis", "a unit", "the peer", "ratio (smallest to largest)", "CPU ratio", "target", "")

Found = Sequence[Mapping[str, Any]]


def write(folder: Path) -> Path:
    """Make ``FOLDER.md``, beside the folder, from all its JSON files."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    page = folder.with_suffix(".md")
    page.write_text(f"{opening(found)}\n{lines(found)}\n{closing(found)}", "utf-8")
    return page


def opening(found: Found) -> str:
    """What the table is and how much of it was reached."""
    verdicts = [ratio["reached"] for *_, ratio in compared(found) if ratio["target"] is not None]
    reached, below = verdicts.count(True), verdicts.count(False)
    return f"""# Speed, against what people use now

Made by `make bench`; nothing here is written by hand. The ratio is the peer's seconds over ours, the median of pairs measured one after
the other (at least five), with the smallest and the largest; a peer called `limit` is what the machine can do at best, so its target is
below 1. Seconds are of the whole job: wall, and CPU of all processes in brackets. Each side runs in a process of its own, the other one
stopped meanwhile. *Extrapolated*: fewer units than the job were run, and the seconds multiplied. *Derived*: worked out from another row.

Of {len(verdicts)} targets {reached} are reached, {below} missed, {len(verdicts) - reached - below} not measured.
"""


def lines(found: Found) -> str:
    """The table: a line for each case and peer."""
    table = [f"| {' | '.join(HEAD)} |", "|---|---|---|---:|---:|---:|---:|---:|---:|---|"]
    for row, case, peer, side, ratio in compared(found):
        ours = next(iter(case["sides"].values()))
        cells = [row["title"], case["name"], peer, _seconds(ours, case["job"]), _unit(ours, case["job"], row["unit"])]
        cells += [_seconds(side, case["job"]), *_ratio(ratio), _verdict(ours, side, ratio, case)]
        table.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(table) + "\n"


def compared(found: Found) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], str, Mapping[str, Any], Mapping[str, Any]]]:
    """Row, case, peer, the peer's side and its ratio; first the measured peers of a case, then the derived ones."""
    for row in found:
        for case in row["cases"]:
            for peer, ratio in case["ratios"].items():
                yield row, case, peer, case["sides"][peer], ratio
            for peer in case["derived"]:
                yield row, case, peer["peer"], *_derived(found, case, peer)


def _derived(found: Found, case: Mapping[str, Any], peer: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Side and ratio of a peer that was not run."""
    ours = next(iter(case["sides"].values()))
    takes, besides = (_part(found, peer[which]) if peer[which] else 0.0 for which in ("takes", "besides"))
    ratio: dict[str, Any] = {"value": None, "low": None, "high": None, "cpu": None, "target": peer["target"], "reached": None}
    if takes is None or besides is None or "seconds" not in ours:
        absent = next((peer[which] for which, value in (("takes", takes), ("besides", besides)) if value is None), None)
        return {"skipped": f"derived from the row {absent['row']}, {absent['case']}, which has no figure" if absent else "no figure"}, ratio
    value = takes / (ours["seconds"] + besides)
    ratio |= {"value": value, "low": value, "high": value, "reached": value >= peer["target"]}
    more = f", and {_short(besides)} s added to ours" if besides else ""
    return {"seconds": takes, "derived": f"{peer['why']}{more}"}, ratio


def _part(found: Found, part: Mapping[str, Any]) -> float | None:
    """Seconds of so many units of a side that another row measured."""
    for row in found:
        for case in row["cases"]:
            side = case["sides"].get(part["side"], {})
            if (row["row"], case["name"]) == (part["row"], part["case"]) and "seconds" in side:
                return float(side["seconds"]) / case["job"] * part["units"]
    return None


def closing(found: Found) -> str:
    """Notes, and where, when and with what each row was measured."""
    notes, wheres = [], []
    for row in found:
        runs: dict[str, list[Mapping[str, Any]]] = {}
        for case in row["cases"]:
            said = "; ".join(f"{side}: {', '.join(of['remarks'])}" for side, of in case["sides"].items() if of["remarks"])
            if note := " ".join(filter(None, [case["note"], said and f"({said})"])):
                notes.append(f"- {row['title']}, {case['name']}: {note}")
            runs.setdefault(json.dumps(case["where"]), []).append(case)
        for where, cases in runs.items():
            names = "" if len(runs) == 1 else f" ({', '.join(case['name'] for case in cases)})"
            wheres.append(f"- {row['title']}{names}: {_where(json.loads(where), cases)}")
    return "\n".join(["## Notes", "", *notes, "", "## Where and when", "", *wheres, ""])


def _where(where: Mapping[str, Any], cases: Found) -> str:
    about = where["machine"]
    chip = f"{about['cpu']}, {about['threads']} of {about['cores']} cores ({', '.join(about['instructions']) or 'no vector units known'})"
    gpu = f", {about['gpu']}" if about["gpu"] else ""
    load = max(case["load"] for case in cases)
    sides = [side for case in cases for side in case["sides"].values()]
    versions = {name: version for side in sides for name, version in side["versions"].items()}
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"{where['date']}, {chip}{gpu}, {about['memory_gb']:g} GB, load average before it at most {load:g}. `{where['command']}`. "
        f"Python {where['python']}, {libraries or 'nothing ran'}."
    )


def _seconds(side: Mapping[str, Any], job: int) -> str:
    if "derived" in side:
        return f"{_short(side['seconds'])} s (derived: {side['derived']})"
    if "seconds" not in side:
        return ""
    part = f", extrapolated from {min(side['units']):,} of {job:,}" if side["extrapolated"] else ""
    return f"{_short(side['seconds'])} s ({_short(side['cpu_seconds'])}{part})"


def _unit(side: Mapping[str, Any], job: int, unit: str) -> str:
    if "seconds" not in side:
        return ""
    each = side["seconds"] / job
    scale, name = next(((scale, name) for scale, name in ((1, "s"), (1e3, "ms")) if each * scale >= 1), (1e6, "µs"))
    return f"{_short(each * scale)} {name} per {unit.removesuffix('s')}"


def _ratio(ratio: Mapping[str, Any]) -> list[str]:
    target = "" if ratio["target"] is None else f"{ratio['target']:.3g}" if ratio["target"] < 1 else f"{ratio['target']:,g}"
    if ratio["value"] is None:
        return ["", "", target]
    spread = "" if ratio["low"] == ratio["high"] else f" ({_short(ratio['low'])} to {_short(ratio['high'])})"
    return [f"{_short(ratio['value'])}{spread}", "" if ratio["cpu"] is None else _short(ratio["cpu"]), target]


def _verdict(ours: Mapping[str, Any], peer: Mapping[str, Any], ratio: Mapping[str, Any], case: Mapping[str, Any]) -> str:
    """Reached or missed, or why there is no figure."""
    for side, name in ((ours, "Cutis"), (peer, "the peer")):
        for what in ("failed", "skipped"):
            if what in side:
                return f"{'**failed**' if what == 'failed' else 'not run'}: {name}: {side[what]}"
    words = {True: "reached", False: "**below**", None: "no target"}[ratio["reached"]]
    return words + (f"; others took {case['others']:.0%} of the machine" if case["busy"] else "")


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    print(write(FOLDER))

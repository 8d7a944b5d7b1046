"""Measures a row of the benchmark table: a worker process for each side, repeats A B A B ..., medians, JSON and the table made anew.

A row file holds ``ROW``, ``prepare`` and nothing else that is measured; it ends with ``harness.main(ROW, prepare)``:

    python -m benchmarks.NAME [--repeats N] [--case NAME ...] [--quick] [--out FOLDER]

``--quick`` is for trying a row out: nothing is written unless ``--out`` names a folder. Cases that are not measured, or that this machine
skips, keep what was found before.
"""

import argparse
import inspect
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _table
from benchmarks._worker import BrokenError, SkipError, Worker, remark

__all__ = ["Case", "Derived", "Part", "Row", "SkipError", "keep", "main", "measure", "quick", "ratio", "remark"]

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "benchmarks"
FORMAT = "cutis-benchmark-1"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENCV_FOR_THREADS_NUM")
REPEATS = 5
BUSY = 0.1  # share of the processor that others may take before the figures are marked

Prepare = Callable[[str, str], Callable[[], int]]


@dataclass(frozen=True)
class Part:
    """So many units of the work of a side of another row's case, as that row measured it."""

    row: str  # the file's name
    case: str
    side: str
    units: int


@dataclass(frozen=True)
class Derived:
    """A peer that is not run: its seconds are worked out from what another row measured, and so the table says."""

    peer: str
    target: float
    takes: Part  # the peer's whole job
    besides: Part | None  # what our job needs before what the case measures
    why: str


@dataclass(frozen=True)
class Case:
    """One line (or several, one a peer) of the table."""

    name: str
    sides: tuple[str, ...]  # the first is ours
    targets: Mapping[str, float]  # peer -> the ratio wanted, peer seconds / our seconds; below 1 for a peer named "limit"
    job: int  # units in the whole job; a repeat that does fewer is multiplied and marked
    note: str = ""
    derived: tuple[Derived, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of the issue: several cases of one kind of work, counted in ``unit``."""

    title: str
    unit: str
    cases: tuple[Case, ...]


def quick() -> bool:
    """Whether the row is only tried out: sizes may be as small as they can be."""
    return bool(os.environ.get("CUTIS_BENCH_QUICK"))


def main(row: Row, prepare: Prepare, arguments: Sequence[str] | None = None) -> None:
    """Measure the row's cases and write what was found; ends with code 1 where a side broke."""
    parser = argparse.ArgumentParser(description=row.title)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--case", action="append", choices=[case.name for case in row.cases], help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="try it out: small sizes where the row has them")
    parser.add_argument("--out", type=Path, help="folder of the JSON files (docs/results/benchmarks)")
    chosen = parser.parse_args(arguments)
    file = Path(inspect.getfile(prepare)).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end too
    out = chosen.out or (None if chosen.quick else RESULTS)
    found = measure(row, file, chosen.repeats, chosen.case, chosen.quick)
    if out:
        keep(found, row, out / f"{file.stem}.json")
        _table.write(out)
    print(_table.lines([found]))
    if any("failed" in side for case in found["cases"] for side in case["sides"].values()):
        sys.exit(1)


def measure(row: Row, file: Path, repeats: int = REPEATS, names: Sequence[str] | None = None, small: bool = False) -> dict[str, Any]:
    """What the JSON file holds: the row, where and when it was measured, and each case with its sides and ratios."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    environment = os.environ | dict.fromkeys(THREADS, "1" if small else str(len(cores))) | ({"CUTIS_BENCH_QUICK": "1"} if small else {})
    where = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": f"python -m benchmarks.{file.stem}{'' if repeats == REPEATS else f' --repeats {repeats}'}{' --quick' if small else ''}",
        "python": platform.python_version(),
        "machine": _machine(len(cores)),
    }
    chosen = [case for case in row.cases if not names or case.name in names]
    cases = [_case(case, file, repeats, cores, environment) | {"where": where} for case in chosen]
    return {"format": FORMAT, "row": file.stem, "title": row.title, "unit": row.unit, "cases": cases}


def keep(found: Mapping[str, Any], row: Row, file: Path) -> None:
    """Write the row's file: what was found, and of the other cases what the file has of them."""
    before = json.loads(file.read_text("utf-8"))["cases"] if file.is_file() else []
    cases = {case["name"]: case for case in before}
    for case in found["cases"]:
        if case["name"] not in cases or any("skipped" not in side for side in case["sides"].values()):
            cases[case["name"]] = case
    text = json.dumps(
        dict(found) | {"cases": [cases[c.name] for c in row.cases if c.name in cases]}, indent=1, ensure_ascii=False, allow_nan=False
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", "utf-8")


def _case(case: Case, file: Path, repeats: int, cores: Sequence[int], environment: Mapping[str, str]) -> dict[str, Any]:
    """Both sides of a case, one at a time, and their ratios."""
    load, others = os.getloadavg()[0], _others()
    if others > BUSY:
        print(f"Other processes take {others:.0%} of this machine: wait for them to end, or take no figure of this run.", file=sys.stderr)
    print(f"{case.name}: {', '.join(case.sides)}", file=sys.stderr, flush=True)
    sides: dict[str, dict[str, Any]] = {side: {"units": [], "wall": [], "cpu": [], "versions": {}, "remarks": []} for side in case.sides}
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(file, case.name, side, cores, environment)) for side in case.sides}
        for step in ("prepare", "warm", *["run"] * repeats):
            for side, worker in list(workers.items()):
                try:
                    said = worker.ask("run" if step == "warm" else step)
                except BrokenError as broken:
                    sides[side]["skipped" if broken.skipped else "failed"] = str(broken)
                    print(f"  {side}: {broken}", file=sys.stderr, flush=True)
                    del workers[side]
                    continue
                if step == "run":
                    print(f"  {side}: {said['units']:,} in {said['wall']:.3f} s", file=sys.stderr, flush=True)
                    for key in ("units", "wall", "cpu"):
                        sides[side][key].append(said[key])
                    sides[side] |= {"versions": said["versions"], "remarks": said["remarks"]}
    for side in sides.values():
        _summarise(side, case.job)
    ours = sides[case.sides[0]]
    return {
        "name": case.name,
        "job": case.job,
        "note": case.note,
        "derived": [asdict(peer) for peer in case.derived],
        "load": round(load, 2),
        "others": round(others, 3),
        "busy": others > BUSY,
        "sides": sides,
        "ratios": {peer: ratio(ours, sides[peer], case.job, case.targets.get(peer)) for peer in case.sides[1:]},
    }


def _summarise(side: dict[str, Any], job: int) -> None:
    """Median seconds of the whole job, wall and CPU, and whether fewer units than the job were run."""
    if side["wall"] and "failed" not in side:
        side["seconds"] = statistics.median(_whole(side, "wall", job))
        side["cpu_seconds"] = statistics.median(_whole(side, "cpu", job))
        side["extrapolated"] = min(side["units"]) < job


def _whole(side: Mapping[str, Any], key: str, job: int) -> list[float]:
    return [spent * job / units for spent, units in zip(side[key], side["units"], strict=True)]


def ratio(ours: Mapping[str, Any], peer: Mapping[str, Any], job: int, target: float | None) -> dict[str, Any]:
    """Peer seconds over ours: the median of the pairs, their extremes, the same of CPU seconds, and whether the target is reached."""
    missing = {"value": None, "low": None, "high": None, "cpu": None, "target": target, "reached": None}
    if "seconds" not in ours or "seconds" not in peer:
        return missing
    wall, cpu = ([p / o for o, p in zip(_whole(ours, k, job), _whole(peer, k, job), strict=True)] for k in ("wall", "cpu"))
    value = statistics.median(wall)
    reached = None if target is None else value >= target
    return {"value": value, "low": min(wall), "high": max(wall), "cpu": statistics.median(cpu), "target": target, "reached": reached}


def _others() -> float:
    """Share of the processor that is busy now, while nothing of ours runs, over one second."""
    import psutil

    return float(psutil.cpu_percent(interval=1.0)) / 100


def _machine(threads: int) -> dict[str, Any]:
    """The machine as ``cutis doctor`` sees it, with the instructions that decide the speed of bf16."""
    from cutis import machine

    info = Path("/proc/cpuinfo")
    flags = info.read_text("utf-8").split() if info.is_file() else []
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return machine.describe() | {"threads": threads, "instructions": fast}

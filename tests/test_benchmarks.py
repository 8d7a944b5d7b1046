"""The benchmarks: the harness measures and survives what sides do, the table tells what was missed, a row is cheap to import."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import _harness as harness
from benchmarks import _table as table

FOLDER = Path(harness.__file__).parent
ROWS = sorted(path.stem for path in FOLDER.glob("[!_]*.py") if "harness.main(" in path.read_text("utf-8"))
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "tensorflow",
    "keras",
    "sklearn",
    "openvino",
    "onnx",
    "onnxruntime",
    "pandas",
    "cv2",
    "PIL",
    "scipy",
)

TOY = '''
"""A row whose sides sleep, print, die and are absent."""
import os
import sys
import time

from benchmarks import _harness as harness

SIDES = ("cutis", "slow", "noisy", "dead", "raising", "absent", "unable")
ROW = harness.Row(
    "Toy", "thing", (harness.Case("all", SIDES, {"slow": 2, "noisy": 1e9}, 10, "a note"), harness.Case("other", ("cutis", "slow"), {}, 10))
)


def prepare(case, side):
    if side == "absent":
        import a_library_that_is_not_there
    if side == "unable":
        raise harness.SkipError("no such card here")

    def run():
        if side == "noisy":
            print('{"units": 1}', flush=True)
            os.system("echo from a child")
            harness.remark("prints much")
        if side == "dead":
            sys.stderr.write("the last words\\\\n")
            sys.stderr.flush()
            os._exit(3)
        if side == "raising":
            raise ValueError("this does not work")
        time.sleep(0.3 if side == "slow" else 0.0)
        return 5 if side == "slow" else 10

    return run


if __name__ == "__main__":
    harness.main(ROW, prepare)
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    file = tmp_path_factory.mktemp("rows") / "toy_row.py"
    file.write_text(TOY.replace("\\\\n", "\\n"), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        return importlib.import_module("toy_row")


@pytest.fixture(scope="module")
def written(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "benchmarks"
    with pytest.raises(SystemExit) as ended:
        harness.main(toy.ROW, toy.prepare, ["--repeats", "3", "--out", str(out)])
    assert ended.value.code == 1, "two sides broke"
    return out


@pytest.fixture(scope="module")
def case(written: Path) -> dict:
    return json.loads((written / "toy_row.json").read_text("utf-8"))["cases"][0]


def test_the_ratio_is_the_peers_seconds_over_ours(case: dict) -> None:
    ours, slow, ratio = case["sides"]["cutis"], case["sides"]["slow"], case["ratios"]["slow"]
    assert len(slow["wall"]) == len(ours["wall"]) == 3
    assert slow["seconds"] >= 0.6, "half of the job took 0.3 s at least"
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    assert ratio["low"] > 1
    assert ratio["reached"]
    assert not case["ratios"]["noisy"]["reached"], "no side is a billion times as fast"


def test_a_repeat_that_does_fewer_units_is_multiplied_and_marked(case: dict) -> None:
    assert case["sides"]["slow"]["extrapolated"]
    assert not case["sides"]["cutis"]["extrapolated"]


def test_what_a_side_prints_breaks_nothing(case: dict) -> None:
    assert case["sides"]["noisy"]["units"] == [10, 10, 10]
    assert case["sides"]["noisy"]["remarks"] == ["prints much"]


@pytest.mark.parametrize(
    ("side", "what", "why"),
    [
        ("dead", "failed", "the process ended with 3: the last words"),
        ("raising", "failed", "ValueError: this does not work"),
        ("absent", "skipped", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
        ("unable", "skipped", "no such card here"),
    ],
)
def test_a_side_without_a_figure_says_why(case: dict, side: str, what: str, why: str) -> None:
    assert case["sides"][side][what] == why
    assert case["ratios"][side]["value"] is None


def test_the_file_says_where_it_was_measured(case: dict) -> None:
    assert set(case["where"]) == {"date", "command", "python", "machine"}
    assert {"cpu", "cores", "threads", "instructions", "gpu"} <= set(case["where"]["machine"])
    assert case["load"] >= 0
    assert isinstance(case["busy"], bool)


def test_a_case_measured_alone_keeps_the_others(toy: ModuleType, written: Path) -> None:
    before = json.loads((written / "toy_row.json").read_text("utf-8"))["cases"]
    harness.main(toy.ROW, toy.prepare, ["--repeats", "1", "--case", "other", "--out", str(written)])
    after = json.loads((written / "toy_row.json").read_text("utf-8"))["cases"]
    assert after[0] == before[0]
    assert len(after[1]["sides"]["cutis"]["wall"]) == 1


def test_what_a_machine_skips_does_not_replace_a_figure(toy: ModuleType, tmp_path: Path) -> None:
    measured = {"row": "toy_row", "cases": [planted("all", 2.0)]}
    harness.keep(measured, toy.ROW, tmp_path / "toy_row.json")
    skipped = planted("all", 2.0) | {"sides": {"cutis": {"skipped": "no GPU here"}, "peer": {"skipped": "no GPU here"}}}
    harness.keep({"row": "toy_row", "cases": [skipped]}, toy.ROW, tmp_path / "toy_row.json")
    assert json.loads((tmp_path / "toy_row.json").read_text("utf-8")) == measured


def test_ratios_are_medians_of_pairs() -> None:
    ours = {"units": [10, 10, 10], "wall": [1.0, 2.0, 4.0], "cpu": [1.0, 1.0, 1.0], "seconds": 2.0}
    peer = {"units": [5, 5, 5], "wall": [4.0, 10.0, 6.0], "cpu": [3.0, 2.0, 1.0], "seconds": 12.0}
    found = harness.ratio(ours, peer, 10, 8.5)  # pairs 8/1, 20/2, 12/4; CPU 6, 4, 2
    assert found == {"value": 8.0, "low": 3.0, "high": 10.0, "cpu": 4.0, "target": 8.5, "reached": False}


def planted(name: str, peer_seconds: float, target: float | None = 2, **changes: object) -> dict:
    """A case in which ours took a second."""
    ours = {"units": [10], "wall": [1.0], "cpu": [2.0], "seconds": 1.0, "cpu_seconds": 2.0, "extrapolated": False}
    peer = {"units": [5], "wall": [peer_seconds / 2], "cpu": [1.0], "seconds": peer_seconds, "cpu_seconds": 2.0, "extrapolated": True}
    sides = {"cutis": ours, "peer": peer}
    for side in sides.values():
        side |= {"versions": {"numpy": "2.4.6"}, "remarks": []}
    about = {"cpu": "a chip", "cores": 2, "threads": 2, "instructions": ["avx2"], "memory_gb": 24.0, "gpu": None}
    where = {"date": "2026-11-21", "command": "python -m benchmarks.planted", "python": "3.11.7", "machine": about}
    case = {"name": name, "job": 10, "note": "", "derived": [], "load": 0.1, "others": 0.0, "busy": False, "sides": sides, "where": where}
    return case | {"ratios": {"peer": harness.ratio(ours, peer, 10, target)}} | changes


def test_the_table_tells_what_was_reached_missed_and_not_run(tmp_path: Path) -> None:
    dead = {"failed": "the process ended with 1", "units": [], "wall": [], "cpu": [], "versions": {}, "remarks": []}
    ours = planted("x", 1)["sides"]["cutis"]
    cases = [
        planted("good", 3.0),
        planted("missed", 1.5),
        planted("busy", 3.0, busy=True, others=0.5),
        planted("broken", 1.0, sides={"cutis": ours, "peer": dead}, ratios={"peer": harness.ratio(ours, dead, 10, 2)}),
        planted(
            "absent", 1.0, sides={"cutis": ours, "peer": dead | {"skipped": "no keras"}}, ratios={"peer": harness.ratio(ours, dead, 10, 2)}
        ),
    ]
    del cases[4]["sides"]["peer"]["failed"]
    (tmp_path / "benchmarks").mkdir()
    planted_row = {"row": "planted", "title": "Planted", "unit": "thing", "cases": cases}
    (tmp_path / "benchmarks" / "planted.json").write_text(json.dumps(planted_row), "utf-8")
    page = table.write(tmp_path / "benchmarks")
    assert page == tmp_path / "benchmarks.md"
    lines = {line.split(" | ")[1]: line for line in page.read_text("utf-8").splitlines() if line.startswith("| Planted")}
    assert lines["good"] == (
        "| Planted | good | peer | 1 s (2) | 100 ms per thing | 3 s (2, extrapolated from 5 of 10) | 3 | 1 | 2 | reached |"
    )
    assert lines["missed"].endswith("| 1.5 | 1 | 2 | **below** |")
    assert lines["busy"].endswith("| reached; others took 50% of the machine |")
    assert lines["broken"].endswith("| **failed**: the peer: the process ended with 1 |")
    assert lines["absent"].endswith("| not run: the peer: no keras |")
    assert "Of 5 targets 2 are reached, 1 missed, 2 not measured." in page.read_text("utf-8")


def test_a_derived_peer_is_worked_out_from_other_rows() -> None:
    part = {"row": "source", "case": "a", "side": "peer", "units": 100}
    peer = {"peer": "S1", "target": 10, "takes": part, "besides": part | {"side": "cutis", "units": 20}, "why": "a reason"}
    source = {"row": "source", "title": "Source", "unit": "thing", "cases": [planted("a", 4.0)]}
    row = {"row": "search", "title": "Search", "unit": "thing", "cases": [planted("b", 3.0, derived=[peer])]}
    line = table.lines([source, row]).splitlines()[-1]
    # the peer: 4 s for 10 units, so 40 for 100; ours: 1 s, and 20 units of 0.1 s before that
    assert line.endswith("| 40 s (derived: a reason, and 2 s added to ours) | 13.3 |  | 10 | reached |")
    assert table.lines([row]).splitlines()[-1].endswith("not run: the peer: derived from the row source, a, which has no figure |")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_valid_and_cheap_to_import(name: str) -> None:
    code = f"import sys, benchmarks.{name}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
    row = importlib.import_module(f"benchmarks.{name}").ROW
    names = [case.name for case in row.cases]
    assert len(set(names)) == len(names)
    for case in row.cases:
        assert len(case.sides) > 1
        assert set(case.targets) <= set(case.sides[1:])
        assert all(0 < target < 1 for peer, target in case.targets.items() if peer == "limit")
        assert case.job > 0


def test_an_unknown_row_is_refused_with_the_names_there_are() -> None:
    ended = subprocess.run([sys.executable, "-m", "benchmarks", "nothing"], cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "bootstrap" in ended.stderr


@pytest.mark.parametrize(
    ("name", "case", "side"),
    [
        ("bootstrap", 0, "cutis"),
        ("bootstrap", 0, "scikit-learn"),
        ("frozen_stage", 0, "cutis"),
        ("frozen_stage", 0, "pytorch"),
        ("frozen_stage_views", 0, "cutis"),
        ("feature_pass", 0, "cutis"),
        ("feature_pass", 1, "cutis"),
        ("feature_pass", 0, "limit"),
        ("duplicates", 0, "cutis"),
        ("prediction", 0, "cutis"),
        ("prediction", 0, "eager fp32"),
        ("gpu", 0, "cutis"),
        ("gpu", 0, "eager fp32"),
        ("gpu", 0, "timm compiled bf16"),
        ("gpu", 0, "limit"),
        ("gpu", -1, "cutis"),
        ("gpu", -1, "limit"),
    ],
)
def test_a_side_runs(name: str, case: int, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTIS_BENCH_QUICK", "1")
    row = importlib.import_module(f"benchmarks.{name}")
    assert row.prepare(row.ROW.cases[case].name, side)() > 0


def test_a_machine_without_a_gpu_skips_the_gpu_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from benchmarks import gpu

    monkeypatch.delenv("CUTIS_BENCH_QUICK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(harness.SkipError, match="no GPU here"):
        gpu.prepare(gpu.ROW.cases[0].name, "cutis")

"""The run folder: what goes in comes out, and one process at a time works in it."""

import csv
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.errors import ArtifactError, LockedError
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.runs import Run

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | st.sampled_from(
    ["=cmd()", "-1", "'quoted", "\n", "a\rb", "a\r\nb", '"', "001", "1e3", "NA", "nan", "None", "ışğ", "e\u0301"]
)
HOLD = """
import os, sys, time
from cutis.runs import Run
with Run(sys.argv[1]).lock():
    if sys.argv[2] == "alone" or os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def holder(folder: Path, how: str) -> tuple["subprocess.Popen[str]", int]:
    """A process that holds the lock of a run, and the id of it or of the worker it has forked."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_fault_t8_a_second_process_is_refused_and_a_dead_one_does_not_count(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    process, _ = holder(run.folder, "alone")
    with pytest.raises(LockedError, match=r"Another process works in .*run\. Wait for it, or give another --out\."), run.lock():
        pass
    assert (run.folder / "lock").exists()
    kill(process)
    with run.lock():
        assert (run.folder / "lock").exists()
    assert not (run.folder / "lock").exists()


def test_fault_t8_a_worker_that_outlives_its_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    process, worker = holder(tmp_path, "fork")
    try:
        kill(process)
        os.kill(worker, 0)  # still there
        with Run(tmp_path).lock():
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_the_lock_is_given_back_after_an_error_and_clears_what_a_kill_left(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "predictions").mkdir()
    for left in (".model.safetensors.123.part", "predictions/.test.csv.123.part"):
        (tmp_path / left).write_text("half")
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.rglob("*")] == ["predictions"]
    with run.lock():
        pass


def test_a_run_remembers(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(ArtifactError, match=r"is not a run: it holds no recipe\.json. Make one with: cutis train DATA --out"):
        Run.open(run.folder)
    run.recipe = Recipe(name="mine", seed=3)
    run.provenance = {"command": ["cutis", "train"]}
    assert Run.open(str(run.folder)).recipe == Recipe(name="mine", seed=3)
    assert run.provenance == {"command": ["cutis", "train"]}
    assert run.metrics == {}
    run.metrics = {"test": {"n": 3}}
    assert run.metrics == {"test": {"n": 3}}
    assert run.unreadable.columns.tolist() == ["image", "reason"]
    assert run.sets == []
    one = Predictions(np.array(["a"]), np.array(["a"]), np.array([0]), np.array([[1.0]]), ("nv",))
    run.save_predictions("test", one)
    run.save_predictions("external", one)
    assert run.sets == ["external", "test"]
    assert run.predictions().classes == ("nv",)
    with pytest.raises(ArtifactError, match=r"The run has no history\.csv"):
        _ = run.history


def test_a_run_is_finished_when_it_has_weights_and_no_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not run.finished
    run.model_file.touch()
    assert run.finished
    (tmp_path / "checkpoint").mkdir()
    assert not run.finished


def test_parts_of_a_run_of_runs_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("fold-10", "fold-2", "fold-0", "figures", "fold-x"):
        Run(tmp_path / name).recipe = Recipe()
    assert [p.folder.name for p in Run(tmp_path).parts] == ["fold-0", "fold-2", "fold-10"]
    assert Run(tmp_path / "fold-0").parts == []


@given(
    st.lists(NAMES, min_size=1, max_size=4),
    st.lists(st.none() | NAMES, min_size=4, max_size=4),
    st.lists(st.none() | st.floats(0, 120), min_size=4, max_size=4),
)
@settings(max_examples=40)
def test_fault_d7_d9_tables_keep_every_name_and_hold_no_formula(
    names: list[str], labels: list[str | None], ages: list[float | None]
) -> None:
    n = len(names)
    table = pd.DataFrame({"image": names, "label": labels[:n], "age": pd.array(ages[:n], dtype="Float64").astype(float), "note": names})
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        run.save_table("split", table)
        back = run.table
        with (run.folder / "split.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
    assert back["image"].tolist() == names
    assert back["label"].astype(object).where(back["label"].notna(), None).tolist() == labels[:n]
    np.testing.assert_array_equal(back["age"].to_numpy(float), table["age"].to_numpy())
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]

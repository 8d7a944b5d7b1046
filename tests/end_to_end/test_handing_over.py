"""A run handed over: the bundle's table, its API and its page answer the same pictures alike, and as the run's own figures do."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import cutis
from cutis.evaluate import calibration

if TYPE_CHECKING:
    from cutis.runs import Run

MANY = 24
AS_TRAINED = ("--backend", "eager", "--precision", "fp32")


@pytest.fixture(scope="module")
def handed(bundle_run: "Run", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as one file, made from Python."""
    out = tmp_path_factory.mktemp("handed") / "tiny.zip"
    assert cutis.export(bundle_run, out) == out
    return out


@pytest.fixture(scope="module")
def pictures(bundle_run: "Run") -> list[Path]:
    """Test pictures of the run, in its order."""
    root = Path(bundle_run.provenance["data"]["root"])
    return [root / name for name in bundle_run.predictions("test").images[:MANY]]


@pytest.fixture(scope="module")
def table(handed: Path, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What ``cutis.predict`` writes of them."""
    out = tmp_path_factory.mktemp("table") / "answers.csv"
    found = cutis.predict(handed, pictures, out, backend="eager", precision="fp32")
    assert (found.answered, found.unreadable) == (MANY, None)
    return pd.read_csv(out, keep_default_na=False)


def test_the_table_says_what_the_run_answered_in_its_test(bundle_run: "Run", table: pd.DataFrame, pictures: list[Path]) -> None:
    own = bundle_run.predictions("test")
    raw = own.probabilities[:MANY]
    shown = calibration.calibrated(bundle_run.fitted["calibration"], raw)
    assert [Path(name).name for name in table["image"]] == [path.name for path in pictures]
    assert np.allclose(table[[f"raw_{c}" for c in own.classes]], raw, atol=1e-5)
    assert np.allclose(table[[f"p_{c}" for c in own.classes]], shown, atol=1e-5)
    assert list(table["predicted"]) == [own.classes[i] for i in shown.argmax(axis=1)]
    assert set(table["verdict"]) >= {"answer", "not sure"}, "the pictures try both"


def test_the_api_says_the_same(handed: Path, table: pd.DataFrame, pictures: list[Path], tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx", reason="pip install 'cutis[dev]'")
    pytest.importorskip("uvicorn", reason="pip install 'cutis[serve]'")
    with serving(handed, tmp_path) as address:
        files = [("files", (path.name, path.read_bytes())) for path in pictures]
        told = httpx.post(f"{address}/v1/predict", files=files, timeout=60, trust_env=False).json()
        model = httpx.get(f"{address}/v1/model", trust_env=False).json()
    assert model["model"]["version"] == cutis.Predictor.open(handed).version
    compare(table, told["pictures"])


def test_the_page_says_the_same(handed: Path, table: pd.DataFrame, pictures: list[Path]) -> None:
    from cutis.serve.app.visit import Dropped, Opened, Visit

    predictor, visit = cutis.Predictor.open(handed, backend="eager", precision="fp32"), Visit()
    dropped = [Dropped(str(i), path.name, path.read_bytes()) for i, path in enumerate(pictures)]
    assert list(visit.answer(0, predictor, dropped))[-1] == MANY
    seen = [visit.answers[0, one.id] for one in dropped]
    compare(table, [as_told(answer) for answer in seen])
    for i, one in enumerate(dropped[:4]):  # with heat maps, and the photo at its full size
        opened = visit.open(0, predictor, one)
        assert isinstance(opened, Opened)
        compare(table.iloc[i : i + 1], [as_told(opened.answer)])


def compare(table: pd.DataFrame, told: list[dict[str, Any]]) -> None:
    """Answers must be those of the table, row for row."""
    assert len(told) == len(table)
    for row, answer in zip(table.to_dict("records"), told, strict=True):
        assert answer["predicted"] == row["predicted"]
        assert answer["verdict"] == row["verdict"]
        assert "; ".join(answer["possible"]) == row["possible"]
        for name, p in answer["probabilities"].items():
            assert p == pytest.approx(row[f"p_{name}"], abs=1e-5)
        assert answer["scope"]["strangeness"] == pytest.approx(row["strangeness"], rel=1e-3)
        assert "; ".join(f"{'+'.join(m['classes'])} ({m['rule']})" for m in answer["met"] if m["met"]) == row["met"]


def as_told(answer: Any) -> dict[str, Any]:
    """An answer as JSON has it."""
    return {
        "predicted": answer.predicted,
        "verdict": answer.verdict,
        "possible": answer.possible,
        "probabilities": dict(zip(answer.classes, answer.probabilities.tolist(), strict=True)),
        "scope": {"strangeness": answer.strangeness},
        "met": [{"classes": m.classes, "rule": m.rule, "met": m.met} for m in answer.met],
    }


@contextmanager
def serving(bundle: Path, folder: Path) -> Iterator[str]:
    """``cutis serve`` in a process of its own; its address, once it answers."""
    command = [sys.executable, "-m", "cutis", "serve", str(bundle), "--port", "0", *AS_TRAINED]
    environment = {key: value for key, value in os.environ.items() if key != "CUTIS_TOKEN"} | {"PYTHONUNBUFFERED": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        address = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert address, (folder / "log").read_text()
        yield address[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (folder / "log").read_text()
        for line in (folder / "log").read_text().splitlines():
            json.loads(line)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

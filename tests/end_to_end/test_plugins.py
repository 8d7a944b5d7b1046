"""A loss, a reader and a metric of a user's own: one file each, as docs/usage.md shows them, and no other edit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cutis import Run

USAGE = Path(__file__).parents[2] / "docs" / "usage.md"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder of the plugins that the documentation shows."""
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", USAGE.read_text("utf-8"), re.DOTALL):
        (tmp_path / name).write_text(code)
    assert {p.name for p in tmp_path.glob("*.py")} == {"my_loss.py", "my_reader.py", "my_metric.py"}
    return tmp_path


def test_a_loss_a_reader_and_a_metric_are_added_by_one_file_each(plugins: Path, own: Path, recipe_file: Path) -> None:
    rows = pd.read_csv(own)
    export = own.with_name("export.clinic")
    rows[["image", "label", "patient"]].to_csv(export, sep="|", header=False, index=False)

    def cutis(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "cutis", *arguments],
            cwd=plugins, env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    given = ["--plugin", "my_reader.py", "--plugin", "my_loss.py"]
    settings = ["--recipe", str(recipe_file), "--set", "loss.name=squared", "--set", "loss.options.power=1.5"]
    done = cutis(*given, "train", str(export), *settings, "--out", "run")
    assert "Read export.clinic as clinic: " in done.stderr
    run = Run.open(plugins / "run")
    assert set(run.table["patient"]) == set(rows["patient"])
    assert run.recipe.loss.options == {"power": 1.5}
    assert run.history["train_loss"].between(0, 2).all()

    done = cutis("evaluate", "run", str(export), "--name", "again", "--json", CUTIS_PLUGINS=f"my_reader.py{os.pathsep}my_metric.py")
    figure = json.loads(done.stdout)["metrics"]["second_guess"]
    answers = pd.read_csv(plugins / "run" / "predictions" / "again.csv").set_index("label").filter(like="p_")
    ranks = answers.rank(axis=1, ascending=False)
    expected = sum(rank[f"p_{label}"] <= 2 for label, rank in ranks.iterrows()) / len(rows)
    assert figure["value"] == pytest.approx(expected)
    assert figure["low"] < figure["value"] < figure["high"]
    assert "second_guess" not in run.metrics["test"]

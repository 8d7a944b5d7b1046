"""Runs of runs: folds and seeds, pooled predictions, spread, and going on with them."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

import cutis as library
from cutis import Recipe, Run
from cutis.errors import CutisError
from cutis.train.checkpoint import Interrupted

Cutis = Callable[..., Any]


@pytest.fixture(scope="module")
def folds(drawn: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return library.train(drawn, tiny, tmp_path_factory.mktemp("folds") / "run", folds=2)


def test_folds_test_each_image_once_and_the_spread_is_that_of_the_runs(folds: Run, drawn: Path) -> None:
    assert [part.folder.name for part in folds.parts] == ["fold-0", "fold-1"]
    assert {p.name for p in folds.folder.iterdir()} == {
        *("fold-0", "fold-1", "predictions", "figures", "card.md", "metrics.json", "provenance.json", "recipe.json", "report.html")
    }
    assert folds.finished
    assert sorted(folds.predictions().images) == sorted(pd.read_csv(drawn)["image"])
    answers = pd.read_csv(folds.folder / "predictions" / "test.csv")
    figures = folds.metrics["test"]
    assert figures["accuracy"]["value"] == pytest.approx(accuracy_score(answers["label"], answers["predicted"]))
    values = [part.metrics["test"]["accuracy"]["value"] for part in folds.parts]
    assert figures["spread"]["accuracy"] == {
        "mean": pytest.approx(np.mean(values)),
        "sd": pytest.approx(np.std(values, ddof=1)),
        "runs": values,
    }
    for part in folds.parts:
        groups = part.table.groupby("split")["group"].agg(set)
        assert not groups["train"] & groups["test"]
        seconds = part.provenance["seconds"]
        assert seconds["train"] < 1.5 * part.history["seconds"].sum() + 1  # its own, not those of the parts before it
    assert folds.provenance["seconds"]["train"] == pytest.approx(sum(p.provenance["seconds"]["train"] for p in folds.parts), abs=2e-3)
    assert folds.provenance["parts"] == ["fold-0", "fold-1"]
    assert "fold 2 of 2, by patient" in folds.parts[1].provenance["split"]["how"]


def test_seeds_share_the_split_and_differ_in_the_weights(drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    answer = cutis("train", drawn, "--recipe", recipe_file, "--seeds", "2", "--set", "seed=5", "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "test accuracy of 2 runs: mean 0." in answer.out
    run = Run.open(tmp_path / "run")
    first, second = run.parts
    assert [first.folder.name, second.folder.name] == ["seed-5", "seed-6"]
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.model_file.read_bytes() != second.model_file.read_bytes()
    assert len(run.predictions().images) == 2 * len(first.predictions().images)
    again = cutis("train", "--resume", "--out", tmp_path / "run")
    assert again.code == 6
    assert "is finished" in again.err
    listed = {row["run"]: row["finished"] for row in cutis("runs", tmp_path, "--json").json}
    assert listed == {str(tmp_path / "run" / name).rstrip("/"): True for name in ("", "seed-5", "seed-6")}
    refused = cutis("evaluate", tmp_path / "run", drawn, "--name", "more")
    assert refused.code == 6
    assert f"Evaluate one of them: {tmp_path / 'run' / 'seed-5'}" in refused.err


def test_fault_t7_an_interrupted_run_of_runs_goes_on_where_it_stopped(
    folds: Run, drawn: Path, tiny: Recipe, tmp_path: Path, stopping: Any, cutis: Cutis
) -> None:
    class InSecond(stopping):  # type: ignore[misc]
        def say(self, text: str) -> None:
            if text.startswith("fold-1"):
                self.line = "Epoch 2"
            super().say(text)

    table = library.read(drawn)
    table.attrs["request"] = {"data": [str(drawn)], "folds": 2, "seeds": 0, "map": None, "split": None, "allow_leaks": False}
    with pytest.raises(Interrupted):
        library.train(table, tiny, tmp_path / "run", folds=2, progress=InSecond("Nothing yet"))
    first = (tmp_path / "run" / "fold-0" / "provenance.json").read_bytes()
    assert not Run.open(tmp_path / "run").finished
    answer = cutis("train", "--out", tmp_path / "run", "--resume")
    assert answer.code == 0, answer.err
    assert "fold-0 is finished already" in answer.err
    assert (tmp_path / "run" / "fold-0" / "provenance.json").read_bytes() == first
    for name in ("metrics.json", "predictions/test.csv", "fold-0/model.safetensors", "fold-1/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (folds.folder / name).read_bytes(), name


def test_a_signal_before_the_first_part_trains_leaves_nothing(
    drawn: Path, tiny: Recipe, tmp_path: Path, stopping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = stopping("Nothing says this")
    monkeypatch.setattr(early, "step", lambda part, *_: part == "cache" and signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        library.train(drawn, tiny.changed(**{"images.size": 22}), tmp_path / "run", folds=2, progress=early)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_repeated_is_refused_and_leaves_nothing(drawn: Path, tiny: Recipe, tmp_path: Path) -> None:
    for settings, options, message in (
        ([], {"folds": 2, "seeds": 2}, "either --folds K or --seeds N"),
        (["split.test=0"], {"seeds": 2}, "no test part"),
        ([], {"folds": 1000}, "groups cannot make 1000 folds"),
        (["model.backbone=plain_cn"], {"folds": 2}, "Did you mean 'plain_cnn'"),
    ):
        with pytest.raises(CutisError, match=message):
            library.train(drawn, tiny, tmp_path / "run", settings=settings, **options)
        assert not (tmp_path / "run").exists()

"""cutis search: a run like any other, chosen without a look at the test images, and gone on with after a stop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.cli import search as verb
from cutis.data import readers, splits
from cutis.jobs import evolution
from cutis.recipe import Recipe
from cutis.runs import Run
from cutis.search.genetic import Plan

SMALL = ("--population", "3", "--generations", "2", "--epochs", "2")
PLAN = Plan(population=3, generations=2, epochs=2, batch_size=32)
HEAD = {"stages.0.train": "head", "model.head": ["avgpool"]}


@pytest.fixture(scope="module")
def spec(tiny: Recipe) -> Recipe:
    """Head alone, on two views."""
    return tiny.changed(**HEAD, **{"train.views": 2})


@pytest.fixture(scope="module")
def table(drawn: Path, spec: Recipe) -> pd.DataFrame:
    return splits.split(readers.read(str(drawn)), spec.split)


@pytest.fixture(scope="module")
def found(table: pd.DataFrame, spec: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = evolution.search(table, spec, tmp_path_factory.mktemp("search") / "run", PLAN)
    assert run is not None
    return run


def told(run: Run) -> dict[str, Any]:
    return dict(json.loads((run.folder / "search.json").read_text()))


def test_it_makes_an_ordinary_run_with_the_best_head(found: Run, spec: Recipe) -> None:
    rows, best = pd.read_csv(found.folder / "search.csv"), told(found)["best"]
    assert len(rows) == 6
    assert best["value"] == rows["value"].max()
    winner = rows[rows["number"] == best["number"]].iloc[0]
    widths = [f"dense:{int(winner[f'units_{i}'])}" for i in range(1, int(winner["layers"]) + 1)]
    assert [word for word in found.recipe.model.head if word.startswith("dense")] == widths
    assert found.recipe.stages[0].lr == pytest.approx(winner["lr"])
    assert found.finished
    assert set(found.metrics) == {"val", "test"}
    rival = Run(found.folder / "published")
    assert rival.recipe.model.head == ("avgpool", "dense:112", "relu", "dropout:0.3")
    difference = found.metrics["test"]["balanced_accuracy"]["value"] - rival.metrics["test"]["balanced_accuracy"]["value"]
    assert told(found)["test"]["balanced_accuracy"]["value"] == pytest.approx(difference)
    page = (found.folder / "report.html").read_text()
    assert "The search" in page
    assert (found.folder / "figures" / "search-front.svg").is_file()


def test_parts_of_the_search_share_no_group_and_hold_no_test_image(found: Run) -> None:
    rows, parts = found.table, told(found)["rows"]
    assert sum(part["n"] for part in parts.values()) == rows["split"].isin(["train", "val"]).sum()
    assert sum(part["groups"] for part in parts.values()) == rows.loc[rows["split"].isin(["train", "val"]), "group"].nunique()


def test_labels_of_the_test_images_change_nothing_before_they_are_answered(
    found: Run, table: pd.DataFrame, spec: Recipe, tmp_path: Path
) -> None:
    other, test = table.copy(), (table["split"] == "test").to_numpy()
    other.attrs = table.attrs
    labels = other.loc[test, "label"].to_numpy()
    other.loc[test, "label"] = np.roll(labels, 1)
    assert (other.loc[test, "label"].to_numpy() != labels).any()
    run = evolution.search(other, spec, tmp_path / "run", PLAN)
    assert run is not None
    assert (run.folder / "search.csv").read_bytes() == (found.folder / "search.csv").read_bytes()
    kept = ("best", "judged", "importance", "rows")
    assert {k: told(run)[k] for k in kept} == {k: told(found)[k] for k in kept}
    assert run.model_file.read_bytes() == found.model_file.read_bytes()
    assert run.metrics["test"]["accuracy"] != found.metrics["test"]["accuracy"]


def test_backbone_cost_is_counted(found: Run) -> None:
    # two 3 x 3 convolutions on 16 x 16 and, after pooling, 8 x 8: 3 -> 4 -> 8 channels
    assert told(found)["backbone_multiply_adds"] == 256 * 9 * 3 * 4 + 64 * 9 * 4 * 8


def test_a_stopped_search_goes_on(
    cutis: Callable[..., Any],
    stopping: Callable[[str], Any],
    drawn: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = [x for k, v in HEAD.items() for x in ("--set", f"{k}={json.dumps(v)}")]
    asked = ("search", drawn, "--recipe", recipe_file, *SMALL, *changes)
    with monkeypatch.context() as patch:
        patch.setattr(verb, "progress", lambda _: stopping("Generation 1"))
        stopped = cutis(*asked, "--out", tmp_path / "run")
    assert stopped.code == 143
    assert f"cutis search --out {tmp_path / 'run'} --resume" in stopped.err
    assert not (tmp_path / "run" / "recipe.json").exists()
    assert cutis(*asked, "--out", tmp_path / "run").code == 6
    other = cutis("search", "--out", tmp_path / "run", "--resume", "--patience", 0)
    assert other.code == 2
    assert "leave --patience out" in other.err
    on = cutis("search", "--out", tmp_path / "run", "--resume", "--json")
    assert on.code == 0, on.err
    assert on.json["set"] == "test"
    assert len(pd.read_csv(tmp_path / "run" / "search.csv")) == 6


def test_the_winner_can_be_fine_tuned(table: pd.DataFrame, spec: Recipe, recipe_file: Path, tmp_path: Path) -> None:
    plan = Plan(population=2, generations=1, epochs=1, batch_size=32)
    run = evolution.search(table, spec, tmp_path / "run", plan, evolution.Asked(then=str(recipe_file)))
    assert run is not None
    assert [stage.train for stage in run.recipe.stages] == ["head", "all"]
    assert sorted(set(run.history["stage"])) == [0, 1]
    assert run.recipe.model.head[:2] == ("avgpool", f"dense:{told(run)['best']['genes']['units_1']}")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--worker",), "name its storage"),
        (("--metric", "brier"), "A search maximises"),
        (("--sampler", "annealing"), "Unknown sampler"),
        (("--then", "no-such-recipe"), "Unknown recipe"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    cutis: Callable[..., Any], drawn: Path, recipe_file: Path, tmp_path: Path, wrong: Any, says: str
) -> None:
    answer = cutis("search", drawn, "--recipe", recipe_file, *SMALL, *wrong, "--out", tmp_path / "run")
    assert answer.code == 2
    assert says in answer.err
    assert not (tmp_path / "run").exists()


def test_there_must_be_something_to_resume(cutis: Callable[..., Any], tmp_path: Path) -> None:
    answer = cutis("search", "--out", tmp_path / "none", "--resume")
    assert answer.code == 6
    assert "nothing" in answer.err or "no search" in answer.err

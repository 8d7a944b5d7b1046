"""Slices of a run: from the table of its split into metrics.json, then on its page."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cutis.evaluate.summary import summarise
from cutis.jobs import slicing
from cutis.report import page
from cutis.runs import Run

SIZES = {"train": (90, 90), "val": (9, 9), "test": (150, 150)}


@pytest.fixture
def run(make_run: Callable[..., Run], tmp_path: Path) -> Run:
    made = make_run(tmp_path, classes=("benign", "melanoma"), sizes=SIZES, pictures=0)
    made.recipe = made.recipe.changed(**{"evaluate.replicates": 100})
    return made


def spoil(run: Run, column: str, value: str) -> None:
    """The test answers of one group are turned round."""
    test, table = run.predictions("test"), run.table.set_index("image")
    there = (table.loc[test.images, column] == value).to_numpy()
    test.probabilities[there] = test.probabilities[there, ::-1]
    run.save_predictions("test", test)
    run.metrics = run.metrics | {"test": summarise(test, replicates=100)}


def test_a_run_tells_for_whom_it_fails_in_its_metrics_and_on_the_first_screen(run: Run) -> None:
    spoil(run, "sex", "male")
    assert slicing.due(run)
    slicing.own(run)
    assert not slicing.due(run)
    told = run.metrics["test"]["slices"]
    test, sex = run.predictions("test"), run.table.set_index("image")["sex"]
    rates = {s: (test.predicted == test.labels)[(sex[test.images] == s).to_numpy()].mean() for s in ("female", "male")}
    figures = {s: part["figures"]["accuracy"] for s, part in told["by"]["sex"]["groups"].items()}
    assert {s: f["value"] for s, f in figures.items()} == pytest.approx(rates)
    assert figures["male"]["gap"]["p_holm"] < 0.001
    html = page.write(run).read_text("utf-8")
    first = html[: html.index("</section>")]
    assert "Worst group" in first
    assert "sex male" in first
    assert "Images of sex male" in first
    assert "For whom it works" in html
    assert "lower (p below 0.001)" in html
    assert (run.folder / "figures" / "groups-test.svg").is_file()


def test_a_run_without_groups_says_that_nobody_knows(run: Run) -> None:
    run.save_table("split", run.table.assign(sex=np.nan, age=np.nan))
    slicing.own(run)
    assert run.metrics["test"]["slices"]["by"] == {}
    assert "The data name no groups, so nobody knows for whom it works" in page.write(run).read_text("utf-8")


def test_a_page_of_a_run_that_was_never_sliced_has_no_such_part(run: Run) -> None:
    assert "For whom it works" not in page.write(run).read_text("utf-8")

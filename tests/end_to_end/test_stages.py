"""Answers after each stage: those of a run that ends there, whatever interrupts, and not mistaken for other data."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import cutis
from cutis import Recipe, Run
from cutis.errors import CutisError
from cutis.jobs import answers

PLAN = [{"epochs": 2, "train": "head", "lr": 0.01}, {"epochs": 2, "train": "last:1", "lr": 0.01}, {"epochs": 1, "lr": 0.003}]
EARLIER = [f"predictions/{part}-stage-{stage}.csv" for part in ("val", "test") for stage in (1, 2)]


@pytest.fixture(scope="module")
def staged(tiny: Recipe) -> Recipe:
    return tiny.changed(stages=PLAN, **{"evaluate.stages": True})


@pytest.fixture(scope="module")
def whole(staged: Recipe, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cutis.train(drawn, staged, tmp_path_factory.mktemp("staged") / "run")


def test_they_are_the_answers_of_a_run_that_ends_there(whole: Run, tiny: Recipe, drawn: Path, tmp_path: Path) -> None:
    for stage in (1, 2, 3):
        ended = cutis.train(drawn, tiny.changed(stages=PLAN[:stage]), tmp_path / f"{stage}")
        for part in ("val", "test"):
            name = f"{part}-stage-{stage}" if stage < 3 else part
            answered = [run.folder / "predictions" / f"{n}.csv" for run, n in ((whole, name), (ended, part))]
            assert answered[0].read_bytes() == answered[1].read_bytes()
            # what is fitted afterwards, and groups, are about the finished network alone
            same = {key: told for key, told in ended.metrics[part].items() if key not in ("after", "slices")}
            assert {key: told for key, told in whole.metrics[name].items() if key in same} == same
    assert whole.sets == ["test", "test-stage-1", "test-stage-2", "val", "val-stage-1", "val-stage-2"]
    assert whole.finished


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_fault_t1_killed_while_they_are_given_they_are_given_again(
    whole: Run, staged: Recipe, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    real, made = answers.add, []

    def killed(*arguments: Any) -> None:
        made.append(arguments[1])
        if len(made) == calls:
            pytest.fail("killed here")
        real(*arguments)

    monkeypatch.setattr(answers, "add", killed)
    with pytest.raises(pytest.fail.Exception):
        cutis.train(drawn, staged, tmp_path / "run")
    monkeypatch.undo()
    run = cutis.train(drawn, staged, tmp_path / "run", resume=True)
    for file in ("model.safetensors", "metrics.json", *EARLIER):
        assert (run.folder / file).read_bytes() == (whole.folder / file).read_bytes()
    assert {p.name for p in run.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}


def test_the_page_sets_them_side_by_side_and_not_among_other_sets(whole: Run) -> None:
    page = (whole.folder / "report.html").read_text()
    assert "After each stage</h2>" in page
    table = page.partition("Figures after each stage")[2].partition("</table>")[0]
    for name in ("test-stage-1", "val-stage-2", "test", "val"):
        assert f"{whole.metrics[name]['balanced_accuracy']['value']:.3f}" in table
    assert "test-stage-1" not in page.partition("Other sets</h2>")[2]


def test_ensembles_leave_them_out_and_evaluate_does_not_take_their_name(whole: Run, drawn: Path, tmp_path: Path) -> None:
    other = shutil.copytree(whole.folder, tmp_path / "other")
    combined = cutis.ensemble([whole, other], tmp_path / "all", weights=(1, 3))
    assert combined.sets == ["test", "val"]
    assert (combined.folder / "report.html").is_file()
    assert combined.recipe.ensemble is not None
    assert combined.recipe.ensemble.method == "given"
    with pytest.raises(CutisError, match="also after a stage"):
        cutis.evaluate(whole, drawn, "test-stage-1")

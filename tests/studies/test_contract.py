"""Every study in the registry: its recipes are whole, its parts fit together, it runs from data to page."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cutis.data import balance, readers, synthetic
from cutis.evaluate.metrics import AVERAGES, figures
from cutis.evaluate.sample import Rows
from cutis.progress import Progress
from cutis.recipe import validated
from cutis.runs import Run
from cutis.studies.catalog import SMOKE, Arm, Combined, Given, Scale, Study, Trained, studies
from cutis.studies.context import parts
from cutis.studies.run import carry_out, drawn
from cutis.studies.work import Work
from cutis.train import losses

STUDIES = {name: make() for name, make in studies.items()}
RECIPES = [(study, arm, i) for study, made in STUDIES.items() for arm in made.arms for i in range(len(arm.plan()))]
MOST = 45  # minutes that the scale cpu may take on two cores


@pytest.mark.parametrize(("study", "arm", "which"), RECIPES, ids=lambda value: getattr(value, "name", str(value)))
def test_every_recipe_is_whole(study: str, arm: Arm, which: int) -> None:
    """It survives JSON, its loss and balancing take its options, and what it calls ours are fields that it has."""
    recipe = arm.plan()[which]
    assert validated(json.loads(recipe.to_json())) == recipe
    labels = torch.tensor([0] * 60 + [1] * 20 + [2] * 10)
    counts = torch.bincount(labels).float()
    loss = losses.function(recipe.loss, counts, ("grade 0", "grade 1", "grade 2"))
    assert torch.isfinite(loss(torch.randn(90, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)[labels]))
    assert set(labels[balance.indices(labels.numpy(), recipe.balance, 0, 0)].tolist()) == {0, 1, 2}
    assert arm.ours or recipe.assumptions, "something is always left open"
    for name in recipe.assumptions:
        found: Any = recipe.model_dump(mode="json")
        for step in name.split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]


def known_figures() -> set[str]:
    found = figures(Rows(torch.tensor([0, 1]).numpy(), torch.eye(2, dtype=torch.float64).numpy()).weighted())
    per_class = {name for name in found if f"{name}_{next(iter(AVERAGES))}" in found}
    return (set(found) - per_class) | {f"{name}/" for name in per_class}


def asked(study: Study) -> Iterator[tuple[str, str, str]]:
    """Every (arm, figure, set) that a study's tables and pairs ask for."""
    for table in study.published:
        yield from ((c.arm, c.figure, c.at) for cells in table.rows.values() for c in cells if c is not None)
    for pair in study.pairs:
        yield from ((arm, figure, pair.at) for arm in (pair.first, pair.second) for figure in pair.figures)


@pytest.mark.parametrize("name", STUDIES)
def test_the_parts_of_a_study_fit_together(name: str) -> None:
    study = STUDIES[name]
    names = [arm.name for arm in study.arms]
    assert study.name == name
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", arm) and arm.rpartition("-")[0] not in ("seed", "fold") for arm in names)
    for i, arm in enumerate(study.arms):
        assert set(getattr(arm, "members", ())) <= set(names[:i]), f"{arm.name} combines arms that stand after it"
    for table in study.published:
        assert table.rows
        assert all(len(cells) == len(table.columns) for cells in table.rows.values())
        printed = [c for cells in table.rows.values() for c in cells if c is not None and c.printed is not None]
        assert all(0 <= c.printed <= 1 or c.figure == "log_loss" for c in printed)
    figures_known, subsets = known_figures(), {subset.name for subset in study.subsets}
    for arm, figure, at in asked(study):
        metric, slash, _ = figure.partition("/")
        assert arm in names
        assert metric + slash in figures_known
        assert set(at.split(":")[1:]) <= subsets
        if stages_asked := re.fullmatch(r"(?:val|test)-stage-(\d+)", at):
            assert int(stages_asked[1]) < len(study.arm(arm).plan()[0].stages)
    assert all(pair.first != pair.second for pair in study.pairs)
    assert set(study.pages) <= set(parts)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_says_what_it_is_what_it_costs_and_how_it_is_run(name: str) -> None:
    study, text = STUDIES[name], sys.modules[studies[name].__module__].__doc__ or ""
    assert f"cutis study run {name} --data" in text
    assert "Cost: " in text
    assert "Expect" in text
    assert all((study.title, study.paper, study.needs, study.expects, study.honest))
    assert study.cpu.name == "cpu"
    assert study.cpu.minutes is not None
    assert study.cpu.minutes <= MOST
    assert study.scale("smoke") is SMOKE


TINY = Scale("smoke", images=60, test=30, size=32, epochs=1, batch=16, candidates=2, seeds=1, replicates=100)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    """Fifty drawn lesions of every kind that a study asks for."""
    folder = tmp_path_factory.mktemp("pictures")
    kinds: Any = {study.kind for study in STUDIES.values()}
    drawings = {kind: synthetic.write(folder / kind, kind=kind, lesions=50, views=(1, 2), size=32, difficulty=0.1) for kind in kinds}
    return {kind: Given(readers.read(file)) for kind, file in drawings.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_a_small_recipe_of_each_study_runs_from_data_to_page(name: str, pictures: dict[str, Given], tmp_path: Path) -> None:
    whole = STUDIES[name]
    first = next(arm for arm in whole.arms if isinstance(arm, Trained) and not arm.leaks)
    study = replace(whole, arms=(first,), pairs=())
    told = carry_out(Work(study, pictures[whole.kind], TINY, tmp_path, backbone="plain_cnn", drawn=True))
    assert [arm["name"] for arm in told["arms"]] == [first.name]
    run = Run(tmp_path / first.name)
    assert run.finished
    assert {"val", "test"} <= set(run.metrics)
    assert (run.folder / "report.html").is_file()
    assert whole.title in (tmp_path / "study.html").read_text("utf-8")
    cells = [cell for table in told["published"] for row in table["rows"].values() for cell in row if cell and cell["printed"] is not None]
    assert {cell["verdict"] for cell in cells} <= {"not comparable", "not run"}, "drawn pictures reach nothing"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The split leaks", "ignore:.* identical to training images")
@pytest.mark.parametrize("name", STUDIES)
def test_every_recipe_of_every_study_runs_at_the_scale_smoke(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    work = Work(study, drawn(study, tmp_path, Progress()), study.scale("smoke"), tmp_path, drawn=True)
    told = carry_out(work)
    assert all(getattr(study.arm(left), "method", "") == "stacking" for left in work.left_out), (
        "a dozen validation images are too few for stacking alone"
    )
    assert [arm["name"] for arm in told["arms"]] == [arm.name for arm in study.arms if arm.name not in work.left_out]
    assert (tmp_path / "study.html").is_file()
    for arm in (arm for arm in study.arms if arm.name not in work.left_out):
        run = Run(tmp_path / arm.name)
        assert run.finished
        assert "test" in run.metrics
        assert (run.folder / "report.html").is_file()
        assert isinstance(arm, Combined) or run.parts or len(run.history)
    cells = [cell for table in told["published"] for row in table["rows"].values() for cell in row if cell]
    assert all(cell["ours"] for cell in cells if "/" not in cell["figure"]), "every figure has ours; classes are those that were drawn"


PLUGIN = '''
"""A study of one's own."""

from cutis.recipe import Images, Model, Recipe, Stage
from cutis.studies.catalog import Cell, Published, Scale, Study, Trained, studies

NET = Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4, 8]})


@studies.register("mine")
def mine() -> Study:
    """A network from scratch."""
    recipe = Recipe(name="mine", images=Images(size=32), model=NET, stages=(Stage(epochs=2),))
    printed = Published("Accuracy", ("accuracy",), {"mine": (Cell(0.9, "net"),)}, split="by image", definition="on test")
    return Study(
        name="mine",
        title="My study",
        paper="Not published.",
        needs="Any images.",
        arms=(Trained(name="net", recipe=recipe),),
        published=(printed,),
        cpu=Scale("cpu", minutes=1),
    )
'''


CALLS = """
import shlex, sys
from cutis.cli import app
for words in sys.argv[1:]:
    app(shlex.split(words), standalone_mode=False)
"""


def test_a_new_study_is_one_file(pictures: dict[str, Given], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    data = pictures["dermoscopy"].table.attrs["files"][0]
    calls = ["study list", shlex.join(["study", "run", "mine", "--data", str(data), "--scale", "smoke", "--out", "made"])]
    done = subprocess.run(
        [sys.executable, "-c", CALLS, *calls],
        cwd=tmp_path, env=os.environ | {"CUTIS_PLUGINS": "mine.py"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mine: My study" in done.stdout
    assert all(f"{name}: {study.title}" in done.stdout for name, study in STUDIES.items())
    told = json.loads((tmp_path / "made" / "study.json").read_text("utf-8"))
    figure = told["published"][0]["rows"]["mine"][0]["ours"]["value"]
    assert figure == Run(tmp_path / "made" / "net").metrics["test"]["accuracy"]["value"]
    assert "My study" in (tmp_path / "made" / "study.html").read_text("utf-8")
    assert (tmp_path / "made" / "net" / "report.html").is_file()

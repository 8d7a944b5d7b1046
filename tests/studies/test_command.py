"""The recipe book on the command line: what is listed, what a study in a file of its own needs, and what is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cutis import registry
from cutis.studies import catalog
from cutis.studies.run import index

PLUGIN = '''"""A study in one file."""
from cutis.recipe import Images, Model, Recipe, Stage
from cutis.studies.catalog import Cell, Published, Scale, Study, Trained, studies

@studies.register("mine")
def mine():
    recipe = Recipe(images=Images(size=16), model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4]}),
                    stages=(Stage(epochs=3),))
    printed = Published(title="Printed", columns=("accuracy",), rows={"A": (Cell(0.9, "a"),)}, split="none told", definition="accuracy")
    return Study(name="mine", title="My study", paper="Mine.", needs="Anything.", arms=(Trained(name="a", title="A", recipe=recipe),),
                 cpu=Scale("cpu", minutes=7), published=(printed,))
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A study that a plugin file adds, gone after the test."""
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    list(catalog.studies)  # what comes with Cutis is imported and stays
    monkeypatch.setenv(registry.PLUGINS, str(file))
    monkeypatch.setattr(catalog.studies, "_items", dict(catalog.studies._items))
    registry.load_plugins()
    yield "mine"
    registry._loaded_plugins.discard(str(file))


def test_a_study_in_one_file_is_listed_shown_and_run_on_drawn_pictures(mine: str, cutis: Callable[..., Any], tmp_path: Path) -> None:
    listed = json.loads(cutis("study", "list", "--json").out)
    assert [s["title"] for s in listed if s["study"] == mine] == ["My study"]
    assert "mine: My study\n    1 arm, about 7 min expected on two cores" in cutis("study", "list").out
    shown = cutis("study", "show", mine).out
    for words in ("A study in one file.", "a: A", "A: 0.9", "minutes 7", "cutis study run mine --data DATA"):
        assert words in shown
    done = cutis("study", "run", mine, "--scale", "smoke", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    told: dict[str, Any] = json.loads(done.out)["studies"][mine]
    assert told["drawn"]
    assert told["scale"]["name"] == "smoke"
    assert told["published"][0]["rows"]["A"][0]["why"] == "these pictures are drawn by Cutis"
    assert {"study.html", "study.json", "study.md", "a", "pictures", "elsewhere"} <= {p.name for p in (tmp_path / "out").iterdir()}
    data = ("--data", tmp_path / "out" / "pictures" / "labels.csv")
    full = cutis("study", "run", mine, "--scale", "full", *data, "--out", tmp_path / "full")
    assert full.code == 0, full.err
    assert full.out.splitlines()[0].startswith("mine: Of 1 printed figure 1 is ")
    assert json.loads((tmp_path / "full" / "study.json").read_text())["arms"][0]["changed"] == []


def test_without_data_only_the_scale_smoke_runs(mine: str, cutis: Callable[..., Any], tmp_path: Path) -> None:
    refused = cutis("study", "run", mine, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "Name the data: cutis study run NAME --data DATA" in refused.err
    assert not (tmp_path / "out").exists()


def test_an_unknown_study_or_arm_is_named_with_what_there_is(mine: str, cutis: Callable[..., Any], tmp_path: Path) -> None:
    unknown = cutis("study", "show", "min")
    assert unknown.code == 2
    assert "Did you mean 'mine'" in unknown.err
    arm = cutis("study", "run", mine, "--scale", "smoke", "--out", tmp_path / "out", "--arm", "b")
    assert arm.code == 2
    assert "Unknown arm 'b'" in arm.err


def test_the_index_links_each_study_and_tells_why_one_is_missing(tmp_path: Path) -> None:
    told = {"title": "Done <one>", "scale": {"name": "cpu"}, "arms": [{"seconds": 65}], "published": []}
    page = index(tmp_path, {"one": told, "other": "It needs grades."}, "cutis study run all").read_text("utf-8")
    assert '<a href="one/study.html">Done &lt;one&gt;</a>' in page
    assert "It needs grades." in page
    assert "1 of 2 studies carried out." in page
    assert "1 min 5 s" in page

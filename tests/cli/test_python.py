"""The verbs that hand a model over do the same from Python and on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cutis as library
from cutis.errors import CutisError

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle
    from cutis.runs import Run

Cutis = Callable[..., Any]


@pytest.fixture
def pictures(bundle_run: "Run") -> list[Path]:
    """Three test pictures of the run."""
    return [Path(bundle_run.provenance["data"]["root"]) / name for name in bundle_run.predictions("test").images[:3]]


def test_explain_shows_the_same_of_the_same_pictures(bundle_run: "Run", pictures: list[Path], tmp_path: Path, cutis: Cutis) -> None:
    found = library.explain(bundle_run, pictures, of="all", method="hirescam", out=tmp_path / "python")
    assert found.page == tmp_path / "python" / "explain.html"
    assert found.page.is_file()
    told = json.loads((tmp_path / "python" / "explanation.json").read_text())
    assert told == json.loads(json.dumps(found.told))
    assert (told["command"], told["method"], told["of"]) == ("cutis.explain", "hirescam", "all")
    options = ("--class", "all", "--method", "hirescam", "--out", tmp_path / "shell")
    answer = cutis("explain", bundle_run.folder, *pictures, *options, "--json")
    assert answer.code == 0, answer.err
    passing = ("command", "finished", "notice", "page")
    assert {k: v for k, v in answer.json.items() if k not in passing} == {k: v for k, v in told.items() if k not in passing}


def test_explain_takes_one_path_and_refuses_as_the_command_does(bundle_run: "Run", pictures: list[Path], tmp_path: Path) -> None:
    found = library.explain(str(bundle_run.folder), pictures[0], out=tmp_path)
    assert len(found.told["cases"]) == 1
    with pytest.raises(CutisError, match="gradcam"):
        library.explain(bundle_run, pictures[0], method="gradcamm", out=tmp_path)
    with pytest.raises(CutisError, match="class"):
        library.explain(bundle_run, pictures[0], of="nothing", out=tmp_path)
    with pytest.raises(CutisError, match="There is no image"):
        library.explain(bundle_run, tmp_path / "none.jpg", out=tmp_path)


def test_export_makes_the_same_bundle(bundle_run: "Run", tmp_path: Path, cutis: Cutis) -> None:
    made = library.export(bundle_run, tmp_path / "python.zip", scope=False)
    answer = cutis("export", bundle_run.folder, "--out", tmp_path / "shell", "--no-scope", "--json")
    assert answer.code == 0, answer.err
    predictor = library.Predictor.open(made, backend="eager", precision="fp32")
    assert predictor.version == answer.json["version"]
    assert predictor.bundle.about.scope is None
    with pytest.raises(CutisError, match="licence"):
        library.export(bundle_run, tmp_path / "third", cases=True)
    assert not (tmp_path / "third").exists()


def test_predict_writes_the_same_table(bundle: "Bundle", pictures: list[Path], tmp_path: Path, cutis: Cutis) -> None:
    found = library.predict(bundle, pictures, tmp_path / "python.csv", maps=tmp_path / "maps", backend="eager", precision="fp32")
    options = ("--maps", tmp_path / "shell", "--backend", "eager", "--precision", "fp32", "--out", tmp_path / "shell.csv")
    answer = cutis("predict", bundle.folder, *pictures, *options, "--json")
    assert answer.code == 0, answer.err
    assert (tmp_path / "python.csv").read_bytes() == (tmp_path / "shell.csv").read_bytes()
    assert found.verdicts == answer.json["verdicts"]
    drawn = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert drawn == sorted(path.name for path in (tmp_path / "shell").iterdir())
    assert len(drawn) == 3

"""cutis explain: a set measured and shown, files shown, an ensemble with its members, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cutis as library
from cutis.recipe import Recipe
from cutis.report import heat
from cutis.runs import Run


@pytest.fixture(scope="module")
def masks(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The darker half of each picture's middle, as a lesion."""
    folder, ids, found = tmp_path_factory.mktemp("masks"), [], []
    for image in pd.read_csv(drawn)["image"]:
        grey = np.asarray(Image.open(drawn.parent / image).convert("L"), float)
        ids.append(image)
        found.append(grey < np.median(grey) - 5)
    np.savez(folder / "masks.npz", ids=np.array(ids), masks=np.stack(found))
    return folder / "masks.npz"


def trained(drawn: Path, tiny: Recipe, out: Path, seed: int = 0) -> Run:
    """Long enough for the maps to have heat."""
    return library.train(drawn, tiny.changed(**{"seed": seed, "stages.0.epochs": 40, "stages.0.lr": 0.02}), out, audit="none")


@pytest.fixture(scope="module")
def run(drawn: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(drawn, tiny, tmp_path_factory.mktemp("run") / "first")


def test_a_set_is_measured_and_shown(cutis: Callable[..., Any], run: Run, masks: Path) -> None:
    found = cutis("explain", run.folder, "--masks", masks, "--changed", 6, "--json")
    assert found.code == 0, found.err
    told = found.json
    assert told == json.loads((run.folder / "explanation.json").read_text()) | {"page": told["page"], "notice": told["notice"]}
    test = run.predictions("test").known()
    assert (told["set"], told["n"], told["drawn_from"]) == ("test", len(test.images), len(test.images))
    inside = told["inside"]
    assert inside["n"] + inside["empty"] == len(test.images)
    assert 0 < inside["area"]["value"] < 1
    assert inside["by"]["right"]["n"] + inside["by"].get("wrong", {"n": 0})["n"] == inside["n"]
    faith = told["faithfulness"]
    assert faith["n"] == 6
    assert list(faith["noise"]) == ["head", "last block", "last half", "all"]
    for case in told["cases"]:
        i = list(test.images).index(case["image"])
        assert case["answered"] == test.classes[test.predicted[i]] == case["maps"][0]["class"]
        assert case["label"] == test.classes[test.labels[i]]
        assert heat.unpacked(case["maps"][0]["heat"]).shape == (48, 48)
    page = (run.folder / "explain.html").read_text("utf-8")
    assert page.count('<article class="case"') == len(told["cases"])
    assert 'type="range"' in page
    assert "http" not in page.replace("http://www.w3.org", "")
    report = (run.folder / "report.html").read_text("utf-8")
    assert "What it looked at" in report
    assert 'href="explain.html"' in report


def test_the_same_command_gives_the_same_figures(cutis: Callable[..., Any], run: Run, masks: Path) -> None:
    def figures() -> Any:
        told = cutis("explain", run.folder, "--masks", masks, "--changed", 4, "--images", 8, "--json").json
        return {key: told[key] for key in ("inside", "faithfulness", "cases", "n", "drawn_from")}

    first = figures()
    assert first["n"] == 8 < first["drawn_from"]
    assert figures() == first


def test_files_are_shown_for_each_class_and_the_run_stays_as_it_was(cutis: Callable[..., Any], run: Run, drawn: Path) -> None:
    before = {p.name: p.read_bytes() for p in run.folder.glob("*.*")}
    key = str(run.predictions("test").images[0])
    other = drawn.parent / str(run.predictions("val").images[0])
    found = cutis("explain", run.folder, key, other, "--class", "all", "--method", "hirescam", "--json")
    assert found.code == 0, found.err
    told = found.json
    assert told["set"] is None
    assert "faithfulness" not in told
    first, second = told["cases"]
    assert (first["image"], second["image"]) == (key, str(other.resolve()))
    assert first["label"] is not None
    assert second["label"] is None
    answers = run.predictions("test")
    given = dict(zip(answers.classes, answers.probabilities[0], strict=True))
    assert first["probabilities"] == pytest.approx(given, abs=0.02)
    order = [m["class"] for m in first["maps"]]
    assert order == sorted(given, key=lambda c: -first["probabilities"][c])
    page = (run.folder / "explained" / "explain.html").read_text("utf-8")
    assert page.count('<article class="case"') == 2
    assert str(other.parent) not in page.partition("<footer>")[0]  # a name is shown, no folder
    assert {p.name: p.read_bytes() for p in run.folder.glob("*.*")} == before


def test_nearest_training_cases_stand_beside_an_answer_where_the_run_knows_them(
    cutis: Callable[..., Any], drawn: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run = trained(drawn, tiny, tmp_path / "run")
    table = run.table.set_index("image")
    train = list(table.index[table["split"] == "train"])
    (run.folder / "reference.safetensors").unlink(missing_ok=True)
    assert cutis("explain", run.folder, train[3], "--json").json["nearest"] is None
    assert cutis("scope", run.folder).code == 0
    told = cutis("explain", run.folder, train[3], "--json").json
    near = told["cases"][0]["nearest"]
    assert told["nearest"]["images"] == len(train)
    assert (near[0]["image"], near[0]["label"]) == (train[3], table["label"][train[3]])
    assert near[0]["distance"] == pytest.approx(0, abs=0.05)
    assert [n["distance"] for n in near] == sorted(n["distance"] for n in near)
    page = (run.folder / "explained" / "explain.html").read_text("utf-8")
    assert page.count("Nearest of ") == 1
    assert all(f">{n['image']}</span>" in page for n in near)


def test_an_ensemble_is_explained_as_it_answers(
    cutis: Callable[..., Any], run: Run, drawn: Path, tiny: Recipe, masks: Path, tmp_path: Path
) -> None:
    second = trained(drawn, tiny.changed(**{"images.size": (24, 16), "images.fit": "crop"}), tmp_path / "second", seed=0)
    both = library.ensemble([run, second], tmp_path / "both", weights=[3, 1])
    found = cutis("explain", both.folder, "--masks", masks, "--json")
    assert found.code == 0, found.err
    told = found.json
    assert [m["weight"] for m in told["members"]] == [0.75, 0.25]
    assert -1 <= told["agreement"]["value"] <= 1
    assert "different sizes" in told["faithfulness"]["why"]
    for case in told["cases"]:
        joined, one, other = (heat.unpacked(m["heat"]) for m in case["maps"])
        assert [m["member"] for m in case["maps"]] == [None, "first", "second"]
        assert np.isnan(other).any()  # it saw the middle only
        np.testing.assert_allclose(joined, 0.75 * one + 0.25 * np.nan_to_num(other), atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.jpg"], 2, "no image nowhere.jpg"),
        (["--set", "tset"], 2, "Unknown set 'tset'"),
        (["--class", "melanom"], 2, "Unknown class 'melanom'"),
        (["--method", "gradcm"], 2, "Unknown class activation map 'gradcm'"),
        (["--masks", "none.npz"], 3, "No lesion masks at none.npz"),
    ],
)
def test_what_cannot_be_explained_is_refused(cutis: Callable[..., Any], run: Run, arguments: list[str], code: int, message: str) -> None:
    found = cutis("explain", run.folder, *arguments)
    assert found.code == code
    assert message in found.err


def test_masks_of_other_images_are_refused(cutis: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", ids=np.array(["else"]), masks=np.ones((1, 4, 4), bool))
    found = cutis("explain", run.folder, "--masks", tmp_path / "m.npz")
    assert found.code == 3
    assert "has a mask" in found.err

"""Not answering, from training to the page: a run refuses noise at a limit from its validation images, and says what it cannot do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cutis as library
from cutis import Recipe, Run
from cutis.models import reference
from cutis.progress import Progress
from cutis.report import page


@pytest.fixture(scope="module")
def head(tiny: Recipe) -> Recipe:
    """A recipe whose backbone is frozen, so that its features are kept."""
    return tiny.changed(**{"stages.0.train": "head", "images.size": 24})


@pytest.fixture(scope="module")
def run(drawn: Path, head: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on kept features; not to be changed."""
    return library.train(drawn, head, tmp_path_factory.mktemp("run") / "run", audit="none")


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A pile of pictures without labels, of nothing."""
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(tmp_path / "noise" / f"{i}.png")
    return tmp_path / "noise"


def scoped(run: Run) -> Any:
    return json.loads((run.folder / "scope.json").read_text("utf-8"))


def test_training_on_kept_features_leaves_a_reference_and_limits(run: Run) -> None:
    told, table = scoped(run), run.table
    assert set(told["sets"]) == {"val", "test"}
    assert told["fitted"]["n"] == (table["split"] == "val").sum()
    for score, limit in told["fitted"]["limits"].items():
        for name in ("val", "test"):
            kept = pd.read_csv(run.folder / "scope" / f"{name}.csv")
            assert list(kept["image"]) == list(table.loc[table["split"] == name, "image"])
            assert told["sets"][name]["scores"][score]["refused"]["value"] == pytest.approx((kept[score] > limit).mean())
        assert told["sets"]["val"]["scores"][score]["refused"]["value"] <= 1 - told["in_scope"] + 1e-9
    found = reference.load(run)
    assert found is not None
    assert list(found.images) == list(table.loc[table["split"] == "train", "image"])


def test_noise_is_refused_and_stands_on_the_page(run: Run, noise: Path, tmp_path: Path, cutis: Callable[..., Any]) -> None:
    own = Run(shutil.copytree(run.folder, tmp_path / "own"))
    answer = cutis("scope", own.folder, noise, "--name", "noise", "--json")
    assert answer.code == 0, answer.err
    refused = answer.json["sets"]["noise"]["scores"]["neighbours"]["refused"]
    assert answer.json["sets"]["noise"]["n"] == refused["n"] == 20
    assert refused["value"] == 1
    html = (own.folder / "report.html").read_text("utf-8")
    assert "When it should not answer" in html
    assert "1.000" in html.split("<caption>Share of images refused")[1][:4000]
    assert set(scoped(own)["sets"]) == {"val", "test", "noise"}


def test_a_network_whose_features_were_not_kept_gets_its_reference_when_it_is_asked_for(
    drawn: Path, tiny: Recipe, tmp_path: Path, cutis: Callable[..., Any]
) -> None:
    made = library.train(drawn, tiny, tmp_path / "run", audit="none")
    assert not (made.folder / "scope.json").exists()
    answer = cutis("scope", made.folder)
    assert answer.code == 0, answer.err
    assert "training images through the network once" in answer.err
    assert "refused by neighbours" in answer.out
    first = scoped(made)["fitted"]
    (made.folder / "scope.json").unlink()
    again = cutis("scope", made.folder)
    assert "training images through the network once" not in again.err
    assert scoped(made)["fitted"] == first


def test_limits_are_the_same_at_the_end_of_training_and_on_demand(run: Run, tmp_path: Path, cutis: Callable[..., Any]) -> None:
    own = Run(shutil.copytree(run.folder, tmp_path / "own"))
    for file in ("scope.json", "reference.safetensors"):
        (own.folder / file).unlink()
    assert cutis("scope", own.folder).code == 0
    for score, limit in scoped(own)["fitted"]["limits"].items():
        assert limit == pytest.approx(scoped(run)["fitted"]["limits"][score], rel=1e-5)


def test_what_cannot_be_refused_is_said(
    run: Run, drawn: Path, head: Recipe, noise: Path, tmp_path: Path, cutis: Callable[..., Any]
) -> None:
    unnamed = cutis("scope", run.folder, noise)
    assert (unnamed.code, "--name" in unnamed.err) == (2, True)
    taken = cutis("scope", run.folder, noise, "--name", "test")
    assert (taken.code, "cannot be used" in taken.err) == (2, True)
    without = library.train(drawn, head.changed(**{"split.val": 0}), tmp_path / "without", audit="none", progress=Progress())
    assert not (without.folder / "scope.json").exists()
    refused = cutis("scope", without.folder)
    assert (refused.code, "no validation images" in refused.err) == (3, True)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cutis("scope", run.folder, empty, "--name", "nothing").code == 3


def test_pictures_that_changed_since_training_are_no_reference(own: Path, head: Recipe, tmp_path: Path, cutis: Callable[..., Any]) -> None:
    made = library.train(own, head, tmp_path / "run", audit="none")
    (made.folder / "reference.safetensors").unlink()
    image = made.table.loc[made.table["split"] == "train", "image"].iloc[0]
    Image.new("RGB", (24, 24)).save(own.parent / image)
    answer = cutis("scope", made.folder)
    assert answer.code == 6
    assert image in answer.err


def test_the_page_names_the_limits_and_the_promise(run: Run) -> None:
    html = page.write(run).read_text("utf-8")
    part = html[html.index("When it should not answer") :]
    assert "Leave the least sure images to a person" in part
    assert "Refuse pictures unlike its training images" in part
    assert f"{scoped(run)['fitted']['limits']['neighbours']:.4g}" in part

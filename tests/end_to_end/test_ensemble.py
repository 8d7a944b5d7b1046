"""Ensembles from training to the page: two networks at two sizes, combined, answered on other data, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

import cutis as library
from cutis import Recipe, Run
from cutis.ensemble import combined, make
from cutis.models import build

Cutis = Callable[..., Any]


@pytest.fixture(scope="module")
def members(drawn: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two networks of two sizes on one split; not to be changed."""
    folder = tmp_path_factory.mktemp("members")
    settings = {"small": ["images.size=16"], "large": ["images.size=20", "seed=1", "train.batch_size=16"]}
    return [library.train(drawn, tiny, folder / name, settings=changes) for name, changes in settings.items()]


@pytest.fixture
def own(members: list[Run], tmp_path: Path) -> list[Path]:
    """The same, for a test to extend or to spoil."""
    return [Path(shutil.copytree(run.folder, tmp_path / run.folder.name)) for run in members]


def test_two_runs_become_one_that_every_verb_reads(own: list[Path], drawn: Path, tmp_path: Path, cutis: Cutis) -> None:
    out = tmp_path / "all"
    answer = cutis("ensemble", *own, "--weights", "1,3", "--out", out)
    assert answer.code == 0, answer.err
    assert "The weights sum to 4 and are divided by it." in answer.err
    assert answer.out.startswith("test accuracy: ")
    assert answer.out.strip().endswith(str(out / "report.html"))
    left = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and p.parent.name != "figures"}
    assert left == {
        *("recipe.json", "provenance.json", "split.csv", "ensemble.json", "metrics.json", "report.html"),
        *("predictions/val.csv", "predictions/test.csv", "fitted.json", "card.md"),
    }
    listed = {row["run"]: row for row in cutis("runs", tmp_path, "--json").json}
    assert listed[str(out)]["finished"]
    assert listed[str(out)]["recipe"] == "ensemble"
    page = (out / "report.html").read_text()
    assert "Ensemble of 2 models (given)" in page
    assert "The split is clean" in page
    (out / "report.html").unlink()
    assert cutis("report", out).code == 0
    assert (out / "report.html").read_text() == page

    more = cutis("evaluate", out, drawn, "--name", "more")
    assert more.code == 0, more.err
    assert "are identical to training images" in more.err
    for folder in own:
        assert cutis("evaluate", folder, drawn, "--name", "more").code == 0
    small, large = (Run(folder).predictions("more") for folder in own)
    run = Run.open(out)
    together = run.predictions("more")
    assert (together.images == small.images).all()
    assert together.probabilities == pytest.approx((small.probabilities + 3 * large.probabilities) / 4, abs=1e-6)
    figures = run.metrics["more"]
    assert figures["n"] == len(pd.read_csv(drawn))
    assert figures["accuracy"]["value"] == pytest.approx(accuracy_score(together.labels, together.predicted))
    assert figures["members"]["small"]["accuracy"] == Run(own[0]).metrics["more"]["accuracy"]  # of the same seed, so the same resamples
    assert figures["members"]["large"]["accuracy"]["value"] == Run(own[1]).metrics["more"]["accuracy"]["value"]
    twins = run.provenance["evaluated"]["more"]["training_twins"]
    assert twins == Run(own[0]).provenance["evaluated"]["more"]["training_twins"] == (run.table["split"] == "train").sum()


@pytest.mark.parametrize("method", ["fitted", "greedy", "rank"])
def test_an_image_is_answered_alike_when_combined_and_when_evaluated_later(
    members: list[Run], drawn: Path, tmp_path: Path, method: str, cutis: Cutis
) -> None:
    out = tmp_path / "all"
    answer = cutis("ensemble", *(m.folder for m in members), "--method", method, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["set"] == "test"
    run = Run.open(out)
    with pytest.warns(UserWarning, match="identical to training images"):
        library.evaluate(run, drawn, "more")
    kept, later = run.predictions("test"), run.predictions("more")
    places = [list(later.images).index(image) for image in kept.images]
    assert later.probabilities[places] == pytest.approx(kept.probabilities, abs=1e-6)


def test_fault_m3_a_member_with_its_classes_in_another_order_is_mapped_by_name_on_other_data(own: list[Path], drawn: Path) -> None:
    def evaluated(folder: Path) -> Any:
        with pytest.warns(UserWarning, match="identical to training images"):
            library.evaluate(Run(folder), drawn, "more")
        return Run(folder).predictions("more")

    model, spec = build.load(Run(own[1]).model_file)
    order = np.roll(np.arange(len(model.classes)), 1)
    for parameter in model.head[-1].parameters():
        parameter.data = parameter.data[order.tolist()]
    model.classes = tuple(model.classes[i] for i in order)
    build.save(model, Run(own[1]).model_file, spec)
    about = Run(own[1]).provenance
    Run(own[1]).provenance = about | {"classes": list(model.classes)}
    twisted = combined_of(own, own[0].parent / "twisted")
    assert combined.load(Run(twisted)).members[1].classes == model.classes
    together = evaluated(twisted)
    alone = [evaluated(folder) for folder in own]
    assert alone[1].classes == model.classes
    by_name = [pd.DataFrame(p.probabilities, columns=list(p.classes))[list(together.classes)].to_numpy() for p in alone]
    assert together.probabilities == pytest.approx(np.mean(by_name, axis=0), abs=1e-6)


def combined_of(folders: list[Path], out: Path) -> Path:
    """A plain mean of runs."""
    make.make(make.recipe(folders, out), out)
    return out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--method", "fittd"), 2, "Did you mean 'fitted'"),
        (("--weights", "a,b"), 2, "--weights takes numbers"),
        (("--weights", "1,2,3"), 2, "one weight for each of the 2 members"),
        (("--weights", "1,-1"), 2, "ensemble.weights.1"),
        (("--weights", "1,1", "--method", "rank"), 2, "Weights are used by the method given"),
        (("--method", "greedy", "--set", "ensemble.options.metric=acuracy"), 2, "Did you mean 'accuracy'"),
        (("--method", "stacking"), 3, "at least two groups"),
    ],
)
def test_what_cannot_be_combined_is_named_with_its_exit_code_and_leaves_nothing(
    arguments: tuple[str, ...], code: int, said: str, members: list[Run], tmp_path: Path, cutis: Cutis
) -> None:
    answer = cutis("ensemble", *(m.folder for m in members), "--out", tmp_path / "all", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "all").exists()


def test_members_on_other_splits_and_members_that_change_end_with_their_exit_codes(
    own: list[Path], drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis
) -> None:
    other = tmp_path / "other"
    assert cutis("train", drawn, "--recipe", recipe_file, "--set", "split.seed=1", "--out", other).code == 0
    answer = cutis("ensemble", own[0], other, "--out", tmp_path / "all")
    assert answer.code == 4
    assert "other was trained on " in answer.err
    assert "test images (of small)" in answer.err
    assert cutis("ensemble", own[0], other, "--out", tmp_path / "all", "--allow-leaks").code == 3  # they answered other rows
    assert cutis("ensemble", *own, "--out", tmp_path / "all").code == 0
    shutil.copy(other / "model.safetensors", own[1])
    answer = cutis("evaluate", tmp_path / "all", drawn, "--name", "more")
    assert answer.code == 6
    assert "The member large changed since it was combined" in answer.err


def test_the_recipe_of_an_ensemble_trains_nothing(own: list[Path], drawn: Path, tmp_path: Path, cutis: Cutis) -> None:
    out = combined_of(own, tmp_path / "all")
    answer = cutis("train", drawn, "--recipe", out / "recipe.json", "--out", tmp_path / "run")
    assert answer.code == 2
    assert "trains nothing. Use it with: cutis ensemble" in answer.err
    assert not (tmp_path / "run").exists()
    assert cutis("train", "--out", out, "--resume").code in (2, 6)
    assert json.loads((out / "recipe.json").read_text())["ensemble"]["members"] == ["../small", "../large"]

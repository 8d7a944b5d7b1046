"""The work of a study: what a scale cuts, what is kept and taken up, and what is refused before anything is trained."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from cutis.data import splits
from cutis.data.table import finish
from cutis.errors import ArtifactError, CutisError
from cutis.progress import Progress
from cutis.recipe import Balance, Evaluation, Images, Model, Predict, Recipe, Split, Stage, Train
from cutis.studies.catalog import Arm, Given, Scale, Study, Trained
from cutis.studies.work import Work, fitted, reduced
from cutis.train.checkpoint import Interrupted

LARGE = Recipe(
    images=Images(size=(150, 200)),
    stages=(Stage(epochs=50), Stage(epochs=2)),
    train=Train(batch_size=64, size=(100, 200)),
    predict=Predict(size=200),
    evaluate=Evaluation(replicates=2000),
    balance=Balance(name="count", options={"count": 3000}),
)


def collection(seed: int, groups: int = 120) -> pd.DataFrame:
    """A divided table: groups of one to four images, three classes of unlike size."""
    rng = np.random.default_rng(seed)
    rows = [
        {"image": f"{g}-{i}.jpg", "label": label, "group": f"g{g}"}
        for g, label in enumerate(rng.choice(["a", "b", "c"], groups, p=[0.7, 0.2, 0.1]))
        for i in range(rng.integers(1, 5))
    ]
    return splits.split(finish(pd.DataFrame(rows), Path("/nowhere"), "test", []), Split(test=0.3, val=0.1))


def test_a_scale_caps_every_number_and_says_each() -> None:
    scale = Scale("cpu", images=800, size=100, epochs=5, batch=16, replicates=200)
    recipe, said = fitted(LARGE, scale)
    assert recipe.images.size == (75, 100)
    assert recipe.train.size == (50, 100)
    assert recipe.predict.size == 100
    assert [stage.epochs for stage in recipe.stages] == [5, 2]
    assert recipe.train.batch_size == 16
    assert recipe.evaluate.replicates == 200
    assert recipe.balance.options == {"count": 100}
    told = "; ".join(said)
    for words in ("75 x 100 pixels instead of 150 x 200", "5 instead of 50 in stage 1", "16 instead of 64", "100 images instead of 3,000"):
        assert words in told


def test_what_is_within_a_scale_stays_as_it_is() -> None:
    assert fitted(LARGE, Scale("full")) == (LARGE, [])
    assert fitted(LARGE, Scale("cpu", images=100_000, size=200, epochs=50, batch=64, replicates=2000)) == (LARGE, [])


def test_arms_that_one_backbone_makes_alike_are_trained_once(study: Study, given: Given, tmp_path: Path) -> None:
    one = study.arm("plain").plan()[0].changed(name="one", **{"model.backbone": "resnet18"})
    other = one.changed(name="other", **{"model.backbone": "vgg19"})
    heads = other.changed(**{"model.head": ("avgpool", "dense:4")})
    arms = tuple(Trained(name=name, recipe=recipe) for name, recipe in {"first": one, "alike": other, "head": heads}.items())
    lines: list[str] = []

    class Heard(Progress):
        def say(self, text: str) -> None:
            lines.append(text)

    study = replace(study, arms=arms, published=(), pairs=(), subsets=())
    work = Work(study, given, Scale("cpu", images=60, epochs=1), tmp_path, backbone="plain_cnn", from_scratch=True, progress=Heard())
    assert set(work.run()) == {"first", "head"}
    assert work.left_out == {"alike": "is the same as first once every backbone is plain_cnn"}
    assert any("alike is left out" in line for line in lines)


@settings(max_examples=15)
@drawn(st.integers(0, 10_000), st.integers(40, 150), st.integers(20, 60))
def test_reduced_keeps_whole_groups_of_every_class_near_the_numbers_and_always_the_same(seed: int, images: int, test: int) -> None:
    table = collection(seed)
    scale = Scale("cpu", images=images, test=test)
    small = reduced(table, scale)
    assert set(small.groupby("group").size().items()) <= set(table.groupby("group").size().items()), "a group was cut"
    whole = table["split"].value_counts()
    for name, most in (("test", min(test, whole["test"])), ("train", min(images / (whole["train"] + whole["val"]), 1) * whole["train"])):
        part, was = small[small["split"] == name], table[table["split"] == name]
        assert abs(len(part) - most) <= 8, "more than two groups off"
        if name == "train":
            assert set(part["label"]) == set(was["label"]), "a class was lost to training"
    again = reduced(table.sample(frac=1, random_state=1), scale)
    assert set(again["image"]) == set(small["image"])


def test_tables_of_the_same_images_under_other_labels_keep_the_same_rows() -> None:
    table = collection(3, groups=300)
    binary = table.assign(label=table["label"].map({"a": "benign", "b": "malignant", "c": "malignant"}))
    scale, strata = Scale("cpu", images=90, test=40), dict(zip(table["image"], table["label"], strict=True))
    assert list(reduced(binary, scale, strata)["image"]) == list(reduced(table, scale, strata)["image"])


def test_a_table_without_parts_is_cut_as_a_test_part() -> None:
    table = collection(0).assign(split=None)
    assert abs(len(reduced(table, Scale("cpu", images=10, test=50))) - 50) <= 8
    assert len(reduced(table, Scale("cpu", images=10))) == len(table)


def only(study: Study, **changes: object) -> Study:
    """The study with its second arm alone, changed."""
    return replace(study, arms=(replace(study.arms[1], **changes),), pairs=(), pages=())  # type: ignore[arg-type]


def test_a_finished_arm_is_kept_and_another_recipe_or_split_is_refused(study: Study, given: Given, tmp_path: Path) -> None:
    one = only(study, also=())
    work = Work(one, given, one.scale("cpu"), tmp_path)
    model = work.run()["weighted"].model_file
    before = model.stat().st_mtime_ns
    Work(one, given, one.scale("cpu"), tmp_path).run()
    assert model.stat().st_mtime_ns == before
    other = only(study, also=(), recipe=study.arms[1].plan()[0].changed(**{"stages.0.lr": 0.5}))
    with pytest.raises(ArtifactError, match=r"weighted holds a run with another recipe\. Give another --out"):
        Work(other, given, other.scale("cpu"), tmp_path).run()
    moved = Given(given.table.assign(split=np.where(given.table["patient"].str[-1].isin(["1", "2", "3"]), "test", "train")))
    with pytest.raises(ArtifactError, match="another data or split"):
        Work(one, moved, one.scale("cpu"), tmp_path).run()


class Stopping(Progress):
    """Ends this process's training after the first epoch."""

    def say(self, text: str) -> None:
        if text.startswith("Epoch 1"):
            signal.raise_signal(signal.SIGTERM)


def test_the_same_command_goes_on_exactly_where_a_signal_stopped_it(study: Study, given: Given, tmp_path: Path) -> None:
    one = only(study, also=("external",))
    whole = Work(one, given, one.scale("cpu"), tmp_path / "whole").run()["weighted"]
    with pytest.raises(Interrupted):
        Work(one, given, one.scale("cpu"), tmp_path / "part", progress=Stopping()).run()
    part = Work(one, given, one.scale("cpu"), tmp_path / "part").run()["weighted"]
    assert part.model_file.read_bytes() == whole.model_file.read_bytes()
    assert part.metrics == whole.metrics
    assert {"test", "external"} <= part.metrics.keys()


def pretrained(study: Study) -> Study:
    """The study with one arm that wants weights which are not at hand."""
    spec = Recipe(images=Images(size=32), model=Model(backbone="resnet18.a1_in1k"), stages=(Stage(epochs=1, train="head"),))
    return replace(study, arms=(Trained(name="resnet", recipe=spec),), pairs=(), pages=())


def test_missing_weights_are_named_with_both_ways_out_before_anything_is_written(study: Study, given: Given, tmp_path: Path) -> None:
    one = pretrained(study)
    with pytest.raises(ArtifactError, match=r"resnet18\.a1_in1k: .* \(--backbone NAME\), .* \(--from-scratch\)"):
        Work(one, given, one.scale("cpu"), tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_another_backbone_random_weights_and_the_scale_are_said_of_the_arm(study: Study, given: Given, tmp_path: Path) -> None:
    one = pretrained(study)
    arm = one.arms[0]

    def recipe_and_words(**options: object) -> tuple[Recipe, str]:
        work = Work(one, given, one.scale("cpu"), tmp_path, **options)  # type: ignore[arg-type]
        return work.recipe(arm, arm.plan()[0]), "; ".join(work.changes(arm))

    recipe, said = recipe_and_words(from_scratch=True)
    assert recipe.model.weights == "none"
    assert "resnet18.a1_in1k from random weights, frozen as they are in some stages" in said
    recipe, said = recipe_and_words(backbone="mobilenetv2_100.ra_in1k")
    assert (recipe.model.backbone, recipe.model.weights) == ("mobilenetv2_100.ra_in1k", "pretrained")
    assert "backbone mobilenetv2_100.ra_in1k instead of resnet18.a1_in1k" in said
    assert "60 of" in said, "fewer training images"
    assert recipe.split == study.split
    own = study.arms[0]
    assert Work(study, given, study.scale("cpu"), tmp_path, backbone="resnet18").recipe(own, own.plan()[0]).model.backbone == "plain_cnn"


def test_at_the_scale_smoke_weights_are_random_and_that_is_said(study: Study, given: Given, tmp_path: Path) -> None:
    one = pretrained(study)
    work = Work(one, given, one.scale("smoke"), tmp_path)
    work.ready()
    assert work.recipe(one.arms[0], one.arms[0].plan()[0]).model.weights == "none"
    assert any("random weights" in line for line in work.changes(one.arms[0]))


def test_copies_of_a_picture_stay_on_one_side_of_a_split_that_is_drawn_here(study: Study, given: Given, tmp_path: Path) -> None:
    rows = given.table[["image", "label", "lesion", "patient"]].copy()
    first = rows.iloc[0]
    for i in range(12):  # the same picture as another patient's
        name = f"images/copy{i}.jpg"
        shutil.copy(Path(given.table.attrs["root"]) / first["image"], tmp_path / f"copy{i}.jpg")
        rows.loc[len(rows)] = [name, first["label"], f"copy{i}", f"copy{i}"]
    (tmp_path / "images").mkdir()
    for name in rows["image"]:
        source = tmp_path / Path(name).name
        shutil.copy(source if source.is_file() else Path(given.table.attrs["root"]) / name, tmp_path / name)
    table = finish(rows, tmp_path, "test", [])
    divided = Work(study, Given(table), study.scale("full"), tmp_path / "out").tables[""]
    same = divided[divided["image"].isin([first["image"], *(f"images/copy{i}.jpg" for i in range(12))])]
    assert same["split"].nunique() == 1


def test_arms_asked_for_bring_the_members_of_their_ensemble(study: Study, given: Given, tmp_path: Path) -> None:
    assert [arm.name for arm in Work(study, given, study.scale("cpu"), tmp_path, asked=["both"]).arms] == ["plain", "weighted", "both"]
    with pytest.raises(CutisError, match="Did you mean 'plain'"):
        Work(study, given, study.scale("cpu"), tmp_path, asked=["plane"]).run()


def test_an_arm_of_its_own_kind_is_made_by_its_own_make(study: Study, given: Given, tmp_path: Path) -> None:
    class Borrowed(Trained):
        def make(self, work: Work) -> object:  # type: ignore[override]
            return "made with " + ", ".join(sorted(work.tables))

    one = replace(study, arms=(Borrowed(name="own", recipe=LARGE),))
    assert Work(one, given, one.scale("full"), tmp_path, from_scratch=True).run() == {"own": "made with , external"}


def test_an_arm_must_say_how_it_is_made(study: Study, given: Given, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError):
        Arm(name="bare").make(Work(study, given, study.scale("full"), tmp_path))

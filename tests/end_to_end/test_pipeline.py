"""The main path: what a run leaves, that it learns, that it can be repeated and resumed, and what it refuses."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score

import cutis
from cutis import Recipe, Run
from cutis.data import synthetic
from cutis.errors import ArtifactError, DataError, LeakError
from cutis.jobs import answers
from cutis.train.checkpoint import Interrupted


def rewritten(table: Path, **columns: Any) -> pd.DataFrame:
    """The CSV of a collection with columns changed; also its rows as they are now."""
    rows = pd.read_csv(table, dtype=str)
    rows = rows.assign(**{name: column(rows) if callable(column) else column for name, column in columns.items()})
    rows.to_csv(table, index=False)
    return rows


def halves(rows: pd.DataFrame) -> pd.Series:
    """A split by patient that leaks nothing: of each class some patients train, some test."""
    patient = rows["patient"].str[1:].astype(int)
    return pd.Series(np.where(patient % 3 == 0, "test", "train"), index=rows.index)


def test_figures_are_those_of_scikit_learn_on_the_predictions(drawn: Path, tiny: Recipe, tmp_path: Path) -> None:
    run = cutis.train(drawn, tiny, tmp_path / "run")
    answers = pd.read_csv(run.folder / "predictions" / "test.csv")
    assert sorted(answers["image"]) == sorted(run.table.loc[run.table["split"] == "test", "image"])
    figures = run.metrics["test"]
    assert figures["accuracy"]["value"] == pytest.approx(accuracy_score(answers["label"], answers["predicted"]))
    assert figures["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(answers["label"], answers["predicted"]))
    common = run.table.loc[run.table["split"] == "train", "label"].value_counts().idxmax()
    assert figures["baseline"]["accuracy"]["value"] == pytest.approx((answers["label"] == common).mean())
    assert run.table.groupby("patient")["split"].nunique().eq(1).all()


def test_it_learns_the_demo_beats_the_majority_line_with_its_whole_interval(tmp_path: Path) -> None:
    table = synthetic.write(tmp_path / "pictures", lesions=260, views=(1, 2), size=32, difficulty=0.1, seed=0)
    run = cutis.train(table, "demo", tmp_path / "run", settings=["images.size=32", "stages.0.epochs=12"])
    figures = run.metrics["test"]
    for name, line in figures["baseline"].items():
        assert figures[name]["low"] > line["high"], name


def test_fault_g1_the_same_seed_twice_gives_identical_files_and_another_seed_does_not(drawn: Path, tiny: Recipe, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        cutis.train(drawn, tiny.changed(seed=seed, **{"augment.hflip": True}), tmp_path / name)
    for file in ("model.safetensors", "metrics.json", "split.csv", "predictions/test.csv", "figures/scores.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert (tmp_path / "a" / "predictions/test.csv").read_bytes() != (tmp_path / "c" / "predictions/test.csv").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_fault_t7_a_signal_saves_and_resuming_gives_identical_files(
    number: signal.Signals, drawn: Path, tiny: Recipe, tmp_path: Path, stopping: Any
) -> None:
    whole, before = cutis.train(drawn, tiny, tmp_path / "whole"), signal.getsignal(number)
    with pytest.raises(Interrupted) as stop:
        cutis.train(drawn, tiny, tmp_path / "run", progress=stopping("Epoch 2", number))
    assert stop.value.signal == number
    assert signal.getsignal(number) is before
    half = Run.open(tmp_path / "run")
    assert not half.finished
    assert len(half.history) == 2
    with pytest.raises(ArtifactError, match=r"is unfinished\. Go on with: cutis train --out .*run --resume"):
        cutis.evaluate(half, drawn, "early")
    with pytest.raises(ArtifactError, match="was interrupted; go on with --resume"):
        cutis.train(drawn, tiny, half.folder)
    began = half.provenance["started"]
    run = cutis.train(drawn, tiny, half.folder, resume=True)
    for file in ("model.safetensors", "metrics.json", "split.csv", "predictions/test.csv", "predictions/val.csv"):
        assert (run.folder / file).read_bytes() == (whole.folder / file).read_bytes(), file
    assert {p.name for p in run.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}
    assert run.provenance["split"] == whole.provenance["split"]
    assert run.provenance["started"] == began
    with pytest.raises(ArtifactError, match="is finished"):
        cutis.train(drawn, tiny, half.folder, resume=True)


def test_a_signal_before_training_leaves_nothing_and_one_after_it_only_the_answers_to_make(
    drawn: Path, tiny: Recipe, tmp_path: Path, stopping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = stopping("Nothing says this")
    monkeypatch.setattr(early, "step", lambda part, *_: part == "cache" and signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        cutis.train(drawn, tiny.changed(**{"images.size": 20}), tmp_path / "run", progress=early)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(answers, "add", lambda *_: pytest.fail("killed here"))
    with pytest.raises(pytest.fail.Exception):
        cutis.train(drawn, tiny, tmp_path / "run")
    monkeypatch.undo()
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    run = cutis.train(drawn, tiny, tmp_path / "run", resume=True)
    assert run.model_file.read_bytes() == weights
    assert (run.folder / "predictions/test.csv").read_bytes() == (
        cutis.train(drawn, tiny, tmp_path / "whole").folder / "predictions/test.csv"
    ).read_bytes()


@pytest.fixture
def stopped(own: Path, tiny: Recipe, tmp_path: Path, stopping: Any) -> Run:
    """A run on a collection of its own, interrupted in its second epoch."""
    with pytest.raises(Interrupted):
        cutis.train(own, tiny, tmp_path / "run", progress=stopping("Epoch 2"))
    return Run(tmp_path / "run")


def resumed(own: Path, tiny: Recipe, run: Run) -> Run:
    return cutis.train(own, tiny, run.folder, resume=True)


def test_fault_t8_a_picture_changed_before_a_resume_is_refused_by_name(own: Path, tiny: Recipe, stopped: Run) -> None:
    image = stopped.table["image"][0]
    before = (own.parent / image).read_bytes()
    Image.new("RGB", (24, 24), "red").save(own.parent / image)
    with pytest.raises(ArtifactError, match=rf"1 images differ in pixels or label, for example {image}\. Restore them") as refused:
        resumed(own, tiny, stopped)
    assert refused.value.code == 6
    (own.parent / image).write_bytes(before)
    assert resumed(own, tiny, stopped).finished


def test_fault_t8_labels_changed_or_rows_lost_before_a_resume_are_refused(own: Path, tiny: Recipe, stopped: Run) -> None:
    given = own.read_text()
    rows = rewritten(own, label=lambda r: r["label"].mask(r.index == 3, "nv" if r["label"][3] != "nv" else "mel"))
    with pytest.raises(ArtifactError, match=f"for example {rows['image'][3]}"):
        resumed(own, tiny, stopped)
    own.write_text("\n".join(given.splitlines()[:-1]) + "\n")
    with pytest.raises(ArtifactError, match=f"1 images are gone, for example {rows['image'].iloc[-1]}"):
        resumed(own, tiny, stopped)
    own.write_text(given)
    assert resumed(own, tiny, stopped).finished


def test_fault_i1_too_many_unreadable_files_stop_the_run_and_a_few_are_listed(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    images = pd.read_csv(own)["image"]
    (own.parent / images[1]).write_bytes(b"")
    (own.parent / images[7]).write_bytes((own.parent / images[7]).read_bytes()[:90])
    with pytest.raises(DataError, match=rf"2 of {len(images)} images cannot be read .* allows 1\.0%") as refused:
        cutis.train(own, tiny, tmp_path / "run")
    assert images[1] in str(refused.value)
    assert images[7] in str(refused.value)
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="2 of .* images cannot be read and are left out"):
        run = cutis.train(own, tiny, tmp_path / "run", settings=["images.max_unreadable=0.05"])
    assert run.unreadable["image"].tolist() == [images[1], images[7]]
    assert run.unreadable["reason"].str.len().gt(0).all()
    assert not run.table["image"].isin(run.unreadable["image"]).any()
    assert run.provenance["data"]["unreadable"] == 2
    assert images[7] in (run.folder / "report.html").read_text()


def test_fault_d3_one_name_in_two_folders_is_two_images_and_one_image_with_two_labels_is_refused(
    drawn: Path, tiny: Recipe, tmp_path: Path
) -> None:
    rows = pd.read_csv(drawn)
    tree, keys = tmp_path / "tree", set()
    for label, of_class in rows[rows["label"].isin(["mel", "nv"])].groupby("label"):
        (tree / str(label)).mkdir(parents=True)
        for i, image in enumerate(of_class["image"].head(12)):
            shutil.copy(drawn.parent / image, tree / str(label) / f"{i}.jpg")
            keys.add(f"{label}/{i}.jpg")
    run = cutis.train(tree, tiny, tmp_path / "run")
    assert set(run.table["image"]) == keys
    assert (run.table["label"] == run.table["image"].str.split("/").str[0]).all()
    twice = tmp_path / "twice.csv"
    pd.DataFrame({"image": ["nv/0.jpg", "nv/1.jpg", "nv/0.jpg"], "label": ["nv", "nv", "mel"]}).to_csv(twice, index=False)
    with pytest.raises(DataError, match=r"1 images have two labels \(.*nv/0\.jpg: mel and nv\)"):
        cutis.train(twice.rename(tree / "twice.csv"), tiny, tmp_path / "no")


def test_fault_d4_planted_leaks_stop_the_run_and_are_allowed_only_by_name(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    rows = rewritten(own, split=halves)
    lesion = rows[(rows["split"] == "train") & rows["lesion"].duplicated(keep=False)].iloc[0]
    rows = rewritten(own, split=lambda r: r["split"].mask(r["image"] == lesion["image"], "test"))
    with pytest.raises(LeakError) as refused:
        cutis.train(own, tiny, tmp_path / "run")
    of_patient = int((rows["patient"] == lesion["patient"]).sum())
    assert refused.value.code == 4
    for part in (f"1 patient ({of_patient} images) are in more than one part", lesion["patient"], "--allow-leaks", "test images"):
        assert part in str(refused.value)
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="The split leaks, which is allowed here"):
        run = cutis.train(own, tiny, tmp_path / "run", allow_leaks=True)
    assert run.provenance["split"]["leaks_allowed"]
    assert run.provenance["overrides"] == ["--allow-leaks"]
    assert "Trained with leaks allowed: the figures are too good to be believed." in (run.folder / "report.html").read_text()
    assert "leaks allowed" in (run.folder / "figures/confusion.svg").read_text()


def test_fault_d4_one_picture_under_two_patients_is_found_by_its_pixels(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    rows = rewritten(own, split=halves)
    train, test = (rows[rows["split"] == part].iloc[0]["image"] for part in ("train", "test"))
    (own.parent / test).write_bytes((own.parent / train).read_bytes() + b"other bytes, the same pixels")
    with pytest.raises(LeakError, match=r"1 pictures \(2 images\) are in more than one part under different patients") as refused:
        cutis.train(own, tiny, tmp_path / "run")
    assert " = ".join(sorted([train, test])) in str(refused.value)
    rewritten(own, split="")
    run = cutis.train(own, tiny, tmp_path / "run")  # where Cutis splits, it keeps them together
    parts = run.table.set_index("image")["split"]
    assert parts[train] == parts[test]
    assert run.provenance["split"]["proof"]["ok"]


def test_fault_d5_a_class_of_one_image_has_no_figure_rather_than_nought(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    rows = rewritten(own, split=halves)
    test = rows[(rows["split"] == "test") & (rows["label"] == "mel")].index
    rewritten(own, split=lambda r: r["split"].mask(r.index.isin(test[1:]), ""))
    run = cutis.train(own, tiny, tmp_path / "run")
    figure = run.metrics["test"]["per_class"]["mel"]["sensitivity"]
    assert figure == {"value": None, "low": None, "high": None, "n": 1, "why": "1 image of this class"}
    assert "n/a (1 image" in (run.folder / "report.html").read_text()
    rewritten(own, split=lambda r: r["split"].mask(r["label"] == "mel", ""))
    assert "mel" not in cutis.train(own, tiny, tmp_path / "none").metrics["test"]["classes"]


def test_fault_d5_fewer_than_two_classes_or_a_class_never_trained_are_refused(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    rewritten(own, split=halves)
    rewritten(own, split=lambda r: r["split"].mask((r["label"] == "mel") & (r["split"] == "train"), ""))
    with pytest.raises(DataError, match="Classes without a training image: mel"):
        cutis.train(own, tiny, tmp_path / "run")
    rewritten(own, label="nv", split="")
    with pytest.raises(DataError, match=r"at least two classes with images; the training part has nv \(\d+\)"):
        cutis.train(own, tiny, tmp_path / "run")
    rewritten(own, label="")
    with pytest.raises(DataError, match="No image has a label"):
        cutis.train(own, tiny, tmp_path / "run")


def test_fault_d8_loops_pipes_and_dead_links_end_and_are_listed(drawn: Path, tiny: Recipe, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for label in ("mel", "nv"):
        (tree / label).mkdir(parents=True)
        for i, image in enumerate(pd.read_csv(drawn).query("label == @label")["image"].head(15)):
            shutil.copy(drawn.parent / image, tree / label / f"{i}.jpg")
    (tree / "mel" / "loop").symlink_to(tree, target_is_directory=True)
    os.mkfifo(tree / "nv" / "pipe.jpg")
    (tree / "nv" / "dead.jpg").symlink_to(tree / "nowhere.jpg")
    (tree / "nv" / "folder.jpg").mkdir()
    run = cutis.train(tree, tiny, tmp_path / "run")
    assert len(run.table) == 30
    notes = " ".join(run.provenance["data"]["notes"])
    assert "nv/pipe.jpg" in notes
    assert "nv/dead.jpg" in notes


def test_evaluate_adds_a_set_and_names_what_it_cannot_use(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    rows = rewritten(own, split=halves)
    run = cutis.train(own, tiny, tmp_path / "run")
    before = {name: run.metrics[name] for name in ("val", "test")}
    new = tmp_path / "own" / "new.csv"
    rows[rows["split"] == "test"].assign(label=lambda r: r["label"].str.upper()).drop(columns="split").to_csv(new, index=False)
    figures = cutis.evaluate(run.folder, new, "again")
    assert figures["accuracy"] == before["test"]["accuracy"]  # labels are matched whatever their case
    assert run.sets == ["again", "test", "val"]
    assert {name: run.metrics[name] for name in ("val", "test")} == before
    told = run.provenance["evaluated"]["again"]
    assert told["training_twins"] == 0
    assert (told["engine"]["backend"], told["engine"]["precision"]) == ("eager", "fp32")  # so few are not worth a measurement
    assert told["files"][0]["path"] == "new.csv"
    assert run.provenance["seconds"].keys() >= {"train", "split"}
    with pytest.warns(UserWarning, match=r"\d+ of these images are identical to training images"):
        cutis.evaluate(run, own, "seen")
    assert run.provenance["evaluated"]["seen"]["training_twins"] == (run.table["split"] == "train").sum()
    with pytest.raises(ValueError, match="train, val and test are the run's own parts"):
        cutis.evaluate(run, new, "test")


def test_fault_d6_labels_the_model_does_not_know_are_named_or_left_out(own: Path, tiny: Recipe, tmp_path: Path) -> None:
    run = cutis.train(own, tiny, tmp_path / "run")
    rows = rewritten(own, label=lambda r: r["label"].mask(r.index == 0, "vasc").mask(r.index.isin([1, 2]), "Scar"))
    with pytest.raises(DataError, match=r"does not know the label Scar \(2 images\), vasc \(1 image\)\. It knows: bcc, bkl") as refused:
        cutis.evaluate(run, own, "other")
    assert refused.value.code == 3
    assert run.sets == ["test", "val"]
    with pytest.warns(UserWarning, match="identical to training images"):
        figures = cutis.evaluate(run, own, "other", ignore_unknown=True)
    assert figures["n"] == len(rows) - 3
    with pytest.warns(UserWarning, match="identical to training images"):
        figures = cutis.evaluate(run, own, "mapped", map={"Scar": "nv", "vasc": "bcc"})
    assert figures["n"] == len(rows)
    rewritten(own, label="")
    with pytest.raises(DataError, match="so there is nothing to measure"):
        cutis.evaluate(run, own, "unlabelled")
    assert json.loads((run.folder / "metrics.json").read_text()).keys() == {"val", "test", "other", "mapped"}

"""The command line as a shell sees it: files left, what is printed where, exit codes, and what messages name."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cutis import Predictor, Recipe, Run
from cutis.cli import told
from cutis.report.words import NOTICE
from cutis.train.checkpoint import Interrupted

Cutis = Callable[..., Any]

FILES = {
    "audit/audit.html",
    "audit/audit.json",
    "card.md",
    "fitted.json",
    "history.csv",
    "metrics.json",
    "model.safetensors",
    "predictions/test.csv",
    "predictions/val.csv",
    "provenance.json",
    "recipe.json",
    "report.html",
    "split.csv",
}


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def run(drawn: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by a process of its own."""
    out = tmp_path_factory.mktemp("runs") / "run"
    done = subprocess.run(
        [sys.executable, "-m", "cutis", "train", drawn, "--recipe", recipe_file, "--out", out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["test accuracy", "test balanced_accuracy", "test auroc_macro"]
    assert "always the most frequent class: 0.250 [0.250, 0.250]" in lines[1]
    assert lines[3:] == [NOTICE, str(out / "report.html")]
    for said in ("Read labels.csv as csv: ", "The split is clean: no patient and no identical picture", "Epoch 3 of 3"):
        assert said in done.stderr
    return out


def test_train_leaves_exactly_these_files(run: Path, drawn: Path) -> None:
    left = files(run)
    drawings = {f for f in left if f.startswith("figures/")}
    assert left - drawings == FILES
    assert drawings >= {"figures/confusion.svg", "figures/reliability.svg", "figures/scores.svg", "figures/loss.svg"}
    table, history = Run.open(run).table, Run.open(run).history
    assert len(table) == len(pd.read_csv(drawn))
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    columns = "stage epoch size lr train_loss val_loss val_accuracy val_balanced_accuracy val_auroc images_per_second seconds best"
    assert list(history) == [*columns.split(), "precision"]
    about = json.loads((run / "provenance.json").read_text())
    assert about["command"].startswith(f"cutis train {drawn}")
    assert about["data"]["files"][0]["path"] == "labels.csv"
    assert about["seconds"].keys() >= {"read", "cache", "split", "proof", "train", "predict", "evaluate"}
    for name in left:
        assert ".part" not in name


def test_evaluate_adds_a_set_and_json_is_all_that_it_prints(run: Path, drawn: Path, cutis: Cutis) -> None:
    answer = cutis("evaluate", run, drawn, "--name", "again", "--json")
    assert answer.code == 0
    assert answer.json["set"] == "again"
    assert answer.json["metrics"]["n"] == len(pd.read_csv(drawn))
    assert answer.json["notice"] == NOTICE
    assert answer.err.startswith("Warning: ")
    assert len(answer.err.splitlines()) == 1
    assert "predictions/again.csv" in files(run)
    plain = cutis("evaluate", run, drawn, "--name", "again")
    assert plain.out.startswith("again accuracy: ")
    assert "Warning: " in plain.err


def test_train_prints_only_json_where_asked_and_runs_lists_it(drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "run", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["metrics"]["accuracy"].keys() == {"value", "low", "high", "n"}
    assert Path(answer.json["report"]).is_file()
    listed = cutis("runs", tmp_path, "--json").json
    assert [(r["run"], r["recipe"], r["finished"]) for r in listed] == [(str(tmp_path / "run"), "tiny", True)]
    assert listed[0]["accuracy"] == answer.json["metrics"]["accuracy"]
    assert "(tiny)  accuracy 0." in cutis("runs", tmp_path).out
    assert cutis("report", tmp_path / "run").out.strip() == str(tmp_path / "run" / "report.html")
    assert "No runs below" in cutis("runs", tmp_path / "run" / "figures").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--recipe", "prob"), 2, "Did you mean 'probe'"),
        (("--recipe", "none.json"), 2, "There is no recipe file none.json"),
        (("--set", "stages.0.lrr=1"), 2, "Did you mean 'stages.0.lr'"),
        (("--set", "lr"), 2, "--set takes key=value"),
        (("--set", "stages.0.lr=-1"), 2, "stages.0.lr"),
        (("--set", "loss.name=focall"), 2, "Did you mean 'focal'"),
        (("--set", "model.backbone=plain_cn"), 2, "Did you mean 'plain_cnn'"),
        (("--set", "stages.0.train=last:9"), 2, "has only 2 blocks"),
        (("--set", "loss.class_weights=1,2"), 2, "give 4 positive numbers"),
        (("--set", "model.weights=none.safetensors"), 6, "There is no weights file none.safetensors"),
        (("--folds", "2", "--seeds", "2"), 2, "either --folds K or --seeds N"),
        (("--folds", "2", "--split", "a.csv:b"), 2, "leave --split out"),
        (("--folds", "1"), 2, "--folds"),
        (("--map", "melanom=mel"), 3, "Did you mean 'mel'"),
        (("--split", "nowhere.csv:b"), 3, "a CSV file that exists"),
        (("--allow-outside", "nowhere"), 3, "There is no folder nowhere"),
        (("--resume",), 6, "holds no recipe.json"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_used_is_named_with_its_exit_code_and_leaves_nothing(
    arguments: tuple[str, ...], code: int, said: str, drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis
) -> None:
    recipe = () if {"--recipe", "--resume"} & set(arguments) else ("--recipe", recipe_file)
    answer = cutis("train", drawn, *recipe, "--out", tmp_path / "run", *arguments)
    assert answer.code == code
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_used_end_with_3(tmp_path: Path, cutis: Cutis) -> None:
    assert "There is no file or folder" in (answer := cutis("train", tmp_path / "none")).err
    assert answer.code == 3
    assert "holds nothing that a reader knows" in (answer := cutis("train", tmp_path)).err
    assert answer.code == 3
    assert "Name the data to train on" in (answer := cutis("train")).err
    assert answer.code == 2


def test_parts_can_be_named_one_by_one(own: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    rows = pd.read_csv(own)
    test = rows["patient"].str[1:].astype(int) % 3 == 0
    rows[~test].to_csv(own.with_name("first.csv"), index=False)
    rows[test].to_csv(own.with_name("second.csv"), index=False)
    out = tmp_path / "run"
    answer = cutis(
        "train", f"train={own.with_name('first.csv')}", f"test={own.with_name('second.csv')}", "--recipe", recipe_file, "--out", out
    )
    assert answer.code == 0, answer.err
    made = Run.open(out)
    assert set(made.table.loc[made.table["split"] == "test", "image"]) == set(rows.loc[test, "image"])
    assert set(made.table["split"]) == {"train", "val", "test"}
    assert made.provenance["split"]["how"] == "as the data give it; validation by patient, stratified by class, seed 0"
    split = tmp_path / "split.csv"
    pd.DataFrame({"image": rows["image"], "mine": test.map({True: "test", False: "train"})}).to_csv(split, index=False)
    answer = cutis("train", own, "--split", f"{split}:mine", "--recipe", recipe_file, "--out", tmp_path / "two", "--map", "bkl=nv")
    assert answer.code == 0, answer.err
    assert Run.open(tmp_path / "two").provenance["split"]["how"].startswith("column mine of split.csv; validation")
    assert "bkl" not in Run.open(tmp_path / "two").metrics["test"]["classes"]
    assert set(Run.open(tmp_path / "two").predictions().images) == set(rows.loc[test, "image"])


def test_fault_d1_images_outside_the_data_are_read_only_from_a_folder_that_is_named(
    drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis
) -> None:
    table = tmp_path / "table" / "labels.csv"
    table.parent.mkdir()
    pd.read_csv(drawn).assign(image=lambda r: f"{drawn.parent}/" + r["image"]).to_csv(table, index=False)
    command = ("train", table, "--recipe", recipe_file, "--out", tmp_path / "run")
    refused = cutis(*command)
    assert refused.code == 3
    assert "--allow-outside FOLDER" in refused.err
    assert cutis(*command, "--allow-outside", tmp_path / "table").code == 3
    assert cutis(*command, "--allow-outside", drawn.parent).code == 0


def test_fault_d4_a_leak_ends_with_4_names_the_flag_and_the_counts(own: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    rows = pd.read_csv(own)
    rows.assign(split=["train", "test"] * (len(rows) // 2) + ["train"] * (len(rows) % 2)).to_csv(own, index=False)
    command = ("train", own, "--recipe", recipe_file, "--out", tmp_path / "run")
    refused = cutis(*command)
    assert refused.code == 4
    for said in ("The split leaks.", "--allow-leaks", "class  test images", "For example patient P0"):
        assert said in refused.err
    assert not (tmp_path / "run").exists()
    allowed = cutis(*command, "--allow-leaks")
    assert allowed.code == 0
    assert "Warning: The split leaks, which is allowed here: every page says so." in allowed.err


def test_fault_t8_a_second_run_in_a_folder_ends_with_7_and_over_a_run_with_6(
    run: Path, drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis
) -> None:
    with Run(tmp_path / "run").lock():
        answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "run")
    assert answer.code == 7
    assert "Another process works in" in answer.err
    before = {f: (run / f).read_bytes() for f in files(run)}
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", run)
    assert answer.code == 6
    assert "holds a run already, which is finished" in answer.err
    assert before == {f: (run / f).read_bytes() for f in files(run)}


def test_fault_t1_t7_killed_and_stopped_again_and_again_it_ends_with_the_weights_of_a_run_that_was_not(
    own: Path, tiny: Recipe, tmp_path: Path, cutis: Cutis, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "long.json"
    recipe.write_text(tiny.changed(**{"stages.0.epochs": 30, "stages.0.schedule": "cosine"}).to_json())
    assert cutis("train", own, "--recipe", recipe, "--out", tmp_path / "whole").code == 0
    command = [sys.executable, "-m", "cutis", "train", "--out", str(tmp_path / "run")]
    begin = [str(own), "--recipe", str(recipe)]
    for line, number, code in (("Epoch 3 ", signal.SIGKILL, -9), ("Epoch 12 ", signal.SIGTERM, 143)):
        process = subprocess.Popen(
            command + begin, stderr=subprocess.PIPE, text=True, env=os.environ | {"CUTIS_CHECKPOINT_SECONDS": "0"}, cwd=tmp_path
        )
        assert process.stderr is not None
        said = []
        for said_line in process.stderr:
            said.append(said_line)
            if said_line.startswith(line):
                process.send_signal(number)
                break
        rest = process.stderr.read()
        process.stderr.close()
        assert process.wait() == code, "".join(said) + rest
        if code > 0:
            assert f"All is saved; go on with: cutis train --out {tmp_path / 'run'} --resume" in rest, rest
        begin = ["--resume"]
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file()
    refused = cutis("train", "--out", tmp_path / "run", "--resume", "--recipe", recipe, "--set", "seed=1")
    assert refused.code == 2
    assert "leave --recipe, --set out" in refused.err
    assert cutis("train", "--out", tmp_path / "run", "--resume").code == 0
    for name in ("model.safetensors", "metrics.json", "split.csv", "predictions/test.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert files(tmp_path / "run") == files(tmp_path / "whole")
    assert len(Run.open(tmp_path / "run").history) == 30


def test_demo_replaces_only_an_earlier_demo(tmp_path: Path, cutis: Cutis, monkeypatch: pytest.MonkeyPatch, tiny: Recipe) -> None:
    from cutis import recipe

    recipe.load("demo")  # so that the recipes are registered before one is exchanged
    monkeypatch.setitem(recipe.recipes._items, "demo", lambda: tiny)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    refused = cutis("demo", "--out", tmp_path, "--lesions", "60")
    assert refused.code == 2
    assert "thesis.txt" in refused.err
    assert (tmp_path / "pictures").is_dir()
    for _ in range(2):
        answer = cutis("demo", "--out", tmp_path / "demo", "--lesions", "60")
        assert answer.code == 0, answer.err
        *_, page, notice, report = answer.out.splitlines()
        assert page.endswith(f"cutis app {tmp_path / 'demo' / 'bundle'}")
        assert notice == NOTICE
        assert report == str(tmp_path / "demo" / "run" / "report.html")
    opened = Predictor.open(tmp_path / "demo" / "bundle", backend="eager", precision="fp32")
    assert opened.nearest(opened.picture(next((tmp_path / "demo" / "pictures").rglob("*.jpg"))))


def test_what_there_is_can_be_asked(cutis: Cutis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUTIS_WEIGHTS", str(tmp_path))
    assert "probe: A linear head on a frozen MobileNetV2" in cutis("recipes").out
    assert cutis("recipes", "probe").json["name"] == "probe"
    assert "images.fit = crop\n" in cutis("recipes", "--fields").out
    assert {"field", "default", "meaning"} == cutis("recipes", "--fields", "--json").json[0].keys()
    assert "ham10000: HAM10000" in cutis("data", "list").out
    assert "licence   CC BY-NC 4.0" in cutis("data", "show", "ham10000").out
    missing = cutis("data", "show", "ham10000", "--folder", tmp_path)
    assert missing.code == 3
    assert "missing   HAM10000_metadata.csv" in missing.out
    assert cutis("weights", "list", "--json").json == []
    assert f"No weights in {tmp_path}" in cutis("weights", "list").out
    found = cutis("doctor", "--json").json
    assert found["weights"] == {"folder": str(tmp_path), "files": 0}
    assert "weights get" in found["to do"][0]
    assert cutis("--version").out.strip() == importlib.metadata.version("cutis")


def test_help_names_values_as_a_user_would(cutis: Cutis) -> None:
    for verb in ("train", "evaluate", "report", "runs", "demo", "recipes", "doctor"):
        answer = cutis(verb, "--help")
        assert answer.code == 0
        assert "list[" not in answer.out.replace("<list[str]>", "") and "(None)" not in answer.out  # noqa: PT018
    assert "Did you mean 'train'" in (answer := cutis("trian")).err
    assert answer.code == 2


def test_faults_of_the_machine_and_of_cutis_are_told_apart(
    drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "file" / "run")
    assert answer.code == 2
    assert f"Not a directory: {tmp_path / 'file' / 'run'}" in answer.err
    assert told(OSError(28, "No space left on device", "x"))[1] == 5
    assert told(MemoryError())[1] == 5
    stopped = Interrupted(signal.SIGINT)
    stopped.add_note("All is saved.")
    assert told(stopped) == ("Stopped by SIGINT. All is saved.", 130)
    from cutis.jobs import preparing

    monkeypatch.setattr(preparing, "prepare", lambda *_: {}["a fault"])
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "run")
    assert answer.code == 1
    assert "A fault in Cutis itself: KeyError: 'a fault'" in answer.err
    assert f"cutis --debug train {drawn}" in answer.err
    with pytest.raises(KeyError):
        cutis("--debug", "train", drawn, "--recipe", recipe_file, "--out", tmp_path / "run")

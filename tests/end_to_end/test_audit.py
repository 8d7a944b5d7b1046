"""``cutis audit`` as a shell sees it, and ``cutis train --audit``: lines, files, exit codes, and the cleaned table trained on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cutis import Run
from cutis.errors import FINDINGS

Cutis = Callable[..., Any]


@pytest.fixture
def spoilt(own: Path) -> Path:
    """One picture twice under two labels, one twice under one label, and two files of 88 that cannot be read."""
    rows = pd.read_csv(own)
    images = own.parent / rows["image"]
    for name, at, label in (("same", 0, rows["label"][0]), ("torn", 1, sorted(set(rows["label"]) - {rows["label"][1]})[0])):
        shutil.copy(images[at], own.parent / "images" / f"{name}.jpg")
        new = rows.iloc[[at]].assign(image=f"images/{name}.jpg", label=label, lesion=f"new {name}", patient=f"new {name}")
        rows = pd.concat([rows, new], ignore_index=True)
    for at in (5, 6):
        Path(images[at]).write_bytes(b"")
    rows.to_csv(own, index=False)
    return own


def test_audit_prints_a_line_a_finding_serious_first_and_ends_with_the_page(spoilt: Path, tmp_path: Path, cutis: Cutis) -> None:
    answer = cutis("audit", spoilt, "--quick", "--out", tmp_path / "audit")
    assert answer.code == FINDINGS == 8
    lines = answer.out.splitlines()
    assert lines[-1] == str(tmp_path / "audit" / "audit.html")
    assert Path(lines[-1]).is_file()
    kinds = [line.split(":")[0] for line in lines[:-2]]
    assert kinds == sorted(kinds, key=["serious", "warning", "note"].index)
    assert any(line.startswith("serious: 2 files cannot be read (") for line in lines)
    assert lines[-2].startswith(f"Found: {kinds.count('serious')} serious finding")
    told = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert told["command"].startswith(f"cutis audit {spoilt} --quick")


def test_audit_of_clean_data_ends_with_0_and_json_is_all_it_prints(drawn: Path, tmp_path: Path, cutis: Cutis) -> None:
    answer = cutis("audit", drawn, "--only", "files", "--out", tmp_path / "audit", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["format"] == "cutis-audit-1"
    assert list(answer.json["sections"]) == ["files"]
    assert answer.json["page"] == str(tmp_path / "audit" / "audit.html")
    assert answer.json["mended"] is None


def test_a_cleaned_table_is_trained_on_and_nothing_serious_remains(spoilt: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    before = {p: p.read_bytes() for p in spoilt.parent.rglob("*") if p.is_file()}
    rules = [f"--leave-out={rule}" for rule in ("unreadable", "conflicting")] + ["--merge=copies"]
    answer = cutis("audit", spoilt, "--quick", "--out", tmp_path / "audit", "--write", tmp_path / "clean.csv", *rules)
    assert answer.code == 0, answer.out
    assert "leave-out unreadable: 2 images" in answer.out
    assert "leave-out conflicting: 2 images" in answer.out
    assert f"Train on it with: cutis train {tmp_path / 'clean.csv'}" in answer.out
    assert before == {p: p.read_bytes() for p in spoilt.parent.rglob("*") if p.is_file()}
    rows, log = pd.read_csv(tmp_path / "clean.csv"), pd.read_csv(tmp_path / "clean.changes.csv")
    assert len(rows) == len(pd.read_csv(spoilt)) - 4
    assert set(log["rule"]) == {"leave-out unreadable", "leave-out conflicting", "merge copies"}
    again = cutis("audit", tmp_path / "clean.csv", "--quick", "--out", tmp_path / "again", "--json")
    assert (again.code, again.json["counts"]["serious"]) == (0, 0)
    trained = cutis("train", tmp_path / "clean.csv", "--recipe", recipe_file, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    table = Run.open(tmp_path / "run").table
    same = table[table["image"].isin([f"own/{rows['image'][0].removeprefix('own/')}", "own/images/same.jpg"])]
    assert same["group"].nunique() == 1
    assert len(same) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--only", "file"), 2, "Did you mean 'files'"),
        (("--leave-out", "copies"), 2, "--write FILE.csv"),
        (("--write", "clean.csv"), 2, "Say what to mend in clean.csv"),
        (("--write", "clean.csv", "--leave-out", "copy"), 2, "Did you mean 'copies'"),
        (("--write", "clean.csv", "--quick", "--leave-out", "suspects:5"), 2, "needs the check 'labels'"),
        (("--set", "images.sizes=3"), 2, "Did you mean 'images.size'"),
        (("--masks", "nowhere.npz"), 3, "nowhere.npz"),
        (("--split", "nowhere.csv:b"), 3, "a CSV file that exists"),
        (("--map", "melanom=mel"), 3, "Did you mean 'mel'"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_used_is_named_before_any_work(
    arguments: tuple[str, ...], code: int, said: str, drawn: Path, tmp_path: Path, cutis: Cutis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cutis("audit", drawn, *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not any(tmp_path.iterdir())


def test_the_data_file_is_never_written_over(own: Path, tmp_path: Path, cutis: Cutis) -> None:
    before = own.read_bytes()
    answer = cutis("audit", own, "--quick", "--out", tmp_path / "audit", "--write", own, "--leave-out", "unreadable")
    assert (answer.code, own.read_bytes()) == (2, before)
    assert "the data themselves, which are never changed" in answer.err
    assert not (tmp_path / "audit").exists()


def test_train_audits_as_much_as_it_is_asked_to(drawn: Path, recipe_file: Path, tmp_path: Path, cutis: Cutis) -> None:
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "none", "--audit", "none")
    assert answer.code == 0
    assert not (tmp_path / "none" / "audit").exists()
    assert "audit" not in answer.err
    assert cutis("report", tmp_path / "none").code == 0
    answer = cutis("train", drawn, "--recipe", recipe_file, "--out", tmp_path / "quick")
    assert "The audit found " in answer.err
    assert (tmp_path / "quick" / "audit" / "audit.html").is_file()
    assert "half" in cutis("train", drawn, "--out", tmp_path / "other", "--audit", "half").err
    refused = cutis("train", "--out", tmp_path / "none", "--resume", "--audit", "full")
    assert (refused.code, "leave --audit out" in refused.err) == (2, True)

"""The verb predict."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def photos(tmp_path, bundle_run):
    root = Path(bundle_run.provenance["data"]["root"])
    folder = tmp_path / "photos"
    folder.mkdir()
    for image in bundle_run.predictions("test").images[:4]:
        shutil.copy(root / image, folder)
    return folder


def test_it_says_what_was_answered_and_where(cutis, bundle, photos, tmp_path):
    done = cutis("predict", bundle.folder, photos, "--out", tmp_path / "answers.csv")
    assert done.code == 0
    assert "4 pictures answered" in done.out
    assert "Research use only" in done.out
    assert done.out.rstrip().endswith(str(tmp_path / "answers.csv"))
    assert (tmp_path / "answers.csv").read_text().startswith("image,group,label,predicted,p_bcc,")


def test_json_is_only_json_and_unreadable_pictures_are_exit_code_8(cutis, bundle, photos, tmp_path):
    (photos / "empty.jpg").write_bytes(b"")
    done = cutis("predict", bundle.folder, photos, "--out", tmp_path / "answers.csv", "--json")
    assert done.code == 8
    assert done.json["images"] == 5
    assert done.json["answered"] == 4
    assert done.json["unreadable"] == {
        "count": 1,
        "list": str(tmp_path / "answers.unreadable.csv"),
        "first": {"empty.jpg": "the file is empty"},
    }
    assert done.json["version"] == bundle.version
    assert done.json["notice"].startswith("Research use only")


def test_what_is_not_there_is_said(cutis, bundle, photos, tmp_path):
    assert cutis("predict", bundle.folder, tmp_path / "nothing", "--out", tmp_path / "a.csv").code == 3
    assert cutis("predict", photos, photos, "--out", tmp_path / "a.csv").code == 6

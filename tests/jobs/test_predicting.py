"""Many pictures answered into a table: the same answers as one by one, kept when stopped, gone on with, and bounded in memory."""

import csv
import json
import os
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.errors import ArtifactError, CutisError, DataError, LockedError, TrainingError
from cutis.jobs import predicting
from cutis.progress import Progress
from cutis.serve.predictor import Predictor
from cutis.serve.records import Journal
from cutis.train.checkpoint import Interrupted


@pytest.fixture(scope="module")
def photos(tmp_path_factory, bundle_run):
    """A folder of 30 of the run's test pictures, and their names in order."""
    folder = tmp_path_factory.mktemp("photos")
    root = Path(bundle_run.provenance["data"]["root"])
    for image in bundle_run.predictions("test").images[:30]:
        (folder / image).parent.mkdir(exist_ok=True)
        shutil.copy(root / image, folder / image)
    return folder


@pytest.fixture(scope="module")
def expected(bundle, photos):
    predictor = Predictor.open(bundle, backend="eager")
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    return dict(zip(names, predictor.answers([predictor.picture(photos / name) for name in names]), strict=True))


def check(table, expected, classes):
    assert table["image"].tolist() == list(expected)
    for name, row in zip(table["image"], table.to_dict("records"), strict=True):
        answer = expected[name]
        assert row["predicted"] == answer.predicted
        np.testing.assert_allclose([row[f"p_{c}"] for c in classes], answer.probabilities, atol=1e-6)
        np.testing.assert_allclose([row[f"raw_{c}"] for c in classes], answer.raw, atol=1e-6)
        assert row["confidence"] == pytest.approx(answer.confidence, abs=1e-6)
        assert row["verdict"] == answer.verdict
        assert row["possible"] == "; ".join(answer.possible)
        assert row["strangeness"] == pytest.approx(answer.strangeness, abs=1e-3)
        assert row["group"] == name


def test_a_folder_becomes_a_table_of_its_answers(bundle, photos, expected, tmp_path):
    found = predicting.predict(bundle, [photos], tmp_path / "answers.csv")
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    check(table, expected, bundle.classes)
    assert (found.images, found.answered, found.unreadable) == (30, 30, None)
    assert sum(found.verdicts.values()) == sum(found.predicted.values()) == 30
    assert found.predicted == {c: (table["predicted"] == c).sum() for c in bundle.classes}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv"]


def test_a_zip_and_parquet_say_the_same(bundle, photos, expected, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in expected:
            archive.write(photos / name, name)
    predicting.predict(bundle, [tmp_path / "photos.zip"], tmp_path / "answers.parquet")
    table = pd.read_parquet(tmp_path / "answers.parquet")
    check(table, expected, bundle.classes)
    assert table["label"].isna().all()


def test_a_table_brings_its_labels_along(bundle, bundle_run, tmp_path):
    root = Path(bundle_run.provenance["data"]["root"])
    found = predicting.predict(bundle, [root / "labels.csv"], tmp_path / "answers.csv")
    table, given = (pd.read_csv(path, dtype=str).set_index("image")["label"] for path in (tmp_path / "answers.csv", root / "labels.csv"))
    assert found.answered == len(given)
    assert table.to_dict() == given.to_dict()


def test_fault_i1_what_cannot_be_read_is_listed_with_its_reason_and_in_its_place(bundle, photos, expected, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "images" / "empty.jpg").write_bytes(b"")
    (folder / "aaa.jpg").write_bytes(b"random bytes")
    first = next(iter(expected))
    (folder / first).write_bytes((folder / first).read_bytes()[:200])
    found = predicting.predict(bundle, [folder], tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["image"].tolist() == list(expected)[1:]
    lost = pd.read_csv(tmp_path / "answers.unreadable.csv").set_index("image")["reason"]
    assert set(lost.index) == {"aaa.jpg", first, "images/empty.jpg"}
    assert lost["images/empty.jpg"] == "the file is empty"
    assert (found.images, found.answered, found.unreadable) == (32, 29, tmp_path / "answers.unreadable.csv")


def test_nothing_readable_is_an_error_and_leaves_nothing(bundle, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="None of the 1 pictures"):
        predicting.predict(bundle, [tmp_path / "a.jpg"], tmp_path / "answers.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


class Stops(Progress):
    """Sends this process a signal when so many pictures are answered."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, part: str, done: int, total: int) -> None:
        if part == "predict" and done >= self.after:
            os.kill(os.getpid(), signal.SIGTERM)


def stopped(bundle, photos, out, monkeypatch, after=10):
    monkeypatch.setattr(predicting, "MOST", 8)
    with pytest.raises(Interrupted) as error:
        predicting.predict(bundle, [photos], out, progress=Stops(after))
    assert "--resume" in error.value.__notes__[0]
    assert not out.exists()
    return out.with_name(out.name + ".part")


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_fault_t7_a_stopped_run_goes_on_where_it_was(bundle, photos, expected, tmp_path, monkeypatch, cut):
    out = tmp_path / "answers.csv"
    part = stopped(bundle, photos, out, monkeypatch)
    lines = part.read_bytes().splitlines()
    assert len(lines) == 1 + 16
    if cut:  # as a kill in the middle of a line leaves it
        part.write_bytes(part.read_bytes()[:-cut])
    asked = []
    monkeypatch.setattr(
        Predictor, "answers", lambda self, pictures, inner=Predictor.answers: asked.append(len(pictures)) or inner(self, pictures)
    )
    found = predicting.predict(bundle, [photos], out, resume=True)
    assert sum(asked[1:]) == 30 - 16 + bool(cut)  # the first is the predictor's own warming up
    assert (found.images, found.answered) == (30, 30)
    check(pd.read_csv(out, keep_default_na=False), expected, bundle.classes)
    assert not part.exists()


def test_answers_of_a_stopped_run_are_not_thrown_away_by_oversight(bundle, photos, tmp_path, monkeypatch):
    part = stopped(bundle, photos, tmp_path / "answers.csv", monkeypatch)
    with pytest.raises(CutisError, match="--resume, or delete it"):
        predicting.predict(bundle, [photos], tmp_path / "answers.csv")
    assert part.exists()


def test_pictures_that_changed_meanwhile_are_not_mixed(bundle, photos, expected, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    stopped(bundle, folder, tmp_path / "answers.csv", monkeypatch)
    os.utime(folder / list(expected)[3], ns=(1, 1))
    with pytest.raises(CutisError, match=r"number 4 was"):
        predicting.predict(bundle, [folder], tmp_path / "answers.csv", resume=True)


def test_another_model_does_not_go_on(bundle, photos, tmp_path, monkeypatch):
    part = stopped(bundle, photos, tmp_path / "answers.csv", monkeypatch)
    first, *rest = part.read_text().splitlines()
    part.write_text("\n".join([json.dumps(json.loads(first) | {"version": "0" * 12}), *rest]) + "\n")
    with pytest.raises(CutisError, match="begun in another way: version"):
        predicting.predict(bundle, [photos], tmp_path / "answers.csv", resume=True)


def test_fault_t8_two_do_not_write_one_table(bundle, photos, tmp_path):
    held = Journal.open(tmp_path / "answers.csv", {"format": "x"}, resume=False)
    with pytest.raises(LockedError):
        predicting.predict(bundle, [photos], tmp_path / "answers.csv")
    held.close()


def test_fault_t3_a_full_disk_is_said_and_nothing_is_taken_for_written(tmp_path):
    held = Journal.open(tmp_path / "answers.csv", {"format": "x"}, resume=False)
    with Path("/dev/full").open("ab", buffering=0) as full:
        real, held._file = held._file, full
        with pytest.raises(TrainingError, match="Make room"):
            held.add([{"image": "a", "mark": "1"}])
    assert held.marks == []
    real.close()


def test_a_damaged_journal_is_refused(bundle, photos, tmp_path, monkeypatch):
    part = stopped(bundle, photos, tmp_path / "answers.csv", monkeypatch)
    part.write_bytes(part.read_bytes().replace(b'"mark"', b'"mork"', 1))
    with pytest.raises(ArtifactError, match="is damaged"):
        predicting.predict(bundle, [photos], tmp_path / "answers.csv", resume=True)


def test_fault_d9_no_spreadsheet_runs_a_file_name(bundle, photos, expected, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    names = ["=cmd()|'x'!A1.jpg", "+1.jpg", "@SUM(1).jpg", 'ünlü, "a"\nb.jpg']
    for name in names:
        shutil.copy(photos / next(iter(expected)), folder / name)
    (folder / "=broken.jpg").write_bytes(b"")
    predicting.predict(bundle, [folder], tmp_path / "answers.csv")
    for file, count in (("answers.csv", 4), ("answers.unreadable.csv", 1)):
        with (tmp_path / file).open(newline="", encoding="utf-8") as opened:
            rows = list(csv.reader(opened))[1:]
        assert len(rows) == count
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as opened:
        assert {row["image"].removeprefix("'") for row in csv.DictReader(opened)} == set(names)


def test_heat_maps_are_drawn_beside_the_photo(bundle, photos, expected, tmp_path):
    one = list(expected)[:2]
    predicting.predict(bundle, [photos / name for name in one], tmp_path / "answers.csv", maps=tmp_path / "maps")
    table = pd.read_csv(tmp_path / "answers.csv")
    assert table["map"].tolist() == ["000001.png", "000002.png"]
    for name, drawn in zip(one, table["map"], strict=True):
        photo, picture = np.asarray(Image.open(photos / name)), np.asarray(Image.open(tmp_path / "maps" / drawn))
        height, width = photo.shape[:2]
        assert picture.shape[0] > height
        assert np.abs(picture[:height, :width].astype(int) - photo).max() <= 3  # two JPEG decoders
        assert not np.array_equal(picture[:height, -width:], picture[:height, :width])


def test_pictures_are_read_only_a_little_ahead(bundle, photos, tmp_path, monkeypatch):
    """However many there are, no more are in memory than are answered together, and as many again."""
    monkeypatch.setattr(predicting, "MOST", 8)
    alive, most = 0, 0

    class Counted:
        def __init__(self, inner):
            nonlocal alive, most
            self.__dict__.update(vars(inner))
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(predicting, "Picture", Counted)
    monkeypatch.setattr(Predictor, "picture", lambda self, *a, inner=Predictor.picture, **k: Counted(inner(self, *a, **k)))
    predicting.predict(bundle, [photos], tmp_path / "answers.csv")
    assert 0 < most <= 3 * 8


def test_another_ending_is_refused_before_any_work(bundle, photos, tmp_path):
    with pytest.raises(CutisError, match=r"\.parquet"):
        predicting.predict(bundle, [photos], tmp_path / "answers.xlsx")

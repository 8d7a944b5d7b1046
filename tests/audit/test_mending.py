"""Mending: what each rule leaves out or joins, the log, files that are refused, and that training reads what was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cutis
from cutis.audit.findings import Finding, Item, Section
from cutis.audit.mending import Mended, Plan, leaving_out, log_of, merging
from cutis.data.table import finish
from cutis.errors import CutisError, DataError

CHECKS = ("files", "copies", "labels")


def finding(rule: str, *images: Sequence[str], score: float | None = None) -> Finding:
    return Finding(rule, "warning", f"{rule} found.", items=tuple(Item(tuple(some), score=score) for some in images), rule=rule)


def sections(*findings: Finding) -> dict[str, Section]:
    return {"files": Section("Files", "", findings[:1]), "copies": Section("Copies", "", findings[1:])}


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Eight images a to h of two classes; the first four are of two patients, the others are of nobody that is known."""
    (tmp_path / "data").mkdir()
    for name in "abcdefgh":
        (tmp_path / "data" / f"{name}.jpg").write_bytes(b"")
    rows = pd.DataFrame(
        {
            "image": [f"{n}.jpg" for n in "abcdefgh"],
            "label": ["mel", "mel", "nv", "nv", "mel", "nv", "nv", None],
            "patient": ["p1", "p1", "p2", "p2", None, None, None, None],
            "age": [50, 50, 40, 40, 61.5, np.nan, np.nan, np.nan],
            "smoker": pd.Series([True, True, None, None, False, None, None, None], dtype="object"),
        }
    )
    rows.to_csv(tmp_path / "data" / "labels.csv", index=False)
    return cutis.read(tmp_path / "data" / "labels.csv")


def mended(
    table: pd.DataFrame, found: Mapping[str, Section], path: Path, leave_out: Sequence[str] = (), merge: Sequence[str] = ()
) -> tuple[Mended, pd.DataFrame, pd.DataFrame]:
    """What was done, the table as training reads it, and the log."""
    done = Plan.of(path, leave_out, merge, table, CHECKS).carry_out(table, found)
    assert done.log == log_of(path)
    return done, cutis.read(path), pd.read_csv(done.log, keep_default_na=False)


def names(table: pd.DataFrame) -> str:
    return "".join(Path(image).stem for image in table["image"])


@pytest.mark.parametrize("rule", ["unreadable", "small", "odd-shape", "empty", "dark", "bright", "blurred"])
def test_a_rule_of_files_leaves_out_what_its_finding_names(rule: str, table: pd.DataFrame, tmp_path: Path) -> None:
    found = sections(finding(rule, ["b.jpg"], ["f.jpg"]), finding("copies", ["c.jpg", "d.jpg"]))
    done, read, log = mended(table, found, tmp_path / "clean.csv", [rule])
    assert names(read) == "acdegh"
    assert (done.kept, done.changed, done.outside) == (6, {f"leave-out {rule}": 2}, None)
    assert log.to_numpy().tolist() == [[f"{n}.jpg", f"leave-out {rule}", "left out", f"{rule} found."] for n in "bf"]


def test_every_rule_of_leaving_out_and_merging_is_tested_here() -> None:
    files = ["blurred", "bright", "dark", "empty", "odd-shape", "small", "unreadable"]
    assert sorted(leaving_out) == sorted([*files, "conflicting", "copies", "suspects"])
    assert list(merging) == ["copies"]


def test_of_copies_the_first_stays_and_sets_that_share_an_image_are_one(table: pd.DataFrame, tmp_path: Path) -> None:
    found = sections(finding("copies", ["g.jpg", "c.jpg"], ["f.jpg", "g.jpg"]), finding("copies", ["a.jpg", "d.jpg"]))
    done, read, log = mended(table, found, tmp_path / "clean.csv", ["copies"])
    assert names(read) == "abcdeh"  # a and d are copies with different labels: nobody knows which is right
    assert dict(zip(log["image"], log["reason"], strict=True)) == dict.fromkeys(("f.jpg", "g.jpg"), "a copy of c.jpg, which is kept")
    done, read, log = mended(table, found, tmp_path / "clean.csv", ["conflicting"])
    assert names(read) == "bcefgh"
    assert set(log["reason"]) == {"copies with different labels: a.jpg is mel, d.jpg is nv"}
    done, read, log = mended(table, found, tmp_path / "clean.csv", ["conflicting", "copies"])
    assert (names(read), done.changed) == ("bceh", {"leave-out conflicting": 2, "leave-out copies": 2})


def test_a_copy_is_kept_where_the_first_of_its_set_is_left_out_already(table: pd.DataFrame, tmp_path: Path) -> None:
    found = sections(finding("blurred", ["c.jpg"]), finding("copies", ["c.jpg", "d.jpg", "f.jpg"]))
    _, read, log = mended(table, found, tmp_path / "clean.csv", ["blurred", "copies"])
    assert names(read) == "abdegh"
    assert log["image"].tolist() == ["c.jpg", "f.jpg"]
    assert log["reason"].iloc[1] == "a copy of d.jpg, which is kept"


def test_so_many_suspects_are_left_out_as_are_asked_for_the_worst_first(table: pd.DataFrame, tmp_path: Path) -> None:
    suspects = Finding(
        "suspects", "warning", "", "", tuple(Item((f"{n}.jpg",), score=s) for n, s in zip("edc", (0.01, 0.2, 0.3), strict=True)),
        "probability of its label", "suspects",
    )  # fmt: skip
    _, read, log = mended(table, sections(suspects), tmp_path / "clean.csv", ["suspects:2"])
    assert names(read) == "abcfgh"
    assert log["reason"].iloc[0] == "suspect 1 of 3 (probability of its label: 0.01)"
    assert names(mended(table, sections(suspects), tmp_path / "clean.csv", ["suspects:9"])[1]) == "abfgh"


def test_merging_copies_joins_their_groups_and_those_of_the_same_patients(table: pd.DataFrame, tmp_path: Path) -> None:
    found = sections(finding("copies", ["e.jpg", "f.jpg"]), finding("copies", ["b.jpg", "c.jpg"], ["g.jpg", "c.jpg"]))
    done, read, log = mended(table, found, tmp_path / "clean.csv", merge=["copies"])
    assert names(read) == "abcdefgh"
    groups = read.groupby("group")["image"].apply(lambda s: "".join(Path(i).stem for i in s))
    assert sorted(groups) == ["abcdg", "ef", "h"]
    assert done.changed == {"merge copies": 4}
    changes = {"c.jpg": "group p1", "d.jpg": "group p1", "f.jpg": "group e.jpg", "g.jpg": "group p1"}
    assert dict(zip(log["image"], log["change"], strict=True)) == changes
    assert log["reason"].tolist() == [
        "a copy of b.jpg",
        "of group p2, an image of which has a copy in p1",
        "a copy of e.jpg",
        "a copy of b.jpg",
    ]


def test_metadata_survive_and_groups_stay(table: pd.DataFrame, tmp_path: Path) -> None:
    _, read, log = mended(table, sections(finding("blurred")), tmp_path / "clean.csv", ["blurred"])
    columns = ["label", "patient", "age"]
    pd.testing.assert_frame_equal(read[columns], table[columns])
    assert read["smoker"].tolist()[:3] == [True, True, read["smoker"].iloc[2]]
    assert (read["group"].factorize()[0] == table["group"].factorize()[0]).all()
    assert log.empty


def test_the_csv_is_read_from_wherever_it_lies(table: pd.DataFrame, tmp_path: Path) -> None:
    found = sections(finding("blurred", ["a.jpg"]))
    for place in ("data/clean.csv", "clean.csv", "data/clean/clean.csv", "other/clean.csv"):
        done = Plan.of(tmp_path / place, ["blurred"], [], table, CHECKS).carry_out(table, found)
        if place.startswith(("data/clean/", "other")):
            assert done.outside == tmp_path / "data"
            with pytest.raises(DataError, match="--allow-outside"):
                cutis.read(done.path)
        allowed = {"allow_outside": done.outside} if done.outside else {}
        read = cutis.data.readers.read(done.path, **allowed)  # type: ignore[attr-defined]
        assert names(read) == "bcdefgh"
        assert all((Path(read.attrs["root"]) / image).is_file() for image in read["image"])


def test_rows_of_arrays_are_found_again(tmp_path: Path) -> None:
    arrays = {f"train_{k}": v for k, v in (("images", np.zeros((6, 4, 4), np.uint8)), ("labels", np.arange(6) % 2))}
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "tiny.npz", **arrays)
    table = cutis.read(tmp_path / "data" / "tiny.npz")
    _, read, _ = mended(table, sections(finding("empty", ["tiny.npz::train_images::2"])), tmp_path / "clean.csv", ["empty"])
    assert read["image"].tolist() == [f"data/tiny.npz::train_images::{i}" for i in (0, 1, 3, 4, 5)]
    assert read["split"].tolist() == ["train"] * 5
    for name, said in (("none.npz::a::1", "have no file"), ("../data/tiny.npz::train_images::1", "lie outside")):
        (tmp_path / "data" / "lost.csv").write_text(f"image,label\n{name.replace('../data', '../../data')},b\n")
        with pytest.raises(DataError, match=said):
            cutis.read(tmp_path / "data" / "lost.csv")


TEXT = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["=", "+", "-", "@", "'", "", "a b", "ü"]), TEXT), min_size=2, max_size=5, unique=True))
def test_names_that_a_spreadsheet_would_run_are_inert_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    images = []
    for i, (mark, _) in enumerate(parts):
        images.append(f"{mark}{i}.jpg")
        (folder / images[-1]).write_bytes(b"")
    labels = [f"{mark}{text}".strip() or "x" for mark, text in parts]
    table = finish(pd.DataFrame({"image": images, "label": labels, "patient": labels[::-1]}), folder, "csv", [])
    _, read, _ = mended(table, sections(finding("empty")), folder / "clean.csv", ["empty"])
    for column in ("image", "label", "patient"):
        assert read[column].tolist() == table[column].tolist()
    cells = pd.read_csv(folder / "clean.csv", dtype="str", keep_default_na=False)
    assert not cells.map(lambda cell: cell.startswith(("=", "+", "-", "@", "\t", "\r"))).any(axis=None)


def test_what_cannot_be_carried_out_is_refused_and_nothing_is_written(table: pd.DataFrame, tmp_path: Path) -> None:
    data = tmp_path / "data" / "labels.csv"
    before, other = data.read_bytes(), tmp_path / "other.csv"
    other.write_text("mine")
    link = tmp_path / "link.csv"
    link.symlink_to(data)
    for path, leave_out, checks, said in (
        (data, ["empty"], CHECKS, "the data themselves"),
        (link, ["empty"], CHECKS, "the data themselves"),
        (other, ["empty"], CHECKS, "was not written by an audit"),
        (tmp_path / "a.jpg", ["empty"], CHECKS, "does not end in .csv"),
        (tmp_path / "clean.csv", [], CHECKS, "Say what to mend"),
        (tmp_path / "clean.csv", ["copys"], CHECKS, "Did you mean 'copies'"),
        (tmp_path / "clean.csv", ["copies"], ("files",), "needs the check 'copies'"),
        (tmp_path / "clean.csv", ["suspects"], CHECKS, "suspects:50"),
        (tmp_path / "clean.csv", ["suspects:0"], CHECKS, "suspects:50"),
        (tmp_path / "clean.csv", ["copies:3"], CHECKS, "without a number"),
    ):
        with pytest.raises(CutisError, match=said):
            Plan.of(path, leave_out, [], table, checks)
    everything = sections(finding("empty", table["image"].tolist()))
    with pytest.raises(CutisError, match="leave no image"):
        mended(table, everything, tmp_path / "clean.csv", ["empty"])
    assert (data.read_bytes(), other.read_text()) == (before, "mine")
    assert not (tmp_path / "clean.csv").exists()
    mended(table, sections(finding("empty")), tmp_path / "clean.csv", ["empty"])
    mended(table, sections(finding("empty")), tmp_path / "clean.csv", ["empty"])  # what an audit wrote, the next one replaces

"""Pictures to be answered, gathered from folders, zips, tables, wild cards and files."""

import os
import zipfile
from contextlib import closing

import numpy as np
import pytest

from cutis.data.gathered import gather
from cutis.data.opening import Unreadable
from cutis.errors import DataError


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/2.png", "b/1.jpg", "b/notes.txt", "b/photo", ".hidden/3.jpg"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "tree"


def images(*sources, **options):
    with closing(gather(sources, **options)) as found:
        return [item.image for item in found.items]


def test_a_folder_is_all_pictures_below_it_by_their_paths(tree):
    assert images(tree) == ["a/1.jpg", "a/2.png", "b/1.jpg"]


def test_a_folder_of_pictures_stays_one_though_a_table_lies_in_it(tree):
    (tree / "answers.csv").write_text("image,label\na/1.jpg,mel\n")
    assert images(tree) == ["a/1.jpg", "a/2.png", "b/1.jpg"]


def test_several_sources_keep_pictures_of_one_name_apart(tree):
    assert images(tree / "a", tree / "b") == [f"{tree}/a/1.jpg", f"{tree}/a/2.png", f"{tree}/b/1.jpg"]


def test_wild_cards_and_files_are_called_as_they_are_given(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert images("a/*.jpg", "b/photo", "**/*.png") == ["a/1.jpg", "b/photo", "a/2.png"]


def test_a_file_named_like_a_wild_card_is_that_file(tree):
    (tree / "a" / "[1].jpg").write_bytes(b"x")
    assert images(tree / "a" / "[1].jpg") == [f"{tree}/a/[1].jpg"]


def test_a_table_gives_labels_and_groups_where_it_has_them(tree):
    (tree / "list.csv").write_text("file_name,diagnosis,patient\na/1.jpg,mel,p1\nb/1.jpg,,p2\n")
    with closing(gather([tree / "list.csv"])) as found:
        assert [(i.image, i.place, i.label, i.group) for i in found.items] == [
            ("a/1.jpg", tree / "a/1.jpg", "mel", "p1"),
            ("b/1.jpg", tree / "b/1.jpg", "", "p2"),
        ]


def test_a_table_that_only_names_images_will_do(tree):
    (tree / "list.csv").write_text("image\na/2.png\nb/1.jpg\n")
    assert images(tree / "list.csv") == ["a/2.png", "b/1.jpg"]


def test_fault_d1_a_table_that_leads_outside_is_refused_unless_allowed(tree):
    (tree.parent / "outside.jpg").write_bytes(b"x")
    (tree / "a" / "list.csv").write_text("image\n1.jpg\n../../outside.jpg\n")
    with pytest.raises(DataError, match="--allow-outside"):
        images(tree / "a" / "list.csv")
    assert len(images(tree / "a" / "list.csv", allow_outside=[tree.parent])) == 2


def test_fault_d1_links_that_lead_outside_are_not_followed(tree):
    (tree.parent / "outside.jpg").write_bytes(b"x")
    (tree / "a" / "link.jpg").symlink_to(tree.parent / "outside.jpg")
    with closing(gather([tree])) as found:
        assert [i.image for i in found.items] == ["a/1.jpg", "a/2.png", "b/1.jpg"]
        assert any("lead outside" in note for note in found.notes)


def test_a_zip_and_an_array_are_read(tmp_path):
    pixels = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)
    np.savez(tmp_path / "dermamnist.npz", train_images=pixels, train_labels=np.array([[0], [1], [2]]))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1.jpg", b"bytes")
    with closing(gather([tmp_path / "dermamnist.npz"])) as found:
        assert [i.label for i in found.items] == ["akiec", "bcc", "bkl"]
        np.testing.assert_array_equal([found.source(i) for i in found.items], pixels)
    with closing(gather([tmp_path / "a.zip"])) as found:
        inside = found.source(found.items[0])
        assert (found.items[0].image, inside.archive.read(inside.name)) == ("x/1.jpg", b"bytes")


def test_a_mark_changes_with_the_file(tree):
    with closing(gather([tree])) as found:
        item = found.items[0]
        before = item.mark()
        assert item.mark() == before
        os.utime(tree / "a" / "1.jpg", ns=(1, 1))
        assert item.mark() != before
        (tree / "a" / "1.jpg").unlink()
        assert item.mark() == "absent"


def test_a_picture_that_is_named_twice_is_there_once(tree, monkeypatch):
    monkeypatch.chdir(tree)
    with closing(gather(["a/1.jpg", "a/*.jpg"])) as found:
        assert [i.image for i in found.items] == ["a/1.jpg"]
        assert any("named twice" in note for note in found.notes)


def test_fault_d8_a_pipe_is_listed_and_not_waited_for(tree):
    from cutis.data.images import decode

    os.mkfifo(tree / "pipe.jpg")
    assert images(tree) == ["a/1.jpg", "a/2.png", "b/1.jpg"]
    with closing(gather([tree / "pipe.jpg"])) as found, pytest.raises(Unreadable, match="a pipe"):
        decode(found.source(found.items[0]))


def test_what_is_not_there_is_said(tree):
    with pytest.raises(DataError, match="There is no file or folder"):
        images(tree / "nothing.jpg")
    (tree / "empty").mkdir()
    for empty in (tree / "empty", tree / "*.gif"):
        with pytest.raises(DataError, match="No picture"):
            images(empty)


def test_a_source_without_pictures_beside_others_is_named(tree):
    with closing(gather([tree / "a", tree / "*.gif"])) as found:
        assert len(found.items) == 2
        assert found.notes == [f"No picture is in {tree}/*.gif."]

"""Zips of pictures: read in memory, and refused where they are built to harm (FAULTS D2)."""

import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from cutis.data import zipped
from cutis.data.opening import Unreadable
from cutis.data.zipped import Zip
from cutis.errors import DataError


def packed(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_pictures_are_found_by_their_ending_and_read(tmp_path):
    path = packed(
        tmp_path / "a.zip", {"b/2.JPG": b"two", "b/1.png": b"one", "readme.txt": b"-", "__MACOSX/b/._1.png": b"-", ".x/3.png": b"-"}
    )
    archive = Zip(path)
    assert archive.pictures == ["b/1.png", "b/2.JPG"]
    assert archive.read("b/1.png") == b"one"
    other = Zip(packed(tmp_path / "b.zip", {"b/1.png": b"One"}))
    assert archive.mark("b/1.png") != other.mark("b/1.png")
    archive.close()
    other.close()


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "..\\out.png"])
def test_fault_d2_entries_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="leads out of the zip"):
        Zip(packed(tmp_path / "a.zip", {name: b"x"}))


def test_fault_d2_links_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("picture.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        Zip(tmp_path / "a.zip")


def test_fault_d2_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "SMALL", 1 << 20)
    path = packed(tmp_path / "a.zip", {f"{i}.png": bytes(2 << 20) for i in range(8)})
    tracemalloc.start()
    with pytest.raises(DataError, match="no pictures shrink so"):
        Zip(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_fault_d2_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "FILES", 3)
    with pytest.raises(DataError, match="at most 3"):
        Zip(packed(tmp_path / "a.zip", {f"{i}.png": b"x" for i in range(4)}))


def test_fault_d2_a_directory_too_large_for_memory_is_refused_by_its_announced_size(tmp_path):
    path = packed(tmp_path / "a.zip", {"1.png": b"x"})
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\5\6")
    data[place + 12 : place + 16] = struct.pack("<I", zipped.DIRECTORY + 1)
    path.write_bytes(data)
    with pytest.raises(DataError, match="lists more files"):
        Zip(path)


def test_fault_d2_so_is_one_of_zip64(tmp_path):
    path = tmp_path / "a.zip"
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, zipped.DIRECTORY + 1, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(record + locator + end)
    with pytest.raises(DataError, match="lists more files"):
        Zip(path)


def test_a_picture_that_claims_too_much_or_is_damaged_is_unreadable_and_the_others_are_not(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.zip", {"1.png": b"good", "2.png": b"damaged" * 9, "3.png": b"x" * 100}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(b"damaged")] ^= 255
    path.write_bytes(data)
    monkeypatch.setattr(zipped, "MAX_BYTES", 99)
    archive = Zip(path)
    assert archive.read("1.png") == b"good"
    with pytest.raises(Unreadable, match="damaged in the zip"):
        archive.read("2.png")
    with pytest.raises(Unreadable, match="at most 99"):
        archive.read("3.png")
    archive.close()


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\3\4" + bytes(40)])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match="no zip that can be read"):
        Zip(tmp_path / "a.zip")


def test_an_empty_zip_holds_nothing(tmp_path):
    archive = Zip(packed(tmp_path / "a.zip", {}))
    assert archive.pictures == []
    archive.close()


def test_two_entries_of_one_name_are_refused(tmp_path):
    path = packed(tmp_path / "a.zip", {"1.png": b"x", "2.png": b"y"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"2.png", b"1.png"))
    with pytest.raises(DataError, match="several files of one name"):
        Zip(tmp_path / "a.zip")

"""Thumbnails: aspect kept, nothing of the file's metadata, no error where there is no picture."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from cutis.report.pictures import thumbnail


def shown(address: str) -> bytes:
    head, data = address.split(",")
    assert head == "data:image/jpeg;base64"
    return base64.b64decode(data)


def test_the_aspect_is_kept_and_the_longer_side_is_bounded(tmp_path: Path) -> None:
    Image.fromarray(np.full((450, 600, 3), 128, np.uint8)).save(tmp_path / "a.jpg")
    address = thumbnail(tmp_path, "a.jpg", side=240, max_pixels=10**6)
    assert address is not None
    assert Image.open(io.BytesIO(shown(address))).size == (240, 180)


def test_fault_s7_no_patient_data_of_the_file_reaches_the_page(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe 1970"
    Image.new("RGB", (60, 40), "pink").save(tmp_path / "a.jpg", exif=exif, comment=b"Jane Doe 1970")
    assert b"Jane Doe" in (tmp_path / "a.jpg").read_bytes()
    address = thumbnail(tmp_path, "a.jpg", max_pixels=10**6)
    assert address is not None
    assert b"Jane Doe" not in shown(address)
    assert b"Exif" not in shown(address)


def test_a_row_of_an_array_is_shown_and_what_is_absent_is_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", test_images=np.zeros((2, 28, 28, 3), np.uint8))
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    assert thumbnail(tmp_path, "set.npz::test_images::1", max_pixels=10**6)
    assert [
        thumbnail(root, name, max_pixels=10**6) for root, name in ((tmp_path, "gone.jpg"), (tmp_path, "torn.jpg"), (None, "a.jpg"))
    ] == [None] * 3

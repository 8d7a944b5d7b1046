"""HEIC, the format of phones: read with the extra, turned upright, refused in words without it."""

import sys

import heic
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from cutis.data import headers
from cutis.data.images import SEVERAL, Unreadable, Unsupported, decode


def grey(height: int, width: int) -> np.ndarray:
    """YCbCr of a grey picture that differs in every corner; its RGB is its first channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 4 * x + 2 * y, np.full_like(x, 128), np.full_like(x, 128)], -1).astype(np.uint8)


PICTURE = grey(24, 32)
RGB = np.repeat(PICTURE[..., :1], 3, axis=2)
FILE = heic.write([PICTURE])


def test_fault_i6_heic_is_read_by_content_and_gives_back_the_pixels(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(FILE)
    result = decode(tmp_path / "photo.jpg")
    np.testing.assert_array_equal(result.pixels, RGB)
    assert result.notes == ()
    told = headers.read(tmp_path, ["photo.jpg"]).iloc[0]
    assert (told["format"], told["width"], told["height"]) == ("HEIC", 32, 24)


def test_fault_i6_heic_colours():
    """Reference: BT.601 by its definition, R = Y + 1.402 (Cr - 128) and so on."""
    flat = np.broadcast_to(np.array([120, 100, 170], np.uint8), (32, 32, 3))
    expected = [120 + 1.402 * 42, 120 - 0.344136 * -28 - 0.714136 * 42, 120 + 1.772 * -28]
    assert np.abs(decode(heic.write([flat])).pixels[16, 16] - expected).max() <= 1.5


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_fault_i5_heic_is_turned_upright(turn):
    np.testing.assert_array_equal(decode(heic.write([PICTURE], turn=turn)).pixels, np.rot90(RGB, turn))


def test_fault_i3_of_several_pictures_in_a_heic_the_primary_one_is_read():
    result = decode(heic.write([PICTURE, PICTURE[::-1]]))
    np.testing.assert_array_equal(result.pixels, RGB)
    assert result.notes == (SEVERAL,)


def test_fault_i2_a_heic_profile_is_applied():
    """Display P3, as phones write it, would need its curves; linear light with sRGB's primaries is enough to see that it is used."""
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert "profile" in decode(heic.write([PICTURE], profile=linear)).notes[0]  # XYZ does not fit RGB pixels


def test_fault_i4_a_huge_heic_is_refused_from_its_header():
    with pytest.raises(Unreadable, match=r"50,000 x 40,000 pixels, more than images\.max_pixels"):
        decode(heic.write([PICTURE], said=(40_000, 50_000)))


def test_fault_i4_a_heic_whose_picture_is_larger_than_it_says_is_refused():
    with pytest.raises(Unreadable):
        decode(heic.write([PICTURE], said=(24, 30)))


def test_fault_i1_a_heic_cut_anywhere_is_refused():
    for cut in range(12, len(FILE), len(FILE) // 20):
        with pytest.raises(Unreadable) as error:
            decode(FILE[:cut])
        assert error.value.reason


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_fault_i1_flipped_bytes_of_a_heic_end_in_pixels_or_a_reason(changes):
    broken = bytearray(FILE)
    for place, value in changes:
        broken[int(place * len(broken))] = value
    try:
        assert decode(bytes(broken), max_pixels=1_000_000).pixels.shape[2:] == (3,)
    except Unreadable as error:
        told = error.reason
        assert told


@pytest.mark.parametrize(("package", "data", "name"), [("pi_heif", FILE, "HEIC"), ("pydicom", bytes(128) + b"DICM", "DICOM")])
def test_fault_i6_a_missing_extra_is_named(monkeypatch, package, data, name):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "cutis.data.dicom", raising=False)
    with pytest.raises(Unsupported, match=rf"{name}, for which an extra is needed: pip install 'cutis\[pictures\]'"):
        decode(data)

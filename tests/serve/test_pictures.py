"""Pictures for networks and for the eye, and heat maps over them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cutis.data.images import decode, fitted
from cutis.recipe import Images
from cutis.report.words import NOTICE
from cutis.serve import pictures

KINDS = [Images(size=24, fit="crop"), Images(size=24, fit="pad"), Images(size=(16, 32), fit="squash")]


def jpeg(height: int, width: int) -> bytes:
    y, x = np.mgrid[:height, :width]
    out = io.BytesIO()
    Image.fromarray(np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], -1).astype(np.uint8)).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_each_network_gets_what_the_image_cache_would_store():
    data = jpeg(300, 400)
    found = pictures.read(data, KINDS, display=True)
    for kind, pixels in zip(KINDS, found.inputs, strict=True):
        np.testing.assert_array_equal(pixels, fitted(decode(data, at_least=kind.size).pixels, kind.size, kind.fit))
    assert found.pixels.shape == (300, 400, 3)


def test_a_shown_picture_is_no_larger_than_what_is_shown_and_keeps_its_aspect():
    found = pictures.read(jpeg(900, 4000), KINDS, display=True)
    assert found.pixels.shape == (round(900 * 2048 / 4000), 2048, 3)
    assert pictures.read(jpeg(900, 4000), KINDS, display=False).pixels is not None


def test_without_display_the_first_input_is_what_is_shown():
    found = pictures.read(jpeg(300, 400), KINDS, display=False)
    np.testing.assert_array_equal(found.pixels, found.inputs[0])


def test_pixels_are_taken_as_they_are():
    pixels = np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)
    found = pictures.read(pixels, KINDS[:1], display=True)
    np.testing.assert_array_equal(found.inputs[0], pixels)
    np.testing.assert_array_equal(found.pixels, pixels)


def test_an_overlay_is_a_mix_of_photo_and_colour_and_leaves_what_was_not_seen():
    photo = np.full((2, 3, 3), 100, np.uint8)
    heat = np.array([[0, 1, np.nan]] * 2, np.float32)
    over = pictures.overlay(photo, heat, 0.5)
    # inferno begins at (0, 0, 4) and ends at (252, 255, 164): matplotlib
    np.testing.assert_allclose(over[0, 0], [50, 50, 52], atol=1)
    np.testing.assert_allclose(over[0, 1], [176, 178, 132], atol=1)
    np.testing.assert_array_equal(over[:, 2], photo[:, 2])
    np.testing.assert_array_equal(pictures.overlay(photo, heat, 0.0), photo)


@pytest.mark.parametrize("shape", [(1, 1), (40, 60), (1, 3000), (700, 900)])
def test_a_png_has_no_metadata_and_carries_the_notice_below_the_picture(shape):
    photo = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    data = pictures.png(photo, scale=True)
    back = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(back[: shape[0], : shape[1]], photo)
    strip = back[shape[0] :]
    assert strip.shape[0] > 20
    assert (strip[len(strip) // 2 :] < 100).any(), "something is written there"
    kinds, place = set(), 8
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        kinds.add(kind)
        place += 12 + length
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_the_notice_is_whole_however_narrow_the_picture():
    from PIL import ImageFont

    font = ImageFont.load_default(10)
    lines = pictures._wrapped(NOTICE, 120, font)
    assert " ".join(lines) == NOTICE
    assert len(lines) > 1
    assert all(font.getlength(line) <= 120 for line in lines)


def test_two_pictures_side_by_side():
    both = pictures.beside(np.zeros((5, 3, 3), np.uint8), np.full((5, 4, 3), 9, np.uint8), gap=2)
    assert both.shape == (5, 9, 3)
    assert both[0, :, 0].tolist() == [0, 0, 0, 255, 255, 9, 9, 9, 9]

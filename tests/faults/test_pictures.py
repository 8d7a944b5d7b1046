"""Pictures that are also something else, lie on their side, or are too many or too few pixels: from the file to the answer."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from cutis.data.images import Unreadable, decode
from cutis.serve.predictor import Predictor

TURNED = {  # what a camera stores for an upright picture, by EXIF 2.32's table
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.transpose(p, (1, 0, 2)),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(np.transpose(p, (1, 0, 2)), 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor.open(bundle, backend="eager", precision="fp32")


@pytest.fixture(scope="module")
def photo(bundle_run):
    """A drawn lesion, off the middle of a picture that is wider than high."""
    image = bundle_run.table["image"].iloc[0]
    upright = decode(bundle_run.folder.parent / "pictures" / image).pixels
    return np.pad(upright, ((0, 8), (16, 0), (0, 0)), mode="edge")


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("orientation", TURNED)
def test_fault_i5_a_picture_stored_lying_has_the_same_answer_and_its_heat_map_lies_on_what_is_shown(predictor, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (answer, heat), (expected, upright) = predictor.explained(
        [predictor.picture(encoded(TURNED[orientation](photo), exif=exif)), predictor.picture(encoded(photo))]
    )
    np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-6)
    shown = predictor.picture(encoded(TURNED[orientation](photo), exif=exif)).pixels
    np.testing.assert_array_equal(shown, photo)
    ours, theirs = heat.over(answer.predicted), upright.over(expected.predicted)
    assert ours.shape == shown.shape[:2]
    assert np.nanstd(theirs) > 0.01, "a flat map would fit anywhere"
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "<script>alert(1)</script>")
    return out.getvalue()


@pytest.mark.parametrize("tail", [zipped("x.html"), b"<html><script>alert(1)</script></html>", b"%PDF-1.7 trailer"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_fault_i7_of_a_picture_that_is_also_something_else_only_pixels_go_on(predictor, photo, kind, tail):
    clean, both = encoded(photo, kind), encoded(photo, kind) + tail
    np.testing.assert_array_equal(decode(both).pixels, decode(clean).pixels)
    picture = predictor.picture(both)
    again = encoded(picture.pixels)
    assert b"script" not in again + repr(picture.notes).encode()
    np.testing.assert_array_equal(picture.inputs[0], predictor.picture(clean).inputs[0])


def test_fault_i7_a_comment_or_a_text_in_a_picture_does_not_go_on(predictor, photo):
    script = b"<script>alert(1)</script>"
    jpeg = encoded(photo, "JPEG", comment=script)
    assert script in jpeg
    picture = predictor.picture(jpeg)
    assert script not in encoded(picture.pixels) + repr(picture).encode()


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_fault_i8_the_smallest_and_the_longest_pictures_are_answered(predictor, size):
    data = encoded(np.full((*size, 3), 120, np.uint8))
    ((answer, heat),) = predictor.explained([predictor.picture(data)])
    assert np.isclose(answer.probabilities.sum(), 1)
    assert heat.over(size=(5, 7)).shape == (5, 7)


def test_fault_i6_the_name_decides_nothing(predictor, photo, tmp_path):
    for name, kind in (("really_a_png.jpg", "PNG"), ("really_a_jpeg.png", "JPEG"), ("no_ending", "BMP"), ("photo.dcm", "WEBP")):
        (tmp_path / name).write_bytes(encoded(photo, kind))
        assert predictor.picture(tmp_path / name).pixels.shape == photo.shape
    (tmp_path / "page.jpg").write_text("<!doctype html><title>404</title>")
    with pytest.raises(Unreadable, match="a web page"):
        predictor.picture(tmp_path / "page.jpg")

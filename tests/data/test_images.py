"""Decoding: what is read, by which rules it becomes RGB, and what is refused."""

import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cutis.data.arrays import open_image
from cutis.data.images import Unreadable, Unsupported, decode, fitted


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without sharp edges, different in every corner and channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [60 + 140 * x, 60 + 140 * y, 120 + 60 * np.sin(5 * x) * np.cos(4 * y)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def huge_png(width: int, height: int) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    body = zlib.compress(bytes(50_000_000), 9)  # 50 MB of zeros in 50 kB
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def tiff(tags: dict[int, int]) -> bytes:
    """A little-endian 8-bit grey TIFF with no pixels and these LONG tags."""
    entries = sorted({258: 8, 259: 1, 262: 1, 277: 1, **tags}.items())
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4)


JPEG = {"quality": 95, "subsampling": 0}
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}}


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG"])
def test_formats_give_back_the_pixels(kind: str) -> None:
    pixels = smooth(40, 60)
    result = decode(encoded(pixels, kind, **LOSSLESS.get(kind, JPEG)))
    assert result.notes == ()
    assert np.abs(result.pixels.astype(int) - pixels).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "BMP", "TIFF"])
def test_fault_i1_truncated(kind: str) -> None:
    options = {"JPEG": JPEG, "progressive": {**JPEG, "progressive": True}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}
    noisy = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = encoded(noisy, kind.replace("progressive", "JPEG"), **options.get(kind, {}))
    for cut in range(0, 100, 5):
        with pytest.raises(Unreadable):
            decode(data[: len(data) * cut // 100])


def test_fault_i1_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "half.jpg").write_bytes(encoded(smooth(64, 64), "JPEG")[:-200])
    with pytest.raises(Unreadable, match="empty"):
        decode(tmp_path / "empty.jpg")
    with pytest.raises(Unreadable, match="Premature end of JPEG file"):
        decode(tmp_path / "half.jpg", at_least=(16, 16))
    with pytest.raises(Unreadable, match="no such file"):
        decode(tmp_path / "absent.jpg")


MAGIC = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"BM", b"II*\0", b"MM\0*", b"GIF89a"]
SEEDS = [encoded(smooth(9, 7), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_fault_i1_random_bytes(magic: bytes, body: bytes) -> None:
    with pytest.raises(Unreadable) as error:
        decode(magic + body)
    assert error.value.reason


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_fault_i1_flipped_bytes_end_in_pixels_or_a_reason(data: bytes, changes: list[tuple[float, int]]) -> None:
    broken = bytearray(data)
    for place, value in changes:
        broken[int(place * len(broken))] = value
    try:
        pixels = decode(bytes(broken), max_pixels=1_000_000).pixels
    except Unreadable:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)


def test_fault_i2_palette_grey_bit_and_sixteen() -> None:
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    np.testing.assert_array_equal(decode(encoded(palette, "PNG")).pixels[:, :, 1], [[20, 50], [80, 50]])
    bits = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(decode(encoded(bits, "PNG")).pixels, [[[255] * 3, [0] * 3]])
    grey = np.array([[0, 77, 255]], np.uint8)
    np.testing.assert_array_equal(decode(encoded(grey, "BMP")).pixels, np.repeat(grey[..., None], 3, 2))
    deep = np.array([[0, 255, 256, 77 * 257, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode(encoded(Image.fromarray(deep), kind)).pixels[0, :, 0], [0, 0, 1, 77, 255])


def test_fault_i2_sixteen_bit_colour_keeps_the_high_bytes() -> None:
    samples = np.array([[[0x1234, 0x80FF, 0xFFFF], [0x00FF, 0x0100, 0x7F00]]], ">u2")
    header = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    data = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" + samples.tobytes())) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(b"\x89PNG\r\n\x1a\n" + data).pixels, [[[0x12, 0x80, 0xFF], [0x00, 0x01, 0x7F]]])


def test_fault_i2_alpha_on_white() -> None:
    layer = np.array([[[200, 0, 100, 255], [200, 0, 100, 0], [200, 0, 100, 51]]], np.uint8)  # 51 / 255 = 0.2
    expected = [[[200, 0, 100], [255, 255, 255], [244, 204, 224]]]
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode(encoded(layer, kind)).pixels, expected)
    grey = Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8), "LA")
    np.testing.assert_array_equal(decode(encoded(grey, "PNG")).pixels[0, :, 0], [100, 255])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(decode(encoded(palette, "PNG", transparency=0)).pixels, [[[255, 255, 255], [40, 50, 60]]])


def test_fault_i2_cmyk() -> None:
    inks = Image.new("CMYK", (16, 16), (51, 102, 0, 51))
    expected = [163, 122, 204]  # 204 * 204 / 255, 153 * 204 / 255, 255 * 204 / 255
    np.testing.assert_array_equal(decode(encoded(inks, "TIFF")).pixels[8, 8], expected)
    assert np.abs(decode(encoded(inks, "JPEG", quality=100)).pixels[8, 8].astype(int) - expected).max() <= 2


def swapped_profile() -> bytes:
    """sRGB with the red and blue primaries exchanged, so that applying it exchanges red and blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "rBGs".encode("utf-16-be")).replace(b"sRGB built", b"rBGs built")
    return profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_fault_i2_icc_profile_is_applied(kind: str) -> None:
    pixels = smooth(32, 32)
    options = {**LOSSLESS.get(kind, JPEG), "icc_profile": swapped_profile()}
    result = decode(encoded(pixels, kind, **options))
    assert result.notes == ()
    assert np.abs(result.pixels.astype(int) - pixels[..., ::-1]).max() <= 4


def test_fault_i2_profiles_that_change_nothing() -> None:
    pixels = smooth(8, 8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(encoded(pixels, "PNG", icc_profile=srgb)).pixels, pixels)
    broken = decode(encoded(pixels, "PNG", icc_profile=b"not a profile"))
    assert np.array_equal(broken.pixels, pixels)
    assert "profile" in broken.notes[0]


def test_fault_i2_samples_without_a_range_are_refused() -> None:
    for samples in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(Unreadable, match="32-bit or float"):
            decode(encoded(Image.fromarray(samples), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_fault_i3_first_frame_and_a_note(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    result = decode(encoded(first, kind, save_all=True, append_images=[second], **options))
    np.testing.assert_array_equal(result.pixels[4, 4], [255, 0, 0])
    assert result.notes == ("holds several frames or pages; the first is used",)
    assert decode(encoded(first, kind, **options)).notes == ()


def limited(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code with 100 MB more address space than it has after its imports."""
    prelude = """
        import os, resource, sys
        from pathlib import Path
        from cutis.data.images import Unreadable, decode
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, used + 100_000_000))
    """
    program = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_fault_i4_refused_from_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(huge_png(50_000, 50_000))
    bmp = bytearray(encoded(smooth(4, 4), "BMP"))
    bmp[18:26] = (50_000).to_bytes(4, "little") * 2
    (tmp_path / "b.bmp").write_bytes(bmp)
    side = (16_382).to_bytes(3, "little")
    (tmp_path / "c.webp").write_bytes(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + side + side + bytes(60))
    gif = bytearray(encoded(smooth(4, 4), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    (tmp_path / "d.gif").write_bytes(gif)
    jpeg = bytearray(encoded(smooth(16, 16), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xc3\x50\xc3\x50"
    (tmp_path / "e.jpg").write_bytes(jpeg)
    (tmp_path / "f.tif").write_bytes(tiff({256: 50_000, 257: 50_000, 273: 8, 278: 1, 279: 1}))
    (tmp_path / "g.tif").write_bytes(tiff({256: 4, 257: 4, 322: 50_000, 323: 50_000, 324: 8, 325: 1}))
    done = limited(
        """
        for path in sorted(Path(sys.argv[1]).iterdir()):
            try:
                decode(path)
            except Unreadable as error:
                print(path.name, error.reason)
        """,
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[0] for line in lines] == list("abcdefg")
    assert all("more than images.max_pixels=100,000,000" in line for line in lines), lines
    assert "has 50,000 x 50,000 pixels" in lines[0]


def test_fault_i4_limit_is_a_setting() -> None:
    data = encoded(smooth(20, 30), "PNG")
    assert decode(data, max_pixels=600).pixels.shape == (20, 30, 3)
    with pytest.raises(Unreadable, match="30 x 20"):
        decode(data, max_pixels=599)


def test_fault_i4_too_many_bytes(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(600 * 1024**2)
    with pytest.raises(Unreadable, match="629,145,600 bytes"):
        decode(tmp_path / "sparse.png")


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNED)
def test_fault_i5_orientation(kind: str, orientation: int) -> None:
    pixels = smooth(64, 96)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](pixels)))
    data = encoded(stored, kind, exif=exif, **LOSSLESS.get(kind, JPEG))
    result = decode(data).pixels
    assert result.shape == pixels.shape
    assert np.abs(result.astype(int) - pixels).max() <= (6 if kind == "JPEG" else 0)
    if kind == "JPEG":  # smaller, and still at least as high and as wide as asked, upright
        small = decode(data, at_least=(20, 48)).pixels
        assert small.shape == (32, 48, 3)


def test_fault_i6_content_decides(tmp_path: Path) -> None:
    pixels = smooth(10, 10)
    (tmp_path / "really_a_png.jpg").write_bytes(encoded(pixels, "PNG"))
    (tmp_path / "no_extension").write_bytes(encoded(pixels, "BMP"))
    assert np.array_equal(decode(tmp_path / "really_a_png.jpg").pixels, pixels)
    assert np.array_equal(decode(tmp_path / "no_extension").pixels, pixels)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"PK\x03\x04" + bytes(30), "archive"),
        (b"label,image\n", "not an image"),
    ],
)
def test_fault_i6_refused_by_name(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "picture.jpg").write_bytes(data)
    with pytest.raises(Unsupported, match=name):
        decode(tmp_path / "picture.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(1, 1), (1, 10_000), (10_000, 1), (2, 3), (7, 500)]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["squash", "crop", "pad"]),
)
def test_fault_i8_extreme_shapes(kind: str, shape: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    grey = np.full((*shape, 3), 77, np.uint8)
    pixels = decode(encoded(grey, kind), at_least=size).pixels
    result = fitted(pixels, size, fit)
    assert result.shape == (*size, 3)
    assert set(np.unique(result)) <= {0, 77} if fit == "pad" else (result == 77).all()
    assert (result == 77).any()


def test_fault_d8_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in {"pipe": "pipe", "loop": "symbolic links", "folder": "a folder"}.items():
        with pytest.raises(Unreadable, match=reason):
            decode(tmp_path / f"{name}.jpg")
    with pytest.raises(Unreadable, match="cannot be opened"):
        decode(tmp_path / "nul\0.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_fault_d8_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(encoded(smooth(8, 8), "JPEG"))
    (tmp_path / "secret.jpg").chmod(0)
    with pytest.raises(Unreadable, match="Permission denied"):
        decode(tmp_path / "secret.jpg")


def test_warnings_of_pillow_stay_inside() -> None:
    frames = encoded(smooth(8, 8), "PNG", save_all=True, append_images=[Image.fromarray(smooth(8, 8)[::-1].copy())])
    start = frames.index(b"acTL") - 4
    invalid = frames[:start] + png_chunk(b"acTL", bytes(8)) + frames[start + 20 :]  # no frames: Pillow warns and shows the default picture
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert decode(invalid).pixels.shape == (8, 8, 3)
        assert warnings.filters == before
    assert caught == []


@pytest.mark.parametrize("at_least", [(224, 224), (100, 300), (1, 1), (900, 10), (600, 800)])
def test_jpeg_is_decoded_at_the_smallest_eighth_that_is_large_enough(at_least: tuple[int, int]) -> None:
    eighths = [(600 * k // 8, 800 * k // 8) for k in range(1, 9)]
    expected = next((e for e in eighths if e[0] >= at_least[0] and e[1] >= at_least[1]), (600, 800))
    assert decode(encoded(smooth(600, 800), "JPEG", **JPEG), at_least=at_least).pixels.shape == (*expected, 3)


@pytest.mark.parametrize("shape", [(600, 800), (450, 600), (768, 1024)])
@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_scaled_decode_and_fit_are_within_a_grey_level_of_pillow(shape: tuple[int, int], method: Image.Resampling) -> None:
    data = encoded(smooth(*shape), "JPEG", quality=90)
    ours = fitted(decode(data, at_least=(224, 224)).pixels, (224, 224), "squash")
    reference = np.asarray(Image.open(io.BytesIO(data)).resize((224, 224), method))
    assert np.abs(ours.astype(int) - reference).mean() < 1


def test_shrinking_averages_over_areas() -> None:
    def areas(old: int, new: int) -> np.ndarray:
        """Share of each old pixel's interval in each new one's, rows summing to one."""
        edges = np.arange(new + 1)[:, None] * old / new
        overlap = np.minimum(edges[1:], np.arange(1, old + 1)) - np.maximum(edges[:-1], np.arange(old))
        return overlap.clip(0) * new / old

    noisy = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    for size in ((41, 32), (45, 35), (89, 70)):
        reference = np.einsum("ij,jkc,lk->ilc", areas(90, size[0]), noisy, areas(70, size[1]))
        assert np.abs(fitted(noisy, size, "squash") - reference).max() <= 1


def test_fits() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the middle third
    assert (fitted(wide, (10, 10), "crop") == 200).all()
    padded = fitted(wide, (30, 30), "pad")
    assert (padded[:10] == 0).all()
    assert (padded[20:] == 0).all()
    assert (padded[10:20, 11:19] == 200).all()
    assert fitted(wide, (10, 10), "squash")[:, 4:6].min() == 200
    assert fitted(wide, (10, 10), "squash")[:, :3].max() == 0


def test_rows_of_arrays(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "set.npz", colour=colour, grey=colour[..., 0], wrong=colour.astype(np.float32))
        assert np.array_equal(open_image(tmp_path, "set.npz::colour::4").pixels, colour[4])
        assert np.array_equal(open_image(tmp_path, "set.npz::grey::0").pixels[..., 2], colour[0, :, :, 0])
        for key, reason in {"colour::7": "past the end", "none::0": "no array", "wrong::0": "float32"}.items():
            with pytest.raises(Unreadable, match=reason):
                open_image(tmp_path, f"set.npz::{key}")
    (tmp_path / "bad.npz").write_bytes(b"nonsense")
    for key, reason in {"bad.npz::a::0": "damaged", "absent.npz::a::0": "no such file"}.items():
        with pytest.raises(Unreadable, match=reason):
            open_image(tmp_path, key)

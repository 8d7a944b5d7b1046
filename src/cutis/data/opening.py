"""Which files are opened as pictures: recognised by content, from a short list, and never larger than allowed."""

import io
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from cutis.errors import DataError

MAX_BYTES: Final = 512 * 1024**2

Opener = Callable[[IO[bytes]], ImageFile.ImageFile]


class Unreadable(DataError):  # noqa: N818  (the word the user reads)
    """A picture that cannot be used; ``reason`` says why and quotes none of the file's metadata."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unsupported(Unreadable):
    """A file of a kind that is not read at all, or not without an extra (a server answers 415 where it answers 422 to a damaged one)."""


def _heic(stream: IO[bytes]) -> ImageFile.ImageFile:
    try:
        from pi_heif import HeifImageFile
    except ModuleNotFoundError:
        raise Unsupported("HEIC, for which an extra is needed: pip install 'cutis[pictures]'; or convert it to JPEG") from None
    image: ImageFile.ImageFile = HeifImageFile(stream)
    return image


def _dicom(stream: IO[bytes]) -> ImageFile.ImageFile:
    try:
        from cutis.data.dicom import DicomImageFile
    except ModuleNotFoundError:
        raise Unsupported("DICOM, for which an extra is needed: pip install 'cutis[pictures]'; or export its picture as PNG") from None
    return DicomImageFile(stream)


# The plugins' own classes, because Image.open has limits and warnings of its own.
OPENERS: Final[tuple[tuple[re.Pattern[bytes], str, Opener], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG", JpegImagePlugin.JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", PngImagePlugin.PngImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP", WebPImagePlugin.WebPImageFile),
    (re.compile(rb"BM"), "BMP", BmpImagePlugin.BmpImageFile),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF", TiffImagePlugin.TiffImageFile),
    (re.compile(rb"GIF8[79]a"), "GIF", GifImagePlugin.GifImageFile),
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL), "HEIC", _heic),
    (re.compile(rb".{128}DICM", re.DOTALL), "DICOM", _dicom),
)
REFUSED: Final[tuple[tuple[re.Pattern[bytes], str, str], ...]] = (
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "AVIF", "convert it to JPEG or PNG"),
    (re.compile(rb".{0,64}%PDF-", re.DOTALL), "PDF", "export its pictures as PNG"),
    (re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE), "a web page", "download the picture itself"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(svg|(\?xml|!--).*<svg)", re.DOTALL | re.IGNORECASE), "SVG", "export it as PNG"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000", "convert it to JPEG or PNG"),
    (re.compile(rb"PK\x03\x04|\x1f\x8b"), "an archive", "unpack it"),
)

logging.getLogger("PIL").setLevel(logging.INFO)  # at DEBUG Pillow logs every metadata value, the patient's name too


class _Silence:
    """Warnings of the parsers, which may quote the file, off while any thread reads; ``catch_warnings`` alone may restore the wrong
    filters when threads overlap."""

    def __init__(self) -> None:
        self.lock, self.inside, self.caught = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.caught = warnings.catch_warnings(action="ignore")
                self.caught.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.caught.__exit__(None, None, None)


silence = _Silence()


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES. Raises Unreadable; never waits on a pipe or device."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):  # asked of the open file, so that it cannot be exchanged in between
            raise Unreadable("a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device, not a file")
        if status.st_size > MAX_BYTES:
            raise Unreadable(f"has {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
        with os.fdopen(file, "rb", closefd=False) as stream:
            return stream.read()
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    finally:
        os.close(file)


def recognised(data: bytes) -> tuple[str, Opener]:
    """Name and opener of the format the bytes are in. Raises Unsupported, naming the format where it is one people have."""
    if not data:
        raise Unreadable("the file is empty")
    for magic, name, opener in OPENERS:
        if magic.match(data):
            return name, opener
    for magic, name, remedy in REFUSED:
        if magic.match(data[:1024]):
            raise Unsupported(f"{name}, which is not read; {remedy}")
    raise Unsupported("not an image; JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC and DICOM are read")


def opened(data: bytes, max_pixels: int) -> tuple[str, ImageFile.ImageFile]:
    """Format and header of a picture whose size is allowed; no pixel is decoded.

    Raises Unreadable, or whatever Pillow raises on a damaged header.
    """
    name, opener = recognised(data)
    if name == "WebP":
        _check_size(_webp_size(data), max_pixels)
    with silence:
        image = opener(io.BytesIO(data))
    _check_size(image.size, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # a tile may be larger than the picture
        _check_size((image.tag_v2.get(322, 1), image.tag_v2.get(323, 1)), max_pixels)
    return name, image


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise Unreadable("has no pixels")
    if width * height > max_pixels:
        raise Unreadable(f"has {width:,} x {height:,} pixels, more than images.max_pixels={max_pixels:,}")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the header (RFC 9649), because Pillow makes the canvas as soon as it opens the file."""

    def little(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    if data[12:16] == b"VP8X":
        return little(24, 27) + 1, little(27, 30) + 1
    if data[12:16] == b"VP8L":
        return (little(21, 25) & 0x3FFF) + 1, (little(21, 25) >> 14 & 0x3FFF) + 1
    return little(26, 28) & 0x3FFF, little(28, 30) & 0x3FFF

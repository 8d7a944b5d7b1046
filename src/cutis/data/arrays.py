"""Pictures that are rows of an array in an .npz file, as MedMNIST has them, read as a stream so that memory stays flat."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np

from cutis.data.images import MAX_PIXELS, Decoded, Pixels, Unreadable, decode

KEY: Final = re.compile(r"(.+\.npz)::([^:]+)::(0|[1-9]\d{0,17})", re.DOTALL)
HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ArrayRow(NamedTuple):
    """Row ``row`` of the array ``array`` in ``file``."""

    file: Path
    array: str
    row: int


def array_row(root: Path, key: str) -> ArrayRow | None:
    """The row of an array that a table's ``image`` stands for, ``file.npz::array::row``; none where it stands for a file."""
    match = KEY.fullmatch(key) if "::" in key else None
    return ArrayRow(root / match[1], match[2], int(match[3])) if match else None


def open_image(root: Path, key: str, *, at_least: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """One picture of a table, by its key; see ``images.decode``. Raises Unreadable."""
    row = array_row(root, key)
    if row:
        with closing(Arrays(max_pixels)) as arrays:
            return Decoded(arrays.read(row), ())
    return decode(root / key, at_least=at_least, max_pixels=max_pixels)


class Arrays:
    """Reads rows of arrays; the array last read stays open, so that its rows in ascending order are one pass through the file."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels
        self._opened = ExitStack()
        self._array: tuple[Path, str] | None = None
        self._damage = ""

    def read(self, source: ArrayRow) -> Pixels:
        """The picture H x W x 3 RGB in a row of a uint8 array N x H x W or N x H x W x 3.

        Raises Unreadable; an array that is damaged somewhere is not read on.
        """
        if self._array != (source.file, source.array):
            self.close()
            self._array, self._damage = (source.file, source.array), ""
            with self._remembering():
                self._open(source.file, source.array)
        if self._damage:
            raise Unreadable(self._damage)
        if source.row >= self._shape[0]:
            raise Unreadable(f"row {source.row} is past the end: the array {source.array} has {self._shape[0]} rows")
        with self._remembering():
            step = int(np.prod(self._shape[1:]))
            self._stream.seek(self._start + source.row * step)
            data = self._stream.read(step)
            if len(data) < step:
                raise Unreadable(f"the array {source.array} ends before row {source.row}; fetch the file again")
        pixels = np.frombuffer(data, np.uint8).reshape(self._shape[1:])
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)

    def close(self) -> None:
        """Close what is open."""
        self._opened.close()
        self._array = None

    def _open(self, file: Path, array: str) -> None:
        if not file.is_file():
            raise Unreadable("there is no such file")
        archive = self._opened.enter_context(zipfile.ZipFile(file))
        try:
            self._stream = self._opened.enter_context(archive.open(f"{array}.npy"))
        except KeyError:
            raise Unreadable(f"the file holds no array {array}") from None
        self._shape = _shape(self._stream, self.max_pixels)
        self._start = self._stream.tell()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except Unreadable as error:
            self._damage = error.reason
            raise
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            self._damage = f"a damaged npz file ({type(error).__name__}: {str(error)[:120]})"
            raise Unreadable(self._damage) from None


def _shape(stream: IO[bytes], max_pixels: int) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise Unreadable(f"NumPy array format {version} is not read")
    shape, by_column, dtype = HEADERS[version](stream)
    if dtype != np.uint8 or by_column or len(shape) not in (3, 4) or shape[3:] not in ((), (3,)):
        raise Unreadable(f"an array of {dtype} with shape {shape} is not pictures; uint8, N x H x W or N x H x W x 3, is read")
    if not 0 < shape[1] * shape[2] <= max_pixels:
        raise Unreadable(f"has {shape[2]:,} x {shape[1]:,} pixels; 1 to images.max_pixels={max_pixels:,} are read")
    return shape

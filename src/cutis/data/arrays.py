"""Pictures that are rows of an array in an .npz file, as MedMNIST has them, read as a stream so that memory stays flat."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
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


def locate(root: Path, key: str) -> Path | ArrayRow:
    """What a table's ``image`` stands for: a file, or for ``file.npz::array::row`` a row of an array."""
    match = KEY.fullmatch(key)
    return ArrayRow(root / match[1], match[2], int(match[3])) if match else root / key


def open_image(root: Path, key: str, *, at_least: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """One picture of a table, by its key; see ``images.decode``. Raises Unreadable."""
    source = locate(root, key)
    if isinstance(source, ArrayRow):
        return Decoded(next(array_rows(source.file, source.array, [source.row], max_pixels=max_pixels)), ())
    return decode(source, at_least=at_least, max_pixels=max_pixels)


def array_rows(file: Path, array: str, rows: Sequence[int], *, max_pixels: int = MAX_PIXELS) -> Iterator[Pixels]:
    """The pictures of ascending ``rows``, H x W x 3 RGB, from a uint8 array N x H x W or N x H x W x 3. Raises Unreadable."""
    if not file.is_file():
        raise Unreadable("there is no such file")
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{array}.npy") as stream:
            shape = _shape(stream, max_pixels)
            step, following = int(np.prod(shape[1:])), 0
            for row in rows:
                if row >= shape[0]:
                    raise Unreadable(f"row {row} is past the end: the array {array} has {shape[0]} rows")
                stream.seek((row - following) * step, 1)
                data, following = stream.read(step), row + 1
                if len(data) < step:
                    raise Unreadable(f"the array {array} ends before row {row}; fetch the file again")
                pixels = np.frombuffer(data, np.uint8).reshape(shape[1:])
                yield pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    except KeyError:
        raise Unreadable(f"the file holds no array {array}") from None
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"a damaged npz file ({type(error).__name__}: {str(error)[:120]})") from None


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

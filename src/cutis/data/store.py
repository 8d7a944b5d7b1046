"""The store under the cache: one packed file of pictures and the index that says whose they are, shared safely by several processes."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutis import recipe
from cutis.data.arrays import ArrayRow
from cutis.data.images import DECODER, Pixels
from cutis.errors import DataError
from cutis.files import replacing

Source = Path | ArrayRow


class Picture(NamedTuple):
    """A stored picture: its row, the SHA-256 of its decoded pixels before fitting, and what was noted while decoding."""

    row: int
    sha256: str
    notes: list[str]


class Store:
    """One folder for each size, fit and decoder: ``pixels.u8``, ``index.json`` and ``lock``.

    The index maps the SHA-256 of a file's bytes to its picture, and a path to [size, mtime, ctime, SHA-256 of its bytes], so that an
    unchanged file is not even read. Rows are only added. The index is replaced after the pixels are on the disk, so whatever lies in
    ``pixels.u8`` past its last row is left from a process that died, and is cut off.
    """

    def __init__(self, cache: Path, images: recipe.Images) -> None:
        height, width = images.size
        self.shape = (height, width, 3)
        self.stride = height * width * 3
        self.folder = cache / f"{height}x{width}-{images.fit}-{hashlib.sha256(DECODER.encode()).hexdigest()[:8]}"
        self.file, self.index = self.folder / "pixels.u8", self.folder / "index.json"
        self.pictures: dict[str, Picture] = {}
        self.files: dict[str, list[int | str]] = {}
        self.load()

    def load(self) -> None:
        """Read the index; a picture whose pixels are gone does not count."""
        if not (self.index.is_file() and self.file.is_file()):
            self.pictures, self.files = {}, {}
            return
        try:
            index = json.loads(self.index.read_bytes())
        except (ValueError, OSError) as error:
            raise DataError(f"The cache's index {self.index} cannot be read ({error}). Delete {self.folder}; it is made again.") from error
        rows = self.file.stat().st_size // self.stride
        self.pictures = {content: Picture(*entry) for content, entry in index["pictures"].items() if entry[0] < rows}
        self.files = index["files"]

    def save(self) -> None:
        """Put the pixels on the disk, then the index that speaks of them."""
        with self.file.open("rb+") as pixels:
            os.fsync(pixels.fileno())
        with replacing(self.index) as aside:
            aside.write_text(json.dumps({"pictures": self.pictures, "files": self.files}, separators=(",", ":")), "ascii")

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        return max((picture.row for picture in self.pictures.values()), default=-1) + 1

    def picture(self, source: Source) -> Picture:
        """The stored picture of a source that is not pending."""
        return self.pictures[str(self.files[name(source)][-1])]

    def pending(self, sources: dict[str, Source], stats: dict[str, list[int]]) -> list[str]:
        """The keys whose file is new or changed, or whose picture is not stored."""

        def stored(key: str) -> bool:
            *stat, content = self.files.get(name(sources[key]), [""])
            return stat == stats[key] and content in self.pictures

        return [key for key in stats if not stored(key)]

    def open(self) -> NDArray[np.uint8]:
        """All rows in use, memory-mapped, read-only."""
        if not self.rows:
            return np.zeros((0, *self.shape), np.uint8)
        return np.memmap(self.file, np.uint8, "r", shape=(self.rows, *self.shape))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process writes, then have the index as it left it, and no leftover pixels."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock, pixels = (self.folder / "lock").open("a"), self.file.open("ab")
        except OSError as error:
            raise DataError(
                f"The cache {self.folder} cannot be written ({error.strerror}). Set CUTIS_CACHE to a folder that can."
            ) from error
        with lock, pixels:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.load()
            pixels.truncate(self.rows * self.stride)
            yield


def name(source: Source) -> str:
    """How the index names a file, or a row of an array."""
    return f"{source.file}::{source.array}::{source.row}" if isinstance(source, ArrayRow) else str(source)


def digest(pixels: Pixels) -> str:
    """SHA-256 of a picture's shape and pixels, as hexadecimal text."""
    hashed = hashlib.sha256(repr(pixels.shape).encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.hexdigest()

"""The store under the cache: one packed file of pictures and the index that says whose they are, shared safely by several processes."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cutis import recipe
from cutis.data.arrays import ArrayRow
from cutis.data.images import DECODER, Pixels
from cutis.data.packed import Packed
from cutis.errors import DataError
from cutis.files import replacing

Source = Path | ArrayRow


class Picture(NamedTuple):
    """A stored picture: its row, the SHA-256 of its decoded pixels before fitting, and what was noted while decoding."""

    row: int
    sha256: str
    notes: list[str]


class Store(Packed):
    """One folder for each size, fit and decoder: ``pixels.u8``, ``index.json`` and ``lock``.

    The index maps the SHA-256 of a file's bytes to its picture, and a path to [size, mtime, ctime, SHA-256 of its bytes], so that an
    unchanged file is not even read.
    """

    def __init__(self, cache: Path, images: recipe.Images) -> None:
        height, width = images.size
        folder = cache / f"{height}x{width}-{images.fit}-{hashlib.sha256(DECODER.encode()).hexdigest()[:8]}"
        self.index = folder / "index.json"
        self.pictures: dict[str, Picture] = {}
        self.files: dict[str, list[int | str]] = {}
        super().__init__(folder, "pixels.u8", (height, width, 3), np.uint8)

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


def name(source: Source) -> str:
    """How the index names a file, or a row of an array."""
    return f"{source.file}::{source.array}::{source.row}" if isinstance(source, ArrayRow) else str(source)


def digest(pixels: Pixels) -> str:
    """SHA-256 of a picture's shape and pixels, as hexadecimal text."""
    hashed = hashlib.sha256(repr(pixels.shape).encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.hexdigest()

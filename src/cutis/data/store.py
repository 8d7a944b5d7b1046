"""The store under the cache: one packed file of pictures and the index that says whose they are, shared safely by several processes."""

import errno
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from cutis import recipe
from cutis.data.arrays import ArrayRow
from cutis.data.images import DECODER, Pixels
from cutis.data.packed import Packed
from cutis.errors import DataError
from cutis.files import replacing

Source = str | ArrayRow  # the path of a file; a million Path objects cost as much as looking the files up

FORMAT: Final = 2  # of the index; 1 was one JSON file, and its folders are left alone
PAGES: Final = 16_384  # KiB of the index in memory while it is written; with less, a large save writes the same pages again and again
PATIENCE: Final = 60.0  # seconds to wait for a process that is just saving
SCHEMA: Final = """
CREATE TABLE picture (row INTEGER PRIMARY KEY, content BLOB NOT NULL UNIQUE, sha256 BLOB NOT NULL, notes TEXT NOT NULL);
CREATE TABLE file (
    name BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL, content BLOB NOT NULL
) WITHOUT ROWID;
"""
SETTINGS: Final = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE wanted (place INTEGER PRIMARY KEY, name BLOB, size INTEGER, modified INTEGER, changed INTEGER);
"""
FOUND: Final = """
SELECT place, row, sha256, notes FROM wanted CROSS JOIN file USING (name, size, modified, changed) CROSS JOIN picture USING (content)
WHERE row < ?
"""


class Picture(NamedTuple):
    """A stored picture: its row, the SHA-256 of its decoded pixels before fitting (32 bytes), and notes on its decoding, one a line."""

    row: int
    sha256: bytes
    notes: str


class File(NamedTuple):
    """Where a row of a table lies: its place in the table, its source, and size, mtime and ctime of the file when it was looked at."""

    place: int
    source: Source
    stat: tuple[int, int, int]


class Store(Packed):
    """One folder for each size, fit and decoder: ``pixels.u8``, ``index.sqlite`` and ``lock``.

    The index maps the SHA-256 of a file's bytes to its picture, and a name to size, mtime, ctime and SHA-256 of its bytes, so that an
    unchanged file is not even read. SQLite keeps a rollback journal (not a write-ahead log, which network folders cannot share): a process
    that is killed leaves the index as it was last saved. Errors of the disk are OSError, a damaged index is a DataError.
    """

    def __init__(self, cache: Path, images: recipe.Images) -> None:
        height, width = images.size
        folder = cache / f"{height}x{width}-{images.fit}-{hashlib.sha256(DECODER.encode()).hexdigest()[:8]}-{FORMAT}"
        self.index = folder / "index.sqlite"
        self._open: sqlite3.Connection | None = None
        self._turn = threading.Lock()  # one connection serves all threads, one transaction at a time
        super().__init__(folder, "pixels.u8", (height, width, 3), np.uint8)

    def load(self) -> None:
        """Open the index; where there is none yet, an empty one in memory stands for it."""
        self.close()
        known = self.index.is_file()
        with self._telling():
            self._open = sqlite3.connect(self.index if known else ":memory:", timeout=PATIENCE, check_same_thread=False)
            self._open.executescript(SETTINGS if known else SETTINGS + SCHEMA)

    def close(self) -> None:
        """Close the index."""
        if self._open:
            self._open.close()

    @property
    def rows(self) -> int:
        """How many rows are in use; a picture whose pixels are gone does not count."""
        with self._index() as index:
            return int(index.execute("SELECT coalesce(max(row), -1) + 1 FROM picture WHERE row < ?", [self._held]).fetchone()[0])

    @contextmanager
    def locked(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """See ``Packed``. After an error of the disk the room of what was not saved is given back."""
        with super().locked(waiting):
            if not self.index.is_file():
                with replacing(self.index) as aside, self._telling(), closing(sqlite3.connect(aside)) as index:
                    index.executescript(SCHEMA)
                self.load()
            with self._index() as index:
                index.execute(f"PRAGMA cache_size = -{PAGES}")
                index.execute("DELETE FROM picture WHERE row >= ?", [self._held])
            try:
                yield
            except OSError:
                self.load()
                os.truncate(self.file, self.rows * self.stride)
                raise

    def find(self, files: Sequence[File]) -> list[tuple[int, int, bytes, str]]:
        """Place in the table, row, SHA-256 and notes of those files that are stored as they stand."""
        with self._index() as index:
            index.execute("DELETE FROM wanted")
            index.executemany("INSERT INTO wanted VALUES (?, ?, ?, ?, ?)", ((f.place, _name(f.source), *f.stat) for f in files))
            return list(index.execute(FOUND, [self._held]))

    def holds(self, content: bytes) -> bool:
        """Whether there is a picture of these bytes, by their SHA-256."""
        with self._index() as index:
            return index.execute("SELECT 1 FROM picture WHERE content = ?", [content]).fetchone() is not None

    def add(self, pictures: Mapping[bytes, Picture], files: Iterable[tuple[File, bytes]]) -> None:
        """Put the pixels on the disk, then new pictures by content, and the content of files, into the index; all of them or none."""
        with self.file.open("rb+") as pixels:
            os.fsync(pixels.fileno())
        with self._index() as index:
            index.executemany("INSERT INTO picture VALUES (?, ?, ?, ?)", ((p.row, c, p.sha256, p.notes) for c, p in pictures.items()))
            index.executemany("REPLACE INTO file VALUES (?, ?, ?, ?, ?)", ((_name(f.source), *f.stat, c) for f, c in files))

    @property
    def _held(self) -> int:
        """How many rows the packed file has."""
        return self.file.stat().st_size // self.stride if self.file.is_file() else 0

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The index for one transaction."""
        assert self._open
        with self._telling(), self._turn, self._open:
            yield self._open

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if (
                isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR
            ):  # no room, no right, no answer
                raise OSError(errno.EIO, str(error)) from error
            raise DataError(f"The cache's index {self.index} is damaged ({error}). Delete {self.folder}; it is made again.") from error


def digest(pixels: Pixels) -> bytes:
    """SHA-256 of a picture's shape and pixels."""
    hashed = hashlib.sha256(repr(pixels.shape).encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.digest()


def _name(source: Source) -> bytes:
    """How the index names a file, or a row of an array; in bytes, because the name of a file need not be text."""
    name = f"{source.file}::{source.array}::{source.row}" if isinstance(source, ArrayRow) else source
    return name.encode("utf-8", "surrogatepass")

"""What every store on the disk is: one packed file of rows that is only added to, an index that says whose they are, and a lock."""

import fcntl
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cutis.errors import DataError

POLL: Final = 0.1  # seconds between two tries for a lock that another process holds


class Packed:
    """A folder with a packed file of rows of one shape and type, and ``lock``.

    What keeps the index says how to ``load`` it and how many ``rows`` it speaks of. An index is written after the rows are on the disk, so
    whatever lies in the packed file past them is left from a process that died, and is cut off.
    """

    def __init__(self, folder: Path, file: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.folder, self.file, self.shape, self.dtype = folder, folder / file, shape, np.dtype(dtype)
        self.stride = math.prod(shape) * self.dtype.itemsize
        self.load()

    def load(self) -> None:
        """Read the index as it stands on the disk."""
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        raise NotImplementedError

    def open(self) -> NDArray[Any]:
        """All rows in use, memory-mapped, read-only."""
        if not self.rows:
            return np.zeros((0, *self.shape), self.dtype)
        return np.memmap(self.file, self.dtype, "r", shape=(self.rows, *self.shape))

    @contextmanager
    def locked(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until no other process writes, then have the index as it left it, and no leftover rows.

        ``waiting`` is called now and then meanwhile, and may raise. Raises DataError where the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock, packed = (self.folder / "lock").open("a"), self.file.open("ab")
        except OSError as error:
            raise DataError(
                f"The cache {self.folder} cannot be written ({error.strerror}). Set CUTIS_CACHE to a folder that can."
            ) from error
        with lock, packed:
            while not _taken(lock.fileno()):
                waiting()
                time.sleep(POLL)
            self.load()
            packed.truncate(self.rows * self.stride)
            yield


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

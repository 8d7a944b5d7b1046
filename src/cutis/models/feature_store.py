"""The store under the features: packed float32 rows, each found again by what it is a feature of."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutis.data.packed import Packed

NAME: Final = np.dtype("S32")  # a SHA-256; NumPy ignores zeros at the end of such text, which equal lengths make harmless
SAVE_EVERY: Final = 10.0  # seconds between two saves of the index; what a killed process has to compute again

Names = NDArray[np.bytes_]


def names(images: NDArray[np.str_], versions: Sequence[str]) -> Names:
    """What each version of each image is called, N x V: the SHA-256 of the image's own hash and the version."""
    hashed = (hashlib.sha256(f"{image} {version}".encode()).digest() for image in images for version in versions)
    return np.fromiter(hashed, NAME, len(images) * len(versions)).reshape(len(images), len(versions))


class FeatureStore(Packed):
    """One folder for each way of computing features: ``features.f32``, ``index.sha256`` and ``lock``.

    The index has 32 bytes a row, the row's name, in the order of the rows; both files are only added to, the index after the rows are on
    the disk. A damaged index is harmless: a name that is not found is computed again.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.index = folder / "index.sha256"
        super().__init__(folder, "features.f32", shape, "<f4")

    def load(self) -> None:
        """See how many rows both files hold whole."""
        sizes = [path.stat().st_size // width if path.is_file() else 0 for path, width in self._files]
        self._rows = min(sizes)

    @property
    def _files(self) -> list[tuple[Path, int]]:
        return [(self.file, self.stride), (self.index, NAME.itemsize)]

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        return self._rows

    def find(self, wanted: Names) -> NDArray[np.int64]:
        """The row of each name, in the shape of ``wanted``; -1 where there is none yet."""
        if not self.rows:
            return np.full(wanted.shape, -1, np.int64)
        stored = np.memmap(self.index, NAME, "r", shape=(self.rows,)).view(np.ndarray)
        order = np.argsort(stored, kind="stable")
        place = order[np.searchsorted(stored, wanted, sorter=order).clip(max=self.rows - 1)]
        return np.where(stored[place] == wanted, place, -1)

    @contextmanager
    def adding(self) -> Iterator[Callable[[Names, NDArray[np.float32]], None]]:
        """Within the block, which must hold the lock, a function that adds rows: (their names, B; their values, B x ...).

        However the block ends, what was added is kept, unless the disk is full: then the store is as it was last saved.
        """
        fresh: list[Names] = []
        saved = time.monotonic()

        def add(named: Names, values: NDArray[np.float32]) -> None:
            nonlocal saved
            data.write(np.ascontiguousarray(values, "<f4").data)  # not through a memory map: a full disk would kill the process there
            fresh.append(named)
            if time.monotonic() - saved >= SAVE_EVERY:
                save()
                saved = time.monotonic()

        def save() -> None:
            for file, content in ((data, b""), (index, b"".join(part.tobytes() for part in fresh))):
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.clear()

        try:
            with self.file.open("ab") as data, self.index.open("ab") as index:
                index.truncate(self.rows * NAME.itemsize)
                try:
                    yield add
                finally:
                    save()
        finally:
            self.load()
            for path, width in self._files:
                os.truncate(path, self.rows * width)

"""The cache: every picture is decoded once into one packed uint8 file, which is then read through a memory map."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import recipe
from cutis.data.arrays import array_row
from cutis.data.filling import Outcome, Writer
from cutis.data.hashes import Hashes
from cutis.data.images import Pixels
from cutis.data.store import File, Store
from cutis.errors import DataError, TrainingError
from cutis.files import cache_folder

BLOCK: Final = 8192  # rows of the table that are looked at, and saved, together: what memory holds of a table of any length
SAVE_EVERY: Final = 30.0  # seconds between two saves of the index; what a killed process has to decode again

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Cache:
    """The pictures of a table's N rows.

    ``pixels``: uint8 M x H x W x 3 RGB, memory-mapped, of everything the store holds; ``row``: int64 N, where a table row's picture is in
    it, -1 where it is unreadable; ``sha256``: N hexadecimal hashes of the decoded pixels and their shape, before fitting, empty where
    unreadable; ``failures``: ``image, reason``; ``notes``: ``image, note``; ``decoded``: how many were decoded anew, in ``seconds``.
    """

    pixels: NDArray[np.uint8]
    row: NDArray[np.int64]
    sha256: Hashes
    failures: pd.DataFrame
    notes: pd.DataFrame
    decoded: int
    seconds: float

    def take(self, indices: NDArray[np.int64] | Sequence[int]) -> Pixels:
        """The pictures of these table rows, n x H x W x 3, copied in the order they lie on the disk. All must be readable."""
        rows = self.row[np.asarray(indices, np.int64)]
        assert (rows >= 0).all(), "unreadable rows are left out first"
        stored, out = self.pixels.view(np.ndarray), np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        for i in np.argsort(rows, kind="stable"):
            out[i] = stored[rows[i]]
        return out


def build(
    table: pd.DataFrame,
    images: recipe.Images,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cache:
    """Decode what is not yet stored of a table's pictures, and open all of them.

    ``folder``: where stores are kept, else CUTIS_CACHE, else ~/.cache/cutis. ``workers``: threads, else one a processor; threads, because
    reading, hashing, decoding, resizing and writing all happen outside Python's lock. ``progress`` is called with (done, total) of the
    pictures that had to be read. Raises DataError where more than ``images.max_unreadable`` of the rows cannot be read, or the folder
    cannot be used, and TrainingError where the disk is full; what was stored before stays valid.
    """
    started, folder = time.perf_counter(), folder or cache_folder()
    found, decoded = _Found(table), 0
    try:
        with closing(Store(folder, images)) as store:
            pending = np.fromiter((f.place for block in found.lacking(store, np.arange(len(table))) for f in block), np.int64)
            if len(pending):
                with store.locked():
                    decoded = _fill(found, store, pending, images, workers or os.cpu_count() or 1, progress)
            pixels = store.open()
    except OSError as error:
        size = 3 * math.prod(images.size) * len(table) / 1e9
        raise TrainingError(
            f"The cache {folder} cannot be used ({error.strerror}); the pictures of this table need {size:.1f} GB there. "
            "Free space, or set CUTIS_CACHE to a folder on another disk."
        ) from error
    _check_unreadable(found.failures, len(table), images)
    return Cache(
        pixels=pixels,
        row=found.row,
        sha256=Hashes(found.digests),
        failures=pd.DataFrame(found.failures, columns=["image", "reason"], dtype="str"),
        notes=pd.DataFrame([(found.keys.iloc[i], note) for i, note in sorted(found.notes)], columns=["image", "note"], dtype="str"),
        decoded=decoded,
        seconds=time.perf_counter() - started,
    )


class _Found:
    """What is known of a table's N rows: where the picture is and its hash, or the reason why there is none."""

    def __init__(self, table: pd.DataFrame) -> None:
        assert table["image"].is_unique, "the image column is the key"
        self.root, self.keys = Path(table.attrs["root"]), table["image"]
        self.row = np.full(len(table), -1, np.int64)
        self.digests = np.zeros((len(table), 32), np.uint8)
        self.notes: list[tuple[int, str]] = []
        self.reasons: dict[int, str] = {}
        self.damaged: dict[bytes, str] = {}  # reasons by content

    def lacking(self, store: Store, places: NDArray[np.int64]) -> Iterator[list[File]]:
        """Note what is stored of these rows; those new, changed or not stored are given back, a block at a time."""
        for start in range(0, len(places), BLOCK):
            files = list(self._files(places[start : start + BLOCK]))
            self._note(store.find(files))
            yield [file for file in files if self.row[file.place] < 0]

    def settle(self, store: Store, outcomes: list[Outcome]) -> list[Outcome]:
        """Note what came of files, which is saved; those whose twin is still being decoded are given back."""
        self._note(store.find([outcome.file for outcome in outcomes]))
        self.damaged |= {content: reason for _, content, _, reason in outcomes if content and reason}
        lacking = [outcome for outcome in outcomes if self.row[outcome.file.place] < 0]
        known = {file.place: reason or self.damaged.get(content) for file, content, _, reason in lacking}
        self.reasons |= {place: reason for place, reason in known.items() if reason}
        return [outcome for outcome in lacking if not known[outcome.file.place]]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Image and reason of what cannot be read, in the table's order."""
        return [(self.keys.iloc[place], reason) for place, reason in sorted(self.reasons.items())]

    def _note(self, stored: list[tuple[int, int, bytes, str]]) -> None:
        if stored:
            places, rows, digests, notes = map(list, zip(*stored, strict=True))
            self.row[places], self.digests[places] = rows, Hashes.of(digests).digests
            self.notes += [(place, note) for place, text in zip(places, notes, strict=True) if text for note in text.splitlines()]

    def _files(self, places: NDArray[np.int64]) -> Iterator[File]:
        """Where these rows lie, and the reasons of those that lie nowhere."""
        root, arrays = str(self.root), dict[Path, tuple[int, int, int]]()
        for place, key in zip(places.tolist(), self.keys.iloc[places], strict=True):
            row = array_row(self.root, key)
            try:
                if not row:
                    path = os.path.join(root, key)  # noqa: PTH118  (see store.Source)
                    yield File(place, path, _stat(path))
                elif row.file in arrays:
                    yield File(place, row, arrays[row.file])
                else:
                    yield File(place, row, arrays.setdefault(row.file, _stat(row.file)))
            except FileNotFoundError:
                self.reasons[place] = "there is no such file"
            except (OSError, ValueError) as error:
                self.reasons[place] = f"cannot be opened ({getattr(error, 'strerror', None) or error})"


def _fill(found: _Found, store: Store, pending: NDArray[np.int64], images: recipe.Images, workers: int, progress: Progress | None) -> int:
    """Decode what is pending, unless another process has; how many pictures that were."""
    decoded, done, saved = 0, 0, time.monotonic()
    fresh: list[Outcome] = []
    with store.file.open("rb+") as file:
        writer = Writer(store, images, file.fileno())
        with closing(writer.run(found.lacking(store, pending), workers)) as outcomes:
            for some in outcomes:
                fresh += some
                decoded, done = decoded + sum(outcome.picture is not None for outcome in some), done + len(some)
                if progress:
                    progress(done, len(pending))
                if len(fresh) >= BLOCK or time.monotonic() - saved > SAVE_EVERY:
                    writer.save(fresh)
                    fresh, saved = found.settle(store, fresh), time.monotonic()
        writer.save(fresh)
    if progress:
        progress(len(pending), len(pending))
    assert not found.settle(store, fresh), "every picture is stored, or there is a reason"
    return decoded


def _stat(path: str | Path) -> tuple[int, int, int]:
    """Size, mtime and ctime in ns, as numbers that SQLite holds whatever year a file says it is from."""
    status = os.stat(path)  # noqa: PTH116  (see store.Source)
    return status.st_size, status.st_mtime_ns % 2**63, status.st_ctime_ns % 2**63


def _check_unreadable(failures: Sequence[tuple[str, str]], total: int, images: recipe.Images) -> None:
    if len(failures) <= images.max_unreadable * total:
        return
    first = "\n".join(f"  {key}: {reason}" for key, reason in failures[:10])
    more = f"\n  and {len(failures) - 10:,} more" if len(failures) > 10 else ""
    raise DataError(
        f"{len(failures):,} of {total:,} images cannot be read ({len(failures) / total:.1%}; images.max_unreadable allows "
        f"{images.max_unreadable:.1%}):\n{first}{more}\nMend or remove them, or allow more with --set images.max_unreadable=SHARE."
    )

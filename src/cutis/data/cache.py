"""The cache: every picture is decoded once into one packed uint8 file, which is then read through a memory map."""

import errno
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import recipe
from cutis.data.arrays import ArrayRow, array_rows, locate
from cutis.data.images import Decoded, Pixels, decode, fitted
from cutis.data.opening import Unreadable, read_bytes
from cutis.data.store import Picture, Source, Store, digest, name
from cutis.errors import DataError, TrainingError

CHUNK: Final = 32  # files a task
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
    sha256: NDArray[np.str_]
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


class _Outcome(NamedTuple):
    """What came of one key: the SHA-256 of its bytes, then a new picture, or a reason, or neither (another key has the same bytes)."""

    key: str
    content: str | None
    picture: Picture | None
    reason: str | None


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
    started = time.perf_counter()
    root = Path(table.attrs["root"])
    sources = {key: locate(root, key) for key in table["image"]}
    assert len(sources) == len(table), "the image column is the key"
    stats, reasons = _stats(sources)
    store = Store(folder or Path(os.environ.get("CUTIS_CACHE") or Path.home() / ".cache" / "cutis"), images)
    decoded = 0
    if store.pending(sources, stats):
        with store.locked():
            pending = store.pending(sources, stats)
            decoded, failed = _fill(store, {key: sources[key] for key in pending}, stats, images, workers, progress)
        reasons |= failed
    _check_unreadable(reasons, len(table), images)
    pictures = [None if key in reasons else store.picture(source) for key, source in sources.items()]
    noted = [(key, note) for key, picture in zip(sources, pictures, strict=True) if picture for note in picture.notes]
    return Cache(
        pixels=store.open(),
        row=np.array([p.row if p else -1 for p in pictures], np.int64),
        sha256=np.array([p.sha256 if p else "" for p in pictures], "<U64"),
        failures=pd.DataFrame([(key, reasons[key]) for key in sources if key in reasons], columns=["image", "reason"], dtype="str"),
        notes=pd.DataFrame(noted, columns=["image", "note"], dtype="str"),
        decoded=decoded,
        seconds=time.perf_counter() - started,
    )


class _Writer:
    """Decodes and stores pictures from several threads; of pictures with the same bytes only the first is decoded."""

    def __init__(self, store: Store, images: recipe.Images, file: int) -> None:
        self.stride, self.images, self.file = store.stride, images, file
        self.claimed = dict.fromkeys(store.pictures, "")
        self.rows = itertools.count(store.rows)

    def read_files(self, paths: dict[str, Path]) -> list[_Outcome]:
        """Decode these files."""
        outcomes = []
        for key, path in paths.items():
            content, picture, reason = None, None, None
            try:
                data = read_bytes(path)
                content = hashlib.sha256(data).hexdigest()
                if self.claimed.setdefault(content, key) == key:
                    picture = self._put(decode(data, at_least=self.images.size, max_pixels=self.images.max_pixels))
            except Unreadable as error:
                reason = error.reason
            outcomes.append(_Outcome(key, content, picture, reason))
        return outcomes

    def read_array(self, file: Path, array: str, keys: dict[int, str]) -> list[_Outcome]:
        """Decode these rows of an array; from the first one that cannot be read on, none can."""
        outcomes = []
        wanted = dict(sorted(keys.items()))
        stream = array_rows(file, array, list(wanted), max_pixels=self.images.max_pixels)
        try:
            for key, pixels in zip(wanted.values(), stream, strict=True):
                content = digest(pixels)
                new = self.claimed.setdefault(content, key) == key
                outcomes.append(_Outcome(key, content, self._put(Decoded(pixels, ())) if new else None, None))
        except Unreadable as error:
            outcomes += [_Outcome(key, None, None, error.reason) for key in list(wanted.values())[len(outcomes) :]]
        return outcomes

    def _put(self, decoded: Decoded) -> Picture:
        row = next(self.rows)
        if os.pwrite(self.file, fitted(decoded.pixels, self.images.size, self.images.fit).data, row * self.stride) < self.stride:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Picture(row, digest(decoded.pixels), list(decoded.notes))


def _fill(
    store: Store,
    pending: dict[str, Source],
    stats: dict[str, list[int]],
    images: recipe.Images,
    workers: int | None,
    progress: Progress | None,
) -> tuple[int, dict[str, str]]:
    """Decode what is pending into the store; how many pictures that were, and the reasons of those that cannot be read."""
    before, done, saved = len(store.pictures), 0, time.monotonic()
    contents: dict[str, str] = {}
    reasons: dict[str, str] = {}
    try:
        with store.file.open("rb+") as file, ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            writer = _Writer(store, images, file.fileno())
            tasks = [pool.submit(writer.read_files, part) for part in _chunks(pending)]
            tasks += [pool.submit(writer.read_array, *array, keys) for array, keys in _arrays(pending).items()]
            try:
                for task in as_completed(tasks):
                    for key, content, picture, reason in task.result():
                        if content is not None:
                            contents[key] = content
                            store.files[name(pending[key])] = [*stats[key], content]
                        if content is not None and picture is not None:
                            store.pictures[content] = picture
                        if reason is not None:
                            reasons[content or key] = reason
                        done += 1
                    if progress:
                        progress(done, len(pending))
                    if time.monotonic() - saved > SAVE_EVERY:
                        store.save()
                        saved = time.monotonic()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        store.save()
    except OSError as error:
        store.load()
        os.truncate(store.file, store.rows * store.stride)
        raise TrainingError(
            f"The cache {store.folder} cannot be written ({error.strerror}); it needs up to {len(pending) * store.stride / 1e9:.1f} GB. "
            "Free space, or set CUTIS_CACHE to a folder on another disk."
        ) from error
    return len(store.pictures) - before, {k: reasons[c] for k in pending if (c := contents.get(k, k)) in reasons}


def _chunks(pending: dict[str, Source]) -> Iterator[dict[str, Path]]:
    files = ((key, source) for key, source in pending.items() if isinstance(source, Path))
    while part := dict(itertools.islice(files, CHUNK)):
        yield part


def _arrays(pending: dict[str, Source]) -> dict[tuple[Path, str], dict[int, str]]:
    arrays: dict[tuple[Path, str], dict[int, str]] = {}
    for key, source in pending.items():
        if isinstance(source, ArrayRow):
            arrays.setdefault((source.file, source.array), {})[source.row] = key
    return arrays


def _stats(sources: dict[str, Source]) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Size, mtime and ctime of what each key's bytes are in, and the reasons where there are none."""
    stats, reasons = {}, {}
    arrays: dict[Path, list[int]] = {}
    for key, source in sources.items():
        try:
            if isinstance(source, ArrayRow):
                stats[key] = arrays[source.file] if source.file in arrays else arrays.setdefault(source.file, _stat(source.file))
            else:
                stats[key] = _stat(source)
        except FileNotFoundError:
            reasons[key] = "there is no such file"
        except (OSError, ValueError) as error:
            reasons[key] = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
    return stats, reasons


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _check_unreadable(reasons: dict[str, str], total: int, images: recipe.Images) -> None:
    if len(reasons) <= images.max_unreadable * total:
        return
    first = "\n".join(f"  {key}: {reason}" for key, reason in itertools.islice(reasons.items(), 10))
    more = f"\n  and {len(reasons) - 10:,} more" if len(reasons) > 10 else ""
    raise DataError(
        f"{len(reasons):,} of {total:,} images cannot be read ({len(reasons) / total:.1%}; images.max_unreadable allows "
        f"{images.max_unreadable:.1%}):\n{first}{more}\nMend or remove them, or allow more with --set images.max_unreadable=SHARE."
    )

"""Filling the store: pictures are read, hashed, decoded and written in threads, those with the same bytes once."""

import errno
import hashlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple, TypeVar

from cutis import recipe
from cutis.data.arrays import ArrayRow, Arrays
from cutis.data.images import Decoded, Pixels, decode, fitted
from cutis.data.opening import Unreadable, read_bytes
from cutis.data.store import File, Picture, Store, digest

T = TypeVar("T")

CHUNK: Final = 32  # files a task
AHEAD: Final = 4  # tasks a thread that are under way or done before their outcome is used


class Outcome(NamedTuple):
    """What came of a file: the SHA-256 of its bytes, then a new picture, or a reason, or neither (its picture is known already)."""

    file: File
    content: bytes
    picture: Picture | None = None
    reason: str | None = None


class Writer:
    """Decodes files into a store that is locked; what it has written, ``save`` tells the index."""

    def __init__(self, store: Store, images: recipe.Images, file: int) -> None:
        self.store, self.images, self.file = store, images, file
        self.rows = itertools.count(store.rows)
        self.claimed: set[bytes] = set()  # contents that are being decoded, wait to be saved, or cannot be decoded
        self.claiming = threading.Lock()

    def run(self, blocks: Iterable[list[File]], workers: int) -> Generator[list[Outcome], None, None]:
        """Outcomes a few at a time. Blocks are asked for as they are needed, while others are decoded."""
        waiting: deque[Future[list[Outcome]]] = deque()
        with ThreadPoolExecutor(workers, "cutis-decode") as pool:
            try:
                for task in self._tasks(blocks):
                    waiting.append(pool.submit(task))
                    if len(waiting) > AHEAD * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def save(self, outcomes: Iterable[Outcome]) -> None:
        """Put new pictures, and what is known of each file, into the index."""
        outcomes = [outcome for outcome in outcomes if outcome.content]
        pictures = {content: picture for _, content, picture, _ in outcomes if picture}
        self.store.add(pictures, ((outcome.file, outcome.content) for outcome in outcomes))
        self.claimed -= pictures.keys()

    def _tasks(self, blocks: Iterable[list[File]]) -> Iterator[Callable[[], list[Outcome]]]:
        with closing(Arrays(self.images.max_pixels)) as arrays:
            for block in blocks:
                for files in _chunks(file for file in block if not isinstance(file.source, ArrayRow)):
                    yield partial(self._read, files)
                rows = sorted((file.source, file) for file in block if isinstance(file.source, ArrayRow))
                for part in _chunks(rows):  # a stream is read by one thread, this one
                    yield partial(self._keep, [(file, _pixels(arrays, source)) for source, file in part])

    def _read(self, files: list[File]) -> list[Outcome]:
        return [self._file(file) for file in files]

    def _file(self, file: File) -> Outcome:
        assert not isinstance(file.source, ArrayRow)
        content = b""
        try:
            data = read_bytes(file.source)
            content = hashlib.sha256(data).digest()
            if not self._claims(content):
                return Outcome(file, content)
            decoded = decode(data, at_least=self.images.size, max_pixels=self.images.max_pixels)
        except Unreadable as error:
            return Outcome(file, content, reason=error.reason)
        return Outcome(file, content, self._put(decoded))

    def _keep(self, rows: list[tuple[File, Pixels | Unreadable]]) -> list[Outcome]:
        return [self._array_row(*row) for row in rows]

    def _array_row(self, file: File, pixels: Pixels | Unreadable) -> Outcome:
        if isinstance(pixels, Unreadable):
            return Outcome(file, b"", reason=pixels.reason)
        content = digest(pixels)
        return Outcome(file, content, self._put(Decoded(pixels, ())) if self._claims(content) else None)

    def _claims(self, content: bytes) -> bool:
        """Whether nobody has decoded these bytes yet; who asks first does."""
        with self.claiming:
            if content in self.claimed or self.store.holds(content):
                return False
            self.claimed.add(content)
            return True

    def _put(self, decoded: Decoded) -> Picture:
        row, stride = next(self.rows), self.store.stride
        if os.pwrite(self.file, fitted(decoded.pixels, self.images.size, self.images.fit).data, row * stride) < stride:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Picture(row, digest(decoded.pixels), "\n".join(decoded.notes))


def _pixels(arrays: Arrays, source: ArrayRow) -> Pixels | Unreadable:
    try:
        return arrays.read(source)
    except Unreadable as error:
        return error


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    items = iter(items)
    while part := list(itertools.islice(items, CHUNK)):
        yield part

"""Dynamic batching: items that arrive one by one are answered together, as many as are there when the last batch is done."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Calls ``call`` in a thread of its own with up to ``size`` items.

    An item that is there alone is waited with for at most ``wait`` seconds, and only while others are ``expected`` (announced, still
    being decoded): a lone client never waits. Where a batch fails, each of its items is tried alone, so that one cannot spoil the others.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]], size: int, wait: float) -> None:
        self._call, self._size, self._wait = call, size, wait
        self._waiting: deque[tuple[Item, Future[Answer]]] = deque()
        self._expected, self._closed = 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def expect(self, count: int) -> None:
        """So many more items are on their way; each is then ``put`` or ``missed``."""
        with self._changed:
            self._expected += count

    def put(self, item: Item) -> "Future[Answer]":
        """An item that was expected."""
        future: Future[Answer] = Future()
        with self._changed:
            self._expected -= 1
            self._waiting.append((item, future))
            self._changed.notify()
        return future

    def missed(self) -> None:
        """An item that was expected does not come."""
        with self._changed:
            self._expected -= 1
            self._changed.notify()

    def close(self) -> None:
        """Answer what is there, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._batch():
            self._answer(batch)

    def _batch(self) -> list[tuple[Item, Future[Answer]]]:
        """The next batch; an empty one at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            until = time.monotonic() + self._wait
            while self._expected > 0 and len(self._waiting) < self._size and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]

    def _answer(self, batch: Sequence[tuple[Item, Future[Answer]]]) -> None:
        try:
            answers = self._call([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

"""S8, S10: work that takes long, which ends nobody's worker; work that nobody waits for; and a worker that is stuck, which is ended."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from cutis.serve.api import wire
from cutis.serve.api.desk import Reply
from cutis.serve.api.process import Died, Process
from cutis.serve.api.worker import Worker

PICTURES = 4 * (os.cpu_count() or 1)  # each of which takes a second: four seconds, on as many cores as there are


@dataclass
class Desk:
    """Reads pictures as a test wants; the answer is how many there were."""

    reading: Callable[[bytes], Any]
    read_so_far: list[bytes] = field(default_factory=list)

    @property
    def predictor(self) -> "Desk":
        return self

    def read(self, data: bytes, *, display: bool = False) -> bytes:
        self.read_so_far.append(data)
        self.reading(data)
        return data

    def answers(self, pictures: list[bytes]) -> list[bytes]:
        return pictures

    def explained(self, pictures: list[bytes], wish: object, step: object) -> Reply:
        return self.predicted(pictures)

    def predicted(self, found: list[bytes]) -> Reply:
        return Reply(200, "application/json", json.dumps(len(found)).encode(), ("answer",) * len(found))


class Child:
    """Stands for the operating system's process."""

    def __init__(self, end: socket.socket) -> None:
        self.pid, self.killed, self._end = 0, False, end

    def kill(self) -> None:
        self.killed = True
        self._end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        pass


@contextmanager
def worker(desk: Desk, longest: float) -> Iterator[tuple[socket.socket, Child]]:
    """A worker in a thread, and the server's end of its socket."""
    mine, its = socket.socketpair()
    child = Child(its)
    made = Worker(its, desk, 32, 0.002, longest)  # type: ignore[arg-type]
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield mine, child
    finally:
        mine.close()
        thread.join()
        made._decoders.shutdown()
        made._explainer.shutdown()
        made._batches.close()
        its.close()


@asynccontextmanager
async def process(end: socket.socket, child: Child, patience: float) -> AsyncIterator[Process]:
    """The worker as the server sees it."""

    class Scratch:
        def cleanup(self) -> None:
            pass

    made = Process(child, await asyncio.open_connection(sock=end), Scratch(), patience)
    made.ended = asyncio.create_task(made._listen())
    try:
        yield made
    finally:
        await made.stop()


def test_fault_s10_a_worker_that_decodes_for_longer_than_a_request_may_take_is_kept() -> None:
    async def ask(end: socket.socket, child: Child) -> tuple[bool, wire.Frame]:
        async with process(end, child, patience=2.0) as made:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await made.ask({"seconds": 3}, [b"large"] * PICTURES)
            kept = not child.killed
            return kept, await made.ask({"seconds": 60}, [b"small"])

    with worker(Desk(lambda data: time.sleep(1.0 * (data == b"large"))), longest=60) as (end, child):
        kept, frame = asyncio.run(ask(end, child))
    assert kept
    assert frame.told["status"] == 200


def test_fault_s10_a_worker_that_is_stuck_is_ended() -> None:
    over = threading.Event()

    async def ask(end: socket.socket, child: Child) -> bool:
        async with process(end, child, patience=1.0) as made:
            with pytest.raises((TimeoutError, Died)):
                async with asyncio.timeout(3):
                    await made.ask({"seconds": 3}, [b"endless"])
            return child.killed

    with worker(Desk(lambda data: over.wait()), longest=0.2) as (end, child):
        try:
            killed = asyncio.run(ask(end, child))
        finally:
            over.set()
    assert killed


def test_fault_s8_pictures_that_nobody_waits_for_any_more_are_not_read() -> None:
    desk = Desk(lambda data: None)
    with worker(desk, longest=60) as (end, _), end.makefile("rb") as stream:
        wire.write(end, {"id": 0, "seconds": -1}, [b"late"] * 50)
        wire.write(
            end, {"id": 1, "seconds": -1, "wish": {"of": "all", "method": "", "member": None, "view": "map", "opacity": 1}}, [b"late"]
        )
        wire.write(end, {"id": 2, "seconds": 60}, [b"awaited"])
        frame = wire.read(stream)
    assert frame
    assert frame.told["id"] == 2
    assert desk.read_so_far == [b"awaited"]

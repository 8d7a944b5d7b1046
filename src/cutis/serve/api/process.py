"""One worker process as the server sees it: started, asked, and ended."""

import asyncio
import itertools
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from cutis.errors import ArtifactError
from cutis.serve.api import wire

LOADING: Final = 600.0  # seconds that a model may take to be ready; the first time its network is converted
QUIET: Final = 5.0  # seconds without a beat, at least, before a worker is taken for stuck: on a busy machine a thread may be late
CANNOT: Final = (OSError, EOFError)  # what starting a process raises where there is no memory, descriptor, disk or temporary folder


@dataclass(frozen=True)
class Order:
    """What a worker is started with.

    ``bundle``: folder, zip or address; ``sample``: pictures on which the fastest backend must agree with eager fp32; ``batch``: pictures
    that one pass takes at most; ``wait``: seconds it waits for more of them;
    ``pixels``: of a picture, at most; ``patience``: seconds after which a worker that says nothing, not even that it is at work, is taken
    for stuck, ``QUIET`` at least; ``scratch``: a private folder for what is unpacked.
    """

    bundle: str
    sample: tuple[str, ...] = ()
    backend: str = "auto"
    precision: str = "auto"
    batch: int = 32
    wait: float = 0.002
    pixels: int = 60_000_000
    patience: float = 15.0
    scratch: str = ""


class Died(Exception):  # noqa: N818  (what happened to it)
    """The worker ended while it had a request in hand."""


class Unstarted(ArtifactError):  # noqa: N818  (what happened to it)
    """No worker could be started, for reasons of the machine and not of the bundle: it may work later."""


class Process:
    """A worker whose model is loaded; make one with ``Process.start``."""

    about: dict[str, Any]
    """What the worker told of its model."""
    ended: asyncio.Task[None]
    """Done when the worker has ended."""

    def __init__(self, child: Any, end: tuple[asyncio.StreamReader, asyncio.StreamWriter], scratch: Any, patience: float) -> None:
        self._child, self._scratch, self._patience = child, scratch, patience
        self._reader, self._writer = end
        self._numbers, self._waiting = itertools.count(), dict[int, asyncio.Future[wire.Frame]]()
        self._heard = time.monotonic()

    @classmethod
    async def start(cls, order: Order) -> "Process":
        """A worker that has loaded its model and run it once. Raises Unstarted, or ArtifactError with the worker's words."""
        try:
            child, end, scratch = await asyncio.to_thread(_begun, order)
        except CANNOT as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Unstarted(f"A process for the model cannot be started: {why}. Is there memory, disk, and a temporary folder?") from error
        made = cls(child, await asyncio.open_connection(sock=end, limit=1 << 20), scratch, max(order.patience, QUIET))
        try:
            await made._greet()
        except BaseException:
            await made._clear()
            raise
        made.ended = asyncio.create_task(made._listen())
        return made

    @property
    def pid(self) -> int:
        """The process's number."""
        return int(self._child.pid)

    async def ask(self, told: Mapping[str, Any], blobs: Sequence[bytes]) -> wire.Frame:
        """The reply to a request. Raises Died. A cancelled question to a worker that says nothing at all ends the worker."""
        if self.ended.done():
            raise Died
        if not self._waiting:
            self._heard = time.monotonic()
        number, reply = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            self._writer.writelines(wire.packed({**told, "id": number}, blobs))
            frame: wire.Frame = await reply
        except asyncio.CancelledError:
            if time.monotonic() - self._heard > self._patience:
                self._child.kill()
            raise
        finally:
            del self._waiting[number]
        return frame

    async def retire(self) -> None:
        """Let it finish what it has, then end it."""
        while self._waiting and not self.ended.done():
            await asyncio.sleep(0.05)
        await self.stop()

    async def stop(self) -> None:
        """End it now."""
        await self._clear()
        await asyncio.wait([self.ended])

    async def _greet(self) -> None:
        """Wait for the model. Raises ArtifactError."""
        try:
            async with asyncio.timeout(LOADING):
                told = (await wire.received(self._reader)).told
        except (TimeoutError, EOFError, OSError) as error:
            raise ArtifactError("The process that loads the model ended, or took too long. Is there enough memory?") from error
        if "ready" not in told:
            raise ArtifactError(told["refused"])
        self.about = told["ready"]

    async def _listen(self) -> None:
        """Hand each reply to who waits for it; ends when the worker does."""
        with suppress(EOFError, OSError):
            while True:
                frame = await wire.received(self._reader)
                self._heard = time.monotonic()
                waiting = self._waiting.get(frame.told.get("id", -1))  # a beat is about no request
                if waiting and not waiting.done():
                    waiting.set_result(frame)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Died())

    async def _clear(self) -> None:
        """Nothing of it is left."""
        self._child.kill()
        await asyncio.to_thread(self._child.join)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        self._scratch.cleanup()


def _begun(order: Order) -> tuple[Any, socket.socket, Any]:
    """A process at work on an order, this side's end of a socket to it, and its private folder. Raises what is in ``CANNOT``."""
    with ExitStack() as undo:
        scratch = tempfile.TemporaryDirectory(prefix="cutis-serve-", ignore_cleanup_errors=True)
        undo.callback(scratch.cleanup)
        mine, its = socket.socketpair()
        undo.callback(mine.close)
        given = (its, replace(order, scratch=scratch.name))
        with its:
            try:
                child = _context().Process(target=_work, args=given, daemon=True)
                child.start()
            except CANNOT:
                # the process to fork from listens in the temporary folder: where that was emptied it cannot be reached any more
                child = multiprocessing.get_context("spawn").Process(target=_work, args=given, daemon=True)
                child.start()
        undo.pop_all()
        return child, mine, scratch


def _work(end: socket.socket, order: Order) -> None:
    """In the worker's process."""
    from cutis.serve.api import preload

    preload.worker.main(end, order)


@cache
def _context() -> Any:
    """Workers are forked from a process that has imported what they need and done nothing else: a new one is ready in a second or two."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cutis.serve.api.preload"])
    return context

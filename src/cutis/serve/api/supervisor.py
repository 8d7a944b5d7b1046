"""Sees that there is a worker, and that it has the model which the bundle holds now."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cutis.errors import CutisError
from cutis.export import bundle as bundles
from cutis.serve.api import wire
from cutis.serve.api.limits import Refused
from cutis.serve.api.logs import Log
from cutis.serve.api.metrics import Metrics
from cutis.serve.api.process import Died, Order, Process, Unstarted

WATCH: Final = 2.0  # seconds between looks at the bundle
BACKOFF: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before what failed is tried again, and again


class Supervisor:
    """Starts the worker, renews it when the bundle changes, and starts another when it dies."""

    def __init__(self, order: Order, log: Log, metrics: Metrics) -> None:
        self._order, self._log, self._metrics = order, log, metrics
        self._worker: Process | None = None
        self._mark, self._changing = "", asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.about: dict[str, Any] = {}

    @property
    def ready(self) -> bool:
        """Whether a worker answers."""
        return self._worker is not None

    async def start(self) -> None:
        """The first worker. Raises CutisError."""
        self._mark = self._look()
        self._adopt(await Process.start(self._order))
        self._keep(self._watch())

    async def ask(self, told: Mapping[str, Any], blobs: Sequence[bytes]) -> wire.Frame:
        """The worker's reply. Raises Refused where there is no worker now, or where it died over this request."""
        if self._worker is None:
            raise Refused(503, "not-ready", "The model is being loaded. Try again in 3 s.", {"retry-after": "3"})
        try:
            return await self._worker.ask(told, blobs)
        except Died:
            raise Refused(500, "worker-died", "The process that answers ended over this request. A new one is being started.") from None

    async def renew(self) -> bool:
        """Load what the bundle holds now beside the model that answers, then change over; a bad one changes nothing. Whether it did.

        A bad bundle is not looked at again until it changes; where the machine is at fault, the bundle still counts as changed.
        """
        async with self._changing:
            mark = self._look()
            try:
                new = await Process.start(self._order)
            except Unstarted as error:
                self._metrics.workers.labels("failed").inc()
                self._log("worker not started", why=str(error))
                return False
            except CutisError as error:
                self._mark = mark
                self._metrics.workers.labels("refused").inc()
                self._log("model refused", why=str(error), stays=self.about["model"]["version"])
                return False
            self._mark = mark
            old, self._worker = self._worker, None
            self._adopt(new)
            if old:
                self._keep(old.retire())
            return True

    def look_now(self) -> None:
        """Renew without waiting for the next look."""
        self._keep(self.renew())

    async def stop(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        worker, self._worker = self._worker, None
        if worker:
            await worker.stop()

    def _adopt(self, worker: Process) -> None:
        self._worker, self.about = worker, worker.about
        self._metrics.workers.labels("started").inc()
        self._metrics.answers(self.about["model"]["version"])
        self._log("model ready", **self.about["model"], backend=self.about["backend"], worker=worker.pid)
        worker.ended.add_done_callback(lambda _: self._mourn(worker))

    def _mourn(self, worker: Process) -> None:
        """Start another where the worker that answers has died."""
        if worker is self._worker:
            self._worker = None
            self._metrics.workers.labels("died").inc()
            self._log("worker died")
            self._keep(self._revive(worker))

    async def _revive(self, dead: Process) -> None:
        await dead.stop()
        for pause in itertools.chain(BACKOFF, itertools.repeat(BACKOFF[-1])):
            await asyncio.sleep(pause)
            if self._worker or await self.renew():
                return

    async def _watch(self) -> None:
        """Renew when the bundle has changed and then stayed as it is for one look; with growing pauses where that cannot be done now."""
        seen, failed = self._mark, 0
        while True:
            await asyncio.sleep(WATCH + BACKOFF[min(failed, len(BACKOFF) - 1)])
            now = await asyncio.to_thread(self._look)
            due = bool(now) and now == seen and now != self._mark
            failed = failed + 1 if due and not await self.renew() and now != self._mark else 0
            seen = now

    def _look(self) -> str:
        """A mark of what is at the bundle's path; empty where there is nothing to be seen."""
        path = Path(self._order.bundle)
        try:
            told = (path / bundles.FILE if path.is_dir() else path).stat()
        except OSError:  # or an address on the hub, which does not change by itself
            return ""
        return f"{told.st_ino} {told.st_size} {told.st_mtime_ns}"

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

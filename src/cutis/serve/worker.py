"""The process that decodes and answers. It holds the model, so whatever a picture does to it, the server lives."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cutis.errors import CutisError
from cutis.serve import logs, wire
from cutis.serve.answers import Answer
from cutis.serve.batching import Batcher
from cutis.serve.desk import Desk, Reply, Wish
from cutis.serve.faults import fault
from cutis.serve.limits import Refused
from cutis.serve.pictures import Picture
from cutis.serve.predictor import Predictor
from cutis.serve.process import Order


def main(end: socket.socket, order: Order) -> None:
    """Open the bundle, say so, answer until the server hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides when its worker ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tempfile.tempdir = order.scratch
    logs.adopt(logs.to(), "")
    with suppress(BrokenPipeError):
        try:
            sample = [Path(picture) for picture in order.sample]
            predictor = Predictor.open(order.bundle, backend=order.backend, precision=order.precision, sample=sample)
            desk = Desk(predictor, order.pixels)
        except CutisError as error:
            wire.write(end, {"refused": str(error)})
        except Exception as error:
            wire.write(end, {"refused": f"The model cannot be loaded: {type(error).__name__}.", "fault": fault(error)})
        else:
            wire.write(end, {"ready": desk.hello()})
            Worker(end, desk, order.batch, order.wait).run()
    os._exit(0)  # threads may still be at work for requests that nobody waits for


class Ticket:
    """A request's pictures, until all of them have an answer."""

    def __init__(self, number: int, count: int) -> None:
        self.number, self.batch = number, 0
        self.found: list[Any] = [None] * count
        self._left, self._lock = count, threading.Lock()

    def done(self, index: int, found: Answer | Refused | Exception) -> bool:
        """Note an answer; whether it was the last."""
        with self._lock:
            self.found[index] = found
            self._left -= 1
            return not self._left


class Worker:
    """Reads frames from the server, decodes on every core, answers in batches, and explains one request at a time."""

    def __init__(self, end: socket.socket, desk: Desk, batch: int, wait: float) -> None:
        self._end, self._desk, self._writing = end, desk, threading.Lock()
        self._batches: Batcher[Picture, tuple[Answer, int]] = Batcher(self._answers, batch, wait)
        self._decoders = ThreadPoolExecutor(os.cpu_count(), "decoding")
        self._explainer = ThreadPoolExecutor(1, "explaining")

    def run(self) -> None:
        """Until the server hangs up."""
        with self._end.makefile("rb", 1 << 18) as stream:
            while frame := wire.read(stream):
                told, number = frame.told, int(frame.told["id"])
                if "wish" in told:
                    self._explainer.submit(self._explain, number, Wish(**told["wish"]), frame.blobs)
                    continue
                ticket = Ticket(number, len(frame.blobs))
                self._batches.expect(len(frame.blobs))
                for index, data in enumerate(frame.blobs):
                    self._decoders.submit(self._decode, ticket, index, data)

    def _answers(self, pictures: Sequence[Picture]) -> list[tuple[Answer, int]]:
        return [(answer, len(pictures)) for answer in self._desk.predictor.answers(pictures)]

    def _decode(self, ticket: Ticket, index: int, data: bytes) -> None:
        try:
            picture = self._desk.read(data)
        except Exception as error:
            self._batches.missed()
            self._note(ticket, index, error)
        else:
            self._batches.put(picture).add_done_callback(partial(self._answered, ticket, index))

    def _answered(self, ticket: Ticket, index: int, answered: "Future[tuple[Answer, int]]") -> None:
        error = answered.exception()
        if error is None:
            answer, size = answered.result()
            ticket.batch = max(ticket.batch, size)
            self._note(ticket, index, answer)
        else:
            assert isinstance(error, Exception)
            self._note(ticket, index, error)

    def _note(self, ticket: Ticket, index: int, found: Answer | Exception) -> None:
        """Keep what was found, and send the reply when it was the last."""
        if not ticket.done(index, found):
            return
        try:
            for one in ticket.found:
                if isinstance(one, Exception) and not isinstance(one, Refused):
                    raise one
            self._reply(ticket.number, self._desk.predicted(ticket.found), batch=ticket.batch)
        except Exception as error:
            self._send({"id": ticket.number, "fault": fault(error)})

    def _explain(self, number: int, wish: Wish, blobs: Sequence[bytes]) -> None:
        try:
            self._reply(number, self._desk.explained([self._read(data) for data in blobs], wish))
        except Exception as error:
            self._send({"id": number, "fault": fault(error)})

    def _read(self, data: bytes) -> Picture | Refused:
        try:
            return self._desk.read(data, display=True)
        except Refused as refused:
            return refused

    def _reply(self, number: int, reply: Reply, **more: int) -> None:
        told = {"id": number, "status": reply.status, "kind": reply.kind, "verdicts": reply.verdicts, **more}
        self._send(told, [reply.body])

    def _send(self, told: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        with self._writing, suppress(BrokenPipeError):  # the server hung up: nobody waits
            wire.write(self._end, told, blobs)

"""The process that decodes and answers. It holds the model, so whatever a picture does to it, the server lives."""

import os
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cutis.errors import CutisError
from cutis.serve.answers import Answer
from cutis.serve.api import logs, wire
from cutis.serve.api.batching import Batcher
from cutis.serve.api.desk import Desk, Reply, Step, Wish
from cutis.serve.api.heart import LONGEST, Heart
from cutis.serve.api.limits import Refused
from cutis.serve.api.process import Order
from cutis.serve.faults import fault
from cutis.serve.pictures import Picture
from cutis.serve.predictor import Predictor


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
            if not any(network.eager for network in predictor.networks):
                # the engines keep the threads that they were made with; what is left to torch is small, and where decoders have the
                # cores, its threads wait for each other: pooling a batch of maps took 74 ms instead of 0.5
                torch.set_num_threads(1)
            desk = Desk(predictor, order.pixels)
        except CutisError as error:
            wire.write(end, {"refused": str(error)})
        except Exception as error:
            wire.write(end, {"refused": f"The model cannot be loaded: {type(error).__name__}.", "fault": fault(error)})
        else:
            wire.write(end, {"ready": desk.hello()})
            Worker(end, desk, order.batch, order.wait).run()
    os._exit(0)  # threads may still be at work for requests that nobody waits for


class Late(Exception):  # noqa: N818  (what the request is)
    """Nobody waits for the answer any more."""


class Ticket:
    """A request's pictures, until all of them have an answer, or until nobody waits for it: ``seconds`` from now."""

    def __init__(self, number: int, count: int, seconds: float) -> None:
        self.number, self._until = number, time.monotonic() + seconds
        self.found: list[Any] = [None] * count
        self._left, self._lock = count, threading.Lock()

    def check(self) -> None:
        """Raises Late."""
        if time.monotonic() > self._until:
            raise Late

    def done(self, index: int, found: Answer | Refused | Exception) -> bool:
        """Note an answer; whether it was the last."""
        with self._lock:
            self.found[index] = found
            self._left -= 1
            return not self._left


class Worker:
    """Reads frames from the server, decodes on every core, answers in batches, and explains one request at a time.

    What is late is left where it is, without a reply. ``longest``: seconds after which a step is taken for stuck.
    """

    def __init__(self, end: socket.socket, desk: Desk, batch: int, wait: float, longest: float = LONGEST) -> None:
        self._end, self._desk, self._writing = end, desk, threading.Lock()
        self._heart = Heart(lambda: self._send({"beat": True}), longest)
        self._sizes: deque[int] = deque()  # of the batches that the server has not been told of
        self._batches: Batcher[Picture, Answer] = Batcher(self._answers, batch, wait)
        self._decoders = ThreadPoolExecutor(os.cpu_count(), "decoding")
        self._explainer = ThreadPoolExecutor(1, "explaining")

    def run(self) -> None:
        """Until the server hangs up."""
        with self._end.makefile("rb", 1 << 18) as stream:
            while frame := wire.read(stream):
                told = frame.told
                ticket = Ticket(told["id"], len(frame.blobs), told["seconds"])
                if "wish" in told:
                    self._explainer.submit(self._explain, ticket, Wish(**told["wish"]), frame.blobs)
                    continue
                self._batches.expect(len(frame.blobs))
                for index, data in enumerate(frame.blobs):
                    self._decoders.submit(self._decode, ticket, index, data)

    def _answers(self, pictures: Sequence[Picture]) -> list[Answer]:
        with self._heart.step():
            answers = self._desk.predictor.answers(pictures)
        self._sizes.append(len(pictures))
        return answers

    def _decode(self, ticket: Ticket, index: int, data: bytes) -> None:
        try:
            ticket.check()
            with self._heart.step():
                picture = self._desk.read(data)
        except Late:
            self._batches.missed()
        except Exception as error:
            self._batches.missed()
            self._note(ticket, index, error)
        else:
            self._batches.put(picture).add_done_callback(partial(self._answered, ticket, index))

    def _answered(self, ticket: Ticket, index: int, answered: "Future[Answer]") -> None:
        error = answered.exception()
        assert error is None or isinstance(error, Exception)
        self._note(ticket, index, error or answered.result())

    def _note(self, ticket: Ticket, index: int, found: Answer | Exception) -> None:
        """Keep what was found, and send the reply when it was the last."""
        if not ticket.done(index, found):
            return
        try:
            for one in ticket.found:
                if isinstance(one, Exception) and not isinstance(one, Refused):
                    raise one
            self._reply(ticket.number, self._desk.predicted(ticket.found), batches=self._told())
        except Exception as error:
            self._send({"id": ticket.number, "fault": fault(error)})

    def _told(self) -> list[int]:
        """Sizes of batches, each of which is told once."""
        sizes = []
        with suppress(IndexError):
            while True:
                sizes.append(self._sizes.popleft())
        return sizes

    def _explain(self, ticket: Ticket, wish: Wish, blobs: Sequence[bytes]) -> None:
        @contextmanager
        def step() -> Iterator[None]:
            ticket.check()
            with self._heart.step():
                yield

        try:
            self._reply(ticket.number, self._desk.explained([self._read(data, step) for data in blobs], wish, step))
        except Late:
            pass
        except Exception as error:
            self._send({"id": ticket.number, "fault": fault(error)})

    def _read(self, data: bytes, step: Step) -> Picture | Refused:
        with step():
            try:
                return self._desk.read(data, display=True)
            except Refused as refused:
                return refused

    def _reply(self, number: int, reply: Reply, **more: list[int]) -> None:
        told = {"id": number, "status": reply.status, "kind": reply.kind, "verdicts": reply.verdicts, **more}
        self._send(told, [reply.body])

    def _send(self, told: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        with self._writing, suppress(BrokenPipeError):  # the server hung up: nobody waits
            wire.write(self._end, told, blobs)

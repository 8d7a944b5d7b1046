"""Who is let in: pictures and bytes are counted over all requests, and past the bounds a client is told when to return."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cutis.serve.api.limits import Limits, Refused


class Gate:
    """Counts, on the server's one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.pictures, self.bytes = 0, 0
        self._pace, self._since = 0.05, 0.0  # seconds a picture, smoothed; when the last one was done, or work began

    @contextmanager
    def pass_through(self, count: int) -> Iterator[None]:
        """Have so many pictures in hand. Raises Refused, 503, past the queue."""
        if self.pictures + count > self._limits.queue:
            raise self._busy("The server has as many pictures as it can take.")
        if not self.pictures:
            self._since = time.monotonic()
        self.pictures += count
        try:
            yield
        finally:
            self.pictures -= count
            now = time.monotonic()
            self._pace += 0.1 * ((now - self._since) / count - self._pace)
            self._since = now

    def hold(self, count: int) -> None:
        """So many more bytes are in memory; negative: fewer. Raises Refused, 503, past the bound."""
        if count > 0 and self.bytes + count > self._limits.held:
            raise self._busy("The server holds as many uploads as it can.")
        self.bytes += count

    def _busy(self, why: str) -> Refused:
        seconds = min(max(math.ceil(self.pictures * self._pace), 1), 60)
        return Refused(503, "busy", f"{why} Try again in {seconds} s.", {"retry-after": str(seconds)})

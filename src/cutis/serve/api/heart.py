"""A worker's heartbeat: how the server tells much work from none."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY: Final = 0.5  # seconds between beats
LONGEST: Final = 60.0  # seconds that one step may take: the largest picture or fullest batch, on a machine that does other things too


class Heart:
    """Calls ``beat`` every now and then, from a thread of its own, while steps are under way and none takes longer than ``longest``.

    So there is no beat where the process stands still, and none where a decoder or the network does.
    """

    def __init__(self, beat: Callable[[], None], longest: float = LONGEST) -> None:
        self._beat, self._longest = beat, longest
        self._steps: dict[object, float] = {}
        threading.Thread(target=self._run, name="heart", daemon=True).start()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A piece of work that ends by itself."""
        step = object()
        self._steps[step] = time.monotonic()
        try:
            yield
        finally:
            del self._steps[step]

    def _run(self) -> None:
        while True:
            time.sleep(EVERY)
            began = list(self._steps.values())  # one operation of the interpreter, so no lock
            if began and time.monotonic() - min(began) < self._longest:
                self._beat()

"""How long work says what it does: an object that is told, and that also measures how long each part took."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OnStep = Callable[[int, int], None]


class Progress:
    """Measures, and says nothing but warnings; the command line's subclasses draw. ``seconds`` holds the time of each part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def say(self, text: str) -> None:
        """A line worth reading."""

    def warn(self, text: str) -> None:
        """A line that must not be missed."""
        warnings.warn(text, stacklevel=2)

    def step(self, part: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of a part are over."""

    @contextmanager
    def part(self, name: str) -> Iterator[OnStep]:
        """Measure a part of the work; gives the function to be told how far it is."""
        started = time.perf_counter()
        try:
            yield lambda done, total: self.step(name, done, total)
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - started, 3)


class Heeding(Progress):
    """Another progress that calls ``check`` at every step, which raises where the work is to stop."""

    def __init__(self, inner: Progress, check: Callable[[], None]) -> None:
        self.inner, self.check, self.seconds = inner, check, inner.seconds
        self.say, self.warn = inner.say, inner.warn  # type: ignore[method-assign]

    def step(self, part: str, done: int, total: int) -> None:
        """Heed, then tell."""
        self.check()
        self.inner.step(part, done, total)

    @contextmanager
    def part(self, name: str) -> Iterator[OnStep]:
        """A part of the other, heeded."""
        with self.inner.part(name) as on_step:
            yield lambda done, total: (self.check(), on_step(done, total))[1]

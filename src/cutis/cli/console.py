"""Progress as seen: one live line with the time left on a terminal, plain lines elsewhere, warnings only where JSON is wanted."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cutis.progress import OnStep, Progress
from cutis.report.words import duration

NAMES = {
    "draw": "Drawing",
    "read": "Reading",
    "cache": "Decoding",
    "files": "Looking at pictures",
    "split": "Splitting",
    "proof": "Checking the split",
    "features": "Frozen backbone",
    "search": "Searching",
    "train": "Training",
    "predict": "Predicting",
    "evaluate": "Measuring",
    "groups": "Measuring each group",
    "fit": "Fitting on validation",
}


def named(part: str) -> str:
    """A part of the work in words; one that has none here, a plugin's, by its own name."""
    return NAMES.get(part, part.capitalize())


class JsonProgress(Progress):
    """Standard output stays JSON; warnings go to standard error."""

    def warn(self, text: str) -> None:
        """A warning on standard error."""
        print(f"Warning: {text}", file=sys.stderr, flush=True)


class PlainProgress(JsonProgress):
    """Lines on standard error; long parts say every ten seconds how far they are and how long still."""

    EVERY = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[str, tuple[float, int, int]] = {}  # when a round of a part began, at which step, and the last one
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)

    def step(self, part: str, done: int, total: int) -> None:
        """A line now and then."""
        now = time.monotonic()
        start, first, last = self._since.get(part, (now, done, 0))
        if done <= last:  # another round of the same part
            start, first = now, done
        self._since[part] = start, first, done
        if now - self._said >= self.EVERY and done > first:
            self._said = now
            left = (now - start) / (done - first) * (total - done)
            self.say(f"{named(part)}: {done:,} of {total:,}, {duration(left)} left")


class TerminalProgress(Progress):
    """A live line below the lines already said."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(stderr=True, highlight=False)
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def say(self, text: str) -> None:
        """One line above the live one."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line that stands out by its word, not by its colour alone."""
        self.console.print(f"Warning: {text}", style="bold", markup=False)

    def step(self, part: str, done: int, total: int) -> None:
        """Move the live line."""
        if self._bar is not None:
            self._bar.update(self._task, description=named(part), completed=done, total=total, count=f"{done:,} of {total:,}")

    @contextmanager
    def part(self, name: str) -> Iterator[OnStep]:
        """A live line while the part lasts."""
        columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
        with Bar(*columns, console=self.console, transient=True) as self._bar, super().part(name) as on_step:
            self._task = self._bar.add_task(named(name), total=None, count="")
            try:
                yield on_step
            finally:
                self._bar = None

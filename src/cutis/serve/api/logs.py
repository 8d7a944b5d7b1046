"""Structured logs: one line of JSON an event, with nothing in it that a client sent but numbers."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO


class Log(Protocol):
    """Writes an event."""

    def __call__(self, event: str, **told: Any) -> None:
        """``told``: plain values; names of files, texts of clients and messages of errors do not belong here."""


def to(stream: TextIO | None = None) -> Log:
    """Events as lines on a stream, standard error where none is given."""

    def log(event: str, **told: Any) -> None:
        when = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        out = stream or sys.stderr
        out.write(json.dumps({"time": when, "event": event} | told, default=str) + "\n")
        out.flush()

    return log


class _Lines(logging.Handler):
    """A library's records as events: its name, the level and the format of the message, never the values in it."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        self._log("library", logger=record.name, level=record.levelname, message=str(record.msg)[:200])


def adopt(log: Log, *names: str) -> None:
    """Send the warnings of these libraries ("" is all of them) through ``log``, and nowhere else."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Lines(log)], False
        logger.setLevel(logging.WARNING)

"""The command line: one verb a command; errors become one plain message and an exit code."""

import errno
import re
import shlex
import signal
import sys
import traceback

from cutis import machine
from cutis.cli import (
    audit,
    check,
    compare,
    data,
    ensemble,
    explain,
    export,
    import_,
    info,
    page,
    predict,
    runs,
    scope,
    search,
    serve,
    study,
)
from cutis.cli.app import app, options
from cutis.errors import CutisError

__all__ = ["app", "main"]

ALLOCATION = re.compile("can't allocate memory|out of memory")  # what torch says on a processor and on a GPU

for module in (audit, runs, compare, ensemble, scope, explain, export, import_, search, study, check, predict, serve, page, data, info):
    module.add(app)


def main() -> None:
    """Entry point; leaves with the exit codes of docs/formats.md."""
    machine.reuse_memory()
    try:
        app(prog_name="cutis")
    except Exception as error:
        if options.debug and not isinstance(error, CutisError):
            raise
        message, code = told(error)
        print(f"cutis: {message}", file=sys.stderr)
        sys.exit(code)


def told(error: Exception) -> tuple[str, int]:
    """What a user is told of an error, and the exit code."""
    checkpoint = sys.modules.get("cutis.train.checkpoint")  # not imported here: most commands need no torch
    if checkpoint is not None and isinstance(error, checkpoint.Interrupted):
        return " ".join([f"Stopped by {signal.Signals(error.signal).name}.", *error.__notes__]), 128 + error.signal
    if isinstance(error, ValueError):
        return str(error), getattr(error, "code", CutisError.code)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and ALLOCATION.search(str(error))):
        return "Memory ran out. Use smaller batches (--set train.batch_size=8) or smaller images (--set images.size=128).", 5
    if isinstance(error, OSError) and error.filename:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "Make room there" if full else "Check that path and its permissions"
        return f"{error.strerror}: {error.filename}. {what}, then run the command again.", 5 if full else 2
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rsplit('cutis/', 1)[-1]}:{place.lineno}"
    again = shlex.join(["cutis", "--debug", *sys.argv[1:]])
    return f"A fault in Cutis itself: {type(error).__name__}: {error} ({where}). Report what this prints: {again}", 1

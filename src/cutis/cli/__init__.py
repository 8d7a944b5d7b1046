"""The command line: one verb a command; errors become one plain message and an exit code."""

import sys
import traceback

from cutis import machine
from cutis.cli import data, info, runs
from cutis.cli.app import app, options
from cutis.errors import CutisError

__all__ = ["app", "main"]

for module in (runs, data, info):
    module.add(app)


def main() -> None:
    """Entry point; leaves with the exit codes of docs/formats.md."""
    machine.reuse_memory()
    try:
        app()
    except CutisError as error:
        _fail(str(error), error.code)
    except ValueError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("Stopped.", 130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if options.debug:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rsplit('cutis/', 1)[-1]}:{place.lineno}"
        _fail(
            f"A fault in Cutis itself: {type(error).__name__}: {error} ({where}). "
            "Run again with --debug before the command and report what it prints.",
            1,
        )


def _fail(message: str, code: int) -> None:
    print(f"cutis: {message}", file=sys.stderr)
    sys.exit(code)

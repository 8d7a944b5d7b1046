"""Measures the rows of this folder, all or those named, and makes the table: ``python -m benchmarks [NAME ...] [--repeats N ...]``.

A row is a file that ends with ``harness.main``. The other programs here (memory, coverage, real images) run only where they are named.
What begins with ``--`` goes to every row.
"""

import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Exit code: how many of them failed."""
    options = arguments[next((i for i, word in enumerate(arguments) if word.startswith("--")), len(arguments)) :]
    known = {path.stem: "harness.main(" in path.read_text("utf-8") for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")}
    names = arguments[: len(arguments) - len(options)] or [name for name, row in known.items() if row]
    if unknown := set(names) - set(known):
        print(f"No benchmark {', '.join(sorted(unknown))}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names:
        print(f"== {name}", flush=True)
        with subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *options], cwd=FOLDER.parent) as row:
            signal.signal(signal.SIGTERM, lambda number, _, row=row: row.send_signal(number))  # it ends its workers
            failed += row.wait() != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

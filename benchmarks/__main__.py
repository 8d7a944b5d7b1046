"""Runs the benchmarks of this folder, all or those named, each in a process of its own: ``python -m benchmarks [NAME ...]``."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Exit code: how many benchmarks failed."""
    known = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))
    names = sys.argv[1:] or known
    if unknown := set(names) - set(known):
        print(f"No benchmark {', '.join(sorted(unknown))}. There are: {', '.join(known) or 'none'}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names:
        print(f"== {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=FOLDER.parent).returncode != 0
    return failed


sys.exit(main())

"""Anonymous memory, time and rate of building and reading the image cache, at several numbers of images: does memory stay flat?

``python -m benchmarks.cache_memory --images FOLDER --counts 2000 10000 [--size 224] [--json]``; without a folder it draws JPEGs itself.
Each count runs in a fresh process with an empty cache; the memory-mapped pixels are file pages and do not count.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks._memory import Peak, anonymous
from cutis.data import cache
from cutis.recipe import Images

COLUMNS = ["images", "seconds", "per_second", "warm_seconds", "reads_per_second", "before_mb", "build_mb", "read_mb"]


def main() -> None:
    """Measure each count in its own process and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, help="folder of images; without one, JPEGs are drawn")
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.one:
            print(json.dumps(measure(chosen.images, chosen.one, chosen.size, Path(scratch))))
            return
        folder = chosen.images or drawn(Path(scratch), max(chosen.counts))
        command = [sys.executable, "-m", "benchmarks.cache_memory", "--images", str(folder), "--size", str(chosen.size), "--one"]
        rows = [json.loads(subprocess.run([*command, str(n)], check=True, stdout=subprocess.PIPE).stdout) for n in chosen.counts]
    if chosen.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for row in rows:
            print(f"| {' | '.join(str(row[c]) for c in COLUMNS)} |")


def measure(folder: Path, count: int, size: int, scratch: Path) -> dict[str, float]:
    """One cold build, one warm build and one pass of shuffled batches of 64."""
    table = pd.DataFrame({"image": sorted(path.name for path in folder.iterdir())[:count]})
    table.attrs["root"] = str(folder.resolve())
    images = Images(size=(size, size))
    before = anonymous()
    with Peak() as build:
        built = cache.build(table, images, folder=scratch)
    with Peak() as read:
        warm = cache.build(table, images, folder=scratch)
        started = time.perf_counter()
        order = np.random.default_rng(0).permutation(np.flatnonzero(warm.row >= 0))
        for first in range(0, len(order), 64):
            warm.take(order[first : first + 64])
        seconds = time.perf_counter() - started
    values = [len(table), built.seconds, built.decoded / built.seconds, warm.seconds, len(order) / seconds, before, build.mb, read.mb]
    return {column: round(value, 2 if "seconds" in column else 0) for column, value in zip(COLUMNS, values, strict=True)}


def drawn(folder: Path, count: int) -> Path:
    """Write ``count`` different 600 x 450 JPEGs."""
    (folder / "drawn").mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((600, 450), Image.Resampling.BICUBIC).save(folder / "drawn" / f"{i:06d}.jpg", quality=90)
    return folder / "drawn"


if __name__ == "__main__":
    main()

"""Search for copies as the collection grows: seconds and anonymous memory from 10,000 to 100,000 pictures, and how many are found.

``python -m benchmarks.copies_growth [--counts 10000 ... 100000] [--write FILE]``, a quarter of an hour on two cores.

Pictures are smooth random colours under noise of their own, 112 x 112 in a packed file as the image cache has them; one in a hundred is
a mirrored or brightened copy of another. Features are random, 1,280 numbers, copies' nearly equal. Each count runs in a fresh process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks._memory import Peak, anonymous
from cutis import machine
from cutis.audit import copies
from cutis.audit.subject import Subject
from cutis.data.cache import Cache
from cutis.data.hashes import Hashes
from cutis.data.table import finish
from cutis.recipe import Recipe

COUNTS = (10_000, 30_000, 100_000)
SIZE, FEATURES, EVERY = 112, 1280, 100
LIMIT = 2000  # MB


def main() -> None:
    """Measure each count, print the table, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(measure(chosen.one, Path(scratch))))
        return
    rows = []
    for count in chosen.counts:
        command = [sys.executable, "-m", "benchmarks.copies_growth", "--one", str(count)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]).stdout))
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if chosen.write:
        chosen.write.write_text(page(rows), "utf-8")


def measure(count: int, scratch: Path) -> dict[str, float]:
    """One search among so many pictures, by hashes alone and with features."""
    pixels, features = drawn(count, scratch)
    rows = pd.DataFrame({"image": [f"{i:06d}.png" for i in range(count)], "label": "a"})
    none = pd.DataFrame({"image": [], "reason": []})
    digests = np.random.default_rng(2).integers(1, 256, (count, 32), np.uint8)
    cache = Cache(pixels, np.arange(count), Hashes(digests), none, none, 0, 0.0)
    spec = Recipe().changed(**{"images.size": SIZE, "model.weights": "none"})
    found: dict[str, float] = {"count": count, "base MB": anonymous()}
    for name, given in (("hashes", None), ("features", features)):
        subject = Subject(finish(rows, scratch, "csv", []), cache, spec)
        subject.__dict__["features"] = given
        started = time.perf_counter()
        with Peak() as peak:
            near = copies.found(subject).near
        pairs = {(pair.a, pair.b) for pair in near}
        planted = {(i - 1, i) for i in range(EVERY - 1, count, EVERY)}
        found |= {name: time.perf_counter() - started, f"{name} MB": peak.mb, f"{name} recall": len(pairs & planted) / len(planted)}
        found[f"{name} others"] = len(pairs - planted)
    return found


def drawn(count: int, scratch: Path) -> tuple[Any, Any]:
    """Pictures N x 112 x 112 x 3, memory-mapped, and features N x 1280, in memory, as an audit has them."""
    rng = np.random.default_rng(0)
    pixels = np.memmap(scratch / "pixels", np.uint8, "w+", shape=(count, SIZE, SIZE, 3))
    features = np.empty((count, FEATURES), np.float32)
    noise = rng.normal(0, 10, (2 * SIZE, 2 * SIZE, 3)).astype(np.float32)
    for i in range(count):
        if i % EVERY == EVERY - 1:  # a copy of the one before
            pixels[i] = pixels[i - 1][:, ::-1] if rng.random() < 0.5 else cv2.convertScaleAbs(pixels[i - 1], alpha=1.1)
            features[i] = features[i - 1] + rng.normal(0, 0.1, FEATURES)
            continue
        coarse = cv2.resize(rng.uniform(40, 200, (7, 7, 3)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        y, x = rng.integers(0, SIZE, 2)
        pixels[i] = (coarse + noise[y : y + SIZE, x : x + SIZE]).clip(0, 255)
        features[i] = rng.normal(size=FEATURES)
    return pixels, features


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: one line a count."""
    head = ["images", "by hashes, s", "µs an image", "with features, s", "anonymous MB", "planted copies found", "other pairs", ""]
    lines = [f"| {' | '.join(head)} |", "|" + "---:|" * (len(head) - 1) + "---|"]
    for row in rows:
        memory = max(row["hashes MB"], row["features MB"])
        cells = [f"{row['count']:,}", f"{row['hashes']:,.1f}", f"{1e6 * row['hashes'] / row['count']:,.0f}", f"{row['features']:,.1f}"]
        cells += [f"{memory:,.0f}", f"{row['hashes recall']:.1%}, {row['features recall']:.1%}", f"{row['features others']:,}"]
        lines.append(f"| {' | '.join([*cells, '' if memory < LIMIT else f'**above {LIMIT:,} MB**'])} |")
    return "\n".join(lines) + "\n"


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table with what it says and where it was measured."""
    about = machine.describe()
    says = (__doc__ or "").split("\n\n")[2]
    return f"""# Search for copies as the collection grows

`python -m benchmarks.copies_growth`. {says}
{table(rows)}
Each picture's hash is compared with all others', in eight symmetries and five windows, so the time grows with the square of the
collection: a million would take some {1e12 * rows[-1]["hashes"] / rows[-1]["count"] ** 2 / 3600:,.1f} hours by hashes. Memory is the
largest of the whole process; {rows[-1]["base MB"]:,.0f} MB of it ({rows[-1]["count"]:,} pictures) were taken before the search, the
features among them.

{about["cpu"]}, {about["cores"]} cores, {pd.Timestamp.now():%Y-%m-%d}.
"""


if __name__ == "__main__":
    main()

"""``cutis predict`` as the folder grows: microseconds an image and anonymous memory, from 1,000 to 100,000 pictures.

``python -m benchmarks.predict_growth [--counts 1000 10000 100000] [--write docs/results/predict_growth.md]``, ten minutes on two cores.

Every picture is a JPEG file of its own (64 x 64, 1,000 different ones under many names), the network MobileNetV3-small 0.5 at 64 pixels
with random weights. Each count is a command of its own; memory is the most that it and its children hold at once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks import _images as images
from benchmarks._memory import Peak
from benchmarks.api_load import made
from cutis import machine

COUNTS, DIFFERENT, SIDE = (1_000, 10_000, 100_000), 1_000, 64
BACKBONE = "mobilenetv3_small_050"
FLAT = 1.1


def main() -> None:
    """Measure each count, print the table, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(chosen.counts, Path(scratch))
    print(table(rows))
    if chosen.write:
        chosen.write.write_text(page(rows), "utf-8")


def measured(counts: Sequence[int], scratch: Path) -> list[dict[str, float]]:
    """One command for each count, over the same bundle."""
    images.jpegs(scratch / "different", DIFFERENT, SIDE, SIDE)
    different = sorted((scratch / "different").iterdir())
    bundle = made(BACKBONE, SIDE, scratch)
    rows = []
    for count in counts:
        folder = scratch / str(count)
        folder.mkdir()
        for i in range(count):
            os.link(different[i % DIFFERENT], folder / f"{i:06d}.jpg")
        started = time.perf_counter()
        command = [sys.executable, "-m", "cutis", "predict", str(bundle), str(folder), "--out", str(scratch / f"{count}.csv")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with Peak(process.pid) as peak:
            assert process.wait() == 0
        answers = pd.read_csv(scratch / f"{count}.csv", usecols=["image"])
        assert len(answers) == count
        rows.append({"count": count, "seconds": time.perf_counter() - started, "mb": peak.mb})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def table(rows: Sequence[dict[str, float]]) -> str:
    """Markdown: one line a count."""
    lines = ["| pictures | whole command, s | anonymous MB | of the first line |  |", "|---:|---:|---:|---:|---|"]
    for row in rows:
        ratio = row["mb"] / rows[0]["mb"]
        said = "" if row is rows[0] else "flat within 10 %" if ratio <= FLAT else "**grows by more than 10 %**"
        lines.append(f"| {row['count']:,.0f} | {row['seconds']:,.1f} | {row['mb']:,.0f} | {ratio:.2f} | {said} |")
    return "\n".join(lines) + "\n"


def page(rows: Sequence[dict[str, float]]) -> str:
    """The table with what it says and where it was measured."""
    about, says = machine.describe(), (__doc__ or "").split("\n\n")[2]
    return f"""# Answering a folder as it grows

`python -m benchmarks.predict_growth`. {says}
{table(rows)}
{about["cpu"]}, {about["cores"]} cores, {pd.Timestamp.now():%Y-%m-%d}.
"""


if __name__ == "__main__":
    main()

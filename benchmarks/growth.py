"""Cost as the table grows: time of an image and anonymous memory from 1,000 to 100,000 rows, through cache, features and head.

``python -m benchmarks.growth [--counts 1000 ... 100000] [--write docs/results/growth.md]``, ten minutes on two cores.

Every row is a JPEG of its own (64 x 64, drawn), the network MobileNetV3-small 0.5 at 64 pixels with random weights, through OpenVINO in the
processor's fastest number format, the head one linear layer on its 1,024 features. Each count runs in fresh processes with empty folders.
Time of an image is that of the steady state, from the first report of progress to the last; what a part needs before it, such as
compiling the network, is "start", whatever the count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg

from benchmarks._memory import Peak, anonymous
from cutis import machine
from cutis.data import cache
from cutis.recipe import Images, Model, Predict, Recipe, Stage, Train

COUNTS = (1000, 3000, 10_000, 30_000, 100_000)
SIZE, CLASSES, PASSES = 64, 7, 300_000  # pixels; classes; images that pass through the head at each count, at least
REPEATS = {1000: 7, 3000: 5, 10_000: 3}  # fresh processes, whose median counts; once for more rows
WITHIN = 0.10
PARTS = ("cache", "features", "head")
SPEC = Recipe(
    images=Images(size=SIZE),
    model=Model(backbone="mobilenetv3_small_050", weights="none"),
    train=Train(batch_size=256),
    predict=Predict(backend="openvino"),
)


def main() -> None:
    """Measure each count, print the table, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.one:
            print(json.dumps(measure(chosen.images, chosen.one, Path(scratch))))
            return
        os.environ["CUTIS_CACHE"] = f"{scratch}/kept"  # what is measured and converted, once for all processes
        images = Path(scratch) / "images"
        drawn(images, max(chosen.counts))
        _process(images, min(chosen.counts))  # measures and converts, and does not count
        rows = []
        for count in chosen.counts:
            found = [_process(images, count) for _ in range(REPEATS.get(count, 1))]
            rows.append({key: statistics.median(one[key] for one in found) for key in found[0]})
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if chosen.write:
        chosen.write.write_text(page(rows), "utf-8")


def drawn(folder: Path, count: int) -> None:
    """``count`` different JPEGs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((SIZE // 8, SIZE // 8, 1), np.uint8))
        (folder / f"{i:06d}.jpg").write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=85))


def _process(images: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--images", str(images), "--one", str(count)]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]).stdout))


class Steady:
    """Progress as it is told: the time of an image between the first report and the last, and the seconds before."""

    def __init__(self) -> None:
        self.started, self.reports = time.perf_counter(), []  # type: float, list[tuple[float, int]]

    def __call__(self, done: int, total: int) -> None:
        """Note it."""
        self.reports.append((time.perf_counter(), done))

    @property
    def microseconds(self) -> float:
        """Of one image."""
        (first, before), (last, after) = self.reports[0], self.reports[-1]
        return 1e6 * (last - first) / (after - before)

    @property
    def start(self) -> float:
        """Seconds before the first image, as if it had taken as long as the others."""
        first, before = self.reports[0]
        return max(0.0, first - self.started - before * self.microseconds / 1e6)


def measure(folder: Path, count: int, scratch: Path) -> dict[str, float]:
    """Cache, features and head of the first ``count`` images."""
    import torch

    from cutis.data.loaders import Pixels
    from cutis.models import build, features
    from cutis.train import loop
    from cutis.train.state import Part

    images = pd.DataFrame({"image": [f"{i:06d}.jpg" for i in range(count)]})
    images.attrs["root"] = str(folder)
    spec = SPEC.changed(stages=[Stage(epochs=1 + -(-PASSES // count), train="head", restore_best=False).model_dump()])
    torch.manual_seed(0)  # the same weights in every process, so that their conversion is found again
    model, _ = build.build(spec, [f"class {i}" for i in range(CLASSES)])
    build.placed(model, torch.device("cpu"))
    found: dict[str, float] = {"count": count, "base MB": anonymous()}
    with Peak() as peak:
        steady = Steady()
        built = cache.build(images, spec.images, folder=scratch / "cache", progress=steady)
    found |= {"cache": steady.microseconds, "cache start": steady.start, "cache MB": peak.mb}
    pixels = Pixels(built, np.arange(count), spec.augment, torch.device("cpu"))
    with Peak() as peak:
        steady = Steady()
        features.extract(model, pixels, spec, 1, scratch / "features", progress=steady)
    found |= {"features": steady.microseconds, "features start": steady.start, "features MB": peak.mb}
    train = Part(pixels, np.arange(count) % CLASSES, images["image"].to_numpy(dtype=np.str_))
    with Peak() as peak:
        epochs = list(loop.fit(model, train, None, spec, cache=scratch / "features"))
    seconds = sum(epoch.seconds for epoch in epochs[1:])
    return found | {"head": 1e6 * seconds / (count * (len(epochs) - 1)), "head MB": peak.mb}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: one line a count."""
    first = rows[0]
    head = [
        "images",
        "cache, µs an image",
        "features, µs",
        "head, µs an epoch",
        "all three",
        "of the first line",
        "start, s",
        "anonymous MB",
        "",
    ]
    lines = [f"| {' | '.join(head)} |", "|" + "---:|" * (len(head) - 1) + "---|"]
    for row in rows:
        whole, start = sum(row[p] for p in PARTS), row["cache start"] + row["features start"]
        times = whole / sum(first[p] for p in PARTS)
        memory = ", ".join(f"{row[f'{p} MB']:,.0f}" for p in PARTS)
        verdict = "" if row is first else "within 10 %" if abs(times - 1) <= WITHIN else "**misses 10 %**"
        cells = [
            f"{row['count']:,.0f}",
            *(f"{row[p]:,.1f}" for p in PARTS),
            f"{whole:,.0f}",
            f"{times:.2f}",
            f"{start:.1f}",
            memory,
            verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table with what it says and where it was measured."""
    about, versions = machine.describe(), machine.versions()
    says = (__doc__ or "").split("\n\n")[2]
    head = statistics.median(1e6 / row["head"] for row in rows)
    return f"""# Cost as the table grows

`python -m benchmarks.growth`. {says}
{table(rows)}
Anonymous memory (RssAnon) is the largest of the process while each of the three parts runs, torch and OpenVINO included
({statistics.median(row["base MB"] for row in rows):,.0f} MB before the first). The head passes {head:,.0f} images a second (median).

{about["cpu"]}, {about["cores"]} cores, torch {versions["torch"]}, openvino {versions["openvino"]}, {pd.Timestamp.now():%Y-%m-%d}.
"""


if __name__ == "__main__":
    main()

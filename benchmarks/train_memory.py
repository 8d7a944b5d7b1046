"""Anonymous memory and time of a whole ``cutis train``, at several numbers of images: does memory stay flat as the table grows?

``python -m benchmarks.train_memory [--data TABLE] [--recipe probe] [--counts 2000 10000] [--set KEY=VALUE ...] [--json]``.
TABLE is anything ``cutis train`` reads, by default the HAM10000 table below CUTIS_DATA, else pictures that Cutis draws; a count takes
so many of its rows, in the order of their groups. Each count runs in a fresh process with an empty cache. Where CUTIS_WEIGHTS is not
set the backbone has random weights, which changes no memory and no time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks._memory import Peak
from cutis.data import readers, synthetic

COLUMNS = ("images", "seconds", "peak_mb")


def main() -> None:
    """Train at each count and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data")
    parser.add_argument("--recipe", default="probe")
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 10000])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not os.environ.get("CUTIS_WEIGHTS"):
        chosen.settings.append("model.weights=none")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        table = readers.read(chosen.data or default(Path(scratch), max(chosen.counts)))
        for count in chosen.counts:
            rows.append(measure(table, count, chosen.recipe, chosen.settings, Path(scratch) / str(count)))
            print(f"{rows[-1]}", file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for row in rows:
            print(f"| {' | '.join(str(row[c]) for c in COLUMNS)} |")


def default(scratch: Path, images: int) -> Path:
    """The real table where there is one, else one that is drawn."""
    data = os.environ.get("CUTIS_DATA")
    return (
        Path(data) / "isic2018" / "HAM10000_metadata.csv" if data else synthetic.write(scratch / "drawn", lesions=images // 2 + 1, size=224)
    )


def measure(table: pd.DataFrame, count: int, recipe: str, settings: list[str], folder: Path) -> dict[str, float]:
    """One training in its own process."""
    folder.mkdir()
    some = table.sort_values("group").head(count)
    some = some.assign(image=[str(Path(table.attrs["root"]) / image) for image in some["image"]])
    some[["image", "label", "group"]].to_csv(folder / "table.csv", index=False)
    command = [str(Path(sys.executable).with_name("cutis")), "train", str(folder / "table.csv"), "--recipe", recipe]
    command += ["--out", str(folder / "run"), "--allow-outside", table.attrs["root"], "--json"]
    command += [part for setting in settings for part in ("--set", setting)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"CUTIS_CACHE": str(folder / "cache")}) as process:
        with Peak(process.pid) as peak:
            process.wait()
        if process.returncode:
            raise SystemExit(f"cutis train ended with {process.returncode}")
    return {"images": len(some), "seconds": round(time.perf_counter() - started, 1), "peak_mb": round(peak.mb)}


if __name__ == "__main__":
    main()

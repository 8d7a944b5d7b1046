"""Faults planted in real images, and how many of each kind the audit finds; writes docs/results/planted.md.

``python -m benchmarks.planted [--images 2000] [--write docs/results/planted.md]``. Needs CUTIS_DATA (isic2018/) and CUTIS_WEIGHTS
(mobilenetv2_100); without them it says so and ends.

Each kind of copy is made of 100 images of different lesions, at their own size, and stored as JPEG of quality 95 where no other is named;
a copy counts as found where it is in one cluster with its original. Precision is the share of the pairs that name a copy of this kind and
are of one photograph. Labels are swapped for another class in 3 % of the images; found is who is among as many first suspects. Lesions are
put on both sides of a clean split by moving one image of each. The limits that confirm a copy were chosen on HAM10000
with planted copies of these kinds (docs/log.md), so these figures show that nothing is missed there, not what another collection gives.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import machine
from cutis.audit import copies
from cutis.data import readers, splits
from cutis.jobs import inspection
from cutis.recipe import Recipe

EACH, MOVED, SWAPPED = 100, 20, 0.03
Pixels = NDArray[np.uint8]


def crop(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """95 % of the height and of the width, anywhere."""
    height, width = (round(0.95 * side) for side in picture.shape[:2])
    top, left = rng.integers(picture.shape[0] - height + 1), rng.integers(picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


KINDS: dict[str, tuple[int, Callable[[Pixels, np.random.Generator], Pixels]]] = {  # JPEG quality, change
    "mirrored": (95, lambda picture, rng: picture[:, ::-1]),
    "turned by 90, 180 or 270 degrees": (95, lambda picture, rng: np.rot90(picture, rng.integers(1, 4))),
    "recompressed at quality 90": (90, lambda picture, rng: picture),
    "recompressed at quality 70": (70, lambda picture, rng: picture),
    "recompressed at quality 50": (50, lambda picture, rng: picture),
    "cropped to 95 %": (95, crop),
    "brightness +10 %": (95, lambda picture, rng: cv2.convertScaleAbs(picture, alpha=1.1)),
    "mirrored, cropped to 95 % and brightened": (95, lambda picture, rng: cv2.convertScaleAbs(crop(picture[:, ::-1], rng), alpha=1.1)),
}
EXACT = "exact"


def main() -> None:
    """Plant, audit, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    if not (os.environ.get("CUTIS_DATA") and os.environ.get("CUTIS_WEIGHTS")):
        print("Skipped: set CUTIS_DATA and CUTIS_WEIGHTS to folders with the real images and weights.")
        return
    rng = np.random.default_rng(0)
    table = readers.read(Path(os.environ["CUTIS_DATA"]) / "isic2018" / "HAM10000_metadata.csv")
    with tempfile.TemporaryDirectory() as scratch:
        text = page(chosen.images, [*copied(table, chosen.images, Path(scratch), rng), *torn(table, chosen.images, Path(scratch), rng)])
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")


def copied(table: pd.DataFrame, count: int, scratch: Path, rng: np.random.Generator) -> list[tuple[str, int, float, float]]:
    """Kind, how many, recall and precision of each kind of copy."""
    folder, root = scratch / "copies", Path(table.attrs["root"])
    folder.mkdir()
    originals = table.drop_duplicates("group").sample(count, random_state=0)["image"].tolist()
    for image in originals:
        (folder / Path(image).name).symlink_to(root / image)
    names = [Path(image).name for image in originals]
    truth = {name: (name, "") for name in names}
    kinds: dict[str, Any] = {EXACT: None} | KINDS
    chosen = np.resize(rng.permutation(names), (len(kinds), min(EACH, count)))  # other originals for each kind, as far as they go
    for number, kind in enumerate(kinds):
        for name in chosen[number].tolist():
            copy = f"copy{number}_{name}"
            data = (folder / name).read_bytes() if kind == EXACT else changed(folder / name, *KINDS[kind], rng)
            (folder / copy).write_bytes(data)
            truth[copy] = (name, kind)
    rows = pd.DataFrame({"image": list(truth), "label": "a"})
    rows.to_csv(folder / "table.csv", index=False)
    found = inspection.audit(readers.read(folder / "table.csv", allow_outside=True), scratch / "audit", checks=["copies"])
    clusters = found.subject.once(copies.found)
    named = found.subject.readable["image"].tolist()
    cluster = {named[i]: number for number, members in enumerate(clusters.clusters) for i in members}
    links = [(one, other) for members in clusters.exact for one, other in pairwise(members)]
    pairs = [(named[a], named[b]) for a, b in [*links, *((pair.a, pair.b) for pair in clusters.near)]]
    results = []
    for kind in kinds:
        ours = [copy for copy, (_, of) in truth.items() if of == kind]
        seen = sum(copy in cluster and cluster[copy] == cluster.get(truth[copy][0]) for copy in ours)
        about = [truth[a][0] == truth[b][0] for a, b in pairs if kind in (truth[a][1], truth[b][1])]
        results.append((f"copy: {kind}", len(ours), seen / len(ours), float(np.mean(about)) if about else float("nan")))
    return results


def changed(path: Path, quality: int, change: Callable[[Pixels, np.random.Generator], Pixels], rng: np.random.Generator) -> bytes:
    """A changed picture as JPEG."""
    made = np.ascontiguousarray(change(cv2.imread(str(path)), rng))
    return bytes(cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def torn(table: pd.DataFrame, count: int, scratch: Path, rng: np.random.Generator) -> list[tuple[str, int, float, float]]:
    """Swapped labels and lesions on both sides."""
    groups = table["group"].drop_duplicates().sample(frac=1, random_state=1)
    sizes = table["group"].value_counts()
    kept = groups[sizes[groups].cumsum().to_numpy() <= count]
    data = splits.split(table[table["group"].isin(kept)].reset_index(drop=True), Recipe().split)
    classes, labels = sorted(data["label"].unique()), data["label"].copy()
    swapped = rng.choice(len(data), round(SWAPPED * len(data)), replace=False)
    for i in swapped:
        labels[i] = rng.choice([name for name in classes if name != labels[i]])
    several = data["group"].value_counts().loc[lambda n: n > 1].index
    moved = rng.choice(several, min(MOVED, len(several)), replace=False)
    parts = data["split"].copy()
    for name in moved:
        first = data.index[data["group"] == name][0]
        parts[first] = "train" if parts[first] == "test" else "test"
    data = data.assign(label=labels, split=parts)
    found = inspection.audit(data, scratch / "torn", checks=["leakage", "labels"])
    suspects = [item.images[0] for f in found.findings if f.rule == "suspects" for item in f.items][: len(swapped)]
    right = len(set(suspects) & set(data["image"].iloc[swapped]))
    told = [item.images for f in found.findings if f.kind == "groups-across-splits" for item in f.items]
    named = {data.set_index("image")["group"][images[0]] for images in told}
    hit = len(named & set(moved))
    return [
        (f"label swapped, {SWAPPED:.0%}", len(swapped), right / len(swapped), right / max(1, len(suspects))),
        ("lesion in two parts", len(moved), hit / len(moved), hit / max(1, len(named))),
    ]


def page(count: int, results: list[tuple[str, int, float, float]]) -> str:
    """The table with what it says and where it was measured."""
    about = machine.describe()
    says = (__doc__ or "").split("\n\n")[2]
    lines = ["| planted | how many | found (recall) | right among what is named (precision) |", "|---|---:|---:|---:|"]
    lines += [f"| {kind} | {n:,} | {recall:.1%} | {precision:.1%} |" for kind, n, recall, precision in results]
    table = "\n".join(lines)
    return f"""# Planted faults, and what the audit finds of them

`python -m benchmarks.planted --images {count}`, HAM10000. {says}
{table}

{about["cpu"]}, {about["cores"]} cores, {pd.Timestamp.now():%Y-%m-%d}.
"""


if __name__ == "__main__":
    main()

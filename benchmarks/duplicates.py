"""Exact and near duplicates among 10,000 photographs: ``audit.copies`` against imagededup and cleanvision."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

JOB, WIDTH, HEIGHT = 10_000, 600, 450
COPIES = 0.02  # of the images are copies: the same file, or mirrored, half each
CACHED, FILES = "10,000 photographs in the image cache", "10,000 photographs from their files"
NOTE = (
    "Made-up JPEGs of 600 x 450, two in a hundred of them copies (the same file, or mirrored). Ours looks in all eight symmetries and "
    "confirms each pair on its pixels; no features. The peers read the files: imagededup's PHash and cleanvision's exact and near "
    "duplicates, neither of which sees mirrored copies, with a process a core."
)
SIDES, TARGETS = ("cutis", "imagededup", "cleanvision"), {"imagededup": 20, "cleanvision": 20}
ROW = harness.Row(
    "Exact and near duplicates",
    "image",
    (
        harness.Case(CACHED, SIDES, TARGETS, JOB, f"{NOTE} Ours starts from the decoded cache, which an audit and training use too."),
        harness.Case(FILES, SIDES, TARGETS, JOB, f"{NOTE} Ours decodes into an empty cache first, which is counted."),
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """The whole collection, once."""
    from cutis.models.torchvision_guard import guard

    guard()  # imagededup imports torchvision, which a CPU torch does not load
    count, width, height = (200, 120, 90) if harness.quick() else (JOB, WIDTH, HEIGHT)
    table = collection(Path(tempfile.mkdtemp()) / "images", count, width, height)
    run = ours(table, cold=case == FILES) if side == "cutis" else PEERS[side](table)

    def repeat() -> int:
        run()
        return len(table)

    return repeat


def collection(folder: Path, count: int, width: int, height: int) -> Any:
    """A table of JPEGs of which some are copies."""
    import cv2
    import pandas as pd

    from benchmarks import _images as images

    extra = max(2, round(count * COPIES))
    names = images.jpegs(folder, count - extra, width, height)["image"]
    for i, name in enumerate(names[:extra]):
        if i % 2:
            cv2.imwrite(str(folder / f"copy{i}.jpg"), cv2.imread(str(folder / name))[:, ::-1])
        else:
            shutil.copy(folder / name, folder / f"copy{i}.jpg")
    from cutis.data.table import finish

    rows = pd.DataFrame({"image": sorted(path.name for path in folder.iterdir()), "label": "a"})
    return finish(rows, folder, "csv", [])


def ours(table: Any, cold: bool) -> Callable[[], object]:
    """Hash, search, confirm; ``cold``: decode first."""
    from cutis.audit import copies
    from cutis.audit.subject import Subject
    from cutis.data import cache
    from cutis.recipe import Recipe

    spec = Recipe().changed(**{"model.weights": "none"} | ({"images.size": 64} if harness.quick() else {}))
    kept = None if cold else cache.build(table, spec.images)

    def run() -> object:
        pictures = kept or cache.build(table, spec.images, folder=Path(tempfile.mkdtemp()))
        found = copies.found(Subject(table, pictures, spec))
        harness.remark(f"{len(found.exact):,} exact sets, {len(found.near):,} near pairs")
        return found

    return run


def imagededup(table: Any) -> Callable[[], object]:
    """Perceptual hashes and their neighbours, as its readme shows."""
    from imagededup.methods import PHash

    cores = len(os.sched_getaffinity(0))

    def run() -> object:
        method = PHash(verbose=False)
        return method.find_duplicates(image_dir=table.attrs["root"], num_enc_workers=cores, num_dist_workers=cores)

    return run


def cleanvision(table: Any) -> Callable[[], object]:
    """Its two issues that are about duplicates."""
    from cleanvision import Imagelab

    cores = len(os.sched_getaffinity(0))

    def run() -> object:
        lab = Imagelab(data_path=table.attrs["root"])
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=cores, verbose=False)
        return lab

    return run


PEERS: dict[str, Callable[[Any], Callable[[], object]]] = {"imagededup": imagededup, "cleanvision": cleanvision}


if __name__ == "__main__":
    harness.main(ROW, prepare)

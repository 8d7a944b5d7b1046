"""Images of the second and later epochs: ours from the packed cache, torchvision's decoded anew from the JPEG files each epoch."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _harness as harness
from benchmarks._harness import Case, Row

if TYPE_CHECKING:
    import pandas as pd

QUICK = harness.quick()
IMAGES = 64 if QUICK else 600
WIDTH, HEIGHT, SIDE, BATCH = 1024, 768, 224, 32
EPOCHS = 5  # of ours in a repeat: one is over too soon to be timed
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

ROW = Row(
    "Second and later epochs from the image cache",
    "images",
    (
        Case(
            "jpeg-1024x768",
            ("cutis", "torchvision"),
            {"torchvision": 20.0},
            IMAGES,
            note=f"{WIDTH} x {HEIGHT} JPEG to {SIDE} pixels, batches of {BATCH}, random flips, scaled; torchvision: 2 workers, Pillow",
        ),
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """One repeat is an epoch over the drawn files, or several; each side draws its own, the same ones."""
    from benchmarks import _images  # also makes torchvision importable beside a torch of another build

    folder = Path(tempfile.mkdtemp())
    table = _images.jpegs(folder / "images", IMAGES, WIDTH, HEIGHT)
    return _cutis(table, folder) if side == "cutis" else _torchvision(folder)


def _cutis(table: "pd.DataFrame", folder: Path) -> Callable[[], int]:
    """Training batches, float in 0..1, augmented, in a new order each epoch, made ahead as the loop has them."""
    import numpy as np
    import torch

    from cutis import machine
    from cutis.data import cache, loaders
    from cutis.data.loaders import Pixels
    from cutis.models import precision
    from cutis.recipe import Images
    from cutis.recipes import light

    machine.reuse_memory()
    stored = cache.build(table, Images(size=(SIDE, SIDE)), folder=folder / "cache")
    device = precision.device()
    pixels = Pixels(stored, np.arange(len(table)), light(), device)
    generator = torch.Generator().manual_seed(0)
    # a row of pixels long, because that lies in one piece in memory, colours side by side
    rows_of = (torch.tensor(v, device=device).view(1, 3, 1, 1).expand(1, 3, 1, SIDE) for v in (MEAN, STD))
    mean, std = (row.contiguous(memory_format=torch.channels_last) for row in rows_of)

    def epoch() -> int:
        order = torch.randperm(len(pixels), generator=generator).numpy()
        parts = np.split(order, range(BATCH, len(order), BATCH))
        made = ((pixels.batch(rows, (SIDE, SIDE), generator),) for rows in parts)
        return sum(len(images.sub_(mean).div_(std)) for (images,) in loaders.fed(made, device))

    def repeat() -> int:
        return sum(epoch() for _ in range(EPOCHS))

    return repeat


def _torchvision(folder: Path) -> Callable[[], int]:
    """ImageFolder and DataLoader as the tutorials have them; workers stay from epoch to epoch."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [
        transforms.Resize(SIDE),
        transforms.CenterCrop(SIDE),
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)

    def repeat() -> int:
        return sum(len(batch) for batch, _ in loader)

    return repeat


if __name__ == "__main__":
    harness.main(ROW, prepare)

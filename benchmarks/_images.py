"""Made-up images for the rows: pixels as the cache holds them, JPEG files, and recipes with random weights."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.models import build
from cutis.models.build import Classifier
from cutis.recipe import Augment, Images, Model, Predict, Recipe, Stage

CLASSES = tuple("abcdefg")


def pixels(count: int, size: int = 224) -> NDArray[np.uint8]:
    """Random uint8 N x H x W x 3, memory-mapped as the image cache's are."""
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, np.uint8, "w+", shape=(count, size, size, 3))  # the map outlives the file
    rng = np.random.default_rng(0)
    for image in made:
        image[:] = rng.integers(0, 256, image.shape, dtype=np.uint8)
    return made


def cached(count: int, size: int = 224, spec: Augment = Augment(), device: str = "cpu") -> Pixels:
    """Random images as a training run has them when they are decoded already."""
    none = pd.DataFrame({"image": [], "reason": []})
    hashes = np.array([f"{i:064x}" for i in range(count)])
    cache = Cache(pixels(count, size), np.arange(count), hashes, none, none, count, 0.0)
    return Pixels(cache, np.arange(count), spec, torch.device(device))


def labels(count: int) -> NDArray[np.int64]:
    """Random classes, each of which occurs."""
    drawn = np.random.default_rng(1).integers(len(CLASSES), size=count)
    drawn[: len(CLASSES)] = range(len(CLASSES))
    return drawn


def jpegs(folder: Path, count: int, width: int, height: int) -> pd.DataFrame:
    """A table of JPEG files, all different, with smooth colours under fine noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 8, (height, width, 3)).astype(np.float32)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(40, 216, (6, 8, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(folder / f"{i:06d}.jpg", quality=90)
    table = pd.DataFrame({"image": sorted(path.name for path in folder.iterdir())})
    table.attrs["root"] = str(folder)
    return table


def network(backbone: str, size: int = 224, **fields: Any) -> tuple[Classifier, Recipe]:
    """A network with random weights and its recipe; speed does not depend on weights."""
    spec = Recipe(
        images=Images(size=(size, size)),
        model=Model(backbone=backbone, weights="none"),
        stages=(Stage(epochs=fields.pop("epochs", 1), train=fields.pop("train", "head")),),
        predict=Predict(batch_size=32),
    ).changed(**fields)
    torch.manual_seed(0)
    model, _ = build.build(spec, CLASSES)
    return build.placed(model, torch.device("cpu")).eval(), spec

"""A head trained on features of any backend comes to the same figures as one trained on eager fp32's, within a stated tolerance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cutis import recipe
from cutis.data import cache as caches
from cutis.data import readers, splits
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.models import build
from cutis.randomness import stream
from cutis.recipe import Augment, Images, Model, Predict, Recipe, Stage, Train
from cutis.train import loop
from cutis.train.state import Epoch, Part

# Stated tolerance on the last epoch's validation figures: loss, and balanced accuracy in points of 1.
LOSS, ACCURACY = 0.02, 0.03


def last(spec: Recipe, classes: list[str], train: Part, val: Part, folder: Path, how: str) -> Epoch:
    backend, precision = how.split()
    spec = spec.changed(**{"predict.backend": backend, "predict.precision": precision})
    torch.manual_seed(0)
    model, _ = build.build(spec, classes)
    *_, epoch = loop.fit(model, train, val, spec, cache=folder / how.replace(" ", "-"))
    return epoch


def assert_same(found: Epoch, wanted: Epoch) -> None:
    assert abs(found.val_loss - wanted.val_loss) < LOSS
    assert abs(found.val_balanced_accuracy - wanted.val_balanced_accuracy) < ACCURACY


def tinted(name: str, count: int) -> Part:
    """Noise tinted by class: easy, not trivial."""
    tints = np.array([[100, 90, 90], [130, 90, 95], [95, 100, 130]])
    rng, labels = stream(0, name), np.arange(count) % 3
    pixels = np.clip(tints[labels][:, None, None] + rng.normal(0, 40, (count, 1, 1, 3)) / 4 + rng.normal(0, 40, (count, 32, 32, 3)), 0, 255)
    hashes = np.array([f"{name}-{i}" for i in range(count)], "<U64")
    cache = Cache(pixels.astype(np.uint8), np.arange(count), hashes, pd.DataFrame(), pd.DataFrame(), count, 0.0)
    return Part(Pixels(cache, np.arange(count), Augment(), torch.device("cpu")), labels, hashes)


@pytest.mark.parametrize("kind", ["symmetries", "augmented"])
def test_the_same_figures_on_drawn_images(tmp_path: Path, kind: str) -> None:
    spec = Recipe(
        images=Images(size=32),
        augment=Augment(rotation=20, brightness=0.1),
        model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"batchnorm": True}),
        stages=(Stage(epochs=12, train="head", lr=0.02),),
        train=Train(batch_size=32, views=4, view_kind=kind),
        predict=Predict(batch_size=64),
    )
    train, val = tinted("train", 240), tinted("val", 120)
    wanted = last(spec, ["a", "b", "c"], train, val, tmp_path, "eager fp32")
    assert wanted.val_balanced_accuracy > 0.7
    for how in ("eager bf16", "openvino fp32", "openvino bf16"):
        assert_same(last(spec, ["a", "b", "c"], train, val, tmp_path, how), wanted)


@pytest.mark.slow
def test_the_same_figures_on_real_images(tmp_path: Path, data_root: Path, weights_root: Path) -> None:
    table = readers.read(data_root / "isic2018" / "HAM10000_metadata.csv")
    table = splits.split(table.sample(600, random_state=0).reset_index(drop=True), recipe.Split(test=0.0, val=0.3))
    spec = Recipe(
        images=Images(size=96), stages=(Stage(epochs=20, train="head"),), train=Train(batch_size=64), predict=Predict(batch_size=64)
    )
    cache = caches.build(table, spec.images, folder=tmp_path / "images")
    classes = sorted(table["label"].unique())
    codes = pd.Categorical(table["label"], categories=classes).codes.astype(np.int64)

    def part(name: str) -> Part:
        rows = np.flatnonzero(table["split"] == name)
        pixels = Pixels(cache, rows, Augment(), torch.device("cpu"))
        return Part(pixels, codes[rows], table["image"].to_numpy(dtype=np.str_)[rows])

    wanted = last(spec, classes, part("train"), part("val"), tmp_path, "eager fp32")
    for how in ("openvino fp32", "openvino bf16"):
        assert_same(last(spec, classes, part("train"), part("val"), tmp_path, how), wanted)

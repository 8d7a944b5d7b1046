"""Kept features: the same as those computed on the fly, keyed by all that decides them, written whole or not at all."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cutis.data import augment
from cutis.data.loaders import Pixels
from cutis.errors import TrainingError
from cutis.models import build, features
from cutis.recipe import Images, Model, Predict, Recipe, Train

Make = Callable[..., Pixels]
SPEC = Recipe(
    images=Images(size=32),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool", "dense:4"), options={"batchnorm": True}),
    predict=Predict(batch_size=5),
    train=Train(precision="fp32"),
)


def made(spec: Recipe = SPEC, seed: int = 0) -> build.Classifier:
    torch.manual_seed(seed)
    return build.build(spec, ("a", "b"))[0]


def changed(**fields: Any) -> Recipe:
    return SPEC.changed(**{k.replace("__", "."): v for k, v in fields.items()})


@pytest.mark.parametrize("head", [("avgpool", "dense:4"), ("flatten", "dropout:0.5"), ("conv:3", "avgpool"), ("pool",)])
def test_kept_features_are_what_the_network_computes(pictures: Make, tmp_path: Path, head: tuple[str, ...]) -> None:
    spec, pixels = changed(model__head=head), pictures(12)
    model = made(spec)
    kept = features.extract(model, pixels, spec, 1, tmp_path)
    with torch.inference_mode():
        streamed = model.eval().features(pixels.batch(np.arange(12), (32, 32), None))
    rows = np.array([3, 3, 11, 0])
    assert len(kept) == 12
    assert kept.array.dtype == np.float32
    torch.testing.assert_close(kept.batch(rows, (32, 32), None), streamed[rows], rtol=1e-5, atol=1e-6)


def test_bf16_features_are_within_one_percent(pictures: Make, tmp_path: Path) -> None:
    model, pixels = made(), pictures(12)
    exact = features.extract(model, pixels, SPEC, 1, tmp_path).array
    rough = features.extract(model, pixels, changed(train__precision="bf16"), 1, tmp_path).array
    assert len(list(tmp_path.iterdir())) == 2
    assert 0 < np.abs(rough - exact).max() < 0.01 * np.abs(exact).max()


def test_views_are_the_symmetries_of_each_picture(pictures: Make, tmp_path: Path) -> None:
    model, pixels = made(changed(model__head=("flatten",))), pictures(6)
    spec = changed(model__head=("flatten",))
    kept = features.extract(model, pixels, spec, 4, tmp_path)
    assert kept.array.shape == (6, 4, 64 * 4 * 4)
    images = pixels.batch(np.arange(6), (32, 32), None)
    for view, k in enumerate(augment.symmetries(32, 32, 4)):
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(kept.array[:, view].copy()), model.features(augment.symmetry(images, k)))


def test_training_draws_a_view_a_row_and_prediction_takes_the_first(pictures: Make, tmp_path: Path) -> None:
    kept = features.extract(made(), pictures(6), SPEC, 4, tmp_path)
    rows = np.repeat(np.arange(6), 50)
    drawn = kept.batch(rows, (32, 32), torch.Generator().manual_seed(1))
    again = kept.batch(rows, (32, 32), torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    for row in range(6):
        views = {tuple(v) for v in drawn[rows == row].tolist()}
        assert views == {tuple(v) for v in kept.array[row].tolist()}
    assert torch.equal(kept.batch(rows, (32, 32), None), torch.from_numpy(kept.array[rows, 0]))


def test_the_second_time_nothing_is_computed(pictures: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels, passed = made(), pictures(12), []
    first = features.extract(model, pixels, SPEC, 1, tmp_path, progress=lambda done, total: passed.append((done, total)))
    assert passed == [(5, 12), (10, 12), (12, 12)]
    monkeypatch.setattr(type(model), "features", None)
    second = features.extract(model, pixels, SPEC, 1, tmp_path)
    assert np.array_equal(first.array, second.array)
    assert [f.suffix for f in tmp_path.iterdir()] == [".npy"]


@pytest.mark.parametrize(
    ("what", "same"),
    [
        ("nothing", True),
        ("head after pooling", True),
        ("unreadable share", True),
        ("weights", False),
        ("statistics", False),
        ("pictures", False),
        ("views", False),
        ("size", False),
        ("fit", False),
        ("precision", False),
        ("scaling", False),
        ("pooling", False),
        ("options without weights", False),
    ],
)
def test_the_key_covers_what_decides_the_features_and_nothing_else(pictures: Make, what: str, same: bool) -> None:
    spec = {
        "head after pooling": changed(model__head=("avgpool", "dropout:0.1", "dense:9")),
        "unreadable share": changed(images__max_unreadable=0.5),
        "size": changed(predict__size=24),
        "fit": changed(images__fit="squash"),
        "scaling": changed(model__scaling="unit"),
        "pooling": changed(model__head=("flatten", "dense:4")),
    }.get(what, SPEC)
    model = made(spec, seed=1 if what == "weights" else 0)
    if what == "statistics":
        model.backbone.stages[0][1].running_mean += 1
    if what == "options without weights":  # such as global_pool or act_layer of a timm model
        spec = changed(model__options={"batchnorm": True, "act_layer": "gelu"})
    views, precision = 2 if what == "views" else 1, "bf16" if what == "precision" else "fp32"
    other = features.key(model, pictures(seed=1 if what == "pictures" else 0), spec, views, precision)
    assert (other == features.key(made(), pictures(), SPEC, 1, "fp32")) is same


def test_features_outweigh_the_images_where_a_map_is_flattened() -> None:
    # 64 channels of 4 x 4 floats for an image of 32 x 32 x 3 bytes
    flat = changed(model__head=("flatten",))
    assert features.weight(made(flat), (32, 32), 1) == 64 * 4 * 4 * 4 / (32 * 32 * 3)
    assert features.weight(made(flat), (32, 32), 8) == 8 * 64 * 4 * 4 * 4 / (32 * 32 * 3)
    assert features.weight(made(), (32, 32), 1) == 64 * 4 / (32 * 32 * 3)


def test_an_interrupted_pass_leaves_nothing(pictures: Make, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.extract(made(), pictures(), SPEC, 1, tmp_path, progress=stop)
    assert not list(tmp_path.iterdir())


def test_fault_t3_a_full_disk_is_said_and_leaves_nothing(pictures: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: Any) -> int:
            if self.file.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self.file.write(data))

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *a, **k: Full(real(self, mode)) if "w" in mode else real(self, mode, *a, **k))
    with pytest.raises(TrainingError, match=r"No space left on device.*CUTIS_CACHE.*train.views=0"):
        features.extract(made(), pictures(), SPEC, 1, tmp_path)
    assert not list(tmp_path.iterdir())

"""Kept features: the same as those computed on the fly, each computed once, found again by everything that decides them."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from cutis.data import augment
from cutis.data.loaders import Pixels
from cutis.errors import TrainingError
from cutis.models import backends, build, feature_store, features
from cutis.recipe import Augment, Images, Model, Predict, Recipe, augments

Make = Callable[..., Pixels]
SPEC = Recipe(
    images=Images(size=32),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool", "dense:4"), options={"batchnorm": True}),
    predict=Predict(batch_size=5, backend="eager", precision="fp32"),
)
CHANGES = Augment(hflip=True, rotation=30, zoom=(0.8, 1.2), brightness=0.3, hue=0.1, erase=0.5, mixup=0.4)


def made(spec: Recipe = SPEC, seed: int = 0) -> build.Classifier:
    torch.manual_seed(seed)
    return build.build(spec, ("a", "b"))[0]


def changed(**fields: Any) -> Recipe:
    return SPEC.changed(**{k.replace("__", "."): v for k, v in fields.items()})


def augmenting(**fields: Any) -> Recipe:
    return changed(train__view_kind="augmented", train__views=4, augment=CHANGES, **fields)


def part(pixels: Pixels, rows: Any) -> Pixels:
    return Pixels(pixels.cache, pixels.table_rows[rows], pixels.spec, pixels.device)


def every(kept: features.Features) -> NDArray[np.float32]:
    """N x V x ..."""
    return kept.stored[kept.index]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each batch had that reached a backend."""
    seen: list[int] = []
    real = backends.engine

    def counting(*arguments: Any, **options: Any) -> Any:
        engine = real(*arguments, **options)

        def counted(batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
            for batch in batches:
                seen.append(len(batch))
                yield batch

        return SimpleNamespace(stream=lambda batches: engine.stream(counted(batches)))

    monkeypatch.setattr(backends, "engine", counting)
    return seen


@pytest.mark.parametrize(
    ("side", "head"),
    [(32, ("avgpool", "dense:4")), (24, ("avgpool",)), (32, ("flatten", "dropout:0.5")), (32, ("conv:3", "avgpool")), (24, ("pool",))],
)
def test_kept_features_are_what_the_network_computes(pictures: Make, tmp_path: Path, side: int, head: tuple[str, ...]) -> None:
    spec, pixels = changed(model__head=head, predict__size=side), pictures(12)
    model = made(spec)
    kept = features.extract(model, pixels, spec, 1, tmp_path)
    with torch.inference_mode():
        streamed = model.eval().features(pixels.batch(np.arange(12), (side, side), None))
    rows = np.array([3, 3, 11, 0])
    assert len(kept) == 12
    assert kept.stored.dtype == np.float32
    torch.testing.assert_close(kept.batch(rows, (side, side), None), streamed[rows], rtol=1e-4, atol=1e-6)


# Stated tolerance of the frozen pass against eager fp32: relative L2 distance of an image's features.
TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2}


@pytest.mark.parametrize("backend", ["eager", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("backbone", ["plain_cnn", "mobilenetv3_small_050"])
def test_every_backend_agrees_with_eager_fp32(pictures: Make, tmp_path: Path, backend: str, precision: str, backbone: str) -> None:
    spec, pixels = changed(model__backbone=backbone, model__options={}, model__head=("pool",)), pictures(12)
    model = made(spec)
    with torch.inference_mode():
        images = pixels.batch(np.arange(12), (32, 32), None)
        wanted = torch.stack([model.eval().features(augment.symmetry(images, k)) for k in augment.symmetries(32, 32, 4)], 1).numpy()
    other = spec.changed(**{"predict.backend": backend, "predict.precision": precision})
    found = every(features.extract(model, pixels, other, 4, tmp_path))
    assert (np.linalg.norm(found - wanted, axis=2) <= TOLERANCE[precision] * np.linalg.norm(wanted, axis=2)).all()


def test_views_are_the_symmetries_of_each_picture(pictures: Make, tmp_path: Path) -> None:
    spec, pixels = changed(model__head=("flatten",)), pictures(6)
    model = made(spec)
    kept = features.extract(model, pixels, spec, 4, tmp_path)
    assert every(kept).shape == (6, 4, 64 * 4 * 4)
    images = pixels.batch(np.arange(6), (32, 32), None)
    for view, k in enumerate(augment.symmetries(32, 32, 4)):
        with torch.inference_mode():
            wanted = model.features(augment.symmetry(images, k))
        torch.testing.assert_close(torch.from_numpy(kept.take(np.arange(6), view)), wanted, rtol=1e-4, atol=1e-5)


def test_training_draws_a_view_a_row_and_prediction_takes_the_first(pictures: Make, tmp_path: Path) -> None:
    kept = features.extract(made(), pictures(6), SPEC, 4, tmp_path)
    rows = np.repeat(np.arange(6), 50)
    drawn = kept.batch(rows, (32, 32), torch.Generator().manual_seed(1))
    again = kept.batch(rows, (32, 32), torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    for row in range(6):
        views = {tuple(v) for v in drawn[rows == row].tolist()}
        assert views == {tuple(v) for v in every(kept)[row].tolist()}
    assert torch.equal(kept.batch(rows, (32, 32), None), torch.from_numpy(every(kept)[rows, 0]))


# Only what is new


def test_the_second_time_nothing_is_computed(pictures: Make, tmp_path: Path, passes: list[int]) -> None:
    model, pixels, told = made(), pictures(12), []
    first = features.extract(model, pixels, SPEC, 1, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]
    assert passes == [5, 5, 2]
    second = features.extract(model, pixels, SPEC, 1, tmp_path)
    assert np.array_equal(every(first), every(second))
    assert passes == [5, 5, 2]


def test_a_longer_table_another_split_and_more_views_pass_only_what_is_new(pictures: Make, tmp_path: Path, passes: list[int]) -> None:
    def new(pixels: Pixels, views: int) -> int:
        before = sum(passes)
        kept = features.extract(model, pixels, SPEC, views, tmp_path)
        alone = features.extract(model, pixels, SPEC, views, tmp_path / "alone" / str(before))
        np.testing.assert_allclose(every(kept), every(alone), rtol=1e-4, atol=1e-6)
        return sum(passes) - before - len(pixels) * views

    model, few, many = made(), pictures(12), pictures(20)
    assert new(few, 4) == 12 * 4
    assert new(many, 4) == 8 * 4
    assert new(part(many, np.array([19, 3, 7])), 4) == 0
    assert new(part(many, np.arange(10)), 8) == 10 * 4
    assert new(many, 8) == 10 * 4
    assert new(many, 2) == 0


def test_pictures_with_the_same_pixels_pass_once(pictures: Make, tmp_path: Path, passes: list[int]) -> None:
    pixels = pictures(12)
    hashes = pixels.cache.sha256.copy()
    hashes[[4, 9]] = hashes[1]
    twins = Pixels(replace(pixels.cache, sha256=hashes), pixels.table_rows, Augment(), pixels.device)
    kept = features.extract(made(), twins, SPEC, 2, tmp_path)
    assert sum(passes) == 10 * 2
    assert np.array_equal(every(kept)[4], every(kept)[1])
    assert np.array_equal(every(kept)[9], every(kept)[1])
    assert len(np.unique(every(kept)[:, 0], axis=0)) == 10


@pytest.mark.parametrize(
    ("what", "same"),
    [
        ("nothing", True),
        ("head after pooling", True),
        ("unreadable share", True),
        ("weights", False),
        ("statistics", False),
        ("stored size", False),
        ("size", False),
        ("fit", False),
        ("backend", False),
        ("precision", False),
        ("scaling", False),
        ("pooling", False),
        ("options without weights", False),
    ],
)
def test_the_key_covers_what_decides_the_features_and_nothing_else(what: str, same: bool) -> None:
    spec = {
        "head after pooling": changed(model__head=("avgpool", "dropout:0.1", "dense:9")),
        "unreadable share": changed(images__max_unreadable=0.5),
        "stored size": changed(images__size=40, predict__size=32),
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
    backend, precision = "openvino" if what == "backend" else "eager", "bf16" if what == "precision" else "fp32"
    other = features.key(features.described(model, spec, backend, precision))
    assert (other == features.key(features.described(made(), SPEC, "eager", "fp32"))) is same


def test_the_folder_says_what_it_holds(pictures: Make, tmp_path: Path) -> None:
    features.extract(made(), pictures(3), SPEC, 1, tmp_path)
    (folder,) = tmp_path.iterdir()
    about = json.loads((folder / "about.json").read_text())
    assert features.key(about) == folder.name
    assert (about["backbone"], about["backend"], about["precision"], about["size"]) == ("plain_cnn", "eager", "fp32", [32, 32])


def test_features_outweigh_the_images_where_a_map_is_flattened() -> None:
    # 64 channels of 4 x 4 floats for an image of 32 x 32 x 3 bytes
    flat = changed(model__head=("flatten",))
    assert features.weight(made(flat), 1) == 64 * 4 * 4 * 4 / (32 * 32 * 3)
    assert features.weight(made(flat), 8) == 8 * 64 * 4 * 4 * 4 / (32 * 32 * 3)
    assert features.weight(made(), 1) == 64 * 4 / (32 * 32 * 3)

    assert not features.heavy(made(), 64)  # 5.3 times the image, but pooled


# Augmented versions


def test_augmented_versions_are_the_recipes_augmentation_drawn_from_name_and_image(pictures: Make, tmp_path: Path) -> None:
    spec, pixels = augmenting(), pictures(6)
    model = made(spec)
    kept = features.extract(model, pixels, spec, 4, tmp_path)
    images = pixels.batch(np.arange(6), (32, 32), None)
    for k, version in enumerate(features.versions(spec, 4)):
        draws = augment.draws(f"{image} {version.name}" for image in pixels.cache.sha256)
        wanted = augment.changed(images, CHANGES, (32, 32), draws) if k else images
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(kept.take(np.arange(6), k)), model.features(wanted), rtol=1e-4, atol=1e-5)
    assert len({tuple(v) for v in every(kept).reshape(24, -1).tolist()}) == 24


def test_augmented_versions_do_not_depend_on_the_other_images(pictures: Make, tmp_path: Path) -> None:
    spec, pixels = augmenting(), pictures(12)
    model = made(spec)
    whole = every(features.extract(model, pixels, spec, 4, tmp_path / "whole"))
    for rows in (np.array([7]), np.array([11, 2, 5])):
        alone = features.extract(model, part(pixels, rows), spec, 4, tmp_path / f"{rows}")
        np.testing.assert_allclose(every(alone), whole[rows], rtol=1e-4, atol=1e-6)


def test_augmented_versions_share_the_first_and_follow_seed_and_recipe(pictures: Make, tmp_path: Path, passes: list[int]) -> None:
    def new(spec: Recipe, views: int = 4) -> int:
        before = sum(passes)
        features.extract(model, pixels, spec, views, tmp_path)
        return sum(passes) - before

    model, pixels = made(), pictures(5)
    assert new(SPEC, 2) == 5 * 2
    assert new(augmenting()) == 5 * 3
    assert new(augmenting(), 6) == 5 * 2
    assert new(augmenting(), 1) == 0
    assert new(augmenting(augment__mixup=0.0, augment__cutmix=1.0)) == 0
    assert new(augmenting(seed=1)) == 5 * 3
    assert new(augmenting(augment__rotation=31)) == 5 * 3


def test_where_repeats_are_transformed_the_further_versions_are_theirs(pictures: Make, tmp_path: Path) -> None:
    balance = {"name": "sampling", "repeats": "transformed", "preset": "strong"}
    kept = features.extract(made(), pictures(6), augmenting(balance=balance), 4, tmp_path)
    others = features.extract(made(), pictures(6), changed(train__view_kind="augmented", augment=augments["strong"]()), 4, tmp_path)
    assert np.array_equal(every(kept), every(others))
    first, further = kept.apart(augments["strong"]())
    rows = np.repeat(np.arange(6), 50)
    drawn = [side.batch(rows, (32, 32), torch.Generator().manual_seed(1)) for side in (first, further)]
    assert torch.equal(drawn[0], torch.from_numpy(every(kept)[rows, 0]))
    for row in range(6):
        assert {tuple(v) for v in drawn[1][rows == row].tolist()} == {tuple(v) for v in every(kept)[row, 1:].tolist()}


def test_draws_are_uniform_and_each_picture_has_its_own() -> None:
    names = [f"picture {i}" for i in range(4000)]
    draws = augment.draws(names)
    assert draws.shape == (4000, len(augment.DRAWS))
    assert all(stats.kstest(column, "uniform").pvalue > 1e-4 for column in draws.T.numpy())
    assert np.abs(np.corrcoef(draws.T.numpy()) - np.eye(len(augment.DRAWS))).max() < 0.08
    assert torch.equal(augment.draws(names[::-1]), draws.flip(0))
    assert torch.equal(augment.draws([names[5]])[0], draws[5])


# What goes wrong


def test_an_interrupted_pass_keeps_what_it_computed(pictures: Make, tmp_path: Path, passes: list[int]) -> None:
    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    model, pixels = made(), pictures(12)
    with pytest.raises(KeyboardInterrupt):
        features.extract(model, pixels, SPEC, 1, tmp_path, progress=stop)
    passes.clear()
    kept = features.extract(model, pixels, SPEC, 1, tmp_path)
    assert passes == [2]
    np.testing.assert_allclose(every(kept), every(features.extract(model, pixels, SPEC, 1, tmp_path / "other")), rtol=1e-4, atol=1e-6)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within the block writing past this size fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("save_every", [0.0, 1000.0])
def test_fault_t3_a_full_disk_is_said_and_leaves_the_last_good_state(
    pictures: Make, tmp_path: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch, save_every: float
) -> None:
    monkeypatch.setattr(feature_store, "SAVE_EVERY", save_every)
    model, row = made(), 64 * 4
    first = features.extract(model, pictures(7), SPEC, 1, tmp_path)
    before = every(first).copy()
    (folder,) = tmp_path.iterdir()
    with files_of_at_most(20 * row + 100), pytest.raises(TrainingError, match=r"File too large.*CUTIS_CACHE.*train.views=0"):
        features.extract(model, pictures(40), SPEC, 1, tmp_path)
    held = (folder / "features.f32").stat().st_size // row
    assert (folder / "features.f32").stat().st_size == held * row
    assert (folder / "index.sha256").stat().st_size == held * 32
    assert held == 17 if save_every == 0 else held >= 7
    passes.clear()
    kept = features.extract(model, pictures(40), SPEC, 1, tmp_path)
    assert sum(passes) == 40 - held
    assert np.array_equal(every(kept)[:7], before)
    np.testing.assert_allclose(every(kept), every(features.extract(model, pictures(40), SPEC, 1, tmp_path / "o")), rtol=1e-4, atol=1e-6)

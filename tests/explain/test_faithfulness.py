"""Faithfulness against hand calculations on scores that are known functions of the pixels, and against pytorch-grad-cam's ROAD."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from cutis.explain import faithfulness as f
from cutis.explain import sanity
from cutis.models import build
from cutis.recipe import Images, Model, Recipe

H, W = 60, 80


def brightness(images: Tensor) -> NDArray[np.float64]:
    """Class 1 has the mean of the picture, class 0 the rest: each pixel counts for itself."""
    mean = images.double().mean((1, 2, 3)).numpy()
    return np.stack([1 - mean, mean], 1)


def squares(side: int = H // 2) -> tuple[Tensor, NDArray[np.float32]]:
    """A white rectangle of a quarter of a black picture, and the map that points at it."""
    images = torch.zeros(2, 3, H, W)
    images[:, :, :side, : W // 2] = 1
    return images, images[:, 0].numpy()


def test_places_fall_with_the_heat_and_equals_are_drawn() -> None:
    heat = np.array([[[3.0, 1.0, 1.0], [2.0, 1.0, 1.0]]], np.float32)
    drawn = {tuple(f.order(heat, np.random.default_rng(seed)).ravel()) for seed in range(200)}
    assert {d[0] for d in drawn} == {0}
    assert {d[3] for d in drawn} == {1}
    assert len(drawn) == 24  # every order of the four equals
    assert all(sorted(d) == list(range(6)) for d in drawn)


def test_deletion_and_insertion_of_a_score_that_adds_its_pixels() -> None:
    images, heat = squares()
    places, ones = f.order(heat, np.random.default_rng(0)), np.ones(2, np.int64)
    deleted = f.deletion(brightness, images, ones, places, steps=4)
    # a quarter of white pixels becomes the mean, 1/4; then the black ones do
    np.testing.assert_allclose(deleted, [[0.25, 1 / 16, 1 / 8, 3 / 16, 1 / 4]] * 2, atol=1e-6)
    np.testing.assert_allclose(f.area(deleted), (0.125 + 1 / 16 + 1 / 8 + 3 / 16 + 0.125) / 4)
    inserted = f.insertion(brightness, images, ones, places, steps=4)
    np.testing.assert_allclose(inserted[:, -1], 0.25, atol=1e-6)  # the sharp picture
    assert (inserted[:, 1] > inserted[:, [0, 2]].max(1) + 0.001).all()  # all white is there, and the blur of it around
    away = f.order(-heat, np.random.default_rng(0))
    assert (f.area(f.deletion(brightness, images, ones, away)) > f.area(f.deletion(brightness, images, ones, places)) + 0.05).all()


def test_what_is_gone_is_the_mean_of_its_neighbours() -> None:
    pixels = np.random.default_rng(0).random((3, 5, 5)).astype(np.float32)
    gone = np.zeros((5, 5), bool)
    gone[2, 2] = gone[0, 4] = True
    found = f.filled(pixels, gone)
    near = pixels[:, 1:4, 1:4] * np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    np.testing.assert_allclose(found[:, 2, 2], near.sum((1, 2)), atol=1e-6)
    corner = (2 * pixels[:, 0, 3] + 2 * pixels[:, 1, 4] + pixels[:, 1, 3]) / 5  # what lies outside does not count
    np.testing.assert_allclose(found[:, 0, 4], corner, atol=1e-6)
    np.testing.assert_array_equal(found[:, ~gone], pixels[:, ~gone])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy")  # the library hands tensors to NumPy
def test_filling_and_road_equal_those_of_pytorch_grad_cam() -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the oracle grad-cam is not installed: pip install cutis[dev]")
    from pytorch_grad_cam.metrics import road

    rng = np.random.default_rng(0)
    pixels, gone = rng.random((3, 20, 14)).astype(np.float32), rng.random((20, 14)) < 0.7
    peer = road.NoisyLinearImputer(noise=0.0)(torch.from_numpy(pixels), torch.from_numpy(~gone).float())
    np.testing.assert_allclose(f.filled(pixels, gone), peer.numpy(), atol=1e-5)

    images, heat = torch.from_numpy(rng.random((2, 3, 20, 14)).astype(np.float32)), rng.random((2, 20, 14)).astype(np.float32)

    class Network(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(weighted(x))

    weight = rng.random((3, 20, 14))

    def weighted(x: Tensor) -> NDArray[np.float64]:
        value = (x.double().numpy() * weight).mean((1, 2, 3))
        return np.stack([value, 1 - value], 1)

    measure = road.ROADCombined(percentiles=[100 * (1 - r) for r in f.REMOVED])
    targets = [lambda out: out[0]] * 2
    theirs: Any = measure(images, heat, targets, Network())
    ours = f.road(weighted, images, np.zeros(2, np.int64), f.order(heat, rng), rng)
    assert np.abs(ours).max() > 0.002
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # both add noise, and theirs removes one pixel more or less


def test_road_is_positive_for_a_map_that_points_at_what_counts_and_negative_for_its_opposite() -> None:
    images, heat = squares()
    ones, rng = np.ones(2, np.int64), np.random.default_rng(0)
    good = f.road(brightness, images, ones, f.order(heat, rng), rng)
    bad = f.road(brightness, images, ones, f.order(-heat, rng), rng)
    assert (good > 0.02).all()
    np.testing.assert_allclose(bad, -good, atol=0.02)


def test_a_map_that_moves_with_the_picture_is_stable_and_one_that_stays_is_not() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((2, 3, 56, 56)).astype(np.float32))
    classes = np.zeros(2, np.int64)

    def follows(x: Tensor, _: Any) -> NDArray[np.float32]:
        return np.asarray(x.mean(1).numpy())

    fixed = rng.random((2, 56, 56)).astype(np.float32)
    np.testing.assert_allclose(f.stability(follows, images, classes, follows(images, classes)), 1, atol=1e-9)
    assert np.abs(f.stability(lambda *_: fixed, images, classes, fixed)).max() < 0.1
    assert np.isnan(f.stability(follows, images, classes, np.zeros_like(fixed))).all()


def test_alikeness_is_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((3, 5, 6)).round(1), rng.random((3, 5, 6)).round(1)  # with ties
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(f.alike(one, other), expected)
    assert np.isnan(f.alike(np.ones((1, 2, 2)), rng.random((1, 2, 2)))).all()


def network(**options: Any) -> build.Classifier:
    torch.manual_seed(0)
    spec = Recipe(images=Images(size=(32, 32)), model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options=options))
    return build.build(spec, ("a", "b"))[0].eval()


def test_weights_become_noise_from_the_head_down_and_the_model_itself_stays() -> None:
    model = network(channels=(4, 8, 8, 8), batchnorm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = {}
    for stage, copy in sanity.randomised(model, images, torch.Generator().manual_seed(0)):
        weights = {n: p for n, p in copy.named_parameters() if p.ndim > 1}
        changed[stage] = {n for n, p in weights.items() if not torch.equal(p, before[n])}
        for name, weight in weights.items():  # the same values in other places
            torch.testing.assert_close(weight.detach().flatten().sort()[0], before[name].flatten().sort()[0])
        assert not copy.training
        assert torch.isfinite(copy(images)).all()
    assert list(changed) == list(sanity.STAGES)
    assert [len(names) for names in changed.values()] == [1, 2, 3, 5]
    assert all(name.startswith("head") for name in changed["head"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batch_norms_take_the_statistics_that_the_noise_makes() -> None:
    model, images = network(channels=(4, 8), batchnorm=True), torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    *_, (_, last) = sanity.randomised(model, images, torch.Generator().manual_seed(0))
    norm = next(m for m in last.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    conv = next(m for m in last.backbone.modules() if isinstance(m, torch.nn.Conv2d))
    torch.testing.assert_close(norm.running_mean, conv((images - last.mean) / last.std).mean((0, 2, 3)).detach(), atol=1e-5, rtol=1e-4)

"""Prediction: softmax of the network, averaged over views, the same whatever the batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cutis.data import augment
from cutis.data.loaders import Pixels
from cutis.models import build, predict
from cutis.models.backends import Choice
from cutis.recipe import Images, Model, Predict, Recipe

Make = Callable[..., Pixels]
SPEC = Recipe(images=Images(size=32), model=Model(backbone="plain_cnn", weights="none", head=("flatten", "batchnorm", "dropout:0.5")))


@pytest.fixture
def model() -> build.Classifier:
    torch.manual_seed(0)
    return build.build(SPEC, ("a", "b", "c"))[0]


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_probabilities_are_the_mean_softmax_over_the_views(model: build.Classifier, pictures: Make, views: int) -> None:
    pixels = pictures(7)
    spec = SPEC.model_copy(update={"predict": Predict(views=views, batch_size=3)})
    answers = predict.probabilities(model.train(), pixels, spec)
    with torch.no_grad():
        x = torch.from_numpy(pixels.cache.pixels.copy()).permute(0, 3, 1, 2) / 255
        logits = [model.eval()(augment.symmetry(x, k)).numpy().astype(float) for k in augment.symmetries(32, 32, views)]
    by_hand = np.mean([np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in logits], 0)
    np.testing.assert_allclose(answers, by_hand, atol=1e-6)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-12)


def test_the_batch_size_decides_nothing_and_progress_is_told(model: build.Classifier, pictures: Make) -> None:
    pixels, told = pictures(7), []
    one, all_at_once = (
        predict.probabilities(model, pixels, SPEC.model_copy(update={"predict": Predict(batch_size=b)}), progress=lambda *a: told.append(a))
        for b in (3, 100)
    )
    np.testing.assert_allclose(one, all_at_once, atol=1e-6)
    assert told == [(3, 7), (6, 7), (7, 7), (7, 7)]


def test_pictures_are_resized_to_the_size_asked_for(pictures: Make) -> None:
    spec = SPEC.changed(**{"predict.size": 24, "train.size": 24})
    model = build.build(spec, ("a", "b"))[0]
    assert predict.probabilities(model, pictures(3), spec).shape == (3, 2)


def test_bf16_moves_probabilities_by_less_than_two_percent(model: build.Classifier, pictures: Make) -> None:
    pixels = pictures(12)
    exact, rough = (predict.probabilities(model, pixels, SPEC, choice=Choice(precision=p)) for p in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rough).max() < 0.02


def test_no_pictures_give_no_answers(model: build.Classifier, pictures: Make) -> None:
    assert predict.probabilities(model, pictures(0), SPEC).shape == (0, 3)


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_a_precision_that_was_asked_for_is_taken(wanted: str) -> None:
    assert {predict.resolved(wanted, torch.device(d), training=t) for d in ("cpu", "cuda") for t in (False, True)} == {wanted}


@pytest.mark.parametrize(("has", "training", "precision"), [(True, False, "bf16"), (True, True, "fp32"), (False, False, "fp32")])
def test_on_a_cpu_auto_is_bf16_only_where_it_has_it_and_only_for_prediction(
    monkeypatch: pytest.MonkeyPatch, has: bool, training: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has, "avx512_bf16": False}, raising=False)
    assert predict.resolved("auto", torch.device("cpu"), training=training) == precision


def test_one_choice_answers_all_sets_of_a_run(
    model: build.Classifier, pictures: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path))
    asked = {}
    monkeypatch.setattr(predict.backends, "chosen", lambda *a, **k: asked.update(k, part=a[1], sample=a[3]) or Choice())
    predict.chosen(model, [pictures(7), pictures(400, seed=1)], SPEC.changed(**{"predict.views": 4}))
    assert (asked["part"], asked["work"], asked["dtype"]) == ("logits", 407 * 4, torch.uint8)
    assert asked["sample"].shape == (256, 32, 32, 3)
    assert torch.equal(asked["sample"][0], torch.from_numpy(pictures(7).cache.pixels[0]))
    assert torch.equal(asked["sample"][-1], torch.from_numpy(pictures(400, seed=1).cache.pixels[-1]))
    predict.chosen(model, [pictures(3), pictures(2)], SPEC.changed(**{"predict.size": 24}))
    assert asked["sample"].shape == (5, 3, 24, 24)
    assert asked["dtype"] == torch.float32


@pytest.mark.parametrize("size", [32, 24])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_answers_stored_pictures_with_views(
    model: build.Classifier, pictures: Make, size: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path))
    spec = SPEC.changed(**{"predict.views": 8, "predict.batch_size": 5, "predict.size": size, "train.size": size})
    network = model if size == 32 else build.build(spec, ("a", "b", "c"))[0]
    exact = predict.probabilities(network, pictures(12), spec)
    answers = predict.probabilities(network, pictures(12), spec, choice=Choice("openvino", precision))
    np.testing.assert_allclose(answers, exact, atol=1e-5 if precision == "fp32" else 0.1)

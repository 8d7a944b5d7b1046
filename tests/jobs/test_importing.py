"""Published weights become a bundle that answers as the network they are of, or are refused and leave nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from cutis.data import synthetic
from cutis.errors import CutisError
from cutis.export import bundle
from cutis.jobs.importing import Asked, take
from cutis.models import backbones, build, weights
from cutis.recipe import Images, Model, Recipe
from cutis.serve.predictor import Predictor

Cutis = Callable[..., Any]
CLASSES = ("nv", "mel", "bcc")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    from torchvision import models as published  # behind the guard that cutis.models puts up

    torch.manual_seed(0)
    net: torch.nn.Module = published.mobilenet_v2(weights=None, num_classes=3).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.2, 0.4)
    net.classifier[1].weight.data *= 100  # so that answers of a random network differ from picture to picture
    return net


@pytest.fixture(scope="module")
def file(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as a training script on several GPUs leaves it."""
    path = tmp_path_factory.mktemp("published") / "model_best.pth.tar"
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "arch": "mobilenet_v2", "state_dict": state, "best_acc1": torch.tensor(0.9)}, path)
    return path


def test_an_imported_bundle_answers_as_the_network_it_was_published_as(
    network: torch.nn.Module, file: Path, cutis: Cutis, tmp_path: Path
) -> None:
    out = tmp_path / "theirs.zip"
    command = ("import", file, "--backbone", "mobilenetv2_100", "--classes", ",".join(CLASSES), "--size", 96, "--out", out, "--json")
    answer = cutis(*command)
    assert answer.code == 0, answer.err
    told = answer.json
    assert [(part["part"], part["tensors"]) for part in told["matched"]] == [("backbone", 312), ("head", 2)]
    assert sys.platform != "linux" or "seccomp" in told["held"][0]
    opened = bundle.open(out)
    assert opened.classes == CLASSES
    assert opened.version == told["version"]
    assert opened.about.watched == ("mel", "bcc")
    assert "not known" in opened.about.about.verdict
    assert opened.about.fitted == {}
    assert not list(opened.folder.rglob("*.pth*"))

    pictures = np.stack([synthetic.draw(lesion, size=96)[0] for lesion in range(4)])
    predictor = Predictor.open(opened, backend="eager", precision="fp32")
    answers = np.stack([a.probabilities for a in predictor.answers([predictor.picture(p) for p in pictures])])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = network((images - mean) / std).softmax(1).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_what_is_taken_over_is_told(file: Path, cutis: Cutis, tmp_path: Path) -> None:
    answer = cutis("import", file, "--backbone", "mobilenetv2_100", "--classes", "a,b,c", "--size", 64, "--out", tmp_path / "made")
    assert answer.code == 0, answer.err
    assert "backbone: all 312 tensors, by torchvision's names (features.0.0.weight is conv_stem.weight here" in answer.out
    assert "Read apart: " in answer.out
    assert "Research use only" in answer.out
    card = (tmp_path / "made" / "card.md").read_text("utf-8")
    assert "| backbone | 312 |" in card
    assert "Cutis has not measured it" in card


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--classes", "a,b"), 6, "last layer has 3 outputs, and 2 classes are named"),
        (("--classes", "a,a,b"), 2, "different names"),
        (("--classes", "a"), 2, "two or more"),
        (("--classes", "a,b,c", "--backbone", "resnet18"), 6, "does not fit the backbone resnet18"),
        (("--classes", "a,b,c", "--backbone", "mobilenet_v2"), 2, "backbone"),
        (("--classes", "a,b,c", "--map", "nothing=x"), 2, "--map takes OLD=NEW"),
        (("--classes", "a,b,c", "--part", "ema"), 2, "--part NAME"),
        (("--classes", "a,b,c", "--head", "pool,dense:9"), 6, r"The head does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    file: Path, cutis: Cutis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, said: str
) -> None:
    from cutis.models import foreign

    state = torch.load(file, weights_only=True)["state_dict"]
    monkeypatch.setattr(foreign, "read", lambda path, **_: foreign.Foreign({"state_dict": state}, False, ()))  # reading has its own tests
    given = options if "--backbone" in options else (*options, "--backbone", "mobilenetv2_100")
    answer = cutis("import", file, *given, "--size", 64, "--out", tmp_path / "out" / "made")
    assert answer.code == code, answer.err
    assert said in answer.err
    assert not (tmp_path / "out").exists()


def test_a_keras_head_is_put_on_the_backbone_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference: the backbone's own features, through the two dense layers by hand."""
    rng = np.random.default_rng(0)
    arrays = {
        "dense/0": rng.normal(size=(64, 5)),
        "dense/1": rng.normal(size=5),
        "dense_1/0": rng.normal(size=(5, 3)),
        "dense_1/1": np.ones(3),
    }
    with h5py.File(tmp_path / "head.weights.h5", "w") as file:
        for name, values in arrays.items():
            file[f"layers/{name.replace('/', '/vars/')}"] = values.astype(np.float32)
    torch.manual_seed(0)
    backbone = backbones.create("plain_cnn", {})
    own = tmp_path / "weights" / "plain_cnn.safetensors"
    own.parent.mkdir()
    weights.save_file(backbone.state_dict(), own)
    asked = Asked("plain_cnn", CLASSES, 32, ("pool", "dense:5", "relu"), weights=str(own))
    made = take(tmp_path / "head.weights.h5", tmp_path / "made", asked)
    assert [part[:2] for part in made.matched.parts] == [("head", 4)]
    opened = bundle.open(made.folder)
    model = opened.members[0].load()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = model.features(images).numpy()
        hidden = np.maximum(features @ arrays["dense/0"] + arrays["dense/1"], 0)
        np.testing.assert_allclose(model(images).numpy(), hidden @ arrays["dense_1/0"] + arrays["dense_1/1"], rtol=1e-4, atol=1e-4)
    assert str(tmp_path) not in "".join(p.read_text("utf-8", "ignore") for p in opened.folder.rglob("*") if p.is_file())


def test_only_the_network_is_taken_and_settings_say_how_pictures_are_shown_to_it(tmp_path: Path) -> None:
    spec = Recipe(images=Images(size=32), model=Model(backbone="plain_cnn", weights="none"))
    model, _ = build.build(spec, CLASSES)
    torch.save({k.removeprefix("backbone."): v for k, v in model.state_dict().items()}, tmp_path / "w.pt")
    asked = Asked("plain_cnn", CLASSES, 32, settings=("images.fit=squash", "model.scaling=unit", "predict.views=8"))
    opened = bundle.open(take(tmp_path / "w.pt", tmp_path / "made", asked).folder)
    assert opened.about.members[0].input.fit == "squash"
    assert opened.about.members[0].input.views == 8
    assert opened.members[0].load().std.flatten().tolist() == [1, 1, 1]
    with pytest.raises(CutisError, match="recipe field"):
        take(tmp_path / "w.pt", tmp_path / "made", Asked("plain_cnn", CLASSES, 32, settings=("images.nothing=1",)))

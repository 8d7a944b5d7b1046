"""Foreign tensors in our network: the same answers as the network they were saved from, or refused."""

import numpy as np
import pytest
import torch
from torch import nn

from cutis.errors import ArtifactError, CutisError
from cutis.models import build, matching
from cutis.recipe import Images, Model, Recipe

CLASSES = tuple("abcde")


def network(
    backbone: str, size: int = 64, head: tuple[str, ...] = ("pool",), classes: tuple[str, ...] = CLASSES, **options: object
) -> build.Classifier:
    spec = Recipe(images=Images(size=size), model=Model(backbone=backbone, weights="none", head=head, options=options))
    return build.build(spec, classes)[0].eval()


def torchvision(builder: str) -> nn.Module:
    """torchvision's network with statistics and scales that differ, so that no two layers could be exchanged unnoticed."""
    from torchvision import models as published  # behind the guard that cutis.models puts up

    torch.manual_seed(0)
    net: nn.Module = published.get_model(builder, weights=None, num_classes=len(CLASSES)).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.1, 0.1), (module.running_var, 0.5, 1.5), (module.weight.data, 0.5, 1.5)):
                assert values is not None
                values.uniform_(low, high)
    return net


QUICK = ("mobilenetv2_100", "efficientnet_b0", "efficientnet_b5", "resnet18", "densenet121")
LONG = ("efficientnet_b1", "efficientnet_b4", "efficientnet_b7", "efficientnetv2_s", "efficientnetv2_m", "efficientnetv2_l", "resnet50")


@pytest.mark.parametrize("backbone", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_torchvisions_networks_give_torchvisions_answers(backbone: str) -> None:
    builder = matching.TORCHVISION.get(backbone, (backbone, {}))[0]
    theirs = torchvision(builder)
    state = theirs.state_dict()
    ours = network(backbone, **matching.options(backbone, state))
    ours.load_state_dict(matching.matched(ours, backbone, state).state)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs((images - ours.mean) / ours.std), rtol=1e-5, atol=1e-5)


def test_our_own_names_with_a_head_of_several_layers_and_a_wrapper() -> None:
    head = ("avgpool", "dense:7", "relu", "batchnorm")
    ours, theirs = (network("resnet18", head=head) for _ in range(2))
    state = {f"module.model.{name.removeprefix('backbone.')}": value for name, value in theirs.state_dict().items()}
    state = {name.replace("module.model.head.", "module.model.fc."): value for name, value in state.items()}
    found = matching.matched(ours, "resnet18", matching.renamed(state, []))
    assert {part: count for part, count, *_ in found.parts} == {"backbone": len(theirs.backbone.state_dict()), "head": 8}
    ours.load_state_dict(found.state)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=0)


def test_names_are_changed_as_asked() -> None:
    own = network("plain_cnn")
    state = {f"encoder.net.{k.removeprefix('backbone.')}": v for k, v in own.state_dict().items() if k.startswith("backbone")}
    state |= {"classifier.weight": torch.ones(5, 64), "classifier.bias": torch.ones(5)}
    with pytest.raises(ArtifactError, match=r"6 of its 6 tensors are absent.*the file begins with encoder\.net.*--map OLD=NEW"):
        matching.matched(own, "plain_cnn", matching.renamed(state, []))
    found = matching.matched(own, "plain_cnn", matching.renamed(state, ["encoder.net.="]))
    assert found.state["head.0.weight"].tolist() == [[1.0] * 64] * 5
    for rules, said in (
        (["nothing.="], "fits none of them"),
        (["classifier"], "OLD=NEW"),
        (["classifier.weight=x", "classifier.bias=x"], "name x"),
    ):
        with pytest.raises(CutisError, match=said):
            matching.renamed(state, rules)


def changed(what: str) -> dict[str, torch.Tensor]:
    state = {k.removeprefix("backbone."): v.clone() for k, v in network("plain_cnn").state_dict().items()}
    first = next(iter(state))
    if what == "absent":
        del state[first]
    if what == "shape":
        state[first] = torch.ones(16, 3, 5, 5)
    if what == "left over":
        state["more.weight"] = torch.ones(3)
    if what == "nan":
        state[first][0, 0, 0, 0] = np.nan
    if what == "classes":
        state |= {"head.0.weight": torch.ones(7, 64), "head.0.bias": torch.ones(7)}
    if what == "no head":
        state = {k: v for k, v in state.items() if not k.startswith("head.")}
    return state


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("absent", r"1 of its 6 tensors are absent, the first stages\.0\.0\.weight"),
        ("shape", r"\(16, 3, 5, 5\), not \(16, 3, 3, 3\)"),
        ("left over", r"nothing <- more\.weight \(3,\)"),
        ("nan", "no numbers"),
        ("classes", "last layer has 7 outputs, and 5 classes are named"),
        ("no head", r"0\.weight \(5, 64\) <- nothing"),
    ],
)
def test_nothing_is_taken_in_part(what: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        matching.matched(network("plain_cnn"), "plain_cnn", changed(what))


def test_a_network_with_other_padding_is_not_taken_for_torchvisions() -> None:
    state = torchvision("efficientnet_b0").state_dict()
    assert matching.options("tf_efficientnet_b0", state) == {}
    with pytest.raises(ArtifactError, match="Name the backbone"):
        matching.matched(network("tf_efficientnet_b0"), "tf_efficientnet_b0", state)


def keras_dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x @ kernel + bias


def test_a_keras_head_computes_what_keras_does() -> None:
    """Reference: Keras's layers by hand, channels last, with its epsilon of 0.001 in batch norm."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    model = network("plain_cnn", size=32, head=("flatten", "dense:6", "relu", "batchnorm"), channels=(4,))
    channels, height, width = 4, 16, 16
    kernel, bias = draw(channels * height * width, 6), draw(6)
    gamma, beta, mean, variance = draw(6), draw(6), draw(6), rng.uniform(1e-4, 1e-2, 6).astype(np.float32)
    last, last_bias = draw(6, 5), draw(5)
    named = {
        "dense/kernel": kernel, "dense/bias": bias, "bn/gamma": gamma, "bn/beta": beta, "bn/moving_mean": mean,
        "bn/moving_variance": variance, "answer/kernel": last, "answer/bias": last_bias,
    }  # fmt: skip
    numbered = {f"{name.split('/')[0]}/{i % 4 if 2 <= i < 6 else i % 2}": v for i, (name, v) in enumerate(named.items())}
    numbered = dict(zip(["dense/0", "dense/1", "bn/0", "bn/1", "bn/2", "bn/3", "last/0", "last/1"], numbered.values(), strict=True))
    maps = draw(3, height, width, channels)
    hidden = np.maximum(keras_dense(maps.reshape(3, -1), kernel, bias), 0)
    expected = keras_dense((hidden - mean) / np.sqrt(variance + 1e-3) * gamma + beta, last, last_bias)
    for given in (named, numbered):
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        found = matching.keras_head(model, tensors, matching.flattened(model, ["flatten"]))
        model.load_state_dict(found.state)
        with torch.no_grad():
            answers = model.eval().from_maps(torch.from_numpy(maps).permute(0, 3, 1, 2))
        np.testing.assert_allclose(answers.numpy(), expected, rtol=1e-4, atol=1e-3)


def test_a_keras_file_with_more_than_a_head_is_refused() -> None:
    model = network("plain_cnn")
    for name, value in (
        ("conv/kernel", torch.ones(3, 3, 3, 8)),
        ("conv/depthwise_kernel", torch.ones(3, 3, 3, 1)),
        ("lstm/0", torch.ones(2, 2)),
    ):
        tensors = {name: value} | ({f"lstm/{i}": torch.ones(2) for i in (1, 2)} if "lstm" in name else {})
        with pytest.raises(ArtifactError, match="Only heads are read"):
            matching.keras_head(model, tensors, None)

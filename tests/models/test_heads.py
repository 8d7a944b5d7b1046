"""Heads: those of the five studies layer by layer and parameter by parameter, and what cannot be built."""

import pytest
import torch
from torch import nn

from cutis.errors import CutisError
from cutis.models import heads

BN, RELU = "batchnorm", "relu"


def described(layer: nn.Module) -> str:
    match layer:
        case nn.Linear():
            return f"dense {layer.in_features} {layer.out_features}"
        case nn.Conv2d():
            return f"conv {layer.in_channels} {layer.out_channels} {layer.kernel_size[0]}x{layer.kernel_size[1]}"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return f"norm {layer.num_features}"
        case nn.Dropout():
            return f"dropout {layer.p}"
        case nn.ReLU():
            return "relu"
    return type(layer).__name__


# Words, shape of what enters, classes; then what STUDIES names, written out by hand; then the number of parameters:
# dense a b has a b + b, a norm of n has 2 n, a k x k convolution from a to b channels has k k a b + b.
STUDIES = {
    "S0 A": (
        ("avgpool", "dense:128", RELU),
        (512, 7, 7),
        4,
        "GlobalAverage > dense 512 128 > relu > dense 128 4",
        66_180,
    ),
    "S0 B": (
        ("attention:64", "avgpool", "dense:128", RELU),
        (512, 7, 7),
        4,
        "SpatialAttention > GlobalAverage > dense 512 128 > relu > dense 128 4",
        66_180 + 32_832 + 65,
    ),
    "S1 plain CNN": (
        ("flatten", "dense:128", RELU),
        (64, 25, 18),
        2,
        "Flatten > dense 28800 128 > relu > dense 128 2",
        3_686_786,
    ),
    "S1 CNN with augmentation": (
        ("dropout:0.2", "flatten", "dense:128", RELU),
        (64, 25, 18),
        2,
        "dropout 0.2 > Flatten > dense 28800 128 > relu > dense 128 2",
        3_686_786,
    ),
    "S1 VGG19": (
        ("flatten", "dense:128", RELU, "dropout:0.5"),
        (512, 10, 10),
        2,
        "Flatten > dense 51200 128 > relu > dropout 0.5 > dense 128 2",
        6_553_986,
    ),
    "S1 Xception": (
        ("flatten", BN, "dense:128", RELU, "dropout:0.2", BN),
        (2048, 10, 10),
        2,
        "Flatten > norm 204800 > dense 204800 128 > relu > dropout 0.2 > norm 128 > dense 128 2",
        26_624_642,
    ),
    "S1 wide head": (
        ("flatten", BN, "dense:1024", RELU, "dropout:0.2", BN, "dense:256", RELU, "dropout:0.2", BN),
        (2048, 10, 10),
        8,
        "Flatten > norm 204800 > dense 204800 1024 > relu > dropout 0.2 > norm 1024"
        " > dense 1024 256 > relu > dropout 0.2 > norm 256 > dense 256 8",
        210_392_840,
    ),
    "S2 after pooling": (
        ("dense:256", RELU, "dropout:0.3"),
        (1280,),
        5,
        "dense 1280 256 > relu > dropout 0.3 > dense 256 5",
        329_221,
    ),
    "S3 Effv1": (
        ("conv:256", BN, RELU, "conv:256", BN, RELU, "flatten", "dense:64", RELU),
        (2048, 7, 7),
        7,
        "conv 2048 256 3x3 > norm 256 > relu > conv 256 256 3x3 > norm 256 > relu > Flatten > dense 12544 64 > relu > dense 64 7",
        6_113_287,
    ),
    "S3 Effv3": (
        ("flatten", BN, "dense:64", RELU, BN),
        (1280, 7, 7),
        7,
        "Flatten > norm 62720 > dense 62720 64 > relu > norm 64 > dense 64 7",
        4_140_167,
    ),
    "S4 MobileNetV2": (
        ("dropout:0.3", "dense:512", RELU, "dropout:0.3", "dense:256", RELU, "dropout:0.3"),
        (1280,),
        6,
        "dropout 0.3 > dense 1280 512 > relu > dropout 0.3 > dense 512 256 > relu > dropout 0.3 > dense 256 6",
        788_742,
    ),
    "S4 EfficientNet-B1": (
        ("dropout:0.3", "dense:512", RELU, "dropout:0.3"),
        (1280,),
        6,
        "dropout 0.3 > dense 1280 512 > relu > dropout 0.3 > dense 512 6",
        658_950,
    ),
    "S4 ResNet-50": (
        ("dropout:0.4", "dense:1024", BN, RELU, "dropout:0.4", "dense:512", BN, RELU, "dropout:0.3"),
        (2048,),
        6,
        "dropout 0.4 > dense 2048 1024 > norm 1024 > relu > dropout 0.4 > dense 1024 512 > norm 512 > relu > dropout 0.3 > dense 512 6",
        2_629_126,
    ),
}


@pytest.mark.parametrize("study", STUDIES)
def test_every_head_of_the_studies_is_data(study: str) -> None:
    words, shape, classes, layers, parameters = STUDIES[study]
    with torch.device("meta"):
        fixed, trained = heads.build(words, shape, classes)
        logits = nn.Sequential(fixed, trained).eval()(torch.empty(2, *shape))
    assert " > ".join(described(layer) for layer in (*fixed, *trained)) == layers
    assert sum(p.numel() for p in (*fixed.parameters(), *trained.parameters())) == parameters
    assert logits.shape == (2, classes)


@pytest.mark.parametrize(
    ("words", "fixed"),
    [
        (("avgpool", "dense:3"), 1),
        (("flatten", "batchnorm"), 1),
        (("dropout:0.1", "flatten"), 0),  # what the dropout changes cannot be kept
        (("attention", "avgpool"), 0),
    ],
)
def test_only_leading_layers_that_never_change_are_fixed(words: tuple[str, ...], fixed: int) -> None:
    still, trained = heads.build(words, (4, 3, 3), 2)
    assert len(still) == fixed
    assert len(trained) == len(words) - fixed + 1
    assert not list(still.parameters())


def test_attention_multiplies_every_channel_by_one_gate() -> None:
    layer = heads.layers["attention"]((3, 2, 2), 5).module
    x = torch.randn(2, 3, 2, 2)
    first, last = layer.gate[0], layer.gate[2]
    hidden = torch.einsum("oc,bchw->bohw", first.weight[:, :, 0, 0], x) + first.bias.view(1, -1, 1, 1)
    gate = 1 / (1 + torch.exp(-(torch.einsum("o,bohw->bhw", last.weight[0, :, 0, 0], hidden.clamp(min=0)) + last.bias)))
    torch.testing.assert_close(layer(x), x * gate[:, None])


def test_cosine_takes_the_place_of_the_last_dense_layer() -> None:
    fixed, trained = heads.build(("avgpool", "cosine:16"), (3, 2, 2), 4)
    assert len(fixed) == 1
    assert [tuple(p.shape) for p in trained.parameters()] == [(4, 3)]
    weight, x = trained[0].weight, torch.randn(5, 3)
    for factor in (1.0, 7.0):  # neither the length of the row nor that of the weights counts
        with torch.no_grad():
            weight[1] *= factor
        torch.testing.assert_close(trained(factor * x), 16 * nn.functional.cosine_similarity(x[:, None], weight[None], dim=2))


def test_pooling_and_flattening_give_the_values_they_name() -> None:
    x = torch.arange(2 * 3 * 2 * 2.0).view(2, 3, 2, 2)
    assert heads.layers["avgpool"]((3, 2, 2)).module(x).tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
    assert heads.layers["flatten"]((3, 2, 2)).module(x)[1].tolist() == list(range(12, 24))


@pytest.mark.parametrize(
    ("words", "shape", "named"),
    [
        (("dens:128",), (8,), r"'dens'.*'dense'"),
        (("dense",), (8,), r"'dense'.*dense:UNITS"),
        (("dense:many",), (8,), r"'dense:many'.*dense:UNITS"),
        (("dense:12.5",), (8,), r"'dense:12.5'"),
        (("dense:3:4",), (8,), r"'dense:3:4'.*too many"),
        (("dense:0",), (8,), r"'dense:0'.*at least 1"),
        (("dense:-4",), (8,), r"'dense:-4'.*at least 1"),
        (("relu:1",), (8,), r"'relu:1'.*too many"),
        (("dropout:1.0",), (8,), r"'dropout'.*1.0"),
        (("dropout:nan",), (8,), r"'dropout'.*nan"),
        (("conv:8",), (8,), r"'conv' needs a map.*row of 8"),
        (("conv:8:2",), (3, 4, 4), r"'conv' takes an odd kernel"),
        (("avgpool", "avgpool"), (3, 4, 4), r"'avgpool' needs a map.*row of 3"),
        (("dense:8",), (3, 4, 4), r"'dense' needs a row.*avgpool or flatten"),
        (("cosine:0",), (8,), r"'cosine' takes a scale above 0"),
        (("cosine:30", "relu"), (8,), r"'relu' stands after the one that gives the class logits"),
        (("cosine:30",), (3, 4, 4), r"'cosine' needs a row.*avgpool or flatten"),
        (("relu",), (3, 4, 4), r"ends with a map \(3, 4, 4\)"),
        ((), (3, 4, 4), r"ends with a map"),
        (("avgpool",), (197, 64), r"'avgpool' needs a map.*tokens.*pool"),
        (("dense:8",), (197, 64), r"'dense' needs a row.*tokens.*pool"),
    ],
)
def test_a_head_that_cannot_be_built_is_refused_by_the_word(words: tuple[str, ...], shape: tuple[int, ...], named: str) -> None:
    with pytest.raises(CutisError, match=named):
        heads.build(words, shape, 2)

"""Backbones: any timm name, our plain CNN, their blocks, sizes and shapes."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from cutis.errors import CutisError
from cutis.models import backbones


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet5O", "resnet50"), ("mobilnetv2_100", "mobilenetv2_100"), ("plain_cn", "plain_cnn"), ("eficientnet_b1", "efficientnet_b1")],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, near: str) -> None:
    assert not backbones.is_known(name)
    with pytest.raises(CutisError, match=f"Unknown backbone '{name}'.*Did you mean.*'{near}'"):
        backbones.create(name, {})


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("resnet18.no_such_tag", {}, "no_such_tag"),
        ("resnet18", {"drop_pth": 1}, "drop_pth"),
        ("plain_cnn", {"width": 3}, "width"),
    ],
)
def test_a_tag_or_option_that_does_not_exist_is_named(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(CutisError, match=f"{name} cannot be made.*{named}"):
        backbones.create(name, options)


def test_the_plain_cnn_is_the_one_of_the_isic_2019_study() -> None:
    model = backbones.create("plain_cnn", {})
    # 3 * 9 * 16 + 16, 16 * 9 * 32 + 32, 32 * 9 * 64 + 64
    assert count(model) == 448 + 4_640 + 18_496
    assert backbones.feature_shape(model, (200, 150)) == (64, 25, 18)
    x = torch.rand(2, 3, 9, 8)
    expected = x
    for stage in model.stages:
        expected = F.max_pool2d(F.relu(F.conv2d(expected, stage[0].weight, stage[0].bias, padding=1)), 2)
    torch.testing.assert_close(model.forward_features(x), expected)
    torch.testing.assert_close(model.forward_head(expected), expected.mean((2, 3)))


def test_the_plain_cnn_takes_channels_and_batch_norm() -> None:
    model = backbones.create("plain_cnn", {"channels": [4, 8], "batchnorm": True})
    assert count(model) == 3 * 9 * 4 + 4 + 8 + 4 * 9 * 8 + 8 + 16
    assert backbones.feature_shape(model, (32, 20)) == (8, 8, 5)


# What forward_features gives at the studies' sizes, and the number of parameters without a classifier: torchvision's published
# counts less its classifier (VGG: less three dense layers; Xception: Keras's trainable ones), hand-made sums for the rest.
STUDIES = {
    "vgg16.tv_in1k": ((224, 224), (512, 7, 7), 138_357_544 - 4_097_000),
    "vgg19.tv_in1k": ((320, 320), (512, 10, 10), 143_667_240 - 4_097_000),
    "legacy_xception.tf_in1k": ((320, 320), (2048, 10, 10), 20_806_952),
    "efficientnet_b0.ra_in1k": ((224, 224), (1280, 7, 7), 5_288_548 - 1_281_000),
    "efficientnet_b1.ft_in1k": ((150, 150), (1280, 5, 5), 7_794_184 - 1_281_000),
    "resnet50.a1_in1k": ((28, 28), (2048, 1, 1), 25_557_032 - 2_049_000),
    "tf_efficientnetv2_l.in1k": ((224, 224), (1280, 7, 7), 118_515_272 - 1_281_000),
    "mobilenetv2_100.ra_in1k": ((224, 224), (1280, 7, 7), 3_504_872 - 1_281_000),
    "convnext_tiny.fb_in1k": ((224, 224), (768, 7, 7), 28_589_128 - 769_000),
    "vit_base_patch16_224.augreg_in21k": ((224, 224), (197, 768), 86_567_656 - 769_000),
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_backbone_of_the_studies_has_its_shape_and_size(name: str) -> None:
    size, shape, parameters = STUDIES[name]
    with torch.device("meta"):
        model = backbones.create(name, {})
    assert backbones.feature_shape(model, size) == shape
    assert count(model) == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_backbone_of_the_studies_computes(name: str) -> None:
    size, shape, _ = STUDIES[name]
    model = backbones.create(name, {}).eval()
    with torch.inference_mode():
        out = model.forward_features(torch.rand(1, 3, *size))
    assert out.shape[1:] == shape
    assert torch.isfinite(out).all()


def test_a_ghost_weighs_nothing_and_leaves_the_model_alone() -> None:
    model = backbones.create("plain_cnn", {"batchnorm": True})
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ghost = backbones.ghost(model)
    assert not ghost.training
    assert model.training
    assert {v.device.type for v in ghost.state_dict().values()} == {"meta"}
    assert {k: v.shape for k, v in ghost.state_dict().items()} == {k: v.shape for k, v in before.items()}
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "blocks", "last"),
    [
        ("plain_cnn", 3, "stages.2."),
        ("mobilenetv2_100", 18, ("blocks.6.0.", "conv_head.", "bn2.")),  # stem and 17 inverted residuals
        ("resnet18", 9, "layer4.1."),  # stem and 2 x 4 residual blocks
        ("vit_tiny_patch16_224", 13, ("blocks.11.", "norm.")),  # embedding and 12 layers
        ("vgg11_bn", 9, "pre_logits."),  # 8 convolutions with their norms, then the dense layers
        ("convnext_tiny", 19, ("stages.3.blocks.2.", "head.norm.")),  # stem and 3 + 3 + 9 + 3 blocks
    ],
)
def test_blocks_run_from_input_to_output_and_hold_every_parameter_once(name: str, blocks: int, last: str | tuple[str, ...]) -> None:
    with torch.device("meta"):
        model = backbones.create(name, {})
    groups = backbones.blocks(model)
    names = {id(p): n for n, p in model.named_parameters()}
    held = [id(p) for group in groups for p in group]
    assert sorted(held) == sorted(names)
    assert len(groups) == blocks
    assert all(names[id(p)].startswith(last) for p in groups[-1])


@pytest.mark.parametrize("size", [(96, 96), (64, 128)])
def test_a_vision_transformer_is_fitted_to_the_images(size: tuple[int, int]) -> None:
    model = backbones.create("vit_tiny_patch16_224", {})  # made for 224 pixels
    with pytest.raises(CutisError, match=f"vit_tiny_patch16_224 cannot take images of {size[0]} x {size[1]} pixels"):
        backbones.feature_shape(model, size)
    backbones.fit_to(model, size)
    tokens = 1 + size[0] // 16 * (size[1] // 16)
    assert backbones.feature_shape(model, size)[0] == tokens
    assert model.forward_features(torch.rand(1, 3, *size)).shape[1] == tokens


def test_fitting_resamples_the_position_table() -> None:
    model = backbones.create("vit_tiny_patch16_224", {})
    with torch.no_grad():
        model.pos_embed.fill_(0.25)
    backbones.fit_to(model, (96, 96))
    torch.testing.assert_close(model.pos_embed, torch.full_like(model.pos_embed, 0.25))


def test_a_network_of_any_size_is_left_as_it_is() -> None:
    model = backbones.create("plain_cnn", {})
    backbones.fit_to(model, (96, 40))
    assert backbones.feature_shape(model, (96, 40)) == (64, 12, 5)


def test_an_image_too_small_for_the_network_is_refused() -> None:
    with torch.device("meta"):
        model = backbones.create("vgg16", {})
    with pytest.raises(CutisError, match="vgg16 cannot take images of 28 x 28 pixels"):
        backbones.feature_shape(model, (28, 28))


# One small member of each family; what is dropped must not be needed.
FAMILIES = [
    "plain_cnn",
    "vgg11",
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_vit",
    "test_nfnet",
    "swin_tiny_patch4_window7_224",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_called_unused_is_not_used(name: str) -> None:
    with torch.device("meta"):
        model = backbones.create(name, {}).eval()
    size = tuple(getattr(model, "pretrained_cfg", {}).get("input_size", (3, 64, 64))[1:])
    before = backbones.feature_shape(model, size)
    dropped = backbones.unused(model, size)
    assert dropped == {"vgg11": ["pre_logits"], "test_convnext": ["head"]}.get(name, [])  # ConvNeXt's last norm comes after pooling
    for child in dropped:
        setattr(model, child, torch.nn.Identity())
    assert backbones.feature_shape(model, size) == before

"""The network of a recipe: scaling, feature maps, what trains, what stays frozen, and the way to disk and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cutis.errors import ArtifactError, CutisError
from cutis.models import backbones, build
from cutis.recipe import Images, Model, Predict, Recipe, Train

CLASSES = ("mel", "nv", "bcc")
SWIN = {"depths": [1, 1, 1, 1], "embed_dim": 16, "num_heads": [1, 2, 4, 8]}
CONVNEXT = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
VIT = {"depth": 3, "embed_dim": 32, "num_heads": 2}


def recipe(backbone: str = "plain_cnn", head: tuple[str, ...] = ("avgpool",), size: int = 32, **fields: Any) -> Recipe:
    model = {"options": {}, "scaling": "backbone"} | {k: fields.pop(k) for k in ("options", "scaling") if k in fields}
    return Recipe(images=Images(size=(size, size)), model=Model(backbone=backbone, weights="none", head=head, **model), **fields)


def made(*arguments: Any, **fields: Any) -> build.Classifier:
    torch.manual_seed(0)
    return build.build(recipe(*arguments, **fields), CLASSES)[0]


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("plain_cnn", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("vit_tiny_patch16_224.augreg_in21k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_pixels_are_scaled_as_the_backbone_was_trained_or_left_in_0_to_1(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    x = torch.rand(2, 3, 32, 32)
    own, unit = (made(name, ("pool",), scaling=scaling).eval() for scaling in ("backbone", "unit"))
    by_hand = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    with torch.inference_mode():
        torch.testing.assert_close(own(x), unit(by_hand), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(own(x), unit(x), atol=1e-3)


def test_logits_are_the_head_of_the_features() -> None:
    model = made(head=("avgpool", "dense:8", "relu", "dropout:0.5")).eval()
    x = torch.rand(2, 3, 32, 32)
    assert model.features(x).shape == (2, 64)
    assert torch.equal(model(x), model.head(model.features(x)))
    assert model(x).shape == (2, 3)


def test_vgg_drops_the_dense_layers_that_its_head_replaces() -> None:
    with torch.device("meta"):
        spec = Model(backbone="vgg16.tv_in1k", head=("avgpool", "dense:128", "relu"))
        model = build.Classifier(backbones.create(spec.backbone, {}), spec, (224, 224), CLASSES)
    # 14,714,688: VGG16 without its top as Keras prints it; 512 * 128 + 128 and 128 * 3 + 3 of the head
    assert sum(p.numel() for p in model.parameters()) == 14_714_688 + 65_664 + 387


def test_a_backbone_s_own_pooling_keeps_what_it_needs() -> None:
    with torch.device("meta"):
        spec = Model(backbone="vgg16.tv_in1k", head=("pool",))
        model = build.Classifier(backbones.create(spec.backbone, {}), spec, (224, 224), CLASSES)
    assert sum(p.numel() for p in model.parameters()) == 138_357_544 - 4_097_000 + 4096 * 3 + 3


def test_a_map_with_channels_last_is_pooled_over_its_places() -> None:
    model = made("swin_tiny_patch4_window7_224", size=224, options=SWIN).eval()
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        maps = model.backbone.forward_features((x - model.mean) / model.std)
        assert maps.shape == (1, 7, 7, 128)  # height, width, channels
        torch.testing.assert_close(model.features(x), maps.mean((1, 2)))


@pytest.mark.parametrize("size", [64, 96])
def test_a_vision_transformer_takes_images_of_another_size(size: int) -> None:
    model = made("vit_tiny_patch16_224", ("pool",), size, options=VIT).eval()
    assert model(torch.rand(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("backbone", "head", "options"), [("vit_tiny_patch16_224", ("pool",), VIT), ("plain_cnn", ("flatten", "dense:4"), {})]
)
def test_several_image_sizes_are_refused_where_the_network_takes_one(backbone: str, head: tuple[str, ...], options: dict[str, Any]) -> None:
    with pytest.raises(
        CutisError, match=f"{backbone} with the head .* takes images of one size.*trains at 48 x 48 and predicts at 64 x 64"
    ):
        made(backbone, head, 64, options=options, train=Train(size=(48, 64)))
    one = made(backbone, head, 64, options=options, train=Train(size=(48,)), predict=Predict(size=48)).eval()
    assert one(torch.rand(1, 3, 48, 48)).shape == (1, 3)


def free(model: build.Classifier) -> set[str]:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_head_and_all_free_what_they_say() -> None:
    model = made(head=("attention", "avgpool"))
    head = {n for n, _ in model.named_parameters() if n.startswith("head.")}
    assert sum(p.numel() for p in build.trainable(model, "head")) == 64 * 64 + 64 + 64 + 1 + 64 * 3 + 3
    assert free(model) == head
    assert len(build.trainable(model, "all")) == len(list(model.parameters()))
    assert free(model) == {n for n, _ in model.named_parameters()}
    build.trainable(model, "head")
    assert free(model) == head


@pytest.mark.parametrize(
    ("name", "options", "k", "prefixes"),
    [
        ("plain_cnn", {}, 1, ("stages.2.",)),
        ("plain_cnn", {}, 2, ("stages.1.", "stages.2.")),
        ("mobilenetv2_100", {}, 2, ("blocks.5.2.", "blocks.6.0.", "conv_head.", "bn2.")),
        ("resnet18", {}, 3, ("layer3.1.", "layer4.0.", "layer4.1.")),
        ("vit_tiny_patch16_224", VIT, 1, ("blocks.2.", "norm.")),
        ("convnext_tiny", CONVNEXT, 2, ("stages.2.blocks.1.", "stages.3.", "head.norm.")),
    ],
)
def test_last_k_frees_exactly_the_last_k_blocks_and_the_head(name: str, options: dict[str, Any], k: int, prefixes: tuple[str, ...]) -> None:
    model = made(name, ("pool",), options=options)
    build.trainable(model, f"last:{k}")
    expected = {n for n, _ in model.named_parameters() if n.startswith("head.") or n.removeprefix("backbone.").startswith(prefixes)}
    assert free(model) == expected
    assert all(any(n.startswith(f"backbone.{prefix}") for n in expected) for prefix in prefixes)


def test_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(CutisError, match=r"last:4: PlainCNN has only 3 blocks"):
        build.trainable(made(), "last:4")


@pytest.mark.parametrize(
    ("which", "moved"),
    [("head", set()), ("last:1", {"stages.2.1"}), ("all", {"stages.0.1", "stages.1.1", "stages.2.1"})],
)
def test_a_frozen_batch_norm_keeps_its_statistics(which: str, moved: set[str]) -> None:
    model = made(options={"batchnorm": True})
    build.trainable(model, which)
    build.train_mode(model)
    norms = {n: m for n, m in model.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    before = {n: m.running_mean.clone() for n, m in norms.items()}
    model(torch.rand(4, 3, 32, 32))
    assert {n for n, m in norms.items() if not torch.equal(m.running_mean, before[n])} == moved


def test_a_frozen_block_drops_nothing_and_the_head_does() -> None:
    model = made("vit_tiny_patch16_224", ("pool", "dropout:0.5"), 64, options=VIT | {"proj_drop_rate": 0.5, "drop_path_rate": 0.5})
    build.trainable(model, "last:1")
    build.train_mode(model)
    assert not any(m.training for block in model.backbone.blocks[:2] for m in block.modules())
    assert all(m.training for m in (*model.backbone.blocks[2].modules(), *model.head.modules()))
    build.trainable(model, "head")
    build.train_mode(model)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.features(x), model.features(x))
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("name", "head", "options"),
    [
        ("plain_cnn", ("flatten", "batchnorm", "dense:4", "relu"), {"batchnorm": True}),
        ("convnext_tiny", ("avgpool",), CONVNEXT),
        ("vit_tiny_patch16_224", ("pool",), VIT),
        ("swin_tiny_patch4_window7_224", ("avgpool",), SWIN),
    ],
)
def test_a_saved_model_comes_back_bit_for_bit(tmp_path: Path, name: str, head: tuple[str, ...], options: dict[str, Any]) -> None:
    size = 224 if options is SWIN else 64
    spec = recipe(name, head, size, options=options)
    model, _ = build.build(spec, CLASSES)
    model = build.placed(model, torch.device("cpu"))
    model.train()(torch.rand(4, 3, size, size))  # statistics that are not those of the start
    build.save(model, tmp_path / "model.safetensors", spec)
    back, again = build.load(tmp_path / "model.safetensors")
    x = torch.rand(2, 3, size, size)
    assert (again, back.classes, back.training) == (spec, CLASSES, False)
    assert back.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in back.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(build.placed(back, torch.device("cpu"))(x), model.eval()(x))


@pytest.mark.parametrize("keep", [0, 8, 200, 0.5, 0.999])
def test_a_damaged_model_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "model.safetensors"
    build.save(made(), path, recipe())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ArtifactError, match=r"model.safetensors is damaged or no safetensors file"):
        build.load(path)


def test_an_absent_foreign_or_unfitting_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ArtifactError, match="no model at"):
        build.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ArtifactError, match="not written by this version of Cutis"):
        build.load(path)
    build.save(made(), path, recipe())
    state = load_file(path)
    build.save(made(head=("avgpool", "dense:4")), path, recipe())
    with pytest.raises(ArtifactError, match="does not fit its own recipe"):
        build.load(path)
    save_file(state, path, metadata={build.FORMAT: "{}"})
    with pytest.raises(ArtifactError, match="does not fit its own recipe"):
        build.load(path)

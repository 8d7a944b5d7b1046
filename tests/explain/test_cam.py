"""Heat maps: equal to pytorch-grad-cam's and to a hand calculation, one pass for all that shares it, and a model left as it was."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.errors import CutisError
from cutis.explain import cam as cams
from cutis.models import backends, build
from cutis.recipe import Images, Model, Recipe

CLASSES = ("mel", "nv", "bcc")
SWIN = {"depths": [1, 1, 1, 1], "embed_dim": 16, "num_heads": [1, 2, 4, 8]}
VIT = {"depth": 3, "embed_dim": 32, "num_heads": 2}
CONVNEXT = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}


def made(backbone: str, size: tuple[int, int] = (64, 64), head: tuple[str, ...] = ("pool",), **options: Any) -> build.Classifier:
    """A network with random weights; its batch norms hold the statistics of noise, so that no layer is dead or explodes."""
    torch.manual_seed(0)
    spec = Recipe(images=Images(size=size), model=Model(backbone=backbone, weights="none", head=head, options=options))
    model, _ = build.build(spec, CLASSES)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = None  # the mean over the batches seen
    model.train()
    with torch.no_grad():
        model(images(8, size, seed=1))
    return model.eval()


def images(count: int = 3, size: tuple[int, int] = (64, 64), seed: int = 0) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def oracle(
    model: build.Classifier, target: nn.Module, x: Tensor, reshape: Any = None, method: str = "GradCAM", **options: Any
) -> NDArray[np.float32]:
    """pytorch-grad-cam's maps at image size, B x classes x H x W."""
    library = pytest.importorskip("pytorch_grad_cam", reason="the oracle grad-cam is not installed: pip install cutis[dev]")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with getattr(library, method)(model, [target], reshape_transform=reshape, **options) as peer:
        return np.stack([peer(x, [ClassifierOutputTarget(k)] * len(x)) for k in range(len(CLASSES))], 1)


def channels_second(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def grid(h: int, w: int) -> Callable[[Tensor], Tensor]:
    """Tokens without the class token as a map, as pytorch-grad-cam's documentation reshapes them."""
    return lambda x: x[:, 1:].reshape(len(x), h, w, -1).permute(0, 3, 1, 2)


# name, image size, head, options, the layer that pytorch-grad-cam is pointed at, how it must reshape
NETWORKS: dict[str, tuple[str, tuple[int, int], tuple[str, ...], dict[str, Any], str, Any]] = {
    "resnet": ("resnet26", (96, 64), ("pool",), {}, "layer4.-1", None),
    "mobilenetv2": ("mobilenetv2_100", (64, 64), ("avgpool", "dropout:0.2"), {}, "bn2", None),
    "efficientnet": ("efficientnet_b0", (64, 64), ("avgpool", "dense:8", "relu"), {}, "bn2", None),
    "mobilenetv3": ("mobilenetv3_small_050", (64, 64), ("pool",), {}, "blocks.-1", None),
    "convnext": ("convnext_atto", (96, 96), ("pool",), CONVNEXT, "stages.-1", None),
    "xception": ("legacy_xception", (64, 64), ("pool",), {}, "act4", None),
    "plain": ("plain_cnn", (40, 32), ("flatten", "dense:8", "relu"), {"batchnorm": True}, "stages.-1", None),
    "attention": ("resnet18", (64, 64), ("attention:8", "avgpool"), {}, "layer4.-1", None),
    "swin": ("swin_tiny_patch4_window7_224", (224, 224), ("pool",), SWIN, "norm", channels_second),
    "vit": ("vit_tiny_patch16_224", (96, 64), ("pool",), VIT, "blocks.-1.norm1", grid(6, 4)),
}


def network(name: str) -> tuple[build.Classifier, Tensor, nn.Module, Any]:
    backbone, size, head, options, path, reshape = NETWORKS[name]
    model = made(backbone, size, head, **options)
    target: Any = model.backbone
    for part in path.split("."):
        target = target[int(part)] if part == "-1" else getattr(target, part)
    return model, images(size=size), target, reshape


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_equal_those_of_pytorch_grad_cam(name: str) -> None:
    model, x, target, reshape = network(name)
    ours = cams.cam(model, x, "all")
    theirs = oracle(model, target, x, reshape)
    assert (theirs.max((2, 3)) > 0.99).any(1).all()  # every image has a map that is not empty
    np.testing.assert_allclose(cams.resized(ours.maps, (x.shape[2], x.shape[3])), theirs, atol=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(ours.logits, model(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(("method", "peer"), [("gradcam++", "GradCAMPlusPlus"), ("hirescam", "HiResCAM"), ("layercam", "LayerCAM")])
@pytest.mark.parametrize("name", ["resnet", "plain", "vit"])
def test_other_methods_equal_those_of_pytorch_grad_cam(name: str, method: str, peer: str) -> None:
    model, x, target, reshape = network(name)
    ours = cams.cam(model, x, "all", method=method)
    np.testing.assert_allclose(cams.resized(ours.maps, (x.shape[2], x.shape[3])), oracle(model, target, x, reshape, peer), atol=1e-4)


@pytest.mark.parametrize("name", ["plain", "vit"])
def test_score_cam_equals_that_of_pytorch_grad_cam(name: str) -> None:
    model, x, target, reshape = network(name)
    ours = cams.cam(model, x[:2], "all", method="scorecam")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        theirs = oracle(model, target, x[:2], reshape, "ScoreCAM")
    np.testing.assert_allclose(cams.resized(ours.maps, (x.shape[2], x.shape[3])), theirs, atol=1e-3)


@pytest.mark.parametrize(("method", "peer"), [("xgradcam", "XGradCAM"), ("eigengradcam", "EigenGradCAM"), ("ablationcam", "AblationCAM")])
@pytest.mark.parametrize("name", ["plain", "vit"])
def test_methods_of_pytorch_grad_cam_are_reached_and_leave_the_model_as_it_was(name: str, method: str, peer: str) -> None:
    model, x, target, reshape = network(name)
    build.trainable(model, "head")
    before = state(model)
    ours = cams.cam(model, x, "all", method=method)
    assert state(model) == before
    model.requires_grad_(True)
    options: dict[str, Any] = {}
    if peer == "AblationCAM" and reshape:
        from pytorch_grad_cam.ablation_layer import AblationLayerVit

        options["ablation_layer"] = AblationLayerVit()
    theirs = oracle(model, target, x, reshape, peer, **options)
    np.testing.assert_allclose(cams.resized(ours.maps, (x.shape[2], x.shape[3])), theirs, atol=1e-4)


def test_eigencam_is_the_first_principal_component_and_positive_where_activations_are_strong() -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the oracle grad-cam is not installed: pip install cutis[dev]")
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    activations = torch.randn(4, 7, 5, 6, generator=torch.Generator().manual_seed(0)).relu()
    activations[:, :3, 1:3, 2:4] += 2  # an object
    seen: Any = SimpleNamespace(activations=activations, classes=torch.zeros(4, 2))
    ours = cams.cams["eigencam"](seen).numpy()
    theirs = get_2d_projection(activations.numpy())  # in either sign
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs)[:, None].repeat(2, 1), atol=1e-4)
    assert (ours[:, :, 1:3, 2:4].mean((2, 3)) > ours.mean((2, 3)) + 1).all()


def test_an_inner_layer_may_be_explained_also_where_the_next_layer_works_in_place() -> None:
    model, x, _, _ = network("resnet")
    ours = cams.cam(model, x, "all", target="layer3.0.bn1")  # a ReLU in place follows
    copy: Any = deepcopy(model)
    for module in copy.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # pytorch-grad-cam would keep the activation that the ReLU overwrote
    np.testing.assert_allclose(cams.resized(ours.maps, (96, 64)), oracle(copy, copy.backbone.layer3[0].bn1, x), atol=1e-4)


def by_hand() -> build.Classifier:
    """Channels: the 2 x 2 maxima of red and of green; logits: their means under the weights (1, -2) and (3, 1)."""
    spec = Recipe(
        images=Images(size=(4, 4)),
        model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), scaling="unit", options={"channels": (2,)}),
    )
    model, _ = build.build(spec, ("a", "b"))
    conv, head = model.get_submodule("backbone.stages.0.0"), model.get_submodule("head.0")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        conv.weight[0, 0, 1, 1] = conv.weight[1, 1, 1, 1] = 1.0
        head.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 1.0]]))
    return model.eval()


def test_a_map_worked_out_by_hand() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 0, 0], image[0, 0, 3, 3] = 0.8, 0.4  # red: maxima [[0.8, 0], [0, 0.4]]
    image[0, 1, 0, 1], image[0, 1, 2, 0] = 0.2, 0.6  # green: maxima [[0.2, 0], [0.6, 0]]
    found = cams.cam(by_hand(), image, "all")
    # the gradient of a logit by each of a channel's 4 places is weight / 4
    a = [[(1 * 0.8 - 2 * 0.2) / 4, 0], [(-2 * 0.6) / 4, (1 * 0.4) / 4]]  # 0.1, 0, -0.3, 0.1
    b = [[(3 * 0.8 + 1 * 0.2) / 4, 0], [(1 * 0.6) / 4, (3 * 0.4) / 4]]  # 0.65, 0, 0.15, 0.3
    np.testing.assert_allclose(found.raw, [[a, b]], atol=1e-6)
    np.testing.assert_allclose(found.maps, [[[[1, 0], [0, 1]], [[1, 0], [0.15 / 0.65, 0.3 / 0.65]]]], atol=1e-5)
    np.testing.assert_allclose(found.logits, [[0.3 - 2 * 0.2, 3 * 0.3 + 0.2]], atol=1e-6)  # means: red 1.2 / 4, green 0.8 / 4


def test_a_class_without_any_evidence_has_an_empty_map() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, 1] = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))  # green only, which speaks against class a
    found = cams.cam(by_hand(), image, ["a"])
    assert (found.raw < 0).all()
    assert not found.maps.any()
    assert not cams.resized(found.maps, (8, 8)).any()


def test_flipping_the_image_flips_the_map_of_a_network_with_symmetric_kernels() -> None:
    model = made("plain_cnn", (32, 32), ("avgpool", "dense:8", "relu"))
    with torch.no_grad():
        for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
            conv.weight.copy_((conv.weight + conv.weight.flip(3)) / 2)
    x = images(size=(32, 32))
    straight, mirrored = cams.cam(model, x, "all").raw, cams.cam(model, x.flip(3), "all").raw
    assert np.abs(straight - straight[..., ::-1]).max() > 1e-3 * np.abs(straight).max()
    np.testing.assert_allclose(mirrored, straight[..., ::-1], atol=1e-5 * np.abs(straight).max())


@pytest.mark.parametrize("name", ["resnet", "mobilenetv2", "efficientnet", "convnext", "xception", "vit"])
def test_bf16_maps_equal_those_of_pytorch_grad_cam_in_bf16(name: str) -> None:
    model, x, target, reshape = network(name)
    ours = cams.cam(model, x, "all", precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):  # NumPy, in which the oracle goes on, has no bf16
        theirs = oracle(model, target, x, lambda t: (reshape(t) if reshape else t).float())
    np.testing.assert_allclose(cams.resized(ours.maps, (x.shape[2], x.shape[3])), theirs, atol=2e-2)


@pytest.mark.parametrize(
    ("backend", "precision", "tolerance"), [("eager", "bf16", 2e-2), ("openvino", "bf16", 2e-2), ("openvino", "fp32", 1e-5)]
)
def test_an_engine_moves_a_map_by_a_small_share_of_what_it_sums_up(backend: str, precision: str, tolerance: float) -> None:
    kind, size, _, options, _, _ = NETWORKS["resnet"]
    model, x = made(kind, size, ("avgpool",), **options), images(size=size)
    engine = backends.engine(model, "maps", size, backend=backend, precision=precision, dtype=x.dtype, device=x.device)
    exact, rough = cams.cam(model, x, "all").raw, cams.cam(model, x, "all", engine=engine).raw
    with torch.no_grad():
        places = model.maps(x)
        terms = torch.einsum("kc,bchw->bkhw", model.head[-1].weight.abs(), places.abs()) / places.shape[2:].numel()
    assert np.abs(rough - exact).max() > 0
    assert (np.abs(rough - exact).max((2, 3)) <= tolerance * terms.numpy().max((2, 3))).all()


def test_bytes_are_explained_as_their_floats_are() -> None:
    vit = network("vit")[0]
    pixels = torch.randint(0, 256, (2, 96, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, floats = (cams.cam(vit, x, "all").maps for x in (pixels, pixels.permute(0, 3, 1, 2) / 255))
    assert ours.shape == (2, 3, 6, 4)
    np.testing.assert_allclose(ours, floats, atol=1e-5)


def test_an_engine_may_compute_the_maps() -> None:
    model, x, _, _ = network("plain")
    with torch.no_grad():
        maps = model.maps(x).numpy()
    given: list[Tensor] = []

    def engine(batch: Tensor) -> NDArray[np.float32]:
        given.append(batch)
        return maps

    plain, swift = cams.cam(model, x, "all"), cams.cam(model, x / 2, "all", engine=engine)  # other pixels: they only go to the engine
    np.testing.assert_allclose(swift.maps, plain.maps, atol=1e-6)
    np.testing.assert_allclose(swift.logits, plain.logits, atol=1e-6)
    assert [torch.equal(batch, x / 2) for batch in given] == [True]


def test_each_image_may_have_classes_of_its_own() -> None:
    model, x, _, _ = network("plain")
    every = cams.cam(model, x, "all")
    assert every.classes.tolist() == [[0, 1, 2]] * 3
    own = cams.cam(model, x, np.array([[2, 0], [1, 1], [0, 2]]))
    np.testing.assert_allclose(own.maps, [every.maps[0, [2, 0]], every.maps[1, [1, 1]], every.maps[2, [0, 2]]], atol=1e-6)
    named = cams.cam(model, x, ["bcc", 0])
    np.testing.assert_allclose(named.maps, every.maps[:, [2, 0]], atol=1e-6)
    predicted = cams.cam(model, x)
    best = every.logits.argmax(1)
    assert predicted.classes.tolist() == best[:, None].tolist()
    np.testing.assert_allclose(predicted.maps[:, 0], every.maps[range(3), best], atol=1e-6)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_members_on_one_backbone_share_its_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, x, _, _ = network(name)
    second, third = deepcopy(first), deepcopy(first)
    second.backbone = first.backbone  # the third has one of its own
    with torch.no_grad():
        for model in (second, third):
            model.head[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    alone = [cams.cam(model, x, "all") for model in (first, third, second)]
    calls: list[nn.Module] = []
    forward = type(first.backbone).forward_features

    def counted(self: Any, *arguments: Any) -> Any:
        calls.append(self)
        return forward(self, *arguments)

    monkeypatch.setattr(type(first.backbone), "forward_features", counted)
    together = cams.members([first, third, second], x, "all")
    assert calls == [first.backbone, third.backbone]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.maps, one.maps, atol=1e-6)
        np.testing.assert_allclose(other.logits, one.logits, atol=1e-6)
    assert np.abs(together[0].maps - together[2].maps).max() > 0.1


def state(model: nn.Module) -> list[Any]:
    modules = [(m.training, len(m._forward_hooks)) for m in model.modules()]
    parameters = [(p.requires_grad, p.grad is None, p.sum().item()) for p in model.parameters()]
    return [modules, parameters, [b.sum().item() for b in model.buffers()], torch.is_grad_enabled()]


@pytest.mark.parametrize("target", ["auto", "layer3"])
@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_model_is_left_as_it_was_also_after_an_error(target: str, around: Any) -> None:
    model = made("resnet18", head=("avgpool",))
    build.trainable(model, "last:1")
    before = state(model)
    with around():
        inside = torch.is_grad_enabled()
        found = cams.cam(model, images(), target=target)
        assert torch.is_grad_enabled() == inside
        assert found.maps.max() > 0.99
    assert state(model) == before
    broken = model.head.register_forward_pre_hook(lambda *_: 1 / 0)
    with around(), pytest.raises(ZeroDivisionError):
        cams.cam(model, images(), target=target)
    broken.remove()
    model.backbone.layer4.register_forward_pre_hook(lambda *_: 1 / 0)  # type: ignore[union-attr]
    with around(), pytest.raises(ZeroDivisionError):
        cams.cam(model, images(), target=target)
    assert state(model) == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": [3]}, r"no class 3.*0 to 2 \(mel, nv, bcc\)"),
        ({"classes": [0, -1]}, "no class -1"),
        ({"classes": "nevus"}, "Unknown class 'nevus'.*bcc, mel, nv"),
        ({"classes": np.zeros((2, 1), int)}, r"shape \(2, 1\) do not fit 3 images"),
        ({"method": "gradcm"}, "Unknown class activation map 'gradcm'.*'gradcam'"),
        ({"target": "stages.3"}, r"Unknown layer 'stages.3'.*stages\.2, "),
    ],
)
def test_what_does_not_exist_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CutisError, match=message):
        cams.cam(network("plain")[0], images(size=(40, 32)), **fields)


def test_a_layer_that_leaves_one_place_is_refused() -> None:
    model = made("resnet18", (32, 32))
    with pytest.raises(CutisError, match=r"one place.*larger images.*earlier layer"):
        cams.cam(model, images(size=(32, 32)))
    assert cams.cam(model, images(size=(32, 32)), target="layer3").maps.shape == (3, 1, 2, 2)


def test_what_cannot_be_explained_is_refused() -> None:
    vit, x, _, _ = network("vit")
    with pytest.raises(CutisError, match=r"An engine.*blocks\.2\.norm1 lies further inside"):
        cams.cam(vit, x, engine=lambda _: np.zeros((3, 25, 32), np.float32))
    with pytest.raises(CutisError, match="evaluation mode"):
        cams.cam(vit.train(), x)
    resnet = made("resnet18")
    with pytest.raises(CutisError, match=r"\(3, 512\), neither a map nor a grid"):
        cams.cam(resnet, images(), engine=lambda _: np.zeros((3, 512), np.float32))
    with pytest.raises(CutisError, match="does not lie between"):
        cams.cam(resnet, images(), target="global_pool")

"""Class activation maps: where in an image the evidence for a class lies, for about the cost of the forward pass.

Up to the explained layer the network runs without gradient, or in an engine of ``models.backends``. The graph of autograd starts at that
layer's output, so a class costs only the way back from its logit to there; all classes, and all models on one backbone, share the pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.errors import CutisError
from cutis.explain.methods import Evidence, Method, cams
from cutis.models.backends import Engine, Passage
from cutis.models.build import Classifier
from cutis.models.precision import autocast, resolved
from cutis.registry import unknown

AUTO = "auto"
PREDICTED, ALL = "predicted", "all"

Classes = str | Sequence[str | int] | NDArray[np.integer[Any]]

__all__ = ["ALL", "AUTO", "PREDICTED", "Cam", "Classes", "cam", "cams", "inner_target", "members", "resized", "scaled"]


@dataclass(frozen=True, eq=False)
class Cam:
    """The heat maps of one model for a batch of B images, K classes each."""

    maps: NDArray[np.float32]
    """B x K x h x w at the explained layer's resolution (some methods: at the image's): the positive part of each, 0..1 (``scaled``)."""
    raw: NDArray[np.float32]
    """B x K x h x w as the method gives it, signed."""
    logits: NDArray[np.float32]
    """B x C."""
    classes: NDArray[np.int64]
    """B x K: the class of each map."""


def cam(
    model: Classifier,
    images: Tensor,
    classes: Classes = PREDICTED,
    *,
    method: str = "gradcam",
    target: str = AUTO,
    precision: str = "fp32",
    engine: Engine | None = None,
) -> Cam:
    """Heat maps of a model in eval mode for a batch of images; nothing of the model is changed.

    ``images``: float B x 3 x H x W in 0..1, or uint8 B x H x W x 3 (an engine: the one it was made for).

    ``classes``: ``"predicted"`` (each image's own), ``"all"``, names or indices for every image alike, or an array of indices, B x K, for
    each image its own.

    ``target``: the explained layer, a dotted name in the backbone whose output is a map or tokens; ``"auto"`` is the backbone's last map,
    and of a vision transformer the first norm of its last block (behind that block only the class token counts, so the gradient by the
    patches is zero). ``precision``: ``fp32``, ``bf16`` or ``auto``, of the backbone; the head and its gradient are always fp32. bf16 keeps
    the sum over channels to a few per cent of its terms, so a map in which they cancel moves by more: fp32 for a map that must stand.
    ``engine``: computes the backbone's last map instead (part ``"maps"`` of ``models.backends``), in its own precision.

    Raises CutisError for a class, method or layer that does not exist, and where the layer leaves one place only.
    """
    return members([model], images, classes, method=method, target=target, precision=precision, engines=[engine])[0]


def members(
    models: Sequence[Classifier],
    images: Tensor,
    classes: Classes = PREDICTED,
    *,
    method: str = "gradcam",
    target: str = AUTO,
    precision: str = "fp32",
    engines: Sequence[Engine | None] | None = None,
) -> list[Cam]:
    """``cam`` for several models and the same images. Models that share a backbone (the same object, pixels scaled alike) run it once,
    in the first one's engine."""
    weigh = cams[method]
    wanted = [_indices(classes, model.classes, len(images)) for model in models]
    found: dict[int, Cam] = {}
    with torch.inference_mode(False):
        for group in _sharing(models):
            name, start, maps = _passed(models[group[0]], images, target, precision, engines[group[0]] if engines else None)
            for i in group:
                found[i] = _explained(models[i], images, name, start, maps, wanted[i], weigh)
    return [found[i] for i in range(len(models))]


def scaled(maps: Tensor) -> Tensor:
    """Each map's positive part to 0..1: x = max(x, 0); (x - min x) / (max (x - min x) + 1e-7), as pytorch-grad-cam does."""
    x = maps.relu()
    x = x - x.amin((-2, -1), keepdim=True)
    return x / (x.amax((-2, -1), keepdim=True) + 1e-7)


def resized(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (B x K x h x w) at the size (H, W) of an image: bilinear, and to 0..1 again, because interpolation can miss the peak."""
    big: NDArray[np.float32] = scaled(F.interpolate(torch.from_numpy(maps), size, mode="bilinear", align_corners=False)).numpy()
    return big


def _passed(model: Classifier, images: Tensor, target: str, precision: str, engine: Engine | None) -> tuple[str | None, Tensor, Tensor]:
    """The explained layer's name (none: the last map), its output, where the graph starts, and the backbone's last map; both fp32."""
    if model.training:
        raise CutisError("Heat maps need a model in evaluation mode: call model.eval() first.")
    name = inner_target(model.backbone) if target == AUTO else target
    passage, precise = Passage(model, "maps"), autocast(images.device, resolved(precision, images.device))
    if name is None:
        with torch.no_grad(), precise:
            maps = passage(images) if engine is None else torch.from_numpy(engine(images)).to(images.device)
        start = maps.detach().float().requires_grad_()
        return None, start, start
    if engine is not None:
        raise CutisError(f"An engine gives the backbone's last map, but the layer {name} lies further inside: leave the engine out.")
    starts: list[Tensor] = []

    def begin(module: nn.Module, arguments: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise CutisError(f"The layer {name} gives a {type(output).__name__}, not one map; choose another.")
        starts.append(output.detach().float().requires_grad_())
        torch.set_grad_enabled(True)  # the no_grad around the pass ends it
        return starts[-1].to(output.dtype, copy=True)  # a copy, because the next layer may work in place

    with torch.no_grad(), precise, _layer(model.backbone, name).register_forward_hook(begin):
        maps = passage(images).float()
    if not starts:
        raise CutisError(f"The layer {name} does not lie between the pixels and the features; choose another.")
    return name, starts[-1], maps


def _explained(
    model: Classifier, images: Tensor, layer: str | None, start: Tensor, maps: Tensor, wanted: NDArray[np.int64] | None, weigh: Method
) -> Cam:
    """The maps of one model for the layer where the graph starts; the graph is kept for the next model."""
    pixels = images.permute(0, 3, 1, 2).float() / 255 if images.dtype == torch.uint8 else images

    def planes(x: Tensor) -> Tensor:
        return _planes(x.detach(), model.backbone, pixels.shape[2:], is_map=layer is None)

    activations = planes(start)
    if activations.shape[2:].numel() == 1:
        raise CutisError(
            "The explained layer leaves one place (1 x 1) of the whole image, so there is nothing to map. "
            "Take larger images, or name an earlier layer as the target."
        )
    with torch.enable_grad():
        logits = model.from_maps(maps)
    chosen = logits.argmax(1, keepdim=True) if wanted is None else torch.from_numpy(wanted).to(logits.device).expand(len(logits), -1)
    raw = weigh(Evidence(model, pixels, activations, chosen, logits, start, planes, layer))
    return Cam(*(x.detach().cpu().numpy() for x in (scaled(raw), raw, logits, chosen)))


def _planes(x: Tensor, backbone: nn.Module, size: Sequence[int], *, is_map: bool) -> Tensor:
    """A layer's output as B x C x h x w: tokens lose their prefix and take the shape of the image, channels come second."""
    if x.ndim == 4:
        return x.permute(0, 3, 1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" and not is_map else x
    if x.ndim == 3:
        x = x[:, getattr(backbone, "num_prefix_tokens", 0) :]
        h = round((x.shape[1] * size[0] / size[1]) ** 0.5)
        if h and x.shape[1] % h == 0:
            return x.transpose(1, 2).reshape(len(x), -1, h, x.shape[1] // h)
    raise CutisError(f"The explained layer gives {tuple(x.shape)}, neither a map nor a grid of tokens; name another one as the target.")


def inner_target(backbone: nn.Module) -> str | None:
    """The layer that ``auto`` explains where the last map will not do: a vision transformer's last attention reads this one."""
    blocks = getattr(backbone, "blocks", None)
    if hasattr(backbone, "num_prefix_tokens") and isinstance(blocks, nn.Sequential | nn.ModuleList) and hasattr(blocks[-1], "norm1"):
        return f"blocks.{len(blocks) - 1}.norm1"
    return None


def _layer(backbone: nn.Module, name: str) -> nn.Module:
    layers: dict[str, nn.Module] = {path: module for path, module in backbone.named_modules() if path}
    if name not in layers:
        raise CutisError(unknown("layer", name, layers))
    return layers[name]


def _sharing(models: Sequence[Classifier]) -> list[list[int]]:
    """Positions of the models, together where one pass serves them."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, model in enumerate(models):
        groups.setdefault((id(model.backbone), *model.mean.flatten().tolist(), *model.std.flatten().tolist()), []).append(i)
    return list(groups.values())


def _indices(classes: Classes, names: Sequence[str], images: int) -> NDArray[np.int64] | None:
    """Class indices, 1 x K or B x K; None: each image's predicted class."""
    if isinstance(classes, str):
        if classes == PREDICTED:
            return None
        classes = range(len(names)) if classes == ALL else [classes]
    if missing := [c for c in classes if isinstance(c, str) and c not in names]:
        raise CutisError(unknown("class", missing[0], names))
    wanted = np.atleast_2d(np.array([names.index(c) if isinstance(c, str) else c for c in classes], np.int64))
    if outside := wanted[(wanted < 0) | (wanted >= len(names))].tolist():
        raise CutisError(f"There is no class {outside[0]}: the model has the classes 0 to {len(names) - 1} ({', '.join(names)}).")
    if wanted.ndim != 2 or len(wanted) not in (1, images):
        raise CutisError(
            f"Classes of shape {wanted.shape} do not fit {images} images: give K classes for all, or an array of {images} x K."
        )
    return wanted

"""Backbones: any timm model by name, and the few of our own, without their classifier."""

import difflib
import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn

from cutis.errors import CutisError
from cutis.registry import Registry, unknown

Module = TypeVar("Module", bound=nn.Module)

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

FETCHED = {"checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "cache_dir"}
"""Options by which timm would read further files, and among them a pickle: a recipe or bundle from elsewhere must not name them."""

backbones: Registry[Callable[..., nn.Module]] = Registry("backbone", "cutis.models.backbones")
"""Our own backbones; they offer what timm's do: forward_features, forward_head, num_features, group_matcher, pretrained_cfg."""


def is_known(name: str) -> bool:
    """Whether a backbone of that name can be built."""
    return name in backbones or timm.is_model(name)


def create(name: str, options: dict[str, Any]) -> nn.Module:
    """The backbone with random weights and no classifier, at its own input size (``fit_to`` changes that).

    Raises CutisError naming near names where it is unknown, or the option it does not take.
    """
    if not is_known(name):
        raise CutisError(unknown("backbone", name, near(name)))
    if fetched := sorted(FETCHED & options.keys()):
        raise CutisError(f"The option {fetched[0]} of a backbone would read another file: weights come from model.weights. Leave it out.")
    try:
        if name in backbones:
            return backbones[name](**options)
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except (TypeError, AssertionError, RuntimeError) as error:  # RuntimeError: a tag that timm does not know
        what = f" with model.options={options}" if options else ""
        raise CutisError(f"The backbone {name} cannot be made{what}: {error}") from error
    return model


def fit_to(model: nn.Module, size: tuple[int, int]) -> None:
    """Make a backbone of fixed input size (a vision transformer) take images of this size, its position table resampled."""
    cfg = getattr(model, "pretrained_cfg", {})
    if cfg.get("fixed_input_size") and tuple(cfg["input_size"][1:]) != tuple(size):
        resize = getattr(model, "set_input_size", None)
        if resize is None:
            raise CutisError(
                f"The backbone {cfg.get('architecture')} takes only images of {cfg['input_size'][1:]} pixels; set images.size to that."
            )
        parameters = inspect.signature(resize).parameters
        resize(**{"img_size": tuple(size)} if "img_size" in parameters else {"input_size": tuple(size)})


def near(name: str) -> list[str]:
    """Names worth suggesting: our own, and the timm names most like this one."""
    return [*backbones, *difflib.get_close_matches(name, timm.list_models(), n=8, cutoff=0.5)]


def blocks(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters in blocks from the input to the output, as timm groups them: residual blocks of a CNN, layers of a transformer.

    What timm counts apart but is only a norm (VGG's batch norms, ConvNeXt's last) belongs to the block before it.
    """
    groups = group_parameters(model, model.group_matcher(coarse=False), return_values=True)  # type: ignore[operator]
    found: list[list[nn.Parameter]] = []
    for _, parameters in sorted(groups.items()):
        if found and all(p.ndim <= 1 for p in parameters):
            found[-1] += parameters
        else:
            found.append(parameters)
    return found


@backbones.register("plain_cnn")
def plain_cnn(channels: tuple[int, ...] = (16, 32, 64), batchnorm: bool = False) -> nn.Module:
    """The plain CNN of the ISIC 2019 study: 3x3 convolution, ReLU and 2x2 max pooling, once for each number of channels."""
    return PlainCNN(tuple(channels), batchnorm)


class PlainCNN(nn.Module):
    """(3x3 'same' convolution [, batch norm], ReLU, 2x2 max pooling) x len(channels)."""

    def __init__(self, channels: tuple[int, ...], batchnorm: bool) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, after in zip((3, *channels), channels, strict=False):
            norm = [nn.BatchNorm2d(after)] if batchnorm else []
            stages.append(nn.Sequential(nn.Conv2d(before, after, 3, padding=1), *norm, nn.ReLU(), nn.MaxPool2d(2)))
        self.stages = nn.Sequential(*stages)
        self.num_features = channels[-1]
        self.pretrained_cfg = {"architecture": "plain_cnn", **IMAGENET}

    def forward_features(self, x: Tensor) -> Tensor:
        """B x 3 x H x W to B x C x H/2^k x W/2^k."""
        maps: Tensor = self.stages(x)
        return maps

    def forward_head(self, x: Tensor, pre_logits: bool = True) -> Tensor:
        """Global average pooling."""
        return x.mean((2, 3))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How timm groups the parameters: one block a stage."""
        return {"stem": r"^$", "blocks": r"^stages\.(\d+)"}


def ghost(model: Module) -> Module:
    """A copy in eval mode without numbers (on the meta device): it tells shapes, and costs neither memory nor time."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(b): b.to("meta") for b in model.buffers()}
    return deepcopy(model, memo).eval()


def feature_shape(model: nn.Module, size: tuple[int, int]) -> tuple[int, ...]:
    """Shape of ``forward_features`` for one image of this size. Raises CutisError where the backbone cannot take it."""
    try:
        with torch.no_grad():
            out = ghost(model).forward_features(torch.empty(1, 3, *size, device="meta"))  # type: ignore[operator]
    except (RuntimeError, AssertionError) as error:
        name = getattr(model, "pretrained_cfg", {}).get("architecture", type(model).__name__)
        raise CutisError(f"The backbone {name} cannot take images of {size[0]} x {size[1]} pixels: {error}") from error
    return tuple(out.shape[1:])


def pooled_shape(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the backbone's own pooling of features of this shape."""
    with torch.no_grad():
        out = ghost(model).forward_head(torch.empty(1, *shape, device="meta"), pre_logits=True)  # type: ignore[operator]
    return tuple(out.shape[1:])


def unused(model: nn.Module, size: tuple[int, int]) -> list[str]:
    """Names of the direct children with parameters that ``forward_features`` does not use, such as VGG's 120 million dense weights."""
    shadow = ghost(model)
    called: set[nn.Module] = set()
    for module in shadow.modules():
        module.register_forward_hook(lambda m, *_: called.add(m))
    with torch.no_grad():
        shadow.forward_features(torch.empty(1, 3, *size, device="meta"))  # type: ignore[operator]
    return [n for n, child in shadow.named_children() if not called.intersection(child.modules()) and [*child.parameters()]]

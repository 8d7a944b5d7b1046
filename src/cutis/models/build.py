"""The network of a recipe: pixel scaling, backbone, head; made, saved as safetensors, loaded again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cutis import recipe as recipes
from cutis.errors import ArtifactError
from cutis.files import replacing
from cutis.models import backbones, heads, weights

FORMAT = "cutis-model-1"


class Classifier(nn.Module):
    """Images (B x 3 x H x W, float, 0..1) to logits (B x C).

    ``features`` is everything whose output stays the same while the backbone is frozen; ``head`` is what trains on it.
    """

    def __init__(self, backbone: nn.Module, spec: recipes.Model, size: tuple[int, int], classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.backbone = backbone
        words = list(spec.head)
        self.own_pooling = words[:1] == ["pool"]
        shape = backbones.feature_shape(backbone, size)
        if self.own_pooling:
            shape, words = _pooled_shape(backbone, shape), words[1:]
        else:
            _drop_unused(backbone, size)
        self.channels_last_map = not self.own_pooling and getattr(backbone, "output_fmt", "NCHW") == "NHWC"
        if self.channels_last_map:
            shape = (shape[-1], *shape[:-1])
        self.neck, self.head = heads.build(words, shape, len(self.classes))
        cfg = getattr(backbone, "pretrained_cfg", {})
        own = spec.scaling == "backbone"
        self.register_buffer("mean", torch.tensor(cfg["mean"] if own else (0.0,) * 3).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"] if own else (1.0,) * 3).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def features(self, images: Tensor) -> Tensor:
        """B x 3 x H x W in 0..1 to what the head takes: B x F, or B x C x h x w."""
        x = (images - self.mean) / self.std
        x = self.backbone.forward_features(x)  # type: ignore[operator]
        if self.own_pooling:
            x = self.backbone.forward_head(x, pre_logits=True)  # type: ignore[operator]
        elif self.channels_last_map:
            x = x.permute(0, 3, 1, 2)
        out: Tensor = self.neck(x)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Logits, B x C."""
        logits: Tensor = self.head(self.features(images))
        return logits


def build(spec: recipes.Recipe, classes: Sequence[str], *, size: tuple[int, int] | None = None) -> tuple[Classifier, weights.Source]:
    """The network of a recipe for these classes, with its starting weights and where they came from.

    The caller seeds torch: a head's random start is drawn here. Raises ValueError (CutisError) with what to do.
    """
    size = size or spec.images.size
    backbone = backbones.create(spec.model.backbone, spec.model.options)
    source = weights.load(backbone, spec.model.backbone, spec.model.weights)
    backbones.fit_to(backbone, size)
    return Classifier(backbone, spec.model, size, classes), source


def save(model: Classifier, path: Path, spec: recipes.Recipe) -> None:
    """Write the weights with classes and recipe in the file's metadata; whole or not at all."""
    about = {"format": FORMAT, "classes": json.dumps(model.classes), "recipe": spec.model_dump_json()}
    with replacing(path) as aside:
        save_file({k: v.detach().contiguous().cpu() for k, v in model.state_dict().items()}, aside, metadata=about)


def load(path: Path) -> tuple[Classifier, recipes.Recipe]:
    """The network that ``save`` wrote, in eval mode, with its recipe. Raises ArtifactError where the file is absent or damaged."""
    if not path.is_file():
        raise ArtifactError(f"There is no model at {path}. The run is unfinished: go on with --resume.")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} is damaged or no safetensors file ({error}). Train again, or restore the file.") from error
    if about.get("format") != FORMAT:
        raise ArtifactError(f"{path} was not written by this version of Cutis (format {about.get('format')!r}, expected {FORMAT!r}).")
    spec = recipes.validated(json.loads(about["recipe"]))
    blank = spec.changed(**{"model.weights": "none"})
    model, _ = build(blank, json.loads(about["classes"]))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(f"{path} does not fit its own recipe: {error}") from error
    return model.eval(), spec


def placed(model: Classifier, device: torch.device) -> Classifier:
    """The model on a device, channels last in memory, which convolutions read faster."""
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def trainable(model: Classifier, which: str) -> list[nn.Parameter]:
    """Let only these parameters train (``head``, ``all`` or ``last:K``) and return them; the rest is frozen."""
    for p in model.parameters():
        p.requires_grad_(False)
    chosen = list(model.head.parameters())
    if which == "all":
        chosen += list(model.backbone.parameters())
    elif which.startswith("last:"):
        groups, k = backbones.blocks(model.backbone), int(which.removeprefix("last:"))
        if k > len(groups):
            raise ValueError(f"train={which}: {type(model.backbone).__name__} has {len(groups)} blocks.")
        chosen += [p for group in groups[-k:] for p in group]
    for p in chosen:
        p.requires_grad_(True)
    return chosen


def train_mode(model: Classifier) -> None:
    """Training mode where something trains; a frozen batch norm keeps its statistics, as a frozen layer must."""
    model.train()
    for module in model.backbone.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()
    if not any(p.requires_grad for p in model.backbone.parameters()):
        model.backbone.eval()  # modules without parameters too: dropout, stochastic depth


def _pooled_shape(backbone: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    from copy import deepcopy

    ghost = deepcopy(backbone).to("meta").eval()
    with torch.no_grad():
        return tuple(ghost.forward_head(torch.empty(1, *shape, device="meta"), pre_logits=True).shape[1:])  # type: ignore[operator]


def _drop_unused(backbone: nn.Module, size: tuple[int, int]) -> None:
    """Remove what only the backbone's own pooling and classifier would use, such as VGG's 120 million dense weights."""
    from copy import deepcopy

    ghost = deepcopy(backbone).to("meta").eval()
    called: set[nn.Module] = set()
    hooks = [m.register_forward_hook(lambda m, *_: called.add(m)) for m in ghost.modules()]
    with torch.no_grad():
        ghost.forward_features(torch.empty(1, 3, *size, device="meta"))  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    for name, child in ghost.named_children():
        if not called.intersection(child.modules()) and next(child.parameters(), None) is not None:
            setattr(backbone, name, nn.Identity())

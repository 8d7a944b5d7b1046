"""The network of a recipe: pixel scaling, backbone, head; made, saved as safetensors, loaded again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cutis import recipe as recipes
from cutis.errors import ArtifactError, CutisError
from cutis.files import replacing
from cutis.models import backbones, heads, weights

FORMAT = "cutis-model-1"


class Classifier(nn.Module):
    """Images (B x 3 x H x W, float, 0..1) to logits (B x C).

    ``features`` is everything whose output stays the same while the backbone is frozen; ``head`` is what trains on it. At images of
    ``size`` (height, width) an image's features have ``feature_shape``: (F,) or (C, h, w).
    """

    def __init__(self, backbone: nn.Module, spec: recipes.Model, size: tuple[int, int], classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.backbone = backbone
        words = list(spec.head)
        self.own_pooling = words[:1] == ["pool"]
        shape = backbones.feature_shape(backbone, size)
        if self.own_pooling:
            shape, words = backbones.pooled_shape(backbone, shape), words[1:]
        else:
            for name in backbones.unused(backbone, size):
                setattr(backbone, name, nn.Identity())
        self.channels_last_map = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
        if self.channels_last_map and not self.own_pooling:
            shape = (shape[-1], *shape[:-1])
        self.neck, self.head = heads.build(words, shape, len(self.classes))
        self.size, self.feature_shape = size, tuple(self.neck(torch.empty(1, *shape, device="meta")).shape[1:])
        cfg = getattr(backbone, "pretrained_cfg", {})
        own = spec.scaling == "backbone"
        self.register_buffer("mean", torch.tensor(cfg["mean"] if own else (0.0,) * 3).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"] if own else (1.0,) * 3).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor
    feature_shape: tuple[int, ...]

    def maps(self, images: Tensor) -> Tensor:
        """B x 3 x H x W in 0..1 to the backbone's last map, B x C x h x w; a transformer's tokens, B x N x C, stay as they are."""
        x = self.backbone.forward_features((images - self.mean) / self.std)  # type: ignore[operator]
        out: Tensor = x.permute(0, 3, 1, 2) if self.channels_last_map else x
        return out

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps to what the head takes: B x F, or B x C x h x w."""
        x = maps
        if self.own_pooling:
            if self.channels_last_map:
                x = x.permute(0, 2, 3, 1)
            x = self.backbone.forward_head(x, pre_logits=True)  # type: ignore[operator]
        out: Tensor = self.neck(x)
        return out

    def from_maps(self, maps: Tensor) -> Tensor:
        """Maps to logits, B x C."""
        logits: Tensor = self.head(self.pooled(maps))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """B x 3 x H x W in 0..1 to what the head takes: B x F, or B x C x h x w."""
        return self.pooled(self.maps(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, B x C."""
        logits: Tensor = self.head(self.features(images))
        return logits


def build(spec: recipes.Recipe, classes: Sequence[str]) -> tuple[Classifier, weights.Source]:
    """The network of a recipe for these classes, with its starting weights and where they came from.

    The caller seeds torch: a head's random start is drawn here. Raises CutisError with what to do, also where the recipe uses several
    image sizes and the network takes only one.
    """
    backbone = backbones.create(spec.model.backbone, spec.model.options)
    source = weights.load(backbone, spec.model.backbone, spec.model.weights)
    backbones.fit_to(backbone, spec.predict_size)
    model = Classifier(backbone, spec.model, spec.predict_size, classes)
    for size in ({(side, side) for side in spec.train.size} or {spec.images.size}) - {spec.predict_size}:
        try:
            backbones.ghost(model)(torch.empty(1, 3, *size, device="meta"))
        except (RuntimeError, AssertionError) as error:
            raise CutisError(
                f"The backbone {spec.model.backbone} with the head {list(spec.model.head)} takes images of one size, but the recipe trains "
                f"at {size[0]} x {size[1]} and predicts at {spec.predict_size[0]} x {spec.predict_size[1]}. Make train.size and "
                "predict.size the same."
            ) from error
    return model, source


def save(model: Classifier, path: Path, spec: recipes.Recipe) -> None:
    """Write the weights with classes and recipe in the file's metadata; whole or not at all."""
    # one entry, because safetensors writes several in any order and the same run must give the same bytes
    about = {FORMAT: json.dumps({"classes": model.classes, "recipe": spec.model_dump(mode="json")})}
    with replacing(path) as aside:
        save_file({k: v.detach().contiguous().cpu() for k, v in model.state_dict().items()}, aside, metadata=about)


def load(path: Path) -> tuple[Classifier, recipes.Recipe]:
    """The network that ``save`` wrote, in eval mode, with its recipe. Raises ArtifactError where the file is absent or damaged."""
    if not path.is_file():
        raise ArtifactError(f"There is no model at {path}. The run is unfinished: go on with --resume.")
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} is damaged or no safetensors file ({error}). Train again, or restore the file.") from error
    if FORMAT not in told:
        raise ArtifactError(f"{path} was not written by this version of Cutis (it holds {', '.join(told) or 'nothing'}, not {FORMAT}).")
    try:
        about = json.loads(told[FORMAT])
        spec = recipes.validated(about["recipe"])
        model, _ = build(untrained(spec), about["classes"])
        model.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path} does not fit its own recipe: {error}") from error
    return model.eval(), spec


def untrained(spec: recipes.Recipe) -> recipes.Recipe:
    """The recipe as it takes to make a network whose weights are at hand: none to fetch, no further sizes to try."""
    return spec.changed(**{"model.weights": "none", "train.size": ()})


def placed(model: Classifier, device: torch.device) -> Classifier:
    """The model on a device, channels last in memory, which convolutions read faster."""
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def trainable(model: Classifier, which: str) -> list[nn.Parameter]:
    """Let only these parameters train (``head``, ``all`` or ``last:K``) and return them; the rest is frozen.

    Raises CutisError where the backbone has fewer than K blocks.
    """
    for p in model.parameters():
        p.requires_grad_(False)
    chosen = list(model.head.parameters())
    if which == "all":
        chosen += list(model.backbone.parameters())
    elif which.startswith("last:"):
        groups, k = backbones.blocks(model.backbone), int(which.removeprefix("last:"))
        if k > len(groups):
            raise CutisError(f"stages.train={which}: {type(model.backbone).__name__} has only {len(groups)} blocks; ask for fewer, or all.")
        chosen += [p for group in groups[-k:] for p in group]
    for p in chosen:
        p.requires_grad_(True)
    return chosen


def train_mode(model: Classifier) -> None:
    """Training mode where something trains; what is frozen keeps its batch statistics and drops nothing."""
    model.train()
    for module in model.backbone.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()

"""Pretrained weights: found in a local folder, else fetched from the hub through timm; never replaced by random ones in silence."""

import os
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cutis.errors import ArtifactError
from cutis.files import replacing, sha256

FOLDER = "CUTIS_WEIGHTS"


@dataclass(frozen=True)
class Source:
    """Where a backbone's weights came from."""

    name: str
    sha256: str = ""
    licence: str = ""

    def __str__(self) -> str:
        return self.name


def folder() -> Path:
    """The local folder: ``CUTIS_WEIGHTS``, else ``~/.cache/cutis/weights``."""
    return Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "cutis" / "weights")


def find(name: str) -> Path | None:
    """The local file for a backbone: its own name first, then the name without a tag, which stands for any tag."""
    candidates = [folder() / f"{name}.safetensors", folder() / f"{name.split('.')[0]}.safetensors"]
    return next((path for path in candidates if path.is_file()), None)


def load(model: nn.Module, name: str, wanted: str) -> Source:
    """Fill a backbone with the weights a recipe asks for: ``pretrained``, ``none`` or a file. Raises ArtifactError with what to do."""
    if wanted == "none":
        return Source("none: trained from scratch")
    path = find(name) if wanted == "pretrained" else Path(wanted)
    if path is None:
        _fill(model, _from_hub(name).state_dict(), f"timm/{name} from the hub")
        return Source(f"Hugging Face hub: timm/{name}", licence=licence(name))
    if not path.is_file():
        raise ArtifactError(f"There is no weights file {path}. Correct model.weights, or set it to 'pretrained' or 'none'.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as safetensors ({error}). Only safetensors files are read; fetch it again.") from error
    _fill(model, state, str(path))
    return Source(path.name, sha256(path), licence(name))


def get(name: str) -> Path:
    """Fetch a backbone's weights from the hub into the local folder; the file. Raises ArtifactError where it cannot be reached."""
    model = _from_hub(name)
    path = folder() / f"{name}.safetensors"
    with replacing(path) as aside:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, aside, metadata={"timm": name, "licence": licence(name)})
    return path


def licence(name: str) -> str:
    """The licence timm states for a model's weights; empty where it states none."""
    cfg = timm.get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name) else None
    return str(getattr(cfg, "license", None) or "")


def _from_hub(name: str) -> nn.Module:
    """timm's model with its published weights. Raises ArtifactError where there are none, or the hub cannot be reached."""
    if not timm.is_model(name) or not getattr(timm.get_pretrained_cfg(name), "has_weights", False):
        raise ArtifactError(f"Nobody has published weights for {name}. Train it from scratch (--set model.weights=none), or give a file.")
    try:
        model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises a dozen unrelated classes
        raise ArtifactError(
            f"Weights for {name} are neither in {folder()} nor reachable on the hub ({type(error).__name__}). Put {name}.safetensors into "
            f"a folder and set {FOLDER} to it, or run 'cutis weights get {name}' where there is a network, or train from scratch "
            "(--set model.weights=none)."
        ) from error
    return model


def _fill(model: nn.Module, state: dict[str, torch.Tensor], path: str) -> None:
    own = model.state_dict()
    wrong = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    shapes = [k for k in own if k in state and state[k].shape != own[k].shape]
    if wrong or shapes:
        what = (
            f"it lacks {wrong[0]} ({len(wrong)} in all)"
            if wrong
            else f"{shapes[0]} is {tuple(state[shapes[0]].shape)}, not {tuple(own[shapes[0]].shape)}"
        )
        raise ArtifactError(f"{path} does not fit the backbone: {what}. Give the file of the same architecture.")
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items() if k in own}, strict=False)

"""What a prediction backend is given and what it gives: a job becomes an engine, which turns batches of pixels into arrays."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.models.build import Classifier
from cutis.registry import Registry

PARTS: Final = ("maps", "features", "logits")
Answers = NDArray[np.float32]


class Passage(nn.Module):
    """A network up to one of its parts, as one module from pixels to an array.

    Takes uint8 B x H x W x 3 (0..255, RGB) or float B x 3 x H x W (0..1). ``part``: ``maps`` (the backbone's last map, B x C x h x w),
    ``features`` (what the head takes) or ``logits`` (B x C).
    """

    def __init__(self, model: Classifier, part: str) -> None:
        super().__init__()
        assert part in PARTS, part
        self.model, self.part = model, part

    def forward(self, pixels: Tensor) -> Tensor:
        """The part, as a float tensor."""
        images = pixels.permute(0, 3, 1, 2).float() / 255 if pixels.dtype == torch.uint8 else pixels
        if self.part == "maps":
            return self.model.maps(images)
        return self.model.features(images) if self.part == "features" else self.model.forward(images)


class Engine(Protocol):
    """A passage, ready to run."""

    backend: str
    precision: str

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Answers]:
        """One float32 array for each batch, in their order; batches of any size. Several may be at work at once."""

    def __call__(self, batch: Tensor) -> Answers:
        """The array of one batch."""


class Converted(Engine, Protocol):
    """An engine that computes from a file of another format."""

    folder: Path
    """Where its files are, and nothing else but their sums."""


@dataclass(frozen=True)
class Job:
    """What an engine is made for."""

    model: Classifier
    part: str
    size: tuple[int, int]
    precision: str
    dtype: torch.dtype
    device: torch.device
    calibration: Tensor | None = None

    @property
    def passage(self) -> Passage:
        """The network in eval mode, where it is."""
        return Passage(self.model, self.part).eval()

    @property
    def portable(self) -> Passage:
        """The network in eval mode on the CPU, for a converter."""
        at_home = all(p.device.type == "cpu" for p in self.model.parameters())
        return self.passage if at_home else deepcopy(self.passage).cpu()

    def example(self, count: int = 2) -> Tensor:
        """Black pictures of the shape and type that the engine takes."""
        shape = (count, *self.size, 3) if self.dtype == torch.uint8 else (count, 3, *self.size)
        return torch.zeros(shape, dtype=self.dtype)

    def key(self, *how: str) -> str:
        """Hash of all that decides a conversion: structure and weights, part, pixels, and ``how`` (format, versions)."""
        about = [*how, self.part, *self.size, self.dtype, fingerprint(self.model, self.part)]
        return hashlib.sha256(" ".join(map(str, about)).encode()).hexdigest()[:32]


backends: Registry[Callable[[Job], Engine]] = Registry("prediction backend", "cutis.models.backends")
"""A backend is a function that makes the engine of a job; it raises CutisError where it cannot, such as a precision it does not have."""


def engine(
    model: Classifier,
    part: str,
    size: tuple[int, int],
    *,
    backend: str,
    precision: str,
    dtype: torch.dtype,
    device: torch.device,
    calibration: Tensor | None = None,
) -> Engine:
    """A ready engine. The model is put into eval mode; conversions are kept in the cache folder and found again.

    ``size``: height and width; ``precision``: fp32, bf16 or int8; ``dtype``: uint8 or float32, the pixels as ``Passage`` takes them;
    ``calibration``: some 100 to 300 images of that type, from which int8 learns the range of each layer. They are not part of
    the conversion's key: the first calibration of these weights is kept, so that all sets of a run are answered alike.
    Raises CutisError for an unknown backend, a precision it has not, a missing package, or a network it cannot convert.
    """
    return backends[backend](Job(model, part, size, precision, dtype, device, calibration))


def structure(model: Classifier) -> str:
    """Short hash of the backbone's layers and what pools its map, whatever the weights and the head."""
    return hashlib.sha256(f"{model.backbone} {model.neck} {model.own_pooling}".encode()).hexdigest()[:12]


def fingerprint(model: Classifier, part: str) -> str:
    """Hash of the layers and weights that decide a part; a head does not change its backbone's features."""
    digest = hashlib.sha256(f"{structure(model)} {model.head if part == 'logits' else ''}".encode())
    for name, tensor in [*model.state_dict().items(), ("mean", model.mean), ("std", model.std)]:
        if part == "logits" or not name.startswith("head."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]

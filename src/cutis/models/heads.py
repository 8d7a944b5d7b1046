"""Heads as data: a list of words such as ("avgpool", "dense:128", "relu", "dropout:0.2") becomes layers with the right shapes."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cutis.errors import CutisError
from cutis.registry import Registry

Shape = tuple[int, ...]  # without the batch: (channels, height, width), (features,), or a transformer's (tokens, features)


@dataclass(frozen=True)
class Layer:
    """A layer and the shape that leaves it.

    ``fixed``: no parameters and no randomness, so that its output can be kept with a frozen backbone's. ``final``: from the number of
    classes to what takes the last dense layer's place; it then is the layer, and the head ends with it."""

    module: nn.Module
    out: Shape
    fixed: bool = False
    final: Callable[[int], nn.Module] | None = None


layers: Registry[Callable[..., Layer]] = Registry("head layer", "cutis.models.heads")


@layers.register("avgpool")
def avgpool(shape: Shape) -> Layer:
    """Global average pooling: mean over height and width."""
    return Layer(GlobalAverage(), (_map(shape, "avgpool")[0],), fixed=True)


@layers.register("flatten")
def flatten(shape: Shape) -> Layer:
    """All values in one row, channels first (Keras flattens channels last: the same layer up to the order of its inputs)."""
    return Layer(nn.Flatten(), (int(torch.Size(shape).numel()),), fixed=True)


@layers.register("dense")
def dense(shape: Shape, units: int) -> Layer:
    """Fully connected, ``units`` outputs."""
    return Layer(nn.Linear(_row(shape, "dense"), units), (units,))


@layers.register("conv")
def conv(shape: Shape, channels: int, kernel: int = 3) -> Layer:
    """Convolution that keeps height and width; ``kernel`` is odd."""
    c, h, w = _map(shape, "conv")
    if kernel % 2 == 0:
        raise CutisError(f"The head layer 'conv' takes an odd kernel, not {kernel}: an even one cannot keep height and width.")
    return Layer(nn.Conv2d(c, channels, kernel, padding=kernel // 2), (channels, h, w))


@layers.register("batchnorm")
def batchnorm(shape: Shape) -> Layer:
    """Batch normalisation, of a map or of a row."""
    return Layer(nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0]), shape)


@layers.register("layernorm")
def layernorm(shape: Shape) -> Layer:
    """Layer normalisation of a row."""
    return Layer(nn.LayerNorm(_row(shape, "layernorm")), shape)


@layers.register("dropout")
def dropout(shape: Shape, rate: float) -> Layer:
    """Sets a share ``rate`` of the values to zero while training."""
    if not 0 <= rate < 1:
        raise CutisError(f"The head layer 'dropout' takes a rate from 0 to below 1, not {rate}.")
    return Layer(nn.Dropout(rate), shape)


@layers.register("relu")
def relu(shape: Shape) -> Layer:
    """max(0, x)."""
    return Layer(nn.ReLU(), shape)


@layers.register("gelu")
def gelu(shape: Shape) -> Layer:
    """Gaussian error linear unit."""
    return Layer(nn.GELU(), shape)


@layers.register("attention")
def attention(shape: Shape, channels: int = 64) -> Layer:
    """Spatial attention: 1x1 convolution to ``channels``, ReLU, 1x1 convolution to one sigmoid gate that multiplies every channel."""
    return Layer(SpatialAttention(_map(shape, "attention")[0], channels), shape)


@layers.register("cosine")
def cosine(shape: Shape, scale: float = 30.0) -> Layer:
    """In place of the last dense layer: logits are ``scale`` times the cosine of the angle between the row and each class's weights."""
    if not scale > 0:
        raise CutisError(f"The head layer 'cosine' takes a scale above 0, often 10 to 64, not {scale}.")
    return Layer(nn.Identity(), shape, final=partial(Cosine, _row(shape, "cosine"), scale=scale))


class Cosine(nn.Module):
    """s cos(w_c, x) for each class c, as the margins of LDAM are published for (Cao et al. 2019; there s = 30)."""

    def __init__(self, units: int, classes: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(F.normalize(torch.randn(classes, units), dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """B x F to B x C."""
        return self.scale * F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class GlobalAverage(nn.Module):
    """Mean over height and width: B x C x H x W to B x C."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return x.mean((2, 3))


class SpatialAttention(nn.Module):
    """Gate in 0..1 for each place of a map, the same for all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        gated: Tensor = x * self.gate(x)
        return gated


def build(words: Sequence[str], shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers for a feature of this shape, as (fixed, trained).

    ``fixed`` holds the leading layers without parameters or randomness; ``trained`` the rest and the last layer with one logit a class,
    dense where no word says otherwise. Raises CutisError naming the word that cannot be used.
    """
    fixed: list[nn.Module] = []
    trained: list[nn.Module] = []
    final: Callable[[int], nn.Module] | None = None
    for word in words:
        if final:
            raise CutisError(
                f"The head layer {word!r} stands after the one that gives the class logits; put that at the end: {list(words)}."
            )
        layer = _layer(word, shape)
        final, shape = layer.final, layer.out
        if not final:
            (fixed if layer.fixed and not trained else trained).append(layer.module)
    if len(shape) != 1:
        raise CutisError(f"The head {list(words)} ends with {_named(shape)}; put {_remedy(shape)} before the end.")
    return nn.Sequential(*fixed), nn.Sequential(*trained, (final or partial(nn.Linear, shape[0]))(classes))


def _layer(word: str, shape: Shape) -> Layer:
    name, *arguments = word.split(":")
    make = layers[name]
    signature = inspect.signature(make, eval_str=True)
    parameters = list(signature.parameters.values())[1:]
    if len(arguments) > len(parameters):
        raise CutisError(f"The head layer {word!r} has too many values; {name} takes {[p.name for p in parameters]}.")
    try:
        values = [p.annotation(a) for p, a in zip(parameters, arguments, strict=False)]
        signature.bind(shape, *values)
        if any(isinstance(value, int) and value < 1 for value in values):
            raise ValueError("a number of units, channels or pixels is at least 1")
    except (TypeError, ValueError) as error:
        usage = ":".join([name, *(p.name.upper() for p in parameters)])
        raise CutisError(f"The head layer {word!r} cannot be used; write it as {usage} ({error}).") from error
    return make(shape, *values)


def _map(shape: Shape, name: str) -> Shape:
    if len(shape) != 3:
        do = "start the head with pool" if len(shape) == 2 else "put it before pooling"
        raise CutisError(f"The head layer {name!r} needs a map (channels, height, width), but gets {_named(shape)}; {do}.")
    return shape


def _row(shape: Shape, name: str) -> int:
    if len(shape) != 1:
        raise CutisError(f"The head layer {name!r} needs a row, but gets {_named(shape)}; put {_remedy(shape)} before it.")
    return shape[0]


def _named(shape: Shape) -> str:
    return {1: f"a row of {shape[0]}", 2: f"the tokens {shape} of a transformer"}.get(len(shape), f"a map {shape}")


def _remedy(shape: Shape) -> str:
    return "pool" if len(shape) == 2 else "avgpool or flatten"

"""Tensors under foreign names, put where they belong in one of our networks: by name, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import torch
from torch import Tensor, nn

from cutis.errors import ArtifactError, CutisError
from cutis.models import backbones
from cutis.models.build import Classifier
from cutis.tabular import Table

COUNTER: Final = "num_batches_tracked"  # counts training steps; no answer depends on it
WRAPPERS: Final = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")

TORCHVISION: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "mobilenetv2_100": ("mobilenet_v2", {}),
    **{f"efficientnet_b{n}": (f"efficientnet_b{n}", {} if n < 5 else {"bn_eps": 1e-3}) for n in range(8)},
    **{f"efficientnetv2_{size}": (f"efficientnet_v2_{size}", {"bn_eps": 1e-3}) for size in "sml"},
}
"""timm's architectures that torchvision has under other names, tensor for tensor in the same order: torchvision's builder, and the options
with which timm's network gives the same answers (a test compares them). ResNet, VGG and DenseNet have the same names in both."""

KERAS: Final = {
    ("kernel", 2): "weight", ("kernel", 4): "weight", ("bias", 1): "bias", ("gamma", 1): "weight", ("beta", 1): "bias",
    ("moving_mean", 1): "running_mean", ("moving_variance", 1): "running_var",
}  # fmt: skip
"""What Keras calls the weights of a layer, and torch's name for it."""
KERAS_BY_NUMBER: Final = {1: ("kernel",), 2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}
"""What the numbered weights of a layer are, by how many it has (.weights.h5): without bias, dense or convolution, batch norm."""
COLUMNS: Final = ("part", "tensors", "found", "first in the file", "first here")
EPSILON: Final = 1e-3 - 1e-5  # what Keras adds to a batch norm's variance more than torch does


@dataclass(frozen=True)
class Matched:
    """All of a network's tensors, and what was found where."""

    state: dict[str, Tensor]
    parts: tuple[tuple[str, int, str, str, str], ...]
    """Part of the network, number of tensors, how they were found, and the first one's name in the file and here."""

    @property
    def table(self) -> Table:
        """What was taken over, for people."""
        rows = [[part, f"{count:,}", how, theirs, ours] for part, count, how, theirs, ours in self.parts]
        return Table("What was taken over", COLUMNS, rows, COLUMNS[2:])


def renamed(file: Mapping[str, Tensor], mapping: Sequence[str]) -> dict[str, Tensor]:
    """Tensors under names whose beginnings are changed as asked (``OLD=NEW``), then freed of what wraps them all (``module.``, ``model.``).

    Raises CutisError where a beginning does not occur, or two tensors would get one name.
    """
    pairs = [rule.partition("=") for rule in mapping]
    for (old, equals, _), rule in zip(pairs, mapping, strict=True):
        if not equals or not any(name.startswith(old) for name in file):
            raise CutisError(f"--map takes OLD=NEW, the beginning of names in the file and what to put there; {rule!r} fits none of them.")
    out: dict[str, Tensor] = {}
    for name, value in file.items():
        old, new = next(((old, new) for old, _, new in pairs if name.startswith(old)), ("", ""))
        if (changed := new + name.removeprefix(old)) in out:
            raise CutisError(f"--map gives two tensors the name {changed}. Map each beginning to another one.")
        out[changed] = value
    while wrapper := next((w for w in WRAPPERS if out and all(name.startswith(w) for name in out)), None):
        out = {name.removeprefix(wrapper): value for name, value in out.items()}
    return out


def options(backbone: str, file: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options with which our backbone is the one that torchvision saved; none where the file's names are not torchvision's."""
    builder, needed = TORCHVISION.get(backbone.split(".")[0], ("", {}))
    return needed if builder and set(_torchvision_names(builder)[:1]) & set(file) else {}


def matched(model: Classifier, backbone: str, file: Mapping[str, Tensor]) -> Matched:
    """Every tensor of a network from a file that holds the same network, its head last. Raises ArtifactError where one is left over.

    ``backbone`` is the timm name; the file's names are timm's, torchvision's where ``TORCHVISION`` has it, and of the head any, in order.
    """
    own: dict[str, Tensor] = model.backbone.state_dict()
    names, how = _naming(own, backbone, file)
    state, theirs = dict(own), set(names.values())
    _check({ours: (name, file[name], own[ours]) for ours, name in names.items()})
    state |= {ours: file[name] for ours, name in names.items()}
    rest = {name: value for name, value in file.items() if name not in theirs and not name.endswith(COUNTER)}
    head, part = _head(model, rest)
    first = next(iter(names))
    return Matched(
        {f"backbone.{k}": v for k, v in state.items()} | {f"head.{k}": v for k, v in head.items()},
        (("backbone", len(names), how, names[first], first), part),
    )


def keras_head(model: Classifier, file: Mapping[str, Tensor], flattened: tuple[int, ...] | None) -> Matched:
    """The head of a network from the dense and batch norm layers of a Keras file, turned as torch has them; the backbone as it is.

    ``flattened`` is the map (C, h, w) that a head beginning with ``flatten`` takes: Keras flattens it channels last.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in file.items():
        layer, _, weight = name.partition("/")
        layers.setdefault(layer, {})[weight] = value
    found: dict[str, Tensor] = {}
    for layer, weights in layers.items():
        if not all(key.isdigit() for key in weights):
            named = weights
        elif len(weights) in KERAS_BY_NUMBER:
            named = dict(zip(KERAS_BY_NUMBER[len(weights)], weights.values(), strict=True))
        else:
            raise ArtifactError(f"The Keras layer {layer} has {len(weights)} weights: neither dense nor batch norm. Only heads are read.")
        for key, value in named.items():
            if (ours := KERAS.get((key, value.ndim))) is None or value.ndim == 4:
                raise ArtifactError(
                    f"The Keras layer {layer} has {key} of shape {tuple(value.shape)}: neither dense nor batch norm. Only heads are read: "
                    "save the head alone, or build the whole network in Keras and train it anew with Cutis."
                )
            found[f"{layer}.{ours}"] = value.T if value.ndim == 2 else value + EPSILON if ours == "running_var" else value
    if flattened and (first := next((name for name, value in found.items() if value.ndim == 2), None)):
        channels, height, width = flattened
        if found[first].shape[1] == channels * height * width:
            found[first] = found[first].unflatten(1, (height, width, channels)).permute(0, 3, 1, 2).flatten(1)
    head, part = _head(model, found)
    own = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    return Matched(own | {f"head.{k}": v for k, v in head.items()}, (part,))


def _naming(own: Mapping[str, Tensor], backbone: str, file: Mapping[str, Tensor]) -> tuple[dict[str, str], str]:
    """The file's name for each tensor of the backbone, and whose names they are."""
    same = {name: name for name in own if name in file}
    if _complete(same, own):
        return same, "by the same names"
    architecture = backbone.split(".")[0]
    if architecture in TORCHVISION:
        theirs = _torchvision_names(TORCHVISION[architecture][0])
        pairs = {ours: name for ours, name in zip(own, theirs, strict=True) if name in file}
        if _complete(pairs, own):
            return pairs, "by torchvision's names"
    wanted = [name for name in own if not name.endswith(COUNTER)]
    absent = [name for name in wanted if name not in file]
    raise ArtifactError(
        f"The file does not fit the backbone {backbone}: {len(absent)} of its {len(wanted)} tensors are absent, the first {absent[0]}; the "
        f"file begins with {', '.join(list(file)[:3])}. Name the backbone that it was saved from, or say how names begin there: "
        "--map OLD=NEW"
    )


def _complete(names: Mapping[str, str], own: Mapping[str, Tensor]) -> bool:
    return all(name in names or name.endswith(COUNTER) for name in own)


def _torchvision_names(builder: str) -> list[str]:
    """torchvision's names of a network's tensors, in order, without its classifier's."""
    from torchvision import models

    with torch.device("meta"):
        network: nn.Module = models.get_model(builder, weights=None)
    return [name for name in network.state_dict() if not name.startswith("classifier.")]


def _head(model: Classifier, rest: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, int, str, str, str]]:
    """The head's tensors from what the file has besides the backbone, in its order. Raises ArtifactError where anything is left over."""
    own = model.head.state_dict()
    wanted = [name for name in own if not name.endswith(COUNTER)]
    last = [value for name, value in rest.items() if value.ndim == 2][-1:]
    if last and len(last[0]) != len(model.classes):
        raise ArtifactError(
            f"The file's last layer has {len(last[0])} outputs, and {len(model.classes)} classes are named "
            f"({', '.join(model.classes)}). Name all {len(last[0])} after --classes, in the order of the outputs, with commas between them."
        )
    pairs = list(zip_longest(wanted, rest))
    if any(not a or not b or a.split(".")[-1] != b.split(".")[-1] or own[a].shape != rest[b].shape for a, b in pairs):
        lines = [f"{_told(a, own)} <- {_told(b, rest)}" for a, b in pairs[:8]]
        raise ArtifactError(
            "The head does not fit. Here <- in the file: " + "; ".join(lines) + ("; ..." if len(pairs) > 8 else "") + ". Describe the "
            "file's head: --head pool,dense:128,relu (the last dense layer is added), or leave out what is none with --map"
        )
    _check({ours: (name, rest[name], own[ours]) for ours, name in pairs})
    state = dict(own) | {ours: rest[name] for ours, name in pairs}
    return state, ("head", len(pairs), "in order, by shape", pairs[0][1], pairs[0][0])


def _check(found: Mapping[str, tuple[str, Tensor, Tensor]]) -> None:
    """Raise ArtifactError where a tensor has another shape than ours, or holds what is no number."""
    wrong = [
        f"{name} is {tuple(value.shape)}, not {tuple(ours.shape)}" for name, value, ours in found.values() if value.shape != ours.shape
    ]
    if wrong:
        raise ArtifactError(f"The file is of another network: {wrong[0]} ({len(wrong)} of {len(found)} tensors). Name its own backbone.")
    if lost := next((name for name, value, _ in found.values() if not value.isfinite().all()), None):
        raise ArtifactError(f"{lost} holds values that are no numbers (NaN or infinite). The file is damaged, or its training failed.")


def _told(name: str | None, tensors: Mapping[str, Tensor]) -> str:
    return f"{name} {tuple(tensors[name].shape)}" if name else "nothing"


def flattened(model: Classifier, spec_head: Sequence[str]) -> tuple[int, ...] | None:
    """The map (C, h, w) that a head beginning with ``flatten`` takes; None for another head."""
    return backbones.feature_shape(model.backbone, model.size) if list(spec_head[:1]) == ["flatten"] else None

"""Networks converted for other programmes: compared with eager fp32 on real images, timed, and refused where they disagree."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor

from cutis import machine
from cutis.errors import ArtifactError
from cutis.export.about import Parity
from cutis.models import backends
from cutis.models.backends import Converted, Engine, kept
from cutis.models.backends.trial import PROBABILITY, SAME_CLASS, compared
from cutis.models.build import Classifier

BATCHES: Final = {1: 10, 32: 3}
"""Sizes of the batches that are timed, and how often each."""


@dataclass(frozen=True)
class Kind:
    """A file format for a network."""

    backend: str
    """What makes it and computes with it."""
    parts: Mapping[str, str]
    """What its files are called where they are made, and in a member's folder."""
    packages: tuple[str, ...]
    """Whose versions decide what it is."""
    opset: Callable[[Path], int | None] = lambda path: None
    """The version of its operators, from its folder."""


def _opset(folder: Path) -> int:
    try:
        import onnx
    except ImportError:
        raise kept.missing("onnx") from None
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    return int(next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")))


KINDS: Final = {
    "onnx": Kind("onnxruntime", {"model.onnx": "model.onnx"}, ("onnx", "onnxruntime", "torch"), _opset),
    "openvino": Kind("openvino", {n: f"openvino/{n}" for n in ("model.xml", "model.bin")}, ("openvino", "torch")),
}


def converted(kind: str, name: str, model: Classifier, pictures: Tensor, from_set: str) -> tuple[Parity, dict[str, Path]]:
    """A network in another format, and its files by their path in the member's folder.

    ``pictures``: real images as ``backends.Passage`` takes them, on the CPU; ``from_set``: what set they are of; ``name``: the member, for
    messages. Raises ArtifactError with the figures where fewer than 99.5 % of them (and more than one) get the same class as from eager
    fp32, or a probability differs by 0.02 or more; CutisError where the network cannot be converted.
    """
    of, size = KINDS[kind], (pictures.shape[1:3] if pictures.dtype == torch.uint8 else pictures.shape[2:4])
    made = _engine(model, of.backend, pictures, (int(size[0]), int(size[1])))
    exact = _engine(model, "eager", pictures, (int(size[0]), int(size[1])))
    answers = [np.concatenate(list(engine.stream(pictures.split(32)))) for engine in (exact, made)]
    difference, same = compared(answers[0], answers[1])
    if difference >= PROBABILITY or round((1 - same) * len(pictures)) > max(1, (1 - SAME_CLASS) * len(pictures)):
        raise ArtifactError(
            f"The network {name} as {kind} does not answer as the original: on {len(pictures)} images of the set {from_set} it gives the "
            f"same class for {same:.1%} (at least {SAME_CLASS:.1%} is asked for), and a probability differs by {difference:.4f} (below "
            f"{PROBABILITY}). It is not written; export without --{kind}."
        )
    folder = cast(Converted, made).folder
    found = Parity(
        images=len(pictures),
        from_set=from_set,
        largest_difference=difference,
        same_class=same,
        opset=of.opset(folder),
        takes=_takes(pictures),
        bytes=sum((folder / file).stat().st_size for file in of.parts),
        latency_ms={str(n): _milliseconds(made, pictures, n, times) for n, times in BATCHES.items()},
        made_by=", ".join(f"{package} {machine.version(package)}" for package in of.packages),
    )
    return found, {target: folder / file for file, target in of.parts.items()}


def _engine(model: Classifier, backend: str, pictures: Tensor, size: tuple[int, int]) -> Engine:
    cpu = torch.device("cpu")
    return backends.engine(model, "logits", size, backend=backend, precision="fp32", dtype=pictures.dtype, device=cpu)


def _takes(pictures: Tensor) -> str:
    if pictures.dtype == torch.uint8:
        return f"uint8 N x {pictures.shape[1]} x {pictures.shape[2]} x 3, RGB, 0 to 255; gives logits, N x classes"
    return f"float32 N x 3 x {pictures.shape[2]} x {pictures.shape[3]}, RGB, 0 to 1; gives logits, N x classes"


def _milliseconds(engine: Engine, pictures: Tensor, count: int, times: int) -> float:
    """The median time of a batch, in ms."""
    batch = pictures[torch.arange(count) % len(pictures)]
    engine(batch)
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        engine(batch)
        taken.append(1000 * (time.perf_counter() - started))
    return float(f"{statistics.median(taken):.3g}")

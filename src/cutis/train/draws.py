"""What each step of an epoch trains on: its rows, inputs and targets, with every random draw made from (seed, purpose, epoch, step)."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment, balance, copies, loaders
from cutis.randomness import stream
from cutis.train.inputs import Inputs
from cutis.train.state import Part

Rows = NDArray[np.int64]


class Drawn(NamedTuple):
    """Inputs and targets (B x C shares) of a step, on the device, and the seed of its dropout."""

    x: Tensor
    targets: Tensor
    seed: int


def batches(labels: Rows, spec: recipe.Recipe, epoch: int) -> list[Rows]:
    """The rows of each step of an epoch; a single row that is left over sits it out, because batch norm needs two."""
    rows = balance.indices(labels, spec.balance, spec.seed, epoch)
    parts = split(stream(spec.seed, "order", epoch).permutation(rows), spec.train.batch_size)
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 < len(parts[0]) else parts


def split(rows: Rows, size: int) -> list[Rows]:
    """Parts of ``size`` rows; the last may have fewer."""
    return np.split(rows, range(size, len(rows), size))


@contextmanager
def drawn(
    inputs: Inputs, part: Part, spec: recipe.Recipe, epoch: int, steps: list[Rows], first: int, size: tuple[int, int], one_hot: Tensor
) -> Iterator[Iterator[Drawn]]:
    """What the steps from ``first`` on are given, images ahead of their use. ``one_hot``: C x C, the target of each class, on the device.

    A step's draws come from two seeds of its own. Within the block the caller's global generators are set aside.
    """
    device = part.pixels.device
    seeds = stream(spec.seed, "steps", epoch).integers(2**63, size=(len(steps), 2)).tolist()
    rows = np.concatenate(steps)
    classes = torch.from_numpy(part.labels[rows])
    batch = copies.inputs(inputs.train, part.labels, rows, spec, epoch)
    ends = np.cumsum([len(step) for step in steps]).tolist()
    stretches = [slice(end - len(step), end) for step, end in zip(steps, ends, strict=True)]

    def draw(at: slice, seed: int, dropout: int) -> Drawn:
        generator = torch.Generator().manual_seed(seed)
        x = batch(at, size, generator)
        targets = one_hot[classes[at].to(device)]
        if not inputs.kept:
            x, targets = augment.mixed(x, targets, spec.augment, generator)
            x = x.contiguous(memory_format=torch.channels_last)
        return Drawn(x, targets, dropout)

    made: Generator[Drawn, None, None] = (draw(at, *pair) for at, pair in zip(stretches[first:], seeds[first:], strict=True))
    if not inputs.kept:  # features are gathered faster than a thread hands them over
        made = loaders.fed(made, device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), closing(made):
        yield made

"""Randomness as an argument: a generator made from a seed, a purpose and counters, so that any step can be drawn again alone."""

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """NumPy generator; different purposes and counters give independent streams."""
    # as spawn_key, because SeedSequence pads short entropy with zeros: [seed, purpose] and [seed, purpose, 0] would be one stream
    key = (zlib.crc32(purpose.encode()), *counters)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def torch_stream(seed: int, purpose: str, *counters: int) -> "torch.Generator":
    """Torch generator (on the CPU), from the same kind of key."""
    import torch

    return torch.Generator().manual_seed(int(stream(seed, purpose, *counters).integers(2**63)))

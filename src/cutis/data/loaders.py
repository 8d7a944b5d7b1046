"""Rows of the image cache as batches of tensors: raw, augmented for training, or resized for prediction."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment
from cutis.data.cache import Cache


class Source(Protocol):
    """What a training loop needs of its inputs: how many there are, and any batch of them."""

    def __len__(self) -> int: ...

    def batch(self, rows: NDArray[np.int64], size: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Inputs of these rows on the device; with a generator they are varied, without they are as predicted on."""


class Pixels:
    """Some rows of a table whose images a cache holds; ``table_rows`` are their positions in the table."""

    def __init__(self, cache: Cache, table_rows: NDArray[np.int64], spec: recipe.Augment, device: torch.device) -> None:
        self.cache, self.table_rows, self.spec, self.device = cache, table_rows, spec, device
        assert (cache.row[table_rows] >= 0).all(), "unreadable rows are left out before training"

    def __len__(self) -> int:
        return len(self.table_rows)

    def raw(self, rows: NDArray[np.int64]) -> Tensor:
        """uint8 B x 3 x H x W on the device, channels last in memory."""
        pixels = torch.from_numpy(self.cache.take(self.table_rows[rows]))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def batch(self, rows: NDArray[np.int64], size: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Float B x 3 x h x w in 0..1: augmented with a generator, else resized."""
        images = self.raw(rows).float().div_(255)
        if generator is None:
            return augment.resized(images, size)
        return augment.augmented(images, self.spec, size, generator)

"""Rows of the image cache as batches of tensors: raw, augmented for training, or resized for prediction; made ahead of their use."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import augment
from cutis.data.cache import Cache

T = TypeVar("T")
Batch = TypeVar("Batch", bound=tuple[object, ...])


class Source(Protocol):
    """What a training loop needs of its inputs: how many there are, and any batch of them."""

    def __len__(self) -> int: ...

    def batch(self, rows: NDArray[np.int64], size: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        """Inputs of these rows on the device; with a generator they are varied, without they are as predicted on."""

    def apart(self, changes: recipe.Augment) -> tuple["Source", "Source"]:
        """The same rows as they are when first drawn, and as they are when drawn again and to be changed."""


class Pixels:
    """Some rows of a table whose images a cache holds; ``table_rows`` are their positions in the table."""

    def __init__(self, cache: Cache, table_rows: NDArray[np.int64], spec: recipe.Augment, device: torch.device) -> None:
        self.cache, self.table_rows, self.spec, self.device = cache, table_rows, spec, device
        self.only_moves = augment.only_moves(spec)
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
        images = self.raw(rows)
        if generator is not None and self.only_moves and tuple(images.shape[-2:]) == size:
            return augment.augmented(images, self.spec, size, generator).float().div_(255)  # a byte moves faster than a float
        images = images.float().div_(255)
        if generator is None:
            return augment.resized(images, size)
        return augment.augmented(images, self.spec, size, generator)

    def apart(self, changes: recipe.Augment) -> tuple["Pixels", "Pixels"]:
        """These, and the same with other changes."""
        return self, Pixels(self.cache, self.table_rows, changes, self.device)


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, the next ``depth`` of them made in a thread of their own while one is used.

    An error in making an item is raised where that item is asked for. The thread ends with the items, with an error, and when the
    generator is closed; a loop that may be left early holds it in ``contextlib.closing``, so that this happens at once.
    """
    source = iter(items)

    def take() -> list[T]:  # none at the end
        return list(islice(source, 1))

    with ThreadPoolExecutor(1, "cutis-ahead") as pool:
        waiting = deque(pool.submit(take) for _ in range(depth))
        try:
            while item := waiting.popleft().result():
                waiting.append(pool.submit(take))
                yield item[0]
        finally:
            for future in waiting:
                future.cancel()


def fed(batches: Iterable[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """Batches (tuples that hold tensors on the device) made ``ahead``; on a GPU copies and augmentation run beside the network.

    There they are made on a stream of their own, which the network's waits for.
    """
    if device.type != "cuda":
        yield from ahead(batches)
        return
    side, source = torch.cuda.Stream(device), iter(batches)

    def beside() -> Iterator[tuple[Batch, torch.cuda.Event]]:
        while True:
            with torch.cuda.stream(side):
                batch = list(islice(source, 1))
                ready = side.record_event()
            if not batch:
                return
            yield batch[0], ready

    with closing(ahead(beside())) as made:
        for batch, ready in made:
            main = torch.cuda.current_stream(device)
            main.wait_event(ready)
            for tensor in batch:
                if isinstance(tensor, Tensor):
                    tensor.record_stream(main)  # its memory belongs to the side stream, which would take it back too early
            yield batch

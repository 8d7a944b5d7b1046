"""What a row is that is drawn again because its class is brought up: the same, a blend with another of its class, or changed."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import recipe
from cutis.data import balance
from cutis.data.loaders import Source

Rows = NDArray[np.int64]

Inputs = Callable[[slice, tuple[int, int], torch.Generator], Tensor]
"""From a stretch of an epoch's rows, a size in pixels, and the step's generator to its inputs: B x 3 x h x w, B x F or B x C x h x w."""


def inputs(source: Source, labels: Rows, rows: Rows, spec: recipe.Recipe, epoch: int) -> Inputs:
    """The inputs of an epoch whose ``rows`` are seen in this order; ``labels``: those of the whole source.

    Which rows are repeats, and of what they are blended, depends on seed and epoch alone, so any step can be made alone.
    """
    return KINDS[spec.balance.repeats](source, labels, rows, spec, epoch)


def same(source: Source, labels: Rows, rows: Rows, spec: recipe.Recipe, epoch: int) -> Inputs:
    """Like any other row."""
    return lambda at, size, generator: source.batch(rows[at], size, generator)


def mixed(source: Source, labels: Rows, rows: Rows, spec: recipe.Recipe, epoch: int) -> Inputs:
    """Blended with another row of its class (``balance.partners``), each varied on its own."""
    others, shares = balance.partners(labels, rows, spec.balance.most, spec.seed, epoch)

    def batch(at: slice, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        x, blended = source.batch(rows[at], size, generator), np.flatnonzero(shares[at])
        if len(blended):
            share = torch.from_numpy(shares[at][blended]).to(x.device).view(-1, *[1] * (x.ndim - 1))
            where = torch.from_numpy(blended).to(x.device)
            x[where] = torch.lerp(x[where], source.batch(others[at][blended], size, generator), share)
        return x

    return batch


def transformed(source: Source, labels: Rows, rows: Rows, spec: recipe.Recipe, epoch: int) -> Inputs:
    """Changed by the preset of the balance in place of what the recipe changes; of kept features, one of the further versions."""
    again, sources = balance.repeated(labels, rows), source.apart(recipe.augments[spec.balance.preset]())

    def batch(at: slice, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        places = [np.flatnonzero(again[at] == repeats) for repeats in (False, True)]
        parts = [s.batch(rows[at][place], size, generator) for s, place in zip(sources, places, strict=True) if len(place)]
        back = torch.from_numpy(np.argsort(np.concatenate(places)))
        return torch.cat(parts)[back.to(parts[0].device)]

    return batch


KINDS: dict[str, Callable[[Source, Rows, Rows, recipe.Recipe, int], Inputs]] = {"same": same, "mixed": mixed, "transformed": transformed}

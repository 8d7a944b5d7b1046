"""Balancing: which training rows an epoch sees, and how often. It is given training rows only, so nothing it does can leak."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cutis import recipe
from cutis.errors import CutisError
from cutis.randomness import stream
from cutis.registry import Registry

Indices = NDArray[np.int64]

balances: Registry[Callable[..., Indices]] = Registry("balancing", "cutis.data.balance")
"""A balancing takes (labels of the N training rows as 0..C-1, seed, epoch, **options) and returns indices into them."""


def indices(labels: Indices, spec: recipe.Balance, seed: int, epoch: int) -> Indices:
    """The rows of one epoch, unshuffled. Raises CutisError where the options do not fit."""
    try:
        return balances[spec.name](labels, seed, epoch, **spec.options)
    except TypeError as error:
        raise CutisError(f"balance.options={spec.options} do not fit the balancing {spec.name!r}: {error}") from error


@balances.register("none")
def none(labels: Indices, seed: int, epoch: int) -> Indices:
    """Every row once."""
    return np.arange(len(labels))


@balances.register("sampling")
def sampling(labels: Indices, seed: int, epoch: int, power: float = 1.0) -> Indices:
    """As many rows as there are, drawn anew each epoch with replacement, a class with weight n_class ** (1 - power).

    power 1 makes classes equally frequent, 0.5 is square-root sampling, 0 leaves the frequencies as they are.
    """
    weight = np.bincount(labels)[labels].astype(float) ** -power
    return stream(seed, "sampling", epoch).choice(len(labels), len(labels), p=weight / weight.sum())


@balances.register("progressive")
def progressive(labels: Indices, seed: int, epoch: int, epochs: int) -> Indices:
    """As many rows as there are, drawn anew each epoch with replacement, classes first as frequent as they are, at last equally.

    The share of class c in epoch t of T is (1 - t/T) n_c / n + (t/T) / C (Kang et al. 2020, progressively balanced); T is ``epochs``.
    """
    if epochs < 1:
        raise CutisError(f"balance.options.epochs={epochs} does not fit: give the number of epochs over which classes become equal.")
    sizes, t = np.bincount(labels), min(epoch / epochs, 1)
    weight = (1 - t) / len(labels) + t / (np.count_nonzero(sizes) * sizes[labels])
    return stream(seed, "progressive", epoch).choice(len(labels), len(labels), p=weight / weight.sum())


@balances.register("count")
def count(labels: Indices, seed: int, epoch: int, count: int = 0) -> Indices:
    """Every class brought to one count, drawn once for the run.

    A class with more rows gives ``count`` different ones, a class with fewer gives each of its rows equally often, the rest drawn
    without replacement. ``count`` 0: the mean of the smallest and the largest class.
    """
    if count < 0:
        raise CutisError(f"balance.options.count={count} is no number of images; give a positive one, or 0 for the middle.")
    rng = stream(seed, "count")
    sizes = np.bincount(labels)
    target = count or round((sizes[sizes > 0].min() + sizes.max()) / 2)
    rows = []
    for c in np.flatnonzero(sizes):
        own = np.flatnonzero(labels == c)
        whole, rest = divmod(target, len(own))
        rows += [np.tile(own, whole), rng.choice(own, rest, replace=False)]
    return np.sort(np.concatenate(rows))


def repeated(labels: Indices, rows: Indices) -> NDArray[np.bool_]:
    """Which of an epoch's ``rows``, in the order given, were drawn before in a class that is drawn more often than it has rows."""
    own = labels[rows]
    again = np.ones(len(rows), bool)
    again[np.unique(rows, return_index=True)[1]] = False
    return again & (np.bincount(own)[own] > np.bincount(labels)[own])


def partners(labels: Indices, rows: Indices, most: float, seed: int, epoch: int) -> tuple[Indices, NDArray[np.float32]]:
    """For each of an epoch's ``rows``, in the order given, the row it is blended with and that row's share (0: it stays as it is).

    Each ``repeated`` row is blended with another of its class, by a share uniform in 0..``most``: x + u (x' - x), which keeps the label.
    SMOTE (Chawla et al. 2002) with ``most`` 1 and the whole class for neighbours, so that it serves pictures as well as features. A class
    of one row has no partner but itself.
    """
    rng, sizes, own, again = stream(seed, "partners", epoch), np.bincount(labels), labels[rows], repeated(labels, rows)
    members = np.argsort(labels, kind="stable")  # the rows class by class; `place` says where each is, `first` where its class begins
    place, first = np.argsort(members), (np.cumsum(sizes) - sizes)[own]
    step = rng.integers(1, np.maximum(sizes[own], 2))
    others = members[first + (place[rows] - first + step) % sizes[own]]
    shares = rng.uniform(0, most, len(rows)).astype(np.float32)
    return np.where(again, others, rows), np.where(again, shares, np.float32(0))

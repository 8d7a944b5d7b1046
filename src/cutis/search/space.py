"""What an individual carries: its genes, how they are drawn, mixed and changed, and the head and recipe that they stand for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from cutis.recipe import Recipe, Stage

if TYPE_CHECKING:
    from cutis.search.stack import Member

Shares = NDArray[np.float64]
"""The genes of an individual as places in 0..1 between the ends of their ranges, in the order of the space."""


@dataclass(frozen=True)
class Gene:
    """A quantity that is searched: its range, on a logarithmic scale or not, whole or not."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def distribution(self) -> BaseDistribution:
        """The same to Optuna."""
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def value(self, share: float) -> float | int:
        """The value at a place in 0..1 of the range; of a whole one, each number has the same room (in the logarithm, its own)."""
        low, high = self._ends()
        value = low + (high - low) * share
        value = math.exp(value) if self.log else value
        return int(min(max(round(value), self.low), self.high)) if self.whole else float(min(max(value, self.low), self.high))

    def share(self, value: float) -> float:
        """The place of a value in the range."""
        low, high = self._ends()
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        half = 0.5 if self.whole else 0.0
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)


GENES = (
    Gene("layers", 1, 2, whole=True),
    Gene("units_1", 16, 256, log=True, whole=True),
    Gene("units_2", 16, 256, log=True, whole=True),
    Gene("dropout", 0.0, 0.6),
    Gene("lr", 1e-4, 1e-1, log=True),
    Gene("weight_decay", 1e-6, 1e-1, log=True),
    Gene("class_weighting", 0.0, 1.0),
    Gene("label_smoothing", 0.0, 0.2),
)
"""What decides a head; ``units_2`` rests where there is one layer."""

MUTATION = Gene("mutation", 0.02, 0.5, log=True)
"""Probability that a gene changes in an individual's offspring; it is carried, and changes, itself."""


@dataclass(frozen=True)
class Individual:
    """A head and how it trains, as the genes say; the ranges are those of ``GENES``."""

    layers: int
    units_1: int
    units_2: int
    dropout: float
    lr: float
    weight_decay: float
    class_weighting: float
    """From 0 (every image counts the same) to 1 (balanced): a class weighs (n / (C n_c)) to this power."""
    label_smoothing: float
    mutation: float | None = None
    """None where the sampler mutates nothing."""

    @classmethod
    def of(cls, genes: Mapping[str, Any]) -> "Individual":
        """From a trial's parameters."""
        return cls(**genes)

    @property
    def genes(self) -> dict[str, float | int]:
        """The reverse of ``of``."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def member(self) -> "Member":
        """As a population trains it."""
        from cutis.search.stack import Member  # here, because a study is listed without torch

        return Member(
            (self.units_1, self.units_2)[: self.layers],
            self.dropout,
            self.lr,
            self.weight_decay,
            self.class_weighting,
            self.label_smoothing,
        )

    def multiply_adds(self, features: int, classes: int) -> int:
        """Of the head, for an image with so many features."""
        return sum(a * b for a, b in pairwise((features, *self.member.widths, classes)))

    def recipe(self, spec: Recipe, stage: Stage) -> Recipe:
        """``spec`` with this head, trained as ``stage`` says with the backbone frozen and this rate, decay, weighting and smoothing."""
        stage = stage.model_copy(update={"train": "head", "lr": self.lr, "weight_decay": self.weight_decay})
        return spec.changed(
            **{
                "model.head": (*spec.model.head[:1], *self.member.words),
                "loss.name": "cross_entropy",
                "loss.class_weights": f"balanced:{self.class_weighting}" if self.class_weighting else "none",
                "loss.options": {"label_smoothing": self.label_smoothing} if self.label_smoothing else {},
                "stages": [stage.model_dump(mode="json")],
            }
        )


PUBLISHED = Individual(
    layers=1, units_1=112, units_2=112, dropout=0.30, lr=1e-4, weight_decay=0.0, class_weighting=0.0, label_smoothing=0.0, mutation=0.11
)
"""What the ISIC 2019 study's own search found: 112 units, dropout .30, rate 1e-4, mutation rate .11."""


def values(genes: tuple[Gene, ...], shares: Shares) -> dict[str, float | int]:
    """The values at these places."""
    return {gene.name: gene.value(float(share)) for gene, share in zip(genes, shares, strict=True)}


def places(genes: tuple[Gene, ...], of: Mapping[str, float]) -> Shares:
    """The places of these values."""
    return np.array([gene.share(of[gene.name]) for gene in genes])


def crossed(mother: Shares, father: Shares, rng: np.random.Generator) -> Shares:
    """A child of two: half of the time each gene is one parent's (uniform crossover, Syswerda 1989), else it lies between or a little
    beyond both (BLX-0.5, Eshelman and Schaffer 1993)."""
    if rng.random() < 0.5:
        return np.where(rng.random(len(mother)) < 0.5, mother, father)
    low, span = np.minimum(mother, father), np.abs(mother - father)
    return inside(low - 0.5 * span + 2 * span * rng.random(len(mother)))


def mutated(shares: Shares, rate: float, rng: np.random.Generator, step: float = 0.2) -> Shares:
    """Each gene moved by a normal step of this size with the probability ``rate``; at least one, so that nobody is trained twice."""
    moved = rng.random(len(shares)) < rate
    moved[rng.integers(len(shares))] |= not moved.any()
    return inside(shares + moved * rng.normal(scale=step, size=len(shares)))


def adapted(rate: float, rng: np.random.Generator, step: float = 0.35) -> float:
    """A mutation rate as an offspring inherits it: times a log-normal factor (Schwefel 1981), within its range."""
    return float(np.clip(rate * np.exp(step * rng.normal()), MUTATION.low, MUTATION.high))


def inside(shares: Shares) -> Shares:
    """Places reflected at the ends of 0..1."""
    folded = np.mod(shares, 2)
    return np.where(folded > 1, 2 - folded, folded)

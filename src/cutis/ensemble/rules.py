"""Rules: what a method found, as plain numbers that JSON holds, and how it turns the members' answers into one."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from cutis.recipe import Part

Floats = NDArray[np.float64]
TINY = float(np.finfo(np.float64).eps)  # probabilities below it count as it, as in the log loss
FLOOR = 1e-6  # of stacking: logarithms of smaller probabilities would rule the design


class _Rule(Part):
    """M members' answers to one: ``apply`` takes M x N x C (rows sum to 1) and gives N x C; ``importance`` is M shares that sum to 1."""

    how: str
    """In a sentence: what was chosen, and by what."""


class Weighted(_Rule):
    """The weighted mean of the probabilities."""

    kind: Literal["weighted"] = "weighted"
    weights: tuple[float, ...]

    @property
    def importance(self) -> Floats:
        """The weights."""
        return np.array(self.weights)

    def apply(self, answers: Floats) -> Floats:
        """sum_m w_m p_m"""
        return np.asarray(np.tensordot(self.importance, answers, 1))


class Ranked(_Rule):
    """The mean of within-class ranks among reference images, divided by their sum over the classes.

    An image's rank in a class is the share of reference images that the member gave a lower probability of it, equals half. So each
    member counts alike however sure it is, and a rare class as much as a common one: the figures say how high an image stands in each
    class, and are no probabilities.
    """

    kind: Literal["ranked"] = "ranked"
    reference: tuple[tuple[tuple[float, ...], ...], ...]
    """M x C x n ascending probabilities."""

    @property
    def importance(self) -> Floats:
        """All alike."""
        return np.full(len(self.reference), 1 / len(self.reference))

    def apply(self, answers: Floats) -> Floats:
        """Ranks (below + through + 1) / (2 n + 2), between 0 and 1 without them, averaged and normalised."""
        reference = np.array(self.reference)
        n = reference.shape[2]
        places = [
            [(r.searchsorted(p, "left") + r.searchsorted(p, "right") + 1) / (2 * n + 2) for r, p in zip(rows, answer.T, strict=True)]
            for rows, answer in zip(reference, answers, strict=True)
        ]
        mean = np.array(places).mean(axis=0).T
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))


class Stacked(_Rule):
    """A multinomial logistic regression on the members' log-probabilities (Wolpert 1992)."""

    kind: Literal["stacked"] = "stacked"
    coefficients: tuple[tuple[float, ...], ...]
    """C x (M C): a row a class, columns by member, then by class."""
    intercepts: tuple[float, ...]

    @property
    def importance(self) -> Floats:
        """Each member's share of the coefficients' absolute sum, alike where all are 0."""
        c = len(self.intercepts)
        size = np.abs(np.array(self.coefficients)).reshape(c, -1, c).sum(axis=(0, 2))
        return np.asarray(size / size.sum() if size.sum() > 0 else np.full(len(size), 1 / len(size)))

    def apply(self, answers: Floats) -> Floats:
        """softmax(design @ coefficients + intercepts)"""
        logits = design(answers) @ np.array(self.coefficients).T + np.array(self.intercepts)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


Rule = Annotated[Weighted | Ranked | Stacked, Field(discriminator="kind")]
rule: TypeAdapter[Weighted | Ranked | Stacked] = TypeAdapter(Rule)


def design(answers: Floats) -> Floats:
    """M x N x C probabilities to what stacking regresses on: N x (M C) log-probabilities."""
    return np.asarray(np.log(answers.clip(FLOOR)).transpose(1, 0, 2).reshape(answers.shape[1], -1))

"""Losses: each a function of logits and target distributions that returns one value an image."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cutis import recipe
from cutis.registry import Registry

losses: Registry[Callable[..., Tensor]] = Registry("loss", "cutis.train.losses")
"""A loss takes (logits B x C, targets B x C with rows that sum to 1, counts C: training images a class, **options) and returns B values."""


def function(spec: recipe.Loss, counts: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a recipe as a function of (logits, targets) to a scalar: the weighted mean over the batch, as PyTorch defines it.

    Raises ValueError where the options or the number of class weights do not fit.
    """
    loss = losses[spec.name]
    weights = class_weights(spec, counts)
    try:
        loss(
            torch.zeros(1, len(counts), device=counts.device),
            F.one_hot(torch.zeros(1, dtype=torch.long), len(counts)).to(counts),
            counts,
            **spec.options,
        )
    except TypeError as error:
        raise ValueError(f"loss.options={spec.options} do not fit the loss {spec.name!r}: {error}") from error

    def mean(logits: Tensor, targets: Tensor) -> Tensor:
        each = loss(logits, targets, counts, **spec.options)
        if weights is None:
            return each.mean()
        weight = targets @ weights
        return (weight * each).sum() / weight.sum()

    return mean


def class_weights(spec: recipe.Loss, counts: Tensor) -> Tensor | None:
    """Weight of each class. "balanced" is n / (C n_j), as scikit-learn's; a class without training images gets 0."""
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
    if len(spec.class_weights) != len(counts):
        raise ValueError(f"loss.class_weights has {len(spec.class_weights)} values for {len(counts)} classes.")
    return torch.tensor(spec.class_weights, dtype=torch.float32, device=counts.device)


def smoothed(targets: Tensor, label_smoothing: float) -> Tensor:
    """Targets mixed with the uniform distribution (Szegedy et al. 2016)."""
    return targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]


@losses.register("cross_entropy")
def cross_entropy(logits: Tensor, targets: Tensor, counts: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-sum_c t_c log p_c."""
    return -(smoothed(targets, label_smoothing) * F.log_softmax(logits, dim=1)).sum(1)


@losses.register("focal")
def focal(logits: Tensor, targets: Tensor, counts: Tensor, gamma: float = 2.0) -> Tensor:
    """-sum_c t_c (1 - p_c)^gamma log p_c (Lin et al. 2017): easy images count less."""
    log_p = F.log_softmax(logits, dim=1)
    return -(targets * (1 - log_p.exp()).clamp(min=0) ** gamma * log_p).sum(1)


@losses.register("logit_adjusted")
def logit_adjusted(logits: Tensor, targets: Tensor, counts: Tensor, tau: float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits + tau log prior (Menon et al. 2021); the prior is left out when predicting, which favours rare classes."""
    prior = counts.clamp(min=1) / counts.clamp(min=1).sum()
    return cross_entropy(logits + tau * prior.log(), targets, counts, label_smoothing)

"""Losses: each a function of logits and target distributions that returns one value an image."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cutis import recipe
from cutis.errors import CutisError
from cutis.registry import Registry

losses: Registry[Callable[..., Tensor]] = Registry("loss", "cutis.train.losses")
"""A loss takes (logits B x C, targets B x C with rows that sum to 1, counts C: training images a class, **options) and returns B values."""


def function(spec: recipe.Loss, counts: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a recipe as a function of (logits, targets) to a scalar, the mean over the batch.

    With class weights it is the weighted mean sum_i w_i l_i / sum_i w_i, where an image weighs what its class does (a mixed image, the mean
    by shares); without mixing and smoothing that is PyTorch's definition. Raises CutisError where options or class weights do not fit.
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
        raise CutisError(f"loss.options={spec.options} do not fit the loss {spec.name!r}: {error}") from error

    def mean(logits: Tensor, targets: Tensor) -> Tensor:
        each = loss(logits, targets, counts, **spec.options)
        if weights is None:
            return each.mean()
        weight = targets @ weights
        return (weight * each).sum() / weight.sum()

    return mean


def class_weights(spec: recipe.Loss, counts: Tensor) -> Tensor | None:
    """Weight of each class. "balanced" is n / (C n_j) over the C classes that have images, as scikit-learn's; one without gets 0."""
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
    if len(spec.class_weights) != len(counts) or min(spec.class_weights) <= 0:
        raise CutisError(f"loss.class_weights={list(spec.class_weights)} do not fit: give {len(counts)} positive numbers, one a class.")
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
    wrong = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)  # 1 - p; at 0 the gradient of a power below 1 is infinite
    return -(targets * wrong**gamma * log_p).sum(1)


@losses.register("logit_adjusted")
def logit_adjusted(logits: Tensor, targets: Tensor, counts: Tensor, tau: float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits + tau log prior (Menon et al. 2021); the prior is left out when predicting, which favours rare classes."""
    prior = counts.clamp(min=1) / counts.clamp(min=1).sum()
    return cross_entropy(logits + tau * prior.log(), targets, counts, label_smoothing)

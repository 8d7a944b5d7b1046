"""Losses: each a function of logits and target distributions that returns one value an image; and the weights of classes."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cutis import recipe
from cutis.data.labels import by_grade
from cutis.errors import CutisError
from cutis.registry import Registry

losses: Registry[Callable[..., Tensor]] = Registry("loss", "cutis.train.losses")
"""A loss takes (logits B x C, targets B x C with rows that sum to 1, counts C: training images a class, **options) and returns B values."""

weightings: Registry[Callable[..., Tensor]] = Registry("class weighting", "cutis.train.losses")
"""A class weighting takes (counts of the C classes that have images, and the number after the colon where one is given) and returns C
weights. Their scale is of no consequence: losses are weighted means."""


def function(spec: recipe.Loss, counts: Tensor, classes: Sequence[str] = ()) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a recipe as a function of (logits, targets) to a scalar, the mean over the batch.

    With class weights it is the weighted mean sum_i w_i l_i / sum_i w_i, where an image weighs what its class does (a mixed image, the mean
    by shares); without mixing and smoothing that is PyTorch's definition. ``classes``: their names, for an ``order`` given by name.
    Raises CutisError where options or class weights do not fit.
    """
    loss = losses[spec.name]
    weights = class_weights(spec, counts)
    unweighted = bool((weights[counts > 0] == 1).all())
    try:
        options = _with_order(loss, spec.options, classes)
        loss(
            torch.zeros(1, len(counts), device=counts.device),
            F.one_hot(torch.zeros(1, dtype=torch.long), len(counts)).to(counts),
            counts,
            **options,
        )
    except TypeError as error:
        raise CutisError(f"loss.options={spec.options} do not fit the loss {spec.name!r}: {error}") from error

    def mean(logits: Tensor, targets: Tensor) -> Tensor:
        each = loss(logits, targets, counts, **options)
        if unweighted:
            return each.mean()
        weight = targets @ weights
        return (weight * each).sum() / weight.sum()

    return mean


def _with_order(loss: Callable[..., Tensor], options: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The options, the class names of ``order`` turned into numbers of classes; without it, grades in the order that their names say."""
    if not classes or "order" not in inspect.signature(loss).parameters:
        return options
    order = [str(name) for name in options.get("order", by_grade(classes))]  # grades named by numbers are read from JSON as numbers
    if sorted(order) != sorted(classes):
        raise CutisError(
            f"loss.options.order={order} does not fit: name each class once, lowest grade first. Classes: {', '.join(classes)}."
        )
    return {**options, "order": [list(classes).index(name) for name in order]}


def class_weights(spec: recipe.Loss, counts: Tensor) -> Tensor:
    """Weight of each class: those given, or those of a registered weighting ("effective:0.999"); a class without images then gets 0."""
    given = spec.class_weights
    if not isinstance(given, str):
        if len(given) != len(counts) or min(given) <= 0:
            raise CutisError(f"loss.class_weights={list(given)} do not fit: give {len(counts)} positive numbers, one a class.")
        return torch.tensor(given, dtype=torch.float32, device=counts.device)
    name, _, number = given.partition(":")
    weighting, weights, present = weightings[name], torch.zeros_like(counts), counts > 0
    try:
        options = [float(number)] if number else []
    except ValueError as error:
        raise CutisError(f"loss.class_weights={given!r} cannot be read: after the colon comes a number, as in {name}:0.9.") from error
    try:
        weights[present] = weighting(counts[present], *options)
    except TypeError as error:
        raise CutisError(f"loss.class_weights={given!r} does not fit: {error}") from error
    return weights


@weightings.register("none")
def none(counts: Tensor) -> Tensor:
    """1 for each class."""
    return torch.ones_like(counts)


@weightings.register("balanced")
def balanced(counts: Tensor, power: float = 1.0) -> Tensor:
    """(n / (C n_j))^power: power 1 is scikit-learn's "balanced", 0.5 its square root, 0 no weighting."""
    if not 0 <= power <= 1:
        raise CutisError(f"loss.class_weights='balanced:{power:g}' does not fit: the power is from 0 (none) to 1 (balanced).")
    return (counts.sum() / (len(counts) * counts)) ** power


@weightings.register("effective")
def effective(counts: Tensor, beta: float = 0.999) -> Tensor:
    """Class-balanced weights (Cui et al. 2019): 1 / E_j with E_j = (1 - beta^n_j) / (1 - beta), scaled to sum to C.

    E_j is the expected number of different images among n_j when 1 / (1 - beta) exist: beta 0 is no weighting, towards 1 it is "balanced".
    """
    if not 0 <= beta < 1:
        raise CutisError(f"loss.class_weights='effective:{beta:g}' does not fit: beta is from 0 to below 1, often 0.9 to 0.9999.")
    weights = -1 / torch.expm1(counts * math.log(beta)) if beta else torch.ones_like(counts)  # 1 - beta^n, exact for beta near 1
    return weights * len(counts) / weights.sum()


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


@losses.register("balanced_softmax")
def balanced_softmax(logits: Tensor, targets: Tensor, counts: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-sum_c t_c log(n_c e^z_c / sum_j n_j e^z_j) (Ren et al. 2020): ``logit_adjusted`` with tau 1, by its other name."""
    return logit_adjusted(logits, targets, counts, 1.0, label_smoothing)


@losses.register("ldam")
def ldam(logits: Tensor, targets: Tensor, counts: Tensor, max_m: float = 0.5, scale: float = 1.0) -> Tensor:
    """-sum_c t_c log(e^(z_c - s m_c) / (e^(z_c - s m_c) + sum_(j != c) e^z_j)), m_c ~ n_c^(-1/4), the largest ``max_m`` (Cao et al. 2019).

    There z_c = s cos(w_c, x) with s = 30, so that m_c is a distance that growing weights cannot undo; ``scale`` is that s. Logits of a
    plain dense layer are unbounded: there use ``scale`` 1, which makes m_c a margin in log-odds, and weight decay or early stopping,
    without which growing weights undo it. Margins act in training only; answers are the softmax of z.
    """
    if max_m < 0 or scale <= 0:
        raise CutisError(f"loss.options.max_m={max_m}, scale={scale} do not fit: the largest margin is at least 0, the scale above 0.")
    n = counts.clamp(min=1)
    margins = scale * max_m * (n.min() / n) ** 0.25
    return -(targets * F.log_softmax(logits[:, None] - margins.diag(), dim=2).diagonal(dim1=1, dim2=2)).sum(1)


@losses.register("cumulative")
def cumulative(logits: Tensor, targets: Tensor, counts: Tensor, order: Sequence[int] = ()) -> Tensor:
    """-sum_(k < C) T_k log P(y <= k) + (1 - T_k) log P(y > k), T the targets' cumulative shares, for ordered classes, lowest first.

    The ranked ignorance score (Tödter & Ahrens 2012): cross-entropy of each "above grade k?", P being sums of the softmax, so that a
    miss by two grades costs more than by one, and any head that gives C logits will do.
    """
    order = _grades(order, logits.shape[1])
    log_p, shares = F.log_softmax(logits[:, order], dim=1), targets[:, order].cumsum(1)[:, :-1]
    below, above = log_p.logcumsumexp(1)[:, :-1], log_p.flip(1).logcumsumexp(1).flip(1)[:, 1:]
    return -(shares * below + (1 - shares) * above).sum(1)


@losses.register("label_distribution")
def label_distribution(logits: Tensor, targets: Tensor, counts: Tensor, order: Sequence[int] = (), sigma: float = 0.5) -> Tensor:
    """Cross-entropy where grade y is learnt as the distribution ~ exp(-(k - y)^2 / (2 sigma^2)) over grades k, lowest first.

    Label distributions as for acne grades in Wu et al. 2019; sigma in grades, towards 0 it is plain cross-entropy.
    """
    if sigma <= 0:
        raise CutisError(f"loss.options.sigma={sigma} does not fit: a width in grades above 0, such as 0.5.")
    order = _grades(order, logits.shape[1])
    grades = torch.arange(len(order), device=logits.device)
    kernel = torch.softmax(-(((grades - grades[:, None]) / sigma) ** 2) / 2, dim=1)
    return cross_entropy(logits[:, order], targets[:, order] @ kernel, counts)


def _grades(order: Sequence[int], classes: int) -> list[int]:
    """The order as checked numbers of classes; there is no default, because the alphabet does not know which grade is worse."""
    if sorted(order) != list(range(classes)):
        raise CutisError(f"loss.options.order={list(order)} does not fit: name each of the {classes} classes once, lowest grade first.")
    return list(order)

"""Losses against torch's own, scikit-learn's weights, and numbers worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from cutis.errors import CutisError
from cutis.recipe import Loss
from cutis.train import losses

COUNTS = torch.tensor([60.0, 30.0, 10.0])


def batch(seed: int = 0, rows: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, 3, generator=generator)
    labels = torch.randint(3, (rows,), generator=generator)
    soft = torch.softmax(torch.randn(rows, 3, generator=generator), 1)
    return logits, labels, soft


def hard(labels: torch.Tensor) -> torch.Tensor:
    return F.one_hot(labels, 3).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_torch_s(smoothing: float) -> None:
    logits, labels, soft = batch()
    ours = losses.function(Loss(options={"label_smoothing": smoothing}), COUNTS)
    torch.testing.assert_close(ours(logits, hard(labels)), F.cross_entropy(logits, labels, label_smoothing=smoothing))
    torch.testing.assert_close(ours(logits, soft), F.cross_entropy(logits, soft, label_smoothing=smoothing))


def test_class_weights_make_torch_s_weighted_mean() -> None:
    logits, labels, _ = batch()
    ours = losses.function(Loss(class_weights=(0.5, 2.0, 3.0)), COUNTS)
    torch.testing.assert_close(ours(logits, hard(labels)), F.cross_entropy(logits, labels, weight=torch.tensor([0.5, 2.0, 3.0])))


def test_a_mixed_image_weighs_the_mean_of_its_classes() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    ours = losses.function(Loss(class_weights=(1.0, 3.0, 4.0)), COUNTS)(logits, targets)
    first, second = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25)), -math.log(0.6)
    assert ours.item() == pytest.approx((2 * first + 4 * second) / 6, rel=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80))
def test_balanced_weights_are_scikit_learn_s(labels: list[int]) -> None:
    counts = torch.tensor(np.bincount(labels, minlength=4), dtype=torch.float32)
    ours = losses.class_weights(Loss(class_weights="balanced"), counts)
    assert ours is not None
    present = np.unique(labels)
    np.testing.assert_allclose(ours[present], compute_class_weight("balanced", classes=present, y=labels), rtol=1e-6)
    assert (ours[counts == 0] == 0).all()


def test_focal_by_hand_and_as_cross_entropy_where_gamma_is_0() -> None:
    logits, _, soft = batch()
    torch.testing.assert_close(
        losses.function(Loss(name="focal", options={"gamma": 0.0}), COUNTS)(logits, soft), F.cross_entropy(logits, soft)
    )
    p = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    by_hand = [-((1 - 0.9) ** 2) * math.log(0.9), -((1 - 0.2) ** 2) * math.log(0.2)]
    ours = losses.losses["focal"](p.log(), hard(torch.tensor([0, 0])), COUNTS)
    assert ours.tolist() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("sure", [0, 1])
def test_focal_has_a_finite_gradient_where_the_network_is_sure(gamma: float, sure: int) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    losses.function(Loss(name="focal", options={"gamma": gamma}), COUNTS)(logits, hard(torch.tensor([sure]))).backward()
    assert torch.isfinite(logits.grad).all()


def test_logit_adjusted_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0]])
    for tau in (0.5, 1.0):
        e = [math.exp(z) * prior**tau for z, prior in zip((1.0, 2.0, 0.0), (0.6, 0.3, 0.1), strict=True)]
        ours = losses.function(Loss(name="logit_adjusted", options={"tau": tau}), COUNTS)(logits, hard(torch.tensor([2])))
        assert ours.item() == pytest.approx(-math.log(e[2] / sum(e)), rel=1e-6)


def test_logit_adjusted_without_strength_is_cross_entropy_with_its_smoothing() -> None:
    logits, labels, _ = batch()
    ours = losses.function(Loss(name="logit_adjusted", options={"tau": 0.0, "label_smoothing": 0.2}), COUNTS)(logits, hard(labels))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=0.2))


def test_a_class_without_images_does_not_make_the_prior_infinite() -> None:
    loss = losses.function(Loss(name="logit_adjusted"), torch.tensor([5.0, 0.0, 5.0]))
    assert torch.isfinite(loss(*(t for t in (batch()[0], hard(batch()[1])))))


@pytest.mark.parametrize("name", list(losses.losses))
def test_every_loss_gives_a_value_an_image_and_gradients(name: str) -> None:
    logits, _, soft = batch()
    logits.requires_grad_()
    each = losses.losses[name](logits, soft, COUNTS)
    assert each.shape == (8,)
    each.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"options": {"smoothing": 0.1}}, "loss.options={'smoothing': 0.1}.*'cross_entropy'"),
        ({"name": "focal", "options": {"gamma": "high"}}, "'gamma': 'high'"),
        ({"name": "crossentropy"}, "Did you mean 'cross_entropy'"),
        ({"class_weights": (1.0, 2.0)}, "loss.class_weights=.1.0, 2.0. do not fit: give 3 positive"),
        ({"class_weights": (1.0, 0.0, 2.0)}, "give 3 positive"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CutisError, match=named):
        losses.function(Loss(**fields), COUNTS)

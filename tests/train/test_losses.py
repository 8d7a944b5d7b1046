"""Losses against torch's own, scikit-learn's weights, and numbers worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from cutis.errors import CutisError
from cutis.recipe import Loss
from cutis.train import losses

COUNTS = torch.tensor([60.0, 30.0, 10.0])
OPTIONS: dict[str, Any] = {name: {"order": [2, 0, 1]} for name in ("cumulative", "label_distribution")}  # what has no default


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
    each = losses.losses[name](logits, soft, COUNTS, **OPTIONS.get(name, {}))
    assert each.shape == (8,)
    each.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"options": {"smoothing": 0.1}}, "loss.options={'smoothing': 0.1}.*'cross_entropy'"),
        ({"name": "focal", "options": {"gamma": "high"}}, "'gamma': 'high'"),
        ({"name": "ldam", "options": {"max_m": -0.5}}, "loss.options.max_m=-0.5"),
        ({"name": "ldam", "options": {"scale": 0}}, "scale=0"),
        ({"name": "label_distribution", "options": {"order": [0, 1, 2], "sigma": 0}}, "loss.options.sigma=0"),
        ({"name": "cumulative", "options": {"order": 3}}, "'order': 3"),
        ({"name": "crossentropy"}, "Did you mean 'cross_entropy'"),
        ({"class_weights": (1.0, 2.0)}, "loss.class_weights=.1.0, 2.0. do not fit: give 3 positive"),
        ({"class_weights": (1.0, 0.0, 2.0)}, "give 3 positive"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CutisError, match=named):
        losses.function(Loss(**fields), COUNTS)


# class weights


def weighted(given: str) -> Loss:
    """A loss with a class weighting named as a recipe names it."""
    return Loss(class_weights=given)


def test_effective_number_by_hand() -> None:
    # beta 0.5: E = (1 - 0.5^n) / 0.5 = 1, 1.5, 1.75 for n = 1, 2, 3; 1/E = 1, 2/3, 4/7, which sum to 47/21
    ours = losses.class_weights(weighted("effective:0.5"), torch.tensor([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(ours, [63 / 47, 42 / 47, 36 / 47], rtol=1e-6)


@given(st.lists(st.integers(1, 20_000), min_size=2, max_size=8), st.floats(0.1, 0.99999))
def test_effective_number_is_the_published_formula(counts: list[int], beta: float) -> None:
    ours = losses.weightings["effective"](torch.tensor(counts, dtype=torch.float32), beta)
    expected = (1 - beta) / (1 - np.power(beta, np.array(counts, float)))  # class_balanced_loss.py of the paper's code, in double
    np.testing.assert_allclose(ours, expected / expected.sum() * len(counts), rtol=1e-4)


@given(st.lists(st.integers(1, 5_000), min_size=2, max_size=8))
def test_effective_number_goes_from_no_weighting_to_balanced(counts: list[int]) -> None:
    n = torch.tensor(counts, dtype=torch.float32)
    np.testing.assert_array_equal(losses.weightings["effective"](n, 0.0), np.ones(len(counts)))
    labels = np.repeat(np.arange(len(counts)), counts)
    balanced = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(losses.weightings["effective"](n, 1 - 1e-9), balanced / balanced.mean(), rtol=1e-4)


def test_the_scale_of_class_weights_is_of_no_consequence_to_the_loss() -> None:
    logits, labels, _ = batch()
    balanced = losses.function(weighted("balanced"), COUNTS)(logits, hard(labels))
    torch.testing.assert_close(losses.function(weighted("effective:0.9999999"), COUNTS)(logits, hard(labels)), balanced)
    torch.testing.assert_close(balanced, F.cross_entropy(logits, labels, weight=100 / (3 * COUNTS)))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_balanced_takes_a_power(power: float) -> None:
    ours = losses.class_weights(weighted(f"balanced:{power}"), COUNTS)
    np.testing.assert_allclose(ours, [(100 / 180) ** power, (100 / 90) ** power, (100 / 30) ** power], rtol=1e-6)


@pytest.mark.parametrize("given", ["balanced", "balanced:0.5", "effective", "effective:0"])
def test_a_class_without_images_weighs_nothing_and_leaves_the_others_as_they_are(given: str) -> None:
    ours = losses.class_weights(weighted(given), torch.tensor([60.0, 0.0, 10.0]))
    others = losses.class_weights(weighted(given), torch.tensor([60.0, 10.0]))
    assert ours is not None
    assert others is not None
    assert ours.tolist() == [others[0].item(), 0.0, others[1].item()]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("effective:1", "'effective:1'.*from 0 to below 1"),
        ("effective:-0.1", "from 0 to below 1"),
        ("balanced:2", "from 0 .none. to 1"),
        ("effective:much", "'effective:much' cannot be read.*effective:0.9"),
        ("efective", "Did you mean 'effective'"),
        ("rarity", "Unknown class weighting 'rarity'.*balanced, effective, none"),
        ("none:2", "'none:2' does not fit"),
    ],
)
def test_class_weights_that_do_not_fit_are_named(given: str, named: str) -> None:
    with pytest.raises(CutisError, match=named):
        losses.class_weights(weighted(given), COUNTS)


# balanced softmax and margins


def test_balanced_softmax_is_its_formula_and_logit_adjustment_with_tau_1() -> None:
    logits, labels, soft = batch()
    ours = losses.losses["balanced_softmax"](logits, hard(labels), COUNTS)
    odds = COUNTS.numpy() * np.exp(logits.numpy().astype(float))
    np.testing.assert_allclose(ours, -np.log(odds[np.arange(8), labels] / odds.sum(1)), rtol=1e-5)
    torch.testing.assert_close(
        losses.losses["balanced_softmax"](logits, soft, COUNTS), losses.losses["logit_adjusted"](logits, soft, COUNTS)
    )


def test_balanced_softmax_is_cross_entropy_where_classes_are_equally_frequent() -> None:
    logits, labels, _ = batch()
    ours = losses.function(Loss(name="balanced_softmax"), torch.full((3,), 7.0))(logits, hard(labels))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels))


def test_ldam_by_hand() -> None:
    # n^(1/4) = 10, 5, 2: margins in the ratio 1/10 : 1/5 : 1/2, the largest 0.5, so 0.1, 0.2, 0.5
    counts, z = torch.tensor([10_000.0, 625.0, 16.0]), torch.tensor([[1.0, 2.0, 0.0]])
    lowered = [(0.9, 2.0, 0.0), (1.0, 1.8, 0.0), (1.0, 2.0, -0.5)]  # z less the margin of the true class
    for c in range(3):
        e = [math.exp(value) for value in lowered[c]]
        assert losses.losses["ldam"](z, hard(torch.tensor([c])), counts).item() == pytest.approx(-math.log(e[c] / sum(e)), rel=1e-5)
    # scale 30: the rarest class is lowered by 15
    e = [math.exp(1), math.exp(2), math.exp(-15)]
    assert losses.losses["ldam"](z, hard(torch.tensor([2])), counts, scale=30.0).item() == pytest.approx(-math.log(e[2] / sum(e)), rel=1e-5)


def test_ldam_on_scaled_cosines_is_the_published_code() -> None:
    """Cao et al.'s losses.py: margins 1 / sqrt(sqrt(n)), scaled to max_m; cross-entropy of s (x - m at the label)."""
    cosines, labels = batch()[0].tanh(), batch()[1]
    m = 1.0 / np.sqrt(np.sqrt(COUNTS.numpy()))
    m = torch.tensor(m * (0.5 / m.max()))
    theirs = F.cross_entropy(30 * torch.where(hard(labels).bool(), cosines - m[labels][:, None], cosines), labels)
    ours = losses.function(Loss(name="ldam", options={"max_m": 0.5, "scale": 30}), COUNTS)(30 * cosines, hard(labels))
    torch.testing.assert_close(ours, theirs)


def test_ldam_without_margins_is_cross_entropy() -> None:
    logits, _, soft = batch()
    for options in ({"max_m": 0.0}, {"max_m": 0.0, "scale": 30.0}):
        torch.testing.assert_close(losses.function(Loss(name="ldam", options=options), COUNTS)(logits, soft), F.cross_entropy(logits, soft))


# ordered grades


def test_cumulative_by_hand() -> None:
    # from the lowest grade up, classes 2, 0, 1 with p = 0.25, 0.5, 0.25: P(y <= lowest) = 0.25, P(y <= middle) = 0.75
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    by_hand = {
        2: -math.log(0.25) - math.log(0.75),  # lowest: at or below both thresholds
        0: -math.log(1 - 0.25) - math.log(0.75),  # middle: above the first, below the second
        1: -math.log(1 - 0.25) - math.log(1 - 0.75),  # highest: above both
    }
    for c, expected in by_hand.items():
        ours = losses.losses["cumulative"](logits, hard(torch.tensor([c])), COUNTS, order=[2, 0, 1])
        assert ours.item() == pytest.approx(expected, rel=1e-6)


@given(st.permutations(range(5)), st.integers(0, 99))
def test_cumulative_is_the_sum_of_log_losses_at_the_thresholds(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 2, (12, 5)), rng.integers(0, 5, 12)
    grade = np.argsort(order)[labels]
    probability = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[:, order]
    expected = sum(log_loss(grade > k, probability[:, k + 1 :].sum(1), labels=[False, True]) for k in range(4))
    one_hot = F.one_hot(torch.tensor(labels), 5).float()
    spec = Loss(name="cumulative", options={"order": order})
    ours = losses.function(spec, torch.ones(5))(torch.tensor(logits, dtype=torch.float32), one_hot)
    assert ours.item() == pytest.approx(expected, rel=1e-5)


def test_cumulative_of_two_classes_is_cross_entropy() -> None:
    logits, labels = batch()[0][:, :2], batch()[1].clamp(max=1)
    ours = losses.function(Loss(name="cumulative", options={"order": [1, 0]}), COUNTS[:2])(logits, F.one_hot(labels, 2).float())
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels))


def test_cumulative_costs_more_for_a_miss_by_more_grades_where_cross_entropy_does_not() -> None:
    logits = torch.log(torch.tensor([[0.90, 0.06, 0.04], [0.04, 0.06, 0.90]]))
    lowest = hard(torch.tensor([0, 0]))
    one_off, two_off = torch.log(torch.tensor([[0.05, 0.90, 0.05], [0.05, 0.05, 0.90]]))
    near, far = losses.losses["cumulative"](torch.stack([one_off, two_off]), lowest, COUNTS, order=[0, 1, 2])
    assert far > near + 1
    near, far = losses.losses["cross_entropy"](torch.stack([one_off, two_off]), lowest, COUNTS)
    assert far.item() == pytest.approx(near.item())
    best, worst = losses.losses["cumulative"](logits, lowest, COUNTS, order=[0, 1, 2])
    assert best < worst


def test_cumulative_is_proper() -> None:
    """Where the answer is the true distribution the slope is 0: nothing is gained by answering anything else."""
    soft = batch()[2]
    logits = soft.log().requires_grad_()
    losses.losses["cumulative"](logits, soft, COUNTS, order=[1, 2, 0]).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_label_distribution_by_hand() -> None:
    # sigma 1, lowest of three grades (class 2, then 0, 1): weights 1, e^-0.5, e^-2
    weights = np.array([1.0, math.exp(-0.5), math.exp(-2.0)])
    p = {2: 0.25, 0: 0.5, 1: 0.25}
    expected = -(weights / weights.sum()) @ np.log([p[2], p[0], p[1]])
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    ours = losses.losses["label_distribution"](logits, hard(torch.tensor([2])), COUNTS, order=[2, 0, 1], sigma=1.0)
    assert ours.item() == pytest.approx(expected, rel=1e-6)


def test_label_distribution_as_its_width_goes_to_0_is_cross_entropy_and_to_infinity_all_smoothing() -> None:
    logits, labels, _ = batch()
    for sigma, smoothing in ((1e-3, 0.0), (1e6, 1.0)):
        ours = losses.function(Loss(name="label_distribution", options={"order": [1, 2, 0], "sigma": sigma}), COUNTS)
        torch.testing.assert_close(ours(logits, hard(labels)), F.cross_entropy(logits, labels, label_smoothing=smoothing))


@pytest.mark.parametrize("name", ["cumulative", "label_distribution"])
def test_an_order_by_name_is_that_order(name: str) -> None:
    logits, labels, _ = batch()
    named = losses.function(Loss(name=name, options={"order": ["none", "mild", "severe"]}), COUNTS, ("mild", "none", "severe"))
    numbered = losses.function(Loss(name=name, options={"order": [1, 0, 2]}), COUNTS)
    assert named(logits, hard(labels)).item() == numbered(logits, hard(labels)).item()
    grades = losses.function(Loss(name=name, options={"order": [2, 0, 1]}), COUNTS, ("0", "1", "2"))  # grades named by numbers
    assert grades(logits, hard(labels)).item() == losses.losses[name](logits, hard(labels), COUNTS, order=[2, 0, 1]).mean().item()


@pytest.mark.parametrize("name", ["cumulative", "label_distribution"])
def test_without_an_order_it_is_the_one_that_names_of_grades_say(name: str) -> None:
    logits, labels, _ = batch()
    said = losses.function(Loss(name=name), COUNTS, ("mild", "almost clear", "severe"))
    given = losses.function(Loss(name=name, options={"order": [1, 0, 2]}), COUNTS)
    assert said(logits, hard(labels)).item() == given(logits, hard(labels)).item()


@pytest.mark.parametrize("name", ["cumulative", "label_distribution"])
@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({}, ("a", "b", "c")),
        ({"order": ["a", "b"]}, ("a", "b", "c")),
        ({"order": ["a", "b", "b"]}, ("a", "b", "c")),
        ({"order": ["a", "b", "d"]}, ("a", "b", "c")),
        ({"order": [0, 1, 2]}, ("a", "b", "c")),
        ({"order": ["a", "b", "c"]}, ()),
        ({"order": [0, 1, 3]}, ()),
    ],
)
def test_an_order_that_is_not_one_of_all_classes_is_refused(name: str, options: dict[str, Any], classes: tuple[str, ...]) -> None:
    with pytest.raises(CutisError, match=r"loss.options.order=.* name each.*class.* once, lowest grade first"):
        losses.function(Loss(name=name, options=options), COUNTS, classes)


# all of them


@pytest.mark.parametrize("name", list(losses.losses))
@given(
    logits=st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=4),
    label=st.integers(0, 2),
    share=st.sampled_from([1.0, 0.6]),
)
def test_every_loss_is_finite_and_has_a_finite_gradient_at_extreme_logits(
    name: str, logits: list[list[float]], label: int, share: float
) -> None:
    z = torch.tensor(logits, requires_grad=True)
    targets = torch.zeros(len(logits), 3)
    targets[:, label], targets[:, (label + 1) % 3] = share, 1 - share
    each = losses.losses[name](z, targets, COUNTS, **OPTIONS.get(name, {}))
    each.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(each).all()
    assert (each >= 0).all()
    assert torch.isfinite(z.grad).all()


def test_two_kinds_of_weights_make_deferred_reweighting() -> None:
    """LDAM-DRW (Cao et al. 2019): the same margins, first without class weights, then with those of the effective number."""
    logits, labels, _ = batch()
    margins = Loss(name="ldam")
    first = losses.function(margins, COUNTS)(logits, hard(labels))
    second = losses.function(margins.model_copy(update={"class_weights": "effective:0.9999"}), COUNTS)(logits, hard(labels))
    each = losses.losses["ldam"](logits, hard(labels), COUNTS).numpy()
    weight = ((1 - 0.9999) / (1 - 0.9999 ** COUNTS.double().numpy()))[labels]
    assert first.item() == pytest.approx(each.mean(), rel=1e-6)
    assert second.item() == pytest.approx((weight * each).sum() / weight.sum(), rel=1e-5)

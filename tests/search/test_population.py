"""Population training: the same weights as plain PyTorch gives each head alone, and nothing spent on who has stopped."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cutis.errors import CutisError, DataError, TrainingError
from cutis.models import heads
from cutis.randomness import stream
from cutis.search import population as module
from cutis.search.population import Epoch, Member, Population
from cutis.search.stack import Head, slope

FEATURES, CLASSES, SEED = 24, 3, 5
MIXED = (
    Member((7,), lr=3e-3),
    Member((16, 5), lr=1e-2, weight_decay=1e-2, class_weighting=1.0, label_smoothing=0.1),
    Member((33,), lr=1e-3, weight_decay=1e-1, class_weighting=0.5),
    Member((4, 12), lr=5e-3, label_smoothing=0.2),
)
Data = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def drawn(rows: int = 150, classes: int = CLASSES, spread: float = 1.0, views: tuple[int, ...] = ()) -> Data:
    """Unbalanced classes around centres; a smaller spread makes them separable."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, FEATURES))
    parts: list[Any] = []
    for n in (rows, rows // 2):
        labels = rng.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
        labels[:classes] = np.arange(classes)
        noise = rng.normal(size=(n, *views, FEATURES)) * spread
        parts += [(centres[labels].reshape(n, *(1 for _ in views), FEATURES) + noise).astype(np.float32), labels]
    return tuple(parts)  # type: ignore[return-value]


def population(members: Sequence[Member] = MIXED, classes: int = CLASSES, **kwargs: Any) -> Population:
    return Population(members, FEATURES, classes, SEED, **{"precision": "fp32", **kwargs})


def weights(one: Population, member: int) -> list[torch.Tensor]:
    return [p.detach() for p in one.head(member).parameters()]


def weighted(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean of PyTorch's smoothed cross-entropy over images that weigh what their classes do."""
    each = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (weights[labels] * each).sum() / weights[labels].sum()


def alone(head: nn.Sequential, member: Member, data: Data, epochs: int, batch_size: int, optimizer: str, schedule: str) -> Iterator[float]:
    """A plain training loop with autograd and torch.optim; the validation loss of each epoch."""
    x, y, val_x, val_y = map(torch.from_numpy, data)
    balanced = torch.tensor(compute_class_weight("balanced", classes=np.unique(data[1]), y=data[1]), dtype=torch.float32)
    weights = balanced**member.class_weighting
    groups = [
        {"params": [p for p in head.parameters() if p.ndim == 2], "weight_decay": member.weight_decay},
        {"params": [p for p in head.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    adam = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer](groups, lr=member.lr)
    steps = epochs * -(-len(x) // batch_size)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps) if schedule == "cosine" else None
    for epoch in range(epochs):
        head.train()
        for rows in torch.from_numpy(stream(SEED, "order", epoch).permutation(len(x))).split(batch_size):
            adam.zero_grad()
            weighted(head(x[rows]), y[rows], weights, member.label_smoothing).backward()
            adam.step()
            if rates:
                rates.step()
        with torch.no_grad():
            yield float(nn.functional.cross_entropy(head.eval()(val_x), val_y))


@pytest.mark.parametrize(("optimizer", "schedule"), [("adam", "constant"), ("adamw", "cosine")])
def test_together_they_reach_the_weights_of_plain_pytorch_one_after_another(
    monkeypatch: pytest.MonkeyPatch, optimizer: Any, schedule: Any
) -> None:
    monkeypatch.setattr(module, "STACK_BYTES", 40_000)  # several stacks
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * 64 * FEATURES * 4)  # and several chunks an epoch
    data, together = drawn(), population()
    reference = [together.head(i) for i in range(len(MIXED))]  # start weights
    # validation here improves throughout, so that the best weights are the last
    epochs = list(together.fit(*data, epochs=6, batch_size=64, optimizer=optimizer, schedule=schedule))
    for i, (member, head) in enumerate(zip(MIXED, reference, strict=True)):
        losses = list(alone(head, member, data, 6, 64, optimizer, schedule))
        assert losses == sorted(losses, reverse=True), "pick data on which it improves"
        np.testing.assert_allclose([e.loss[i] for e in epochs], losses, rtol=1e-4)
        for ours, theirs in zip(weights(together, i), head.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-3, atol=1e-4)


def test_figures_are_those_of_scikit_learn_on_the_heads_answers() -> None:
    data, one = drawn(spread=3.0), population()
    *_, epoch = one.fit(*data, epochs=3)
    for i in range(len(MIXED)):
        if one.best_epoch[i] != epoch.epoch:
            continue
        p = one.head(i)(torch.from_numpy(data[2])).double().softmax(1).detach().numpy()
        figures = [log_loss(data[3], p), accuracy_score(data[3], p.argmax(1)), balanced_accuracy_score(data[3], p.argmax(1))]
        np.testing.assert_allclose([epoch.loss[i], epoch.accuracy[i], epoch.balanced_accuracy[i]], figures, rtol=1e-5)
    assert (one.best_epoch == epoch.epoch).any()
    torch.testing.assert_close(one.logits(data[2])[1], one.head(1)(torch.from_numpy(data[2])).detach())


def test_with_dropout_and_views_a_member_does_not_depend_on_who_trains_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [Member(m.widths, dropout=0.1 + 0.2 * i, lr=m.lr, class_weighting=m.class_weighting) for i, m in enumerate(MIXED)]
    data = drawn(views=(3,))
    together = population(members)
    epochs = list(together.fit(*data, epochs=4, batch_size=32))
    monkeypatch.setattr(module, "STACK_BYTES", 1)
    for i, member in enumerate(members):
        single = population([member], keys=[i])
        np.testing.assert_allclose([e.loss[0] for e in single.fit(*data, epochs=4, batch_size=32)], [e.loss[i] for e in epochs], rtol=1e-4)
        for a, b in zip(weights(single, 0), weights(together, i), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    other_key = population([members[0]], keys=[9])
    assert next(other_key.fit(*data, epochs=1)).loss[0] != epochs[0].loss[0]


def test_several_threads_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STACK_BYTES", 20_000)
    members = [Member(m.widths, dropout=0.2) for m in MIXED]
    one, several = population(members), population(members)
    *_, alone = one.fit(*drawn(), epochs=2, batch_size=64)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        *_, together = several.fit(*drawn(), epochs=2, batch_size=64)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert threads > 1 or np.array_equal(alone.loss, together.loss)
    np.testing.assert_allclose(alone.loss, together.loss, rtol=1e-4)


def test_dropout_sets_the_share_to_zero_and_keeps_the_mean() -> None:
    head = Head(Member((400,), dropout=0.3), [torch.zeros(400, 2), torch.zeros(400), torch.zeros(2, 400), torch.zeros(2)], torch.ones(2))
    head.planes[2][0].fill_(1.0)
    logits = torch.empty(2, 500)
    (values,) = head.forward(torch.ones(400, 500), logits, training=True)
    assert float((values == 0).float().mean()) == pytest.approx(0.3, abs=0.005)  # 200,000 draws: 5 standard deviations
    assert float(logits.mean()) == pytest.approx(400, rel=0.01)
    head.forward(torch.ones(400, 500), logits, training=False)
    assert (logits == 400).all()


@pytest.mark.parametrize("monitor", ["loss", "balanced_accuracy"])
def test_early_stopping_is_the_rule_applied_to_each_alone_and_best_weights_are_kept(monitor: Any) -> None:
    data = drawn(rows=80, spread=4.0)
    full = list(population().fit(*data, epochs=30, batch_size=16))
    stopping = population()
    epochs = list(stopping.fit(*data, epochs=30, batch_size=16, patience=3, monitor=monitor))
    ends = []
    for i in range(len(MIXED)):
        scores = [float(-e.loss[i] if monitor == "loss" else e.balanced_accuracy[i]) for e in full]
        best = end = 0
        for end, score in enumerate(scores):
            best = end if score > scores[best] else best
            if end - best == 3:
                break
        ends.append(end)
        assert stopping.best_epoch[i] == best
        assert [bool(e.active[i]) for e in epochs] == [k < end or (k == end == 29 and end - best < 3) for k in range(len(epochs))]
        np.testing.assert_allclose(
            [e.loss[i] for e in epochs], [e.loss[i] for e in full[: end + 1]] + [np.nan] * (len(epochs) - end - 1), rtol=1e-3
        )
        p = stopping.logits(data[2])[i].double().softmax(1).numpy()
        assert log_loss(data[3], p) == pytest.approx(full[best].loss[i], rel=1e-3)
    assert len(set(ends)) > 1, "members should end at different epochs"
    assert len(epochs) == max(ends) + 1


def test_who_has_stopped_costs_nothing() -> None:
    x, y, val_x, val_y = drawn()
    one = population()
    running = one.fit(x, y, val_x, val_y, epochs=3, batch_size=50)

    def products(members: Sequence[Member]) -> int:
        """Multiplications and additions of one epoch: forward and two backward products, but none towards the features; validation."""
        total = 0
        for member in members:
            first, *later = [2 * a * b for a, b in pairwise((FEATURES, *member.widths, CLASSES))]
            total += len(x) * (2 * first + 3 * sum(later)) + len(val_x) * (first + sum(later))
        return total

    for expected in (MIXED, MIXED[:1] + MIXED[2:], MIXED[2:3]):
        with FlopCounterMode(display=False) as counter:
            epoch = next(running)
        assert counter.get_total_flops() == products(expected)
        assert [m for m, loss in zip(MIXED, epoch.loss, strict=True) if np.isfinite(loss)] == list(expected)
        for member in {1} if len(expected) == 4 else {0, 3}:
            one.stop(member)


def test_bf16_reaches_the_validation_figure_of_fp32() -> None:
    data = drawn(rows=300, spread=2.0)
    full, low = (list(population(precision=precision).fit(*data, epochs=8, batch_size=32)) for precision in ("fp32", "bf16"))
    assert not np.array_equal(full[-1].loss, low[-1].loss)
    np.testing.assert_allclose(low[-1].loss, full[-1].loss, atol=0.02)
    np.testing.assert_allclose(low[-1].accuracy, full[-1].accuracy, atol=0.02)


@given(
    classes=st.integers(2, 9),
    batch=st.integers(1, 20),
    weighting=st.floats(0, 1),
    smoothing=st.floats(0, 0.9),
    seed=st.integers(0, 2**32),
)
def test_the_written_out_gradient_is_that_of_autograd(classes: int, batch: int, weighting: float, smoothing: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    balanced = torch.rand(classes, generator=generator) * 3 + 0.1
    logits = (torch.randn(1, classes, batch, generator=generator) * 3).requires_grad_()
    labels = torch.randint(classes, (batch,), generator=generator)
    head = Head(Member((1,), class_weighting=weighting, label_smoothing=smoothing), [], balanced)
    weighted(logits[0].T, labels, balanced**weighting, smoothing).backward()
    assert logits.grad is not None
    torch.testing.assert_close(slope(logits.detach(), labels, head.targets[None], head.weights[None]), logits.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_one_member_alone_learns_what_can_be_separated(classes: int) -> None:
    one = population([Member((16,), dropout=0.2, lr=1e-2)], classes, precision="auto")
    *_, last = one.fit(*drawn(classes=classes, spread=0.3), epochs=15, batch_size=32)
    assert last.accuracy[0] == last.balanced_accuracy[0] == 1.0


def test_a_member_whose_loss_is_no_number_ends_and_leaves_the_others_alone() -> None:
    data = drawn()
    calm = Member((8,), lr=1e-2)
    beside = list(population([calm, Member((8,), lr=1e30)]).fit(*data, epochs=3))
    assert [e.active.tolist() for e in beside] == [[True, False]] * 3
    np.testing.assert_allclose([e.loss[0] for e in beside], [e.loss[0] for e in population([calm]).fit(*data, epochs=3)], rtol=1e-5)
    data[0][0, 0] = np.nan
    with pytest.raises(TrainingError, match="NaN in the features"):
        next(population([calm]).fit(*data, epochs=1))


def test_a_head_is_what_its_words_build_and_making_it_draws_nothing() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    head = population([Member((6, 4), dropout=0.25)]).head(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert Member((6, 4), dropout=0.25).words == ("dense:6", "relu", "dropout:0.25", "dense:4", "relu", "dropout:0.25")
    _, built = heads.build(Member((6, 4), dropout=0.25).words, (FEATURES,), CLASSES)
    assert str(head) == str(built.eval())
    assert all(p.requires_grad for p in head.parameters())


def test_a_memory_map_gives_what_an_array_gives(tmp_path: Any) -> None:
    x, y, val_x, val_y = drawn()
    np.save(tmp_path / "x.npy", x)
    kept = np.load(tmp_path / "x.npy", mmap_mode="r")
    a, b = (next(population().fit(source, y, val_x, val_y, epochs=1)) for source in (x, kept))
    assert np.array_equal(a.loss, b.loss)
    assert isinstance(a, Epoch)


@pytest.mark.parametrize(
    "settings",
    [
        {"widths": ()},
        {"widths": (0,)},
        {"widths": (4, 4, 4)},
        {"lr": float("nan")},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"dropout": 1.0},
        {"class_weighting": 1.5},
        {"label_smoothing": float("nan")},
    ],
)
def test_a_member_that_cannot_train_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(CutisError):
        Member(**{"widths": (4,), **settings})


def test_what_does_not_fit_is_an_error() -> None:
    x, y, val_x, val_y = drawn()
    with pytest.raises(CutisError, match="at least one member"):
        population([])
    with pytest.raises(CutisError, match="2 classes"):
        population(classes=1)
    with pytest.raises(CutisError, match="shape"):
        next(population().fit(x[:, 1:], y, val_x, val_y, epochs=1))
    with pytest.raises(DataError, match="0 to 2"):
        next(population().fit(x, y + 1, val_x, val_y, epochs=1))
    with pytest.raises(CutisError, match="epochs=0"):
        next(population().fit(x, y, val_x, val_y, epochs=0))

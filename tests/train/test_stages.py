"""Stages: rates, sizes, patience and plateaus worked out by hand, and what weight decay spares."""

import math

import pytest
import torch
from torch import nn

from cutis.recipe import Images, Recipe, Stage, Train
from cutis.train import stages
from cutis.train.stages import Watch


def rates(stage: Stage, steps: int, scale: float = 1.0) -> list[float]:
    return [stages.rate(stage, step, steps, scale) for step in range(steps)]


def test_a_constant_rate_stays_and_warms_up() -> None:
    assert rates(Stage(epochs=1, lr=0.1), 4) == [0.1] * 4
    assert rates(Stage(epochs=1, lr=0.1, warmup=0.4), 10) == pytest.approx([0.025, 0.05, 0.075, 0.1] + [0.1] * 6)


def test_cosine_falls_from_peak_to_floor_after_its_warm_up() -> None:
    stage = Stage(epochs=1, lr=1.0, schedule="cosine", warmup=0.2, min_lr=0.2)
    # 2 of 10 steps rise; then 0.2 + 0.8 (1 + cos(pi s)) / 2 for s = 0, 1/8, ..., 7/8
    falling = [0.2 + 0.4 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert rates(stage, 10) == pytest.approx([0.5, 1.0, *falling])
    assert stages.rate(stage, 6, 10, 1.0) == pytest.approx(0.6)  # half way


def test_plateau_scales_the_rate_down_to_its_floor() -> None:
    stage = Stage(epochs=9, lr=1e-3, schedule="plateau", min_lr=1e-5)
    assert [stages.rate(stage, 0, 9, scale) for scale in (1, 0.5, 0.25, 0.01, 0.001)] == pytest.approx([1e-3, 5e-4, 2.5e-4, 1e-5, 1e-5])
    assert stages.rate(Stage(epochs=1, lr=1e-6, min_lr=1e-5), 0, 1, 1.0) == 1e-6  # a floor raises no rate


def test_warm_up_and_plateau_multiply() -> None:
    assert stages.rate(Stage(epochs=1, lr=1.0, schedule="plateau", warmup=0.5), 0, 8, 0.5) == pytest.approx(0.5 / 4)


def watched(stage: Stage, values: list[float], name: str = "loss") -> tuple[Watch, list[bool], list[float]]:
    watch, best, scales = Watch(), [], []
    for epoch, value in enumerate(values):
        best.append(watch.see(stage, epoch, {name: value}))
        scales.append(watch.scale)
    return watch, best, scales


def test_the_lowest_loss_and_the_highest_share_are_best() -> None:
    watch, best, _ = watched(Stage(epochs=9), [1.0, 0.8, 0.9, 0.8, 0.7])
    assert best == [True, True, False, False, True]  # an equal value is no improvement
    assert (watch.best_epoch, watch.stale) == (4, 0)
    for monitor in ("accuracy", "balanced_accuracy", "auroc"):
        watch, best, _ = watched(Stage(epochs=9, monitor=monitor), [0.5, 0.7, 0.6, 0.7], monitor)
        assert best == [True, True, False, False]
        assert (watch.best_epoch, watch.stale) == (1, 2)


def test_patience_ends_a_stage_and_0_never_does() -> None:
    values = [1.0, 0.9, 0.95, 0.95, 0.95]
    stage = Stage(epochs=9, patience=3)
    over = [watched(stage, values[: n + 1])[0].over(stage, n + 1) for n in range(5)]
    assert over == [False, False, False, False, True]
    endless = Stage(epochs=9)
    assert not watched(endless, values)[0].over(endless, 8)
    assert Watch().over(endless, 9)


def test_plateaus_lower_the_rate_each_time_they_last() -> None:
    stage = Stage(epochs=99, lr=1.0, schedule="plateau", plateau=2, factor=0.1, min_lr=0.05)
    #         best stale stale(lower) stale stale(lower, to the floor) best stale stale
    values = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.6]
    _, _, scales = watched(stage, values)
    assert scales == pytest.approx([1, 1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])
    _, _, interrupted = watched(stage, [1.0, 1.0, 0.9, 0.9, 0.8, 0.8])  # an improvement starts the count anew
    assert interrupted == [1] * 6
    _, _, constant = watched(stage.model_copy(update={"schedule": "constant"}), values)
    assert constant == [1] * 8


def test_without_a_figure_every_epoch_is_the_best_so_far() -> None:
    watch = Watch()
    stage = Stage(epochs=3, patience=1, monitor="auroc")
    assert [watch.see(stage, e, figures) for e, figures in enumerate([{}, {"auroc": math.nan}])] == [True, True]
    assert (watch.best_epoch, watch.over(stage, 2)) == (1, False)


@pytest.mark.parametrize(
    ("sizes", "epochs", "expected"),
    [
        ((), (2, 1), [(40, 30)] * 3),
        ((128,), (2, 1), [(128, 128)] * 3),
        ((128, 160, 192), (2, 4), [(128, 128)] * 2 + [(160, 160)] * 2 + [(192, 192)] * 2),
        ((128, 160), (5,), [(128, 128)] * 3 + [(160, 160)] * 2),
        ((1, 2, 3), (2,), [(1, 1), (2, 2)]),
    ],
)
def test_sizes_share_the_epochs_of_the_run(sizes: tuple[int, ...], epochs: tuple[int, ...], expected: list[tuple[int, int]]) -> None:
    spec = Recipe(images=Images(size=(40, 30)), train=Train(size=sizes), stages=tuple(Stage(epochs=e) for e in epochs))
    assert [stages.size_at(spec, epoch) for epoch in range(sum(epochs))] == expected


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_weight_decay_spares_biases_and_norms(name: str, kind: type[torch.optim.Optimizer]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = stages.optimizer(Stage(epochs=1, optimizer=name, lr=0.3, weight_decay=0.2, momentum=0.7), list(model.parameters()))
    assert type(optimizer) is kind
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {n: decay[id(p)] for n, p in model.named_parameters()} == {
        "0.weight": 0.2, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "3.weight": 0.2, "3.bias": 0.0,
    }  # fmt: skip
    assert {group["lr"] for group in optimizer.param_groups} == {0.3}
    assert name != "sgd" or {group["momentum"] for group in optimizer.param_groups} == {0.7}


def test_a_step_of_sgd_and_adam_by_hand() -> None:
    for name, expected in (("sgd", 2 - 0.1 * (3 + 0.5 * 3)), ("adam", 2 - 0.1)):  # Nesterov: g + momentum v, v = g; Adam's first step is lr
        p = nn.Parameter(torch.tensor([2.0]))
        optimizer = stages.optimizer(Stage(epochs=1, optimizer=name, lr=0.1, momentum=0.5), [p])
        p.grad = torch.tensor([3.0])
        optimizer.step()
        assert p.item() == pytest.approx(expected, rel=1e-6)

"""The loop: its arithmetic against plain torch, its stages, and what it does when the numbers go wrong."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny import RECIPE, figures, fit, network, part, same
from torch import nn
from torch.nn import functional as F

from cutis.data.loaders import Pixels
from cutis.errors import CutisError, TrainingError
from cutis.evaluate.metrics import figures as metrics
from cutis.evaluate.sample import Rows
from cutis.models import predict
from cutis.recipe import Recipe
from cutis.train import losses
from cutis.train.checkpoint import Checkpoint, Interrupt, Interrupted
from cutis.train.state import Part


def changed(**fields: Any) -> Recipe:
    """The tiny recipe with other values; ``stages_0_lr`` is stages.0.lr."""
    return RECIPE.changed(**{k.replace("__", "."): v for k, v in fields.items()})


def stages(*given: dict[str, Any], **fields: Any) -> Recipe:
    return changed(**fields).changed(stages=list(given))


def images(given: Part) -> torch.Tensor:
    return torch.from_numpy(given.pixels.cache.pixels.copy()).permute(0, 3, 1, 2) / 255


PLAIN = {"model__head": ["avgpool", "dense:8", "relu"]}  # no dropout: nothing is random but the order


@pytest.mark.parametrize(
    ("stage", "reference"),
    [
        ({"optimizer": "sgd", "momentum": 0.5}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.5, nesterov=True)),
        ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, 0.05)),
        ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.0)),
    ],
)
def test_training_is_what_a_plain_torch_loop_does(tmp_path: Path, stage: dict[str, Any], reference: Any) -> None:
    # no norm: a bias before one has a gradient of nothing but rounding, which Adam makes large
    options = {"train__batch_size": 40, "model__options": {"channels": [6, 8]}}
    spec = stages({"epochs": 4, "lr": 0.05, "restore_best": False} | stage, **options, **PLAIN)
    ours, history = fit(spec, tmp_path)
    theirs, train = network(spec), part("train", 40, spec)
    optimizer = reference(theirs.parameters())
    expected = []
    for _ in range(4):
        loss = F.cross_entropy(theirs.train()(images(train)), torch.from_numpy(train.labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert [e.train_loss for e in history] == pytest.approx(expected, rel=1e-4)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_it_learns_what_can_be_learned(tmp_path: Path) -> None:
    _, history = fit(changed(stages__0__epochs=8, augment={"hflip": True, "rotation": 20}), tmp_path)
    assert history[-1].val_accuracy > 0.9
    assert history[-1].val_loss < history[0].val_loss


def test_an_epoch_reports_scikit_learn_like_figures_of_its_weights(tmp_path: Path) -> None:
    spec = changed(stages__0__restore_best=False)
    model, history = fit(spec, tmp_path)
    val = part("val", 15, spec)
    answers = predict.probabilities(model, val.pixels, spec)
    last = history[-1]
    assert last.val_loss == pytest.approx(-np.log(answers[np.arange(15), val.labels]).mean(), rel=1e-5)
    assert last.val_accuracy == pytest.approx((answers.argmax(1) == val.labels).mean())
    measured = metrics(Rows(val.labels, answers).weighted())
    assert last.val_balanced_accuracy == pytest.approx(float(measured["balanced_accuracy"][0]))
    assert last.val_auroc == pytest.approx(float(measured["auroc_macro"][0]))
    assert [(e.stage, e.epoch, e.size, e.lr) for e in history] == [(0, 0, 24, 0.01), (0, 1, 24, 0.01), (0, 2, 24, 0.01)]
    assert all(e.seconds > 0 and e.images_per_second > 0 for e in history)


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "balanced_accuracy", "auroc"])
def test_the_best_epoch_by_the_chosen_figure_is_restored(tmp_path: Path, monitor: str) -> None:
    spec = stages({"epochs": 6, "lr": 0.3, "optimizer": "sgd", "monitor": monitor})
    model, history = fit(spec, tmp_path)
    values = [getattr(e, f"val_{monitor}") for e in history]
    best = values.index(min(values) if monitor == "loss" else max(values))
    assert max(e.epoch for e in history if e.best) == best
    val = part("val", 15, spec)
    answers = predict.probabilities(model, val.pixels, spec)
    assert -np.log(answers[np.arange(15), val.labels]).mean() == pytest.approx(history[best].val_loss, rel=1e-5)


STILL = {"optimizer": "sgd", "lr": 1e-30, "train": "head"}  # too small to change a weight: validation stands still


def test_patience_ends_a_stage_and_the_next_begins(tmp_path: Path) -> None:
    spec = stages(STILL | {"epochs": 9, "patience": 2}, {"epochs": 2}, train__views=0, model__head=["avgpool"])
    _, history = fit(spec, tmp_path)
    assert [(e.stage, e.epoch) for e in history] == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4)]


def test_a_plateau_lowers_the_rate_to_its_floor(tmp_path: Path) -> None:
    plateau = {"epochs": 7, "schedule": "plateau", "plateau": 2, "factor": 0.5, "min_lr": 4e-31}
    _, history = fit(stages(STILL | plateau, model__head=["avgpool"]), tmp_path)
    assert [e.lr for e in history] == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31, 4e-31, 4e-31])


def test_without_validation_the_last_epoch_counts(tmp_path: Path) -> None:
    model, history = fit(changed(stages__0__patience=1, **PLAIN), tmp_path, val=False)
    last, _ = fit(changed(stages__0__restore_best=False, **PLAIN), tmp_path)
    assert len(history) == 3
    assert all(math.isnan(getattr(e, f"val_{m}")) for e in history for m in ("loss", "accuracy", "balanced_accuracy", "auroc"))
    assert same(model.state_dict(), last.state_dict())


@pytest.mark.parametrize(("count", "batch", "steps"), [(41, 8, 5), (42, 8, 6), (40, 8, 5), (1, 8, 1), (3, 1, 3), (5, 100, 1)])
def test_one_row_left_over_sits_an_epoch_out(tmp_path: Path, count: int, batch: int, steps: int) -> None:
    spec = stages({"epochs": 2}, train__batch_size=batch, model__head=["avgpool"], model__options={"channels": [4]})
    told: list[tuple[int, int]] = []
    fit(spec, tmp_path, train=part("train", count, spec), on_step=lambda *a: told.append(a))
    assert told == [(step + 1, steps) for step in range(steps)] * 2


def test_batch_norm_survives_a_remainder_of_one(tmp_path: Path) -> None:
    _, history = fit(RECIPE, tmp_path, train=part("train", 17, RECIPE))
    assert all(math.isfinite(e.train_loss) for e in history)


def test_a_head_stage_leaves_the_backbone_alone_and_last_k_all_but_its_blocks(tmp_path: Path) -> None:
    for views in (0, 1):
        before = network(RECIPE).state_dict()
        model, _ = fit(stages({"epochs": 1, "train": "head"}, train__views=views), tmp_path)
        moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert moved
        assert all(k.startswith("head.") for k in moved)
    model, _ = fit(stages({"epochs": 1, "train": "last:1"}), tmp_path)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {k for k in moved if not k.startswith("head.")} == {
        f"backbone.stages.1.{k}"
        for k in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")
    }


@pytest.mark.parametrize("head", [["avgpool", "dense:8", "relu", "dropout:0.3"], ["flatten", "dense:8", "batchnorm", "relu"]])
def test_a_head_trains_alike_on_kept_features_and_on_images(tmp_path: Path, head: list[str]) -> None:
    """Tolerance: figures to 1e-4, weights to 1e-4; what differs is the order of sums in a batch of another size."""
    spec = stages(
        {"epochs": 5, "train": "head", "lr": 0.01, "weight_decay": 0.01}, model__head=head, model__options={"channels": [4, 8, 8]}
    )
    told: list[str] = []
    kept, by_features = fit(spec, tmp_path, say=told.append)
    streamed, by_images = fit(spec.changed(**{"train.views": 0}), tmp_path, say=told.append)
    assert told == ["Passing 40 training images through the frozen backbone once"]
    for a, b in zip(by_features, by_images, strict=True):
        for name in ("train_loss", "val_loss", "val_accuracy", "val_auroc", "lr", "size"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-4), name
    for name, value in streamed.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], value, rtol=1e-4, atol=1e-4)


def test_features_too_heavy_to_keep_are_computed_anew_and_it_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    one = {"epochs": 1, "train": "head"}
    fit(stages(one, train__views=8), tmp_path / "light", say=told.append)
    # 512 x 3 x 3 floats of 24 x 24 x 3 bytes
    fit(stages(one, model__head=["flatten"], model__options={"channels": [4, 8, 512]}), tmp_path / "heavy", say=told.append)
    assert told[0].startswith("Passing 40 training images")
    assert told[1] == "Features would weigh 10.7 times the images; they are computed anew each epoch instead of kept"
    assert len(told) == 2
    assert (tmp_path / "light/features").exists()
    assert not (tmp_path / "heavy").exists()


def test_kept_features_are_told_of_and_used_by_the_next_run(tmp_path: Path) -> None:
    spec, passed = stages({"epochs": 1, "train": "head"}), []
    fit(spec, tmp_path, on_pass=lambda *a: passed.append(a))
    assert passed[-1] == (15, 15)
    assert (40, 40) in passed
    once = len(passed)
    fit(spec.changed(**{"stages.0.lr": 0.5}), tmp_path, on_pass=lambda *a: passed.append(a))
    assert len(passed) == once


@pytest.mark.parametrize("views", [0, 1])
@pytest.mark.parametrize(
    "change",
    [{"class_weights": "effective:0.9"}, {"class_weights": (1.0, 5.0, 9.0)}, {"balance": {"name": "count", "options": {"count": 20}}}],
)
def test_a_stage_of_other_weights_or_another_drawing_is_a_training_of_its_own_that_begins_there(
    tmp_path: Path, change: dict[str, Any], views: int
) -> None:
    """One step an epoch and no dropout, so that order does not matter; the second training has the change in its recipe."""
    plan = {"epochs": 2, "train": "head", "lr": 0.1, "optimizer": "sgd", "restore_best": False}
    options = {"train__batch_size": 200, "train__views": views, "loss__name": "logit_adjusted", "model__options": {"channels": [6, 8]}}
    both, _ = fit(stages(plan, plan | change, **options, **PLAIN), tmp_path, train=uneven())
    first, _ = fit(stages(plan, **options, **PLAIN), tmp_path, train=uneven())
    assert not same(first.state_dict(), both.state_dict())
    as_recipe = {"balance": change["balance"]} if "balance" in change else {"loss__class_weights": change["class_weights"]}
    second, _ = fit(stages(plan, **options, **as_recipe, **PLAIN), tmp_path, train=uneven(), model=first)
    for name, value in second.state_dict().items():
        torch.testing.assert_close(both.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def uneven() -> Part:
    """Classes of 30, 8 and 2."""
    whole = part("train", 90, RECIPE)
    rows = np.concatenate([np.flatnonzero(whole.labels == c)[:n] for c, n in enumerate((30, 8, 2))])
    return Part(Pixels(whole.pixels.cache, rows, whole.pixels.spec, whole.pixels.device), whole.labels[rows], whole.images[rows])


@pytest.mark.parametrize("views", [0, 3])
@pytest.mark.parametrize("repeats", ["mixed", "transformed"])
def test_repeats_that_are_changed_train_otherwise_and_on_features_that_are_kept_as_on_images(
    tmp_path: Path, repeats: str, views: int
) -> None:
    def trained(repeats: str) -> dict[str, torch.Tensor]:
        balance = {"name": "count", "options": {"count": 30}, "repeats": repeats}
        spec = stages({"epochs": 2, "train": "head"}, balance=balance, train__views=views, train__view_kind="augmented", **PLAIN)
        return fit(spec, tmp_path, train=uneven())[0].state_dict()

    changed_, plain = trained(repeats), trained("same")
    assert not same(changed_, plain)
    assert same(changed_, trained(repeats))


def test_transformed_repeats_on_kept_features_need_further_versions(tmp_path: Path) -> None:
    balance = {"name": "sampling", "repeats": "transformed"}
    for options in ({}, {"train__views": 4}, {"train__view_kind": "augmented"}):
        with pytest.raises(CutisError, match=r"Set train.view_kind=augmented and train.views=4"):
            fit(stages({"epochs": 1, "train": "head"}, balance=balance, **options), tmp_path)


def test_the_moving_average_is_what_is_kept(tmp_path: Path) -> None:
    spec = changed(train__ema=0.9, stages__0__restore_best=False)
    model, seen = network(spec), []
    _, history = fit(
        spec, tmp_path, model=model, on_step=lambda *_: seen.append({k: v.clone().double() for k, v in model.state_dict().items()})
    )
    average = seen[0]
    for step, now in enumerate(seen, 1):
        decay = min(0.9, (1 + step) / (10 + step))
        average = {k: decay * average[k] + (1 - decay) * now[k] for k in now}
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), average[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model.head[0].weight.double(), seen[-1]["head.0.weight"], atol=1e-4)
    val = part("val", 15, spec)
    answers = predict.probabilities(model, val.pixels, spec)
    assert history[-1].val_loss == pytest.approx(-np.log(answers[np.arange(15), val.labels]).mean(), rel=1e-5), "it is what is validated"


def test_gradients_are_clipped_to_the_norm_asked_for(tmp_path: Path) -> None:
    spec = stages(
        {"epochs": 1, "lr": 1.0, "optimizer": "sgd", "momentum": 0, "restore_best": False}, train__clip=0.01, train__batch_size=40
    )
    before = network(spec)
    after, _ = fit(spec, tmp_path)
    moved = [(a - b).flatten() for a, b in zip(after.parameters(), before.parameters(), strict=True)]
    assert torch.cat(moved).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("augment", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_images_train_and_the_shares_count(tmp_path: Path, augment: dict[str, float]) -> None:
    plain, _ = fit(changed(**PLAIN), tmp_path)
    mixed, history = fit(changed(augment=augment, loss__class_weights="balanced", **PLAIN), tmp_path)
    assert all(math.isfinite(e.train_loss) for e in history)
    assert not same(plain.state_dict(), mixed.state_dict())


def test_bf16_trains(tmp_path: Path) -> None:
    _, exact = fit(changed(**PLAIN), tmp_path)
    model, rough = fit(changed(train__precision="bf16", **PLAIN), tmp_path)
    assert {v.dtype for v in model.parameters()} == {torch.float32}
    assert rough[-1].train_loss != exact[-1].train_loss
    assert rough[-1].train_loss == pytest.approx(exact[-1].train_loss, rel=0.05)


def test_sizes_grow_and_kept_features_are_of_the_size_of_prediction(tmp_path: Path) -> None:
    spec = stages({"epochs": 2}, {"epochs": 1, "train": "head"}, train__size=[12, 16], predict__size=20)
    assert [e.size for e in fit(spec, tmp_path)[1]] == [12, 12, 20]


# Randomness


def test_fault_g1_the_same_seed_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    spec = stages(
        {"epochs": 1, "train": "head"}, {"epochs": 2}, augment={"hflip": True, "mixup": 0.2}, train__ema=0.9, balance__name="sampling"
    )
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, first = fit(spec, tmp_path / "one")
    assert torch.equal(torch.get_rng_state(), state), "the caller's generator is left alone"
    torch.manual_seed(2)
    two, second = fit(spec, tmp_path / "two")
    assert same(one.state_dict(), two.state_dict())
    assert figures(first) == figures(second)


def test_another_seed_gives_other_weights_from_the_same_start(tmp_path: Path) -> None:
    one, _ = fit(RECIPE, tmp_path, model=network(RECIPE))
    two, _ = fit(changed(seed=1), tmp_path, model=network(RECIPE))
    assert not same(one.state_dict(), two.state_dict())


# Numbers that are none


class Poisoned(Pixels):
    """Pixels of which one row is no number."""

    row = 11

    def batch(self, rows: np.ndarray, size: tuple[int, int], generator: torch.Generator | None) -> torch.Tensor:
        batch = super().batch(rows, size, generator)
        batch[torch.from_numpy(rows == self.row)] = math.nan
        return batch


def poisoned(given: Part) -> Part:
    return Part(Poisoned(given.pixels.cache, given.pixels.table_rows, given.pixels.spec, given.pixels.device), given.labels, given.images)


@pytest.mark.parametrize("every", [0.0, 3600.0])
def test_fault_t4_a_poisoned_batch_is_named_and_the_last_good_weights_are_kept(tmp_path: Path, every: float) -> None:
    model = network(RECIPE)
    good = [{k: v.clone() for k, v in model.state_dict().items()}]
    with pytest.raises(
        TrainingError, match=r"The loss is not a finite number in stage 0, epoch 0, step \d.*train-11.*kept in .*stages.0.lr"
    ) as caught:
        fit(
            RECIPE,
            tmp_path,
            model=model,
            train=poisoned(part("train", 40, RECIPE)),
            checkpoint=Checkpoint(tmp_path, every),
            on_step=lambda *_: good.append({k: v.clone() for k, v in model.state_dict().items()}),
        )
    assert caught.value.code == 5
    assert str(caught.value).count("train-") == 8, "the batch's images, and no others"
    saved = Checkpoint(tmp_path).load(torch.device("cpu"))
    assert saved is not None
    for state in (saved[0]["model"], model.state_dict()):
        floats = [k for k, v in state.items() if v.is_floating_point()]
        assert same({k: state[k] for k in floats}, {k: good[-1][k] for k in floats})
    assert saved[1]["step"] == len(good) - 1


def test_fault_t4_an_infinite_gradient_stops_before_the_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steep(logits: torch.Tensor, targets: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        return (logits - logits.detach()).sum(1).clamp(min=0).sqrt()  # 0, and infinitely steep there

    monkeypatch.setitem(losses.losses._items, "steep", steep)
    model = network(RECIPE)
    before = {k: v.clone() for k, v in model.named_parameters()}
    with pytest.raises(TrainingError, match=r"The gradient is not a finite number.*train-\d"):
        fit(changed(loss__name="steep"), tmp_path, model=model)
    assert same(dict(model.named_parameters()), before)


def test_fault_t4_a_poisoned_validation_image_is_named_each_time(tmp_path: Path) -> None:
    for _ in range(2):  # the second time from the checkpoint, which stands between the last step and validation
        with pytest.raises(TrainingError, match=r"answer is not a finite number.*step 5, on these validation images: val-11\. "):
            fit(RECIPE, tmp_path, val=poisoned(part("val", 15, RECIPE)), checkpoint=Checkpoint(tmp_path, 3600))
    with safe_open(Checkpoint(tmp_path).path, "pt") as file:
        assert all(torch.isfinite(file.get_tensor(k)).all() for k in file.keys())  # noqa: SIM118  (not a dict)


def test_a_diverging_rate_stops_with_weights_that_are_numbers(tmp_path: Path) -> None:
    model = network(RECIPE)
    with pytest.raises(TrainingError, match="not a finite number"):
        fit(stages({"epochs": 30, "lr": 1e25, "optimizer": "sgd"}, **PLAIN), tmp_path, model=model)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())


# Interruptions inside the process; those of a whole process are in test_interruptions.py


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("step", [1, 5, 7, 15, 19, 25])
def test_an_interrupted_training_goes_on_exactly(tmp_path: Path, ema: float, step: int) -> None:
    """Five steps an epoch: in the middle of one, at its end, at the end of the first stage, in the second, at the very end."""
    spec = stages({"epochs": 3, "optimizer": "adam"}, {"epochs": 2, "train": "last:1"}, train__ema=ema, augment={"vflip": True})
    whole, history = fit(spec, tmp_path / "whole")
    interrupt, told = Interrupt(), []

    def at(*_: int) -> None:
        told.append(_)
        interrupt.signal = 15 if len(told) == step else 0

    def go(**options: Any) -> tuple[nn.Module, list[Any]]:
        return fit(spec, tmp_path / "cut", checkpoint=Checkpoint(tmp_path / "cut", 3600), **options)

    with pytest.raises(Interrupted, match="SIGTERM"):
        go(interrupt=interrupt, on_step=at)
    assert len(told) == step, "not a step more"
    model, again = go()
    assert same(model.state_dict(), whole.state_dict())
    assert figures(again) == figures(history)


def test_a_signal_stops_a_pass_through_the_backbone(tmp_path: Path) -> None:
    interrupt = Interrupt()
    interrupt.signal = 2
    with pytest.raises(Interrupted):
        fit(stages({"epochs": 1, "train": "head"}), tmp_path, interrupt=interrupt)

    def kept() -> int:
        return sum(file.stat().st_size for file in (tmp_path / "features").rglob("features.f32"))

    at_stop = kept()
    fit(stages({"epochs": 1, "train": "head"}), tmp_path)
    assert at_stop < kept(), "it stops after the batch at hand"

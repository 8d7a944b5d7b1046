"""How fast a stage trains: number format and compilation by measurement, and what that must not change."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import RECIPE, figures, fit, network, part, same

from cutis import measured
from cutis.errors import CutisError
from cutis.recipe import Recipe
from cutis.train import speed
from cutis.train.checkpoint import Checkpoint, Interrupt, Interrupted
from cutis.train.speed import Timing, settled

CPU = torch.device("cpu")
AUTO = RECIPE.changed(**{"train.precision": "auto"})
LONG = 10_000


@pytest.fixture(autouse=True)
def nothing_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No measurement but the test's own, on a processor that has bf16: emulated, where it has not."""
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "resolved", lambda *_: "bf16")


def plant(spec: Recipe, *rows: Timing, size: tuple[int, int] | None = None) -> None:
    measured.remember([asdict(row) for row in rows], *speed.key(spec, spec.stages[0], size or spec.images.size))


def settle(spec: Recipe, steps: int = LONG, sizes: tuple[int, ...] = (24,), **options: Any) -> tuple[str, bool]:
    return settled(spec, network(spec), spec.stages[0], [(side, side) for side in sizes], steps, CPU, **options)


def timings(fp32: float, bf16: float) -> tuple[Timing, Timing]:
    return Timing("fp32", False, fp32), Timing("bf16", False, bf16)


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(2.0, 1.0, "bf16"), (1.05, 1.0, "bf16"), (1.04, 1.0, "fp32"), (1.0, 2.0, "fp32")])
def test_bf16_is_taken_where_it_was_five_percent_faster(fp32: float, bf16: float, chosen: str) -> None:
    plant(AUTO, *timings(fp32, bf16))
    told: list[str] = []
    assert settle(AUTO, say=told.append) == (chosen, False)
    assert told == [f"Training in {chosen}; measured here for a step of 8 images: fp32 {fp32:.3g} s, bf16 {bf16:.3g} s"]
    for asked in ("fp32", "bf16"):
        assert settle(RECIPE.changed(**{"train.precision": asked})) == (asked, False)


@pytest.mark.parametrize(
    ("steps", "sizes", "pays"),
    [(101, (24,), True), (99, (24,), False), (101, (16, 16, 24), False), (201, (16, 16, 24), True)],
)
def test_compilation_is_taken_where_it_pays_back_within_the_stage(steps: int, sizes: tuple[int, ...], pays: bool) -> None:
    """Fifty seconds of compiling a size, half a second gained a step."""
    compiled = Timing("fp32", True, 1.0, seconds_compile=50.0), Timing("bf16", True, 0.1, seconds_compile=1.0)
    plant(AUTO, Timing("fp32", False, 1.5), Timing("bf16", False, 2.0), *compiled)
    assert settle(AUTO, steps, sizes) == ("fp32", pays)
    assert settle(AUTO.changed(**{"train.compile": "off"}), steps, sizes) == ("fp32", False)
    assert settle(AUTO.changed(**{"train.precision": "fp32"}), steps, sizes) == ("fp32", pays)


def test_a_compilation_that_failed_is_never_taken() -> None:
    plant(AUTO, *timings(1.0, 2.0), Timing("fp32", True, 0.0, why="there is no C++ compiler (g++)"))
    assert settle(AUTO) == ("fp32", False)


def test_what_was_measured_for_another_network_size_or_batch_does_not_count() -> None:
    other = AUTO.changed(**{"model.options": {"channels": [4, 8]}})
    plant(other, *timings(2.0, 1.0))
    plant(AUTO.changed(**{"train.batch_size": 16}), *timings(2.0, 1.0))
    plant(AUTO, *timings(2.0, 1.0), size=(16, 16))
    assert settle(AUTO, steps=1) == ("fp32", False)
    assert settle(other, steps=1) == ("bf16", False)


def test_a_short_stage_measures_nothing_and_a_long_one_once(tmp_path: Path) -> None:
    told: list[str] = []
    assert settle(AUTO, steps=200, say=told.append) == ("fp32", False)
    assert not told
    assert not (tmp_path / "cache" / "measured.json").exists()
    first = settle(AUTO, steps=201, say=told.append)
    assert len(told) == 1
    kept = (tmp_path / "cache" / "measured.json").read_text()
    assert settle(AUTO, steps=201, say=told.append) == first
    assert (tmp_path / "cache" / "measured.json").read_text() == kept
    assert len(json.loads(kept)) == 1


def test_a_cpu_without_bf16_trains_in_fp32_and_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "resolved", lambda *_: "fp32")
    assert settle(AUTO) == ("fp32", False)
    assert not (tmp_path / "cache" / "measured.json").exists()
    rows = speed.measure(AUTO, network(AUTO), AUTO.stages[0], (24, 24), CPU, compiled=False)
    assert [(row.precision, row.compiled, bool(row.why)) for row in rows] == [("fp32", False, False), ("bf16", False, True)]


def test_without_a_compiler_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CutisError, match=r"no C\+\+ compiler \(no-such-compiler\).*train.compile=off"):
        settle(AUTO.changed(**{"train.compile": "on"}))
    rows = speed.measure(AUTO, network(AUTO), AUTO.stages[0], (24, 24), CPU)
    assert rows == speed.remembered(AUTO, AUTO.stages[0], (24, 24))
    assert [(row.precision, row.compiled) for row in rows] == [("fp32", False), ("bf16", False), ("fp32", True), ("bf16", True)]
    assert all(row.seconds > 0 and not row.why for row in rows[:2])
    assert all(row.seconds == 0 and "no-such-compiler" in row.why for row in rows[2:])


@pytest.mark.parametrize("train", ["all", "last:1"])
def test_measuring_changes_nothing_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str) -> None:
    monkeypatch.setattr(speed, "LONG", 1)
    spec = AUTO.changed(**{"stages.0.train": train, "train.ema": 0.9, "augment": {"hflip": True}})
    told: list[str] = []
    state = torch.get_rng_state()
    after, history = fit(spec, tmp_path, val=False, say=told.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(told) == 1
    asked = spec.changed(**{"train.precision": history[0].precision})
    unmeasured, plain = fit(asked, tmp_path, val=False, say=told.append)
    assert len(told) == 2, "what is remembered is said again"
    assert same(after.state_dict(), unmeasured.state_dict())
    assert figures(history) == figures(plain)


def test_going_on_keeps_the_number_format_whatever_was_measured_since(tmp_path: Path) -> None:
    spec = AUTO.changed(**{"stages.0.restore_best": False})
    plant(spec, *timings(2.0, 1.0))
    whole, history = fit(spec, tmp_path / "whole")
    assert [epoch.precision for epoch in history] == ["bf16"] * 3
    interrupt, told = Interrupt(), []

    def at(*_: int) -> None:
        told.append(_)
        interrupt.signal = 15 if len(told) == 7 else 0

    with pytest.raises(Interrupted):
        fit(spec, tmp_path / "cut", checkpoint=Checkpoint(tmp_path / "cut", 3600), interrupt=interrupt, on_step=at)
    plant(spec, *timings(1.0, 2.0))
    model, again = fit(spec, tmp_path / "cut", checkpoint=Checkpoint(tmp_path / "cut", 3600))
    assert figures(again) == figures(history)
    assert same(model.state_dict(), whole.state_dict())
    assert fit(spec, tmp_path / "anew")[1][0].precision == "fp32"


def test_kept_features_train_in_fp32(tmp_path: Path) -> None:
    spec = AUTO.changed(stages=[{"epochs": 1, "train": "head"}])
    plant(spec, *timings(2.0, 1.0))
    assert fit(spec, tmp_path)[1][0].precision == "fp32"
    assert fit(spec.changed(**{"train.views": 0}), tmp_path)[1][0].precision == "bf16"


def test_what_is_frozen_builds_no_graph(tmp_path: Path) -> None:
    model, seen = network(RECIPE), set()
    for i, block in enumerate(model.backbone.stages):
        block.register_forward_hook(lambda _module, _x, out, i=i: seen.add((i, out.requires_grad)) if torch.is_grad_enabled() else None)
    fit(RECIPE.changed(stages=[{"epochs": 1, "train": "last:1"}]), tmp_path, model=model, val=False)
    assert seen == {(0, False), (1, True)}
    seen.clear()
    fit(RECIPE.changed(**{"train.views": 0}).changed(stages=[{"epochs": 1, "train": "head"}]), tmp_path, model=model, val=False)
    assert seen == {(0, False), (1, False)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, from its compiler
@pytest.mark.skipif(bool(speed._no_compiler(CPU)), reason="there is no C++ compiler")
def test_a_compiled_training_is_the_same_and_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """42 images in batches of 8: the remainder of two runs eagerly. Tolerance: other order of sums, over 18 steps."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.fspath(tmp_path / "inductor"))
    # no norm: a bias before one has a gradient of nothing but rounding, which Adam makes large
    spec = RECIPE.changed(**{"train.compile": "on", "model.head": ["avgpool", "dense:8", "relu"], "model.options": {"channels": [6, 8]}})
    train = part("train", 42, spec)
    plain, expected = fit(spec.changed(**{"train.compile": "off"}), tmp_path, train=train)
    whole, history = fit(spec, tmp_path / "whole", train=train)
    assert {epoch.precision for epoch in history} == {"fp32 compiled"}
    assert [e.train_loss for e in history] == pytest.approx([e.train_loss for e in expected], rel=1e-2)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(whole.state_dict()[name], value, rtol=0.05, atol=1e-2)
    interrupt, told = Interrupt(), []

    def at(*_: int) -> None:
        told.append(_)
        interrupt.signal = 15 if len(told) == 9 else 0

    with pytest.raises(Interrupted):
        fit(spec, tmp_path / "cut", train=train, checkpoint=Checkpoint(tmp_path / "cut", 3600), interrupt=interrupt, on_step=at)
    model, again = fit(spec, tmp_path / "cut", train=train, checkpoint=Checkpoint(tmp_path / "cut", 3600))
    assert same(model.state_dict(), whole.state_dict())
    assert figures(again) == figures(history)
    rows = speed.measure(spec, network(spec), spec.stages[0], (24, 24), CPU)
    assert [row.precision for row in rows if row.compiled and not row.why] == ["fp32", "bf16"]
    assert all(row.seconds_compile > row.seconds > 0 for row in rows if row.compiled)

"""Checkpoints: whole or not at all, told apart from damaged ones; and signals that are remembered."""

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cutis.errors import ArtifactError, TrainingError
from cutis.train import checkpoint
from cutis.train.checkpoint import Checkpoint, Interrupted, pack_optimizer, unpack_optimizer, watching

CPU = torch.device("cpu")
PARTS = {
    "model": {"a.weight": torch.rand(2, 3, 2, 2).to(memory_format=torch.channels_last), "count": torch.tensor(3)},
    "best": {},
    "optimizer": {"0.step": torch.tensor(4.0)},
}
PROGRESS = {"stage": 1, "loss": 0.1 + 0.2, "history": [{"val_loss": float("nan")}]}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path)
    assert saved.load(CPU) is None
    saved.save(PARTS, PROGRESS)
    back = Checkpoint(tmp_path).load(CPU)
    assert back is not None
    parts, progress = back
    assert {k: set(v) for k, v in parts.items()} == {"model": {"a.weight", "count"}, "optimizer": {"0.step"}}
    assert all(torch.equal(value, PARTS[part][name]) for part, values in parts.items() for name, value in values.items())
    assert progress["loss"] == 0.1 + 0.2
    assert repr(progress) == repr(PROGRESS)


@pytest.mark.parametrize("keep", [0, 8, 100, 0.5, 0.99])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, keep: float) -> None:
    saved = Checkpoint(tmp_path)
    saved.save(PARTS, PROGRESS)
    data = saved.path.read_bytes()
    saved.path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ArtifactError, match=r"state.safetensors is damaged .*Delete that folder and train anew"):
        saved.load(CPU)


@pytest.mark.parametrize("metadata", [None, {"progress": "{"}])
def test_a_file_without_progress_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    saved = Checkpoint(tmp_path)
    saved.path.parent.mkdir()
    save_file({"model.a": torch.zeros(1)}, saved.path, metadata=metadata)
    with pytest.raises(ArtifactError, match="damaged"):
        saved.load(CPU)


def test_fault_t3_on_a_full_disk_the_last_good_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Checkpoint(tmp_path)
    saved.save(PARTS, PROGRESS)

    def full(tensors: Any, path: Path, **_: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*--resume"):
        saved.save(PARTS, PROGRESS | {"stage": 2})
    back = saved.load(CPU)
    assert back is not None
    assert back[1]["stage"] == 1
    assert [f.name for f in saved.path.parent.iterdir()] == ["state.safetensors"]


def test_it_is_due_when_its_time_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("CUTIS_CHECKPOINT_SECONDS", "7")
    saved = Checkpoint(tmp_path)
    due = []
    for now[0] in (101.0, 107.0):
        due.append(saved.due)
    saved.save(PARTS, PROGRESS)
    for now[0] in (113.0, 114.0):
        due.append(saved.due)
    assert due == [False, True, False, True]
    monkeypatch.delenv("CUTIS_CHECKPOINT_SECONDS")
    assert Checkpoint(tmp_path).every == 60


def test_removing_it_leaves_nothing_and_may_be_done_twice(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path)
    saved.save(PARTS, PROGRESS)
    saved.remove()
    saved.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_optimiser_goes_on_from_its_packed_state(tmp_path: Path, make: Any, layout: torch.memory_format) -> None:
    """Through the file, which knows no memory layouts: a fused optimiser would mix up the numbers of a channels-last one."""
    options = {"momentum": 0.9} if make is torch.optim.SGD else {"fused": True}
    start = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)

    def step(optimizer: torch.optim.Optimizer, p: torch.nn.Parameter, seed: int) -> None:
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)).to(memory_format=layout)
        optimizer.step()

    p = torch.nn.Parameter(start.clone())
    optimizer = make([p], lr=0.1, **options)
    step(optimizer, p, 1)
    Checkpoint(tmp_path).save({"model": {"p": p}, "optimizer": pack_optimizer(optimizer)}, {})
    step(optimizer, p, 2)
    back = Checkpoint(tmp_path).load(CPU)
    assert back is not None
    other = torch.nn.Parameter(start.clone())
    other.data.copy_(back[0]["model"]["p"])
    again = make([other], lr=0.1, **options)
    unpack_optimizer(again, back[0]["optimizer"])
    step(again, other, 2)
    assert torch.equal(p, other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_t7_the_first_signal_is_remembered_and_a_second_does_what_it_always_did(number: signal.Signals) -> None:
    came: list[int] = []
    before = {n: signal.signal(n, lambda n, _: came.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        with watching() as interrupt:
            interrupt.check()
            os.kill(os.getpid(), number)
            assert not came
            with pytest.raises(Interrupted, match=number.name) as stop:
                interrupt.check()
            assert stop.value.signal == number
            os.kill(os.getpid(), number)
            assert came == [number]
        os.kill(os.getpid(), number)
        assert came == [number, number]
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_outside_the_main_thread_signals_are_left_to_the_caller() -> None:
    seen: list[int] = []

    def inside() -> None:
        with watching() as interrupt:
            seen.append(interrupt.signal)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [0]
    assert signal.getsignal(signal.SIGTERM) is before

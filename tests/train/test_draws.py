"""Batches made ahead change nothing of a training, and leave nothing behind."""

import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import RECIPE, figures, fit, part, same

from cutis.data import loaders
from cutis.data.loaders import Pixels
from cutis.train.checkpoint import Interrupt, Interrupted
from cutis.train.state import Part

SPEC = RECIPE.changed(
    **{"augment": {"hflip": True, "rotation": 30, "brightness": 0.2, "erase": 0.5, "mixup": 0.4, "cutmix": 1.0}, "train.ema": 0.9}
)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cutis-ahead")]


def test_weights_are_those_of_batches_made_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, history = fit(SPEC, tmp_path)
    assert not threads()
    used: list[bool] = []

    def at_once(batches: Iterable[Any], device: torch.device) -> Generator[Any, None, None]:
        used.append(True)
        yield from batches

    monkeypatch.setattr(loaders, "fed", at_once)
    plain, expected = fit(SPEC, tmp_path)
    assert len(used) == 6, "training and validation of three epochs"
    assert same(model.state_dict(), plain.state_dict())
    assert figures(history) == figures(expected)


class Failing(Pixels):
    """Pixels of which one row cannot be had."""

    def batch(self, rows: np.ndarray, size: tuple[int, int], generator: torch.Generator | None) -> torch.Tensor:
        if 11 in rows:
            raise OSError("row 11 cannot be read")
        return super().batch(rows, size, generator)


def failing(given: Part) -> Part:
    return Part(Failing(given.pixels.cache, given.pixels.table_rows, given.pixels.spec, given.pixels.device), given.labels, given.images)


@pytest.mark.parametrize("name", ["train", "val"])
def test_fault_t5_an_error_in_the_thread_ends_training_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="row 11 cannot be read"):
        fit(SPEC, tmp_path, **{name: failing(part(name, 40, SPEC))})
    assert not threads()


def test_fault_t7_a_signal_leaves_no_thread_behind(tmp_path: Path) -> None:
    interrupt = Interrupt()

    def at(done: int, _total: int) -> None:
        interrupt.signal = 15 if done == 2 else 0

    with pytest.raises(Interrupted):
        fit(SPEC, tmp_path, interrupt=interrupt, on_step=at)
    assert not threads()


def test_each_epoch_and_step_draws_anew(tmp_path: Path) -> None:
    """One picture, turned at random: were two steps drawn alike, their losses under a rate of nearly nothing would be the same."""
    spec = RECIPE.changed(**{"augment": {"rotation": 180}, "model.head": ["avgpool"], "train.batch_size": 1}).changed(
        stages=[{"epochs": 6, "lr": 1e-30, "optimizer": "sgd"}]
    )
    _, history = fit(spec, tmp_path, train=part("train", 1, spec), val=False)
    assert len({epoch.train_loss for epoch in history}) == 6

"""Checkpoints: everything training needs to go on exactly, in one safetensors file; and stopping in good order."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cutis.errors import ArtifactError, TrainingError
from cutis.files import replacing


class Interrupted(Exception):  # noqa: N818  (not a fault: training ended in good order)
    """Training was asked to stop and has saved; ``signal`` says by what."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; saved")
        self.signal = number


class Checkpoint:
    """One file, ``checkpoint/state.safetensors``: tensors, and the progress as JSON in its metadata, so that both change together."""

    def __init__(self, folder: Path, every: float | None = None) -> None:
        self.path = folder / "checkpoint" / "state.safetensors"
        self.every = float(os.environ.get("CUTIS_CHECKPOINT_SECONDS", 60)) if every is None else every
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last save (``CUTIS_CHECKPOINT_SECONDS``, 60)."""
        return time.monotonic() - self._last >= self.every

    def save(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Write aside, flush, rename. Raises TrainingError where the disk is full; the last good file stays."""
        try:
            with replacing(self.path) as aside:
                save_file(
                    {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, aside, metadata={"progress": json.dumps(progress)}
                )
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"The checkpoint cannot be written to {self.path} ({error}). Make room and go on with --resume.") from error
        self._last = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last; None where nothing was. Raises ArtifactError where the file is damaged."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                progress = json.loads(file.metadata()["progress"])
                return {k: file.get_tensor(k) for k in file.keys()}, progress  # noqa: SIM118  (not a dict)
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
            raise ArtifactError(f"The checkpoint {self.path} is damaged ({error}). Delete that folder and train anew.") from error

    def remove(self) -> None:
        """Forget it: training is finished."""
        for path in self.path.parent.glob("*") if self.path.parent.is_dir() else []:
            path.unlink()
        if self.path.parent.is_dir():
            self.path.parent.rmdir()


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and plain data."""
    state = optimizer.state_dict()
    tensors, plain = {}, {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                plain[f"{index}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
    """Undo ``pack_optimizer``."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    for key, value in plain["plain"].items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})


class Interrupt:
    """Remembers a SIGINT or SIGTERM, so that training can stop between two steps; a second one stops at once."""

    def __init__(self) -> None:
        self.signal = 0

    def check(self) -> None:
        """Raise Interrupted where a signal has come."""
        if self.signal:
            raise Interrupted(self.signal)


@contextmanager
def watching() -> Iterator[Interrupt]:
    """Within the block, the first SIGINT or SIGTERM is remembered instead of ending the process."""
    interrupt = Interrupt()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Any] = {}

    def remember(number: int, _frame: object) -> None:
        interrupt.signal = number
        for n in numbers:
            signal.signal(n, before[n])

    try:
        before = {n: signal.signal(n, remember) for n in numbers}
    except ValueError:  # not the main thread: the caller's own handling stands
        yield interrupt
        return
    try:
        yield interrupt
    finally:
        for n in numbers:
            signal.signal(n, before[n])

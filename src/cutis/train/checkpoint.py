"""Checkpoints: everything training needs to go on exactly, in one safetensors file; and stopping in good order."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from cutis.errors import ArtifactError, TrainingError
from cutis.files import replacing

Parts = dict[str, dict[str, Tensor]]  # tensors by part (model, best, average, optimizer) and name


class Interrupted(Exception):  # noqa: N818  (not a fault: training ended in good order)
    """Training was asked to stop and has saved; ``signal`` says by what."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; saved")
        self.signal = number


class Checkpoint:
    """One file, ``checkpoint/state.safetensors``: tensors named ``PART.NAME``, and the progress as JSON in its metadata.

    One file, so that both change together. Beside it, where they are answered with later, the weights at the end of each stage.
    """

    def __init__(self, folder: Path, every: float | None = None) -> None:
        self.path = folder / "checkpoint" / "state.safetensors"
        self.every = float(os.environ.get("CUTIS_CHECKPOINT_SECONDS", 60)) if every is None else every
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last save (``CUTIS_CHECKPOINT_SECONDS``, 60)."""
        return time.monotonic() - self._last >= self.every

    def save(self, parts: Parts, progress: dict[str, Any]) -> None:
        """Write aside, flush, rename. Raises TrainingError where the disk is full; the last good file stays."""
        tensors = {f"{part}.{name}": _plain(v) for part, values in parts.items() for name, v in values.items()}
        self._write(self.path, tensors, {"progress": json.dumps(progress)})
        self._last = time.monotonic()

    def _write(self, path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        try:
            with replacing(path) as aside:
                save_file(tensors, aside, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"The checkpoint cannot be written to {path} ({error}). Make room and go on with --resume.") from error

    def load(self, device: torch.device) -> tuple[Parts, dict[str, Any]] | None:
        """What was saved last, parts that were empty left out; None where nothing was. Raises ArtifactError for a damaged file."""
        for aside in self.path.parent.glob(f".{self.path.name}.*"):
            aside.unlink()  # left by a process that was killed while it saved
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt", device=str(device)) as file:
                progress = json.loads(file.metadata()["progress"])
                parts: Parts = {}
                for key in file.keys():  # noqa: SIM118  (not a dict)
                    part, name = key.split(".", 1)
                    parts.setdefault(part, {})[name] = file.get_tensor(key)
                return parts, progress
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise ArtifactError(f"The checkpoint {self.path} is damaged ({error}). Delete that folder and train anew.") from error

    def keep_stage(self, stage: int, state: dict[str, Tensor]) -> None:
        """Keep a network's ``state`` at the end of a stage, counted from 1, until training is finished. Raises as ``save`` does."""
        self._write(self._stage(stage), {name: _plain(v) for name, v in state.items()}, {})

    def stage(self, stage: int, device: torch.device) -> dict[str, Tensor]:
        """What ``keep_stage`` kept. Raises ArtifactError where it is gone or damaged."""
        path = self._stage(stage)
        try:
            return load_file(path, device=str(device))
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"The weights after stage {stage}, {path}, cannot be read ({error}). Train anew.") from error

    def _stage(self, stage: int) -> Path:
        return self.path.parent / f"stage-{stage}.safetensors"

    def remove(self) -> None:
        """Forget it: training is finished."""
        if self.path.parent.is_dir():
            shutil.rmtree(self.path.parent)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as tensors named ``INDEX.NAME``; its groups are not in it, because the recipe gives them."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo ``pack_optimizer``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        like = parameters[int(index)]
        # a fused optimiser walks parameter and state side by side in memory, so both must lie alike (channels last)
        state.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


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

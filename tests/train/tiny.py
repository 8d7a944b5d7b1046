"""Trainings that take a second: here, or in a process of their own that can be stopped, killed and gone on with."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.models import build
from cutis.randomness import stream
from cutis.recipe import Recipe
from cutis.train import loop
from cutis.train.checkpoint import Checkpoint, Interrupted, watching
from cutis.train.state import Epoch, Part

CLASSES = ("dark", "red", "blue")
TINTS = np.array([[90, 80, 80], [150, 80, 90], [80, 90, 150]])  # noise of 40 grey levels around them: easy, not trivial

RECIPE = Recipe.model_validate(
    {
        "images": {"size": 24},
        "model": {
            "backbone": "plain_cnn",
            "weights": "none",
            "options": {"channels": [6, 8], "batchnorm": True},
            "head": ["avgpool", "dense:8", "batchnorm", "relu", "dropout:0.2"],
        },
        "stages": [{"epochs": 3, "lr": 0.01}],
        "train": {"batch_size": 8, "precision": "fp32"},
        "predict": {"batch_size": 8, "precision": "fp32"},
    }
)


def part(name: str, count: int, spec: Recipe, seed: int = 0) -> Part:
    """Noise tinted by class, as the cache holds it; images are named ``NAME-0`` and so on."""
    rng = stream(seed, name)
    labels = np.arange(count) % 3
    pixels = np.clip(TINTS[labels][:, None, None] + rng.normal(0, 40, (count, *spec.images.size, 3)), 0, 255).astype(np.uint8)
    hashes = np.array([f"{name}-{seed}-{i}" for i in range(count)], "<U64")
    cache = Cache(pixels, np.arange(count), hashes, pd.DataFrame(), pd.DataFrame(), count, 0.0)
    images = np.array([f"{name}-{i}" for i in range(count)])
    return Part(Pixels(cache, np.arange(count), spec.augment, torch.device("cpu")), labels, images)


def network(spec: Recipe) -> build.Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(spec.seed, "weights").integers(2**63)))
        return build.build(spec, CLASSES)[0]


def fit(
    spec: Recipe,
    folder: Path,
    *,
    train: Part | None = None,
    val: Part | bool = True,
    model: build.Classifier | None = None,
    **options: Any,
) -> tuple[build.Classifier, list[Epoch]]:
    """Train 40 pictures, validate 15, and say how it went; ``val`` False: no validation."""
    model = model or network(spec)
    validation = part("val", 15, spec) if val is True else val or None
    epochs = loop.fit(model, train or part("train", 40, spec), validation, spec, cache=folder / "features", **options)
    return model, list(epochs)


def figures(history: list[Epoch]) -> list[dict[str, Any]]:
    """What must be the same the second time: all but the times; NaN as text, which equals itself."""
    timed = ("images_per_second", "seconds")
    return [{k: repr(v) for k, v in asdict(epoch).items() if k not in timed} for epoch in history]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# In a process of its own

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["cutis.train.loop", "cutis.models.build", "safetensors.torch"])


class Training:
    """A training in a process of its own. It writes its result to ``folder``; started again, it goes on from its checkpoint."""

    def __init__(self, spec: Recipe, folder: Path, every: float = 0.0, fault: tuple[str, int] | None = None) -> None:
        self.steps, theirs = _context.Pipe(duplex=False)
        self.process = _context.Process(target=_work, args=(spec.to_json(), str(folder), every, fault, theirs))
        self.process.start()
        theirs.close()

    def run_for(self, steps: int) -> bool:
        """Wait for so many steps; whether the training still runs."""
        for _ in range(steps):
            try:
                self.steps.recv()
            except EOFError:
                return False
        return True

    def end(self, number: int | None = None) -> int:
        """Send a signal, where one is given, and wait for the end; the exit code."""
        if number is not None and self.process.is_alive():
            os.kill(self.process.pid, number)
        self.process.join(60)
        assert self.process.exitcode is not None, "it hangs"
        return self.process.exitcode


def result(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Final weights and figures of a training that came to its end."""
    return load_file(folder / "final.safetensors"), json.loads((folder / "history.json").read_text())


def _work(recipe: str, folder: str, every: float, fault: tuple[str, int] | None, steps: Connection) -> None:
    spec, out = Recipe.model_validate_json(recipe), Path(folder)
    torch.manual_seed(os.getpid())  # whatever the global generator holds must not matter
    if fault:
        _FAULTS[fault[0]](fault[1])
    with watching() as interrupt:
        try:
            model, history = fit(
                spec, out, checkpoint=Checkpoint(out, every), interrupt=interrupt, on_step=lambda done, _total: steps.send(done)
            )
        except Interrupted as stop:
            sys.exit(128 + stop.signal)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "final.safetensors")
    (out / "history.json").write_text(json.dumps(figures(history)))


def _die_within(owner: Any, name: str, call: int, before: Callable[..., None] | None = None, after: bool = False) -> None:
    """Kill this process, as kill -9 does, in the ``call``-th call of a function: at its beginning, or at its end."""
    real, calls = getattr(owner, name), []

    def faulty(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) < call:
            return real(*arguments, **options)
        if before:
            before(*arguments)
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, faulty)


def _half(tensors: Any, path: Path) -> None:
    save_file({"model.half": torch.zeros(1000)}, path)
    os.truncate(path, 500)


def _checkpoint_module() -> Any:
    from cutis.train import checkpoint

    return checkpoint


_FAULTS: dict[str, Callable[[int], None]] = {
    "before the file is written": lambda n: _die_within(_checkpoint_module(), "save_file", n),
    "in the middle of the file": lambda n: _die_within(_checkpoint_module(), "save_file", n, before=_half),
    "before it is flushed": lambda n: _die_within(os, "fsync", 2 * n - 1),
    "before it is renamed": lambda n: _die_within(os, "fsync", 2 * n - 1, after=True),
    "after it is renamed": lambda n: _die_within(os, "fsync", 2 * n),
}
FAULTS = list(_FAULTS)

"""How a stage trains fastest on this machine: the number format and compilation, as measured once for a network and remembered."""

import copy
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional as F

from cutis import measured, recipe
from cutis.errors import CutisError
from cutis.models import build
from cutis.models.build import Classifier
from cutis.models.precision import resolved
from cutis.train import losses, stages
from cutis.train.update import Update

LONG = 200  # steps from which on a stage is worth some seconds of measuring
GAIN = 1.05  # bf16 must be this many times as fast: it also rounds
FEW = 8  # images a step in a quick measurement on a CPU; ratios are those of a whole batch there
PAYABLE = 600.0  # seconds that a stage on a GPU must last before it is tried whether compilation pays


@dataclass(frozen=True)
class Timing:
    """Seconds of a training step of a whole batch, and of the compilation before the first one; 0 where ``why`` says there is none."""

    precision: str
    compiled: bool
    seconds: float
    seconds_compile: float = 0.0
    why: str = ""


def settled(
    spec: recipe.Recipe,
    model: Classifier,
    stage: recipe.Stage,
    sizes: Sequence[tuple[int, int]],
    steps: int,
    device: torch.device,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, bool]:
    """Number format of a stage on images, and whether it is compiled: as the recipe asks, else as measured for its largest size.

    ``sizes``: heights and widths at which it trains, each of which is compiled anew; ``steps``: how many it has at most. Where nothing was
    measured yet, a long stage measures fp32 and bf16 on random images first (on a GPU, where it could pay, compilation too); a short one
    trains in fp32 on a CPU and in bf16 on a GPU that has it. The model is left as it is. Raises CutisError where compilation is asked for
    and cannot be had.
    """
    asked = spec.train
    if asked.compile == "on" and (why := _no_compiler(device)):
        raise CutisError(f"train.compile=on: {why}. Install one, or train without (--set train.compile=off).")
    if asked.precision != "auto" and asked.compile != "auto":
        return asked.precision, asked.compile == "on"
    size = max(sizes)
    rows = remembered(spec, stage, size)
    has_bf16 = resolved("auto", device) == "bf16"
    if not rows and has_bf16 and steps > LONG and asked.precision == "auto":
        rows = measure(spec, model, stage, size, device, compiled=False, images=None if device.type == "cuda" else FEW)
        if device.type == "cuda" and asked.compile == "auto" and steps * min(row.seconds for row in rows) > PAYABLE:
            rows = measure(spec, model, stage, size, device)
    times = {(row.precision, row.compiled): row for row in rows if not row.why}
    precision = asked.precision if asked.precision != "auto" else _faster(times, has_bf16, device)
    compiled = asked.compile == "on" or (asked.compile == "auto" and _pays(times, precision, steps, len(set(sizes))))
    if times:
        shown = ", ".join(f"{_name(*way)} {row.seconds:.3g} s" for way, row in times.items())
        say(f"Training in {_name(precision, compiled)}; measured here for a step of {asked.batch_size} images: {shown}")
    return precision, compiled


def measure(
    spec: recipe.Recipe,
    model: Classifier,
    stage: recipe.Stage,
    size: tuple[int, int],
    device: torch.device,
    *,
    compiled: bool = True,
    images: int | None = None,
) -> list[Timing]:
    """Time steps of a stage in every way this machine has, on random images of this size, and remember it.

    fp32 and bf16 in turns, then with ``compiled`` the same compiled, which takes a minute or more for a large network. ``images``: so many
    a step instead of a batch; times are those of a whole batch. A copy of the model is trained, and no generator of the run is drawn from.
    """
    batch = min(spec.train.batch_size, images or spec.train.batch_size)
    formats = ["fp32", "bf16"] if resolved("auto", device) == "bf16" else ["fp32"]
    rows = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial = _Trial(model, spec, stage, size, batch, device)
        eager = {precision: trial.update(precision, compiled=False) for precision in formats}
        rows += [Timing(p, False, s * spec.train.batch_size / batch) for p, s in _seconds(trial, eager).items()]
        for precision in formats if compiled else []:
            rows.append(_compiled(trial, precision, spec.train.batch_size / batch, _no_compiler(device)))
    if "bf16" not in formats:
        rows.append(Timing("bf16", False, 0.0, why="this processor has no bf16 instructions"))
    measured.remember([asdict(row) for row in rows], *key(spec, stage, size))
    return rows


def remembered(spec: recipe.Recipe, stage: recipe.Stage, size: tuple[int, int]) -> list[Timing]:
    """What ``measure`` found on this machine; empty where it never ran."""
    return [Timing(**row) for row in measured.recall(*key(spec, stage, size)) or []]


class _Trial:
    """A copy of a network and a batch of noise to train it on."""

    def __init__(
        self, model: Classifier, spec: recipe.Recipe, stage: recipe.Stage, size: tuple[int, int], batch: int, device: torch.device
    ) -> None:
        self.model = build.placed(copy.deepcopy(model), device)
        self.parameters = build.trainable(self.model, stage.train)
        build.train_mode(self.model)
        self.stage, self.clip, self.device = stage, spec.train.clip, device
        noise = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
        self.images = noise.to(device).contiguous(memory_format=torch.channels_last)
        count = len(model.classes)
        self.targets = F.one_hot(torch.arange(batch, device=device) % count, count).float()
        self.loss = losses.function(recipe.Loss(), torch.ones(count, device=device))

    def update(self, precision: str, *, compiled: bool) -> Update:
        optimizer = stages.optimizer(self.stage, self.parameters)
        return Update(
            self.model,
            self.parameters,
            optimizer,
            self.loss,
            precision=precision,
            compiled=compiled,
            batch=len(self.images),
            clip=self.clip,
        )

    def seconds(self, update: Update) -> float:
        """One step; its loss comes back to the processor, so it is over then but for the optimiser, which the next one waits for."""
        started = time.perf_counter()
        update(self.images, self.targets, 0, self.stage.lr)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started


def _seconds(trial: _Trial, ways: dict[str, Update], rounds: int = 4, limit: float = 2.0) -> dict[str, float]:
    """The fastest of some steps in each way, in turns; a way that took ``limit`` seconds in all is not repeated. The first do not count."""
    for update in ways.values():
        trial.seconds(update)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, update in ways.items():
            if sum(times[name]) < limit:
                times[name].append(trial.seconds(update))
    return {name: min(values) for name, values in times.items()}


def _compiled(trial: _Trial, precision: str, scale: float, why: str) -> Timing:
    if why:
        return Timing(precision, True, 0.0, why=why)
    try:
        update = trial.update(precision, compiled=True)
        first = trial.seconds(update)
        step = _seconds(trial, {precision: update})[precision]
    except RuntimeError as error:  # the compiler's errors are
        return Timing(precision, True, 0.0, why=f"compilation fails: {str(error).strip().splitlines()[0]}")
    return Timing(precision, True, step * scale, max(0.0, first - step))


def _faster(times: dict[tuple[str, bool], Timing], has_bf16: bool, device: torch.device) -> str:
    fp32, bf16 = (times.get((precision, False)) for precision in ("fp32", "bf16"))
    if fp32 and bf16:
        return "bf16" if bf16.seconds * GAIN <= fp32.seconds else "fp32"
    return "bf16" if has_bf16 and device.type == "cuda" else "fp32"


def _pays(times: dict[tuple[str, bool], Timing], precision: str, steps: int, sizes: int) -> bool:
    """Whether compiling once a size and then taking the steps is faster than taking them as they are."""
    eager, compiled = (times.get((precision, c)) for c in (False, True))
    if not (eager and compiled):
        return False
    return sizes * compiled.seconds_compile + steps * compiled.seconds < steps * eager.seconds


def _no_compiler(device: torch.device) -> str:
    """Why nothing can be compiled on a CPU: torch compiles C++ there. Empty where it can."""
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return f"there is no C++ compiler ({wanted})" if device.type == "cpu" and not shutil.which(wanted) else ""


def _name(precision: str, compiled: bool) -> str:
    return f"{precision}, compiled" if compiled else precision


def key(spec: recipe.Recipe, stage: recipe.Stage, size: tuple[int, int]) -> tuple[str | int, ...]:
    """Under what ``measure`` remembers: the backbone, what of it trains, the size and the batch; a head weighs little beside it."""
    options = json.dumps(spec.model.options, sort_keys=True)
    return "training step", spec.model.backbone, options, stage.train, *size, spec.train.batch_size

"""Timing engines side by side and comparing their answers with eager fp32, both remembered for this machine."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from cutis import measured
from cutis.errors import CutisError
from cutis.models.backends.base import Answers, Engine, engine, fingerprint, structure
from cutis.models.build import Classifier

SAME_CLASS: Final = 0.995
"""Logits agree where at least this share of images gets the same class as from eager fp32, and no probability differs by ..."""
PROBABILITY: Final = 0.02
"""... this much."""
DISTANCE: Final = {"fp32": 1e-3, "bf16": 0.15, "int8": 0.3}
"""Features and maps agree below this mean relative L2 distance from eager fp32. bf16 rounds each of 50 layers to 8 bits: MobileNetV2's
features of skin photos move by 0.10, in torch and in OpenVINO alike, and heads trained on either answer equally well
(tests/models/test_features_training.py)."""

SECONDS: Final = 0.7  # about how long one timing of one engine takes
RATES: Final = "prediction rates"
FAR: Final = 1e9  # the distance of what is not a number


def rates() -> dict[str, dict[str, float]]:
    """All rates remembered on this machine, images a second: {what was timed: {"openvino bf16": 220.0}}."""
    return dict(measured.recall(RATES) or {})


class Trial:
    """A network's part and the images on which engines are timed and compared.

    ``of``: what these are where they are no photos, so that what was found on them is not remembered as found on photos.
    """

    def __init__(
        self,
        model: Classifier,
        part: str,
        size: tuple[int, int],
        sample: Tensor,
        batch: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        of: str = "",
    ) -> None:
        self.model, self.part, self.size, self.sample = model, part, size, sample
        self.batch, self.device, self.dtype = batch, device, dtype
        self._engines: dict[str, Engine] = {}
        self._exact: Answers | None = None
        architecture = getattr(model.backbone, "pretrained_cfg", {}).get("architecture", type(model.backbone).__name__)
        kind = str(dtype).removeprefix("torch.")
        where = f"{part} {size[0]}x{size[1]} {kind} {device.type}"
        self.compared = f"{where} {of}".rstrip()
        self.name = f"{architecture}-{structure(model)} {where} batch {batch}"

    def engine(self, backend: str, precision: str) -> Engine:
        """The engine; int8 learns from every second image."""
        name = f"{backend} {precision}"
        if name not in self._engines:
            self._engines[name] = engine(
                self.model,
                self.part,
                self.size,
                backend=backend,
                precision=precision,
                dtype=self.dtype,
                device=self.device,
                calibration=self.sample[::2],
            )
        return self._engines[name]

    def rates(self, candidates: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """Images a second of the candidates that can be had, remembered or measured now; 0 where there is one, which needs no rate.

        Raises CutisError where none can be had.
        """
        known = rates().get(self.name, {})
        if len(candidates) == 1:
            self.engine(*candidates[0])
            return {candidates[0]: known.get(" ".join(candidates[0]), 0.0)}
        new: dict[tuple[str, str], Engine] = {}
        errors = []
        for candidate in candidates:
            if " ".join(candidate) not in known:
                try:
                    new[candidate] = self.engine(*candidate)
                except CutisError as error:
                    errors.append(error)
        if len(errors) == len(candidates):
            raise errors[-1]
        if new:
            known = self.remember({" ".join(c): rate for c, rate in zip(new, self.timed(list(new.values())), strict=True)})
        return {c: known[" ".join(c)] for c in candidates if " ".join(c) in known}

    def timed(self, engines: Sequence[Engine]) -> list[float]:
        """Images a second of each, the best of three turns taken one after the other, so that a busy moment meets all alike."""
        first = self.sample[: self.batch if self.device.type == "cuda" else 8]
        work = []
        for e in engines:
            e(first)  # memory, compilation
            started = time.perf_counter()
            e(first)
            count = round(SECONDS * len(first) / (time.perf_counter() - started))
            rows = np.arange(np.clip(count, len(first), 16 * self.batch)) % len(self.sample)
            work.append(self.sample[rows].split(self.batch))
        best = [0.0] * len(engines)
        for _ in range(3):
            for i, (e, batches) in enumerate(zip(engines, work, strict=True)):
                started = time.perf_counter()
                images = sum(len(out) for out in e.stream(batches))
                best[i] = max(best[i], images / (time.perf_counter() - started))
        return [float(f"{rate:.3g}") for rate in best]

    def remember(self, new: dict[str, float]) -> dict[str, float]:
        """Keep rates; all that are known of this network."""
        everything = rates()
        known = everything.get(self.name, {}) | new
        measured.remember(everything | {self.name: known}, RATES)
        return known

    def agreement(self, backend: str, precision: str) -> tuple[float, float, int]:
        """Difference, agreement and the number of images compared, as ``Choice`` has them; remembered for these weights.

        int8 is compared on the images it did not learn from.
        """
        if (backend, precision) == ("eager", "fp32"):
            return 0.0, 1.0, len(self.sample)
        key = ("agreement", backend, precision, self.compared, fingerprint(self.model, self.part))
        kept = measured.recall(*key)
        if kept is None:
            if self._exact is None:
                self._exact = np.concatenate(list(self.engine("eager", "fp32").stream(self.sample.split(self.batch))))
            rows = slice(1, None, 2) if precision == "int8" and len(self.sample) > 1 else slice(None)
            exact, pictures = self._exact[rows], self.sample[rows]
            rough = np.concatenate(list(self.engine(backend, precision).stream(pictures.split(self.batch))))
            far = compared(exact, rough) if self.part == "logits" else distance(exact, rough, DISTANCE[precision])
            kept = [*far, len(rough)]
            measured.remember(kept, *key)
        return kept[0], kept[1], kept[2]

    def agrees(self, precision: str, difference: float, agreement: float, images: int) -> bool:
        """Whether that is near enough to be taken unasked. Fewer images than 200 may differ in one: it says nothing against 99.5 %."""
        if self.part != "logits":
            return difference < DISTANCE[precision]
        return difference < PROBABILITY and round((1 - agreement) * images) <= max(1, (1 - SAME_CLASS) * images)


def compared(exact: NDArray[np.floating], rough: NDArray[np.floating]) -> tuple[float, float]:
    """Of logits N x C: the largest difference of a probability, and the share of rows with the same most probable class."""
    a, b = softmax(exact.astype(float), 1), softmax(rough.astype(float), 1)
    return float(np.nan_to_num(np.abs(a - b), nan=FAR).max()), float((a.argmax(1) == b.argmax(1)).mean())


def distance(exact: NDArray[np.floating], rough: NDArray[np.floating], limit: float) -> tuple[float, float]:
    """Of features N x ...: the mean of |rough - exact| / |exact| (L2 norms), and the share of rows within the limit."""
    a, b = exact.reshape(len(exact), -1).astype(float), rough.reshape(len(rough), -1).astype(float)
    far = np.linalg.norm(b - a, axis=1) / np.maximum(np.linalg.norm(a, axis=1), np.finfo(np.float32).tiny)
    far = np.nan_to_num(far, nan=FAR, posinf=FAR).clip(max=FAR)
    return float(far.mean()), float((far < limit).mean())

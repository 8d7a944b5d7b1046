"""Which backend and number format answer: the fastest that agrees with eager fp32, as measured once on this machine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from cutis.errors import CutisError
from cutis.models.backends.base import backends
from cutis.models.backends.trial import Trial, rates
from cutis.models.build import Classifier
from cutis.models.precision import resolved
from cutis.recipe import Recipe

SMALL: Final = 1000
"""Fewer image passes than this are not worth measuring, nor converting a network."""
LONG: Final = 20_000
"""From this many on a GPU, compiling for a minute may pay."""

CHECKED: Final = 256  # images on which agreement is measured, at most
NOISE: Final = 32  # pictures of noise, where there are no others


@dataclass(frozen=True)
class Choice:
    """What computes, and what is known of it.

    ``rates``: images a second of each candidate ("openvino bf16"), empty where nothing had to be measured. Against eager fp32 on
    ``checked`` images, None where that was not compared: ``difference`` is the largest difference of a probability (of features and
    maps: the mean relative L2 distance), ``agreement`` the share of images with the same class (of features: within the limit).
    """

    backend: str = "eager"
    precision: str = "fp32"
    rates: dict[str, float] = field(default_factory=dict)
    difference: float | None = None
    agreement: float | None = None
    checked: int = 0

    @property
    def name(self) -> str:
        """Both in words."""
        return f"{self.backend} {self.precision}"

    def facts(self) -> dict[str, Any]:
        """For provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Row:
    """One line of doctor's table; ``why`` says why there is no rate."""

    backend: str
    precision: str
    rate: float | None = None
    difference: float | None = None
    agreement: float | None = None
    agrees: bool = False
    why: str = ""


def chosen(
    model: Classifier, part: str, spec: Recipe, sample: Tensor | None, *, work: int, device: torch.device, dtype: torch.dtype
) -> Choice:
    """The backend and precision for a part of a network.

    What ``spec.predict`` names is taken as asked. ``auto`` takes eager fp32 for ``work`` below ``SMALL`` image passes: bf16 that is
    not compared is not trusted (MobileNetV2's probabilities move by up to 0.1 in it). Otherwise the candidates are timed, once for
    each structure, part, size, batch, dtype and machine, and their answers for ``sample`` (images that are not trained on, as
    ``Passage`` takes them; up to ``CHECKED`` count) compared with eager fp32, once for these weights. Both are remembered, so the same
    question has the same answer. The fastest that agrees is taken; where bf16 does not, fp32 is. bf16 and int8 that were asked for
    are not refused for disagreeing: ``difference`` and ``agreement`` tell. Raises CutisError where what was asked for cannot be had.

    Where there is no ``sample`` (None: a server, before its first picture) ``auto`` is fp32, and noise is compared: it shows whether a
    network was converted rightly, and not whether rounding changes answers. int8, which learns from pictures, cannot be had then.
    """
    backend, precision = spec.predict.backend, resolved(spec.predict.precision, device)
    if backend != "auto":
        backends[backend]  # an unknown name is refused however small the work
    asked = spec.predict.precision in ("bf16", "int8")
    if sample is None and precision == "int8":
        raise CutisError("int8 learns from pictures, and there are none yet. Use bf16 or fp32.")
    if sample is None and not asked:
        precision = "fp32"
    if work < SMALL and precision != "int8":
        return Choice("eager" if backend == "auto" else backend, precision if asked else "fp32")
    checked = CHECKED if precision == "int8" else min(CHECKED, work // 20)
    shown = _noise(spec.predict_size, dtype) if sample is None else sample[:: max(1, len(sample) // checked)][:checked]
    trial = Trial(model, part, spec.predict_size, shown, spec.predict.batch_size, device, dtype, of="noise" if sample is None else "")
    names = _automatic(trial, work) if backend == "auto" else [backend]
    candidates = [(b, p) for b in names for p in ([precision] if asked or precision == "fp32" else [precision, "fp32"])]
    timed = trial.rates(candidates)
    for b, p in sorted(timed, key=lambda c: -timed[c]):
        found = trial.agreement(b, p)
        if asked or (b == backend and p == "fp32") or trial.agrees(p, *found):
            told = {f"{b} {p}": rate for (b, p), rate in timed.items() if rate}
            return Choice(b, p, told, *found)
    raise AssertionError("eager fp32, or fp32 of the backend that was asked for, is always taken")


def measure(
    model: Classifier,
    part: str,
    size: tuple[int, int],
    sample: Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype,
    batch_size: int = 64,
    precisions: Sequence[str] = ("fp32", "bf16"),
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Every backend (or ``names``) in every precision: rate and agreement with eager fp32 on ``sample``; remembered for ``chosen``.

    With int8, every second image of the sample calibrates and the others are compared.
    """
    trial = Trial(model, part, size, sample, batch_size, device, dtype)
    rows = []
    for backend in names or [name for name in backends if name != "compiled" or device.type == "cuda"]:
        for precision in precisions:
            try:
                rate = trial.timed([trial.engine(backend, precision)])[0]
                found = trial.agreement(backend, precision)
            except CutisError as error:
                rows.append(Row(backend, precision, why=str(error)))
            else:
                trial.remember({f"{backend} {precision}": rate})
                rows.append(Row(backend, precision, rate, found[0], found[1], trial.agrees(precision, *found)))
    return rows


def settled(rows: Sequence[Row], checked: bool = True) -> Row:
    """Of measured rows the one that ``chosen`` takes for long work: the fastest in fp32 or bf16, of those that agree where ``checked``."""
    return max((r for r in rows if r.rate and r.precision != "int8" and (r.agrees or not checked)), key=lambda r: r.rate or 0.0)


def _noise(size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Pictures as ``Passage`` takes them, of which each pixel is drawn alone."""
    drawn = torch.randint(256, (NOISE, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return drawn if dtype == torch.uint8 else drawn.permute(0, 3, 1, 2).float() / 255


def _automatic(trial: Trial, work: int) -> list[str]:
    """What ``auto`` considers: on a CPU eager, OpenVINO, and ONNX Runtime where doctor has timed it; on a GPU torch; and all plugins."""
    own = ["eager", "compiled", "openvino", "onnxruntime"]
    if trial.device.type == "cuda":
        names = own[:2] if work >= LONG else own[:1]
    else:
        timed = any(name.startswith("onnxruntime") for name in rates().get(trial.name, {}))
        names = ["eager", "openvino", *(["onnxruntime"] if timed else [])]
    return names + [name for name in backends if name not in own]

"""How long a run takes to answer one image, measured as it answers, and remembered for this machine."""

import statistics
import time
from typing import Any, Final

import torch

from cutis import measured
from cutis.models import build, predict
from cutis.models.backends import engine
from cutis.models.backends.base import structure
from cutis.runs import Run

BATCHES: Final = (1, 32)
ENOUGH: Final = 1.0
"""Seconds after which no further repeat is timed."""


def latency(run: Run) -> dict[str, Any]:
    """Milliseconds an image under ``"1"`` and ``"32"`` (the batch), and ``engine`` in words: the backend and number format of the run.

    All test-time views are in it, decoding is not. An ensemble takes as long as its members together; of several seeds the first is timed.
    """
    if run.parts:
        return latency(run.parts[0])
    spec = run.recipe
    if spec.ensemble is not None:
        told = [latency(Run((run.folder / member).resolve())) for member in spec.ensemble.members]
        return {str(n): round(sum(t[str(n)] for t in told), 3) for n in BATCHES} | {"engine": "the members one after the other"}
    model, _ = build.load(run.model_file)
    choice = next(told["engine"] for told in run.provenance["evaluated"].values() if "engine" in told)
    backend, precision = choice["backend"], choice["precision"]
    key = ("latency", spec.model.backbone, structure(model), *spec.model.head, *spec.predict_size, backend, precision, spec.predict.views)
    found = measured.recall(*key)
    if found is None:
        device = predict.device()
        build.placed(model, device)
        run_ = engine(model, "logits", spec.predict_size, backend=backend, precision=precision, dtype=torch.uint8, device=device)
        found = {str(n): round(spec.predict.views * _milliseconds(run_, n, spec.predict_size), 3) for n in BATCHES}
        found["engine"] = f"{backend} {precision}"
        measured.remember(found, *key)
    return dict(found)


def _milliseconds(answer: Any, count: int, size: tuple[int, int]) -> float:
    """The median of up to nine repeats after a first, milliseconds an image; the first where it alone is long enough."""
    pixels = torch.randint(256, (count, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seconds: list[float] = []
    while not seconds or (len(seconds) < 10 and sum(seconds) < 3 * ENOUGH):
        started = time.perf_counter()
        answer(pixels)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[1:] or seconds) / count

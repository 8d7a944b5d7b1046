"""OpenVINO: the fastest on a CPU; the network is converted once, and several small batches run side by side."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from cutis import machine
from cutis.errors import CutisError
from cutis.models.backends import kept
from cutis.models.backends.base import Answers, Engine, Job, backends
from cutis.models.backends.quantised import no_telemetry, quantised

PIXELS: Final = 4 * 224 * 224
"""Pixels of the small batches that a batch is cut into: what four images of 224 have stays in a core's cache (MobileNetV2 in bf16:
4 and 8 images a request ran a third faster than 32; a fixed batch size gained nothing over an open one)."""

HINTS: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
FILE: Final = "model.xml"


@backends.register("openvino")
def openvino(job: Job) -> Engine:
    """fp32, bf16 and int8 on the CPU."""
    no_telemetry()
    try:
        import openvino as library
    except ImportError:
        raise CutisError("The backend openvino needs the package openvino. Install it with: pip install openvino") from None
    core = _core()
    folder = _converted(job, library, core)
    with kept.converting("by OpenVINO"):
        compiled = core.compile_model(
            core.read_model(folder / FILE),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[job.precision],
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "ENABLE_CPU_PINNING": False,  # else two processes with a thread each share one core
            },
        )
    return OpenVINO(job, compiled, folder)


@cache
def _core() -> Any:
    """The one core of the process, never given back.

    Its CPU plugin gives the thread that compiles first a stack for signal handlers, and frees it in whatever thread unloads the plugin:
    after that in another one, the next signal, Ctrl-C or SIGTERM, would be a segmentation fault.
    """
    import openvino as library

    return library.Core()


def _converted(job: Job, library: Any, core: Any) -> Path:
    """The folder with the network as OpenVINO reads it; int8 is made from the float one."""
    versions = f"openvino {machine.version('openvino')} torch {machine.version('torch')} timm {machine.version('timm')}"

    def from_torch(folder: Path) -> None:
        with kept.converting("by OpenVINO"):
            example = job.example()
            kind = library.Type.u8 if job.dtype == torch.uint8 else library.Type.f32
            model = library.convert_model(job.portable, example_input=example, input=[([-1, *example.shape[1:]], kind)])
            library.save_model(model, folder / FILE, compress_to_fp16=False)

    def to_int8(folder: Path) -> None:
        with kept.converting("to int8 by NNCF"):
            model = quantised(job, core.read_model(exact / FILE), lambda batch: batch.numpy())
            library.save_model(model, folder / FILE, compress_to_fp16=False)

    exact = kept.conversion(job.key(versions), from_torch)
    if job.precision != "int8":
        return exact
    return kept.conversion(job.key(versions, f"int8 nncf {machine.version('nncf')}"), to_int8)


class OpenVINO:
    """A compiled model and how many requests keep it busy."""

    backend = "openvino"

    def __init__(self, job: Job, compiled: Any, folder: Path) -> None:
        self.precision, self.folder = job.precision, folder
        self._compiled = compiled
        self._chunk = max(1, round(PIXELS / (job.size[0] * job.size[1])))
        self._requests = 2 * int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))  # one waits for each that runs

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Answers]:
        """Arrays in the order of the batches; while one is waited for, the requests after it are at work."""
        free = deque(self._compiled.create_infer_request() for _ in range(self._requests))
        busy: deque[tuple[Any, Tensor, bool]] = deque()  # request, its input (which it does not copy), whether a batch ends with it
        parts: list[Answers] = []

        def finished() -> Iterator[Answers]:
            request, _, last = busy.popleft()
            request.wait()
            parts.append(np.array(request.get_output_tensor(0).data, np.float32))
            free.append(request)
            if last:
                yield np.concatenate(parts)
                parts.clear()

        try:
            for batch in batches:
                chunks = batch.cpu().split(self._chunk)
                for number, chunk in enumerate(chunks, 1):
                    if not free:
                        yield from finished()
                    request, pixels = free.popleft(), chunk.contiguous()
                    request.start_async({0: pixels.numpy()}, share_inputs=True)
                    busy.append((request, pixels, number == len(chunks)))
            while busy:
                yield from finished()
        finally:
            for request, _, _ in busy:  # the caller stopped early: the inputs must outlive the requests
                request.wait()

    def __call__(self, batch: Tensor) -> Answers:
        """The array of one batch."""
        return next(self.stream([batch]))

"""ONNX Runtime, for comparison and where OpenVINO is not; its export takes up to half a minute, once."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from cutis import machine
from cutis.errors import CutisError
from cutis.models.backends import kept
from cutis.models.backends.base import Answers, Engine, Job, backends
from cutis.models.backends.quantised import quantised

FILE: Final = "model.onnx"


@backends.register("onnxruntime")
def onnxruntime(job: Job) -> Engine:
    """fp32 and int8 on the CPU."""
    if job.precision == "bf16":
        raise CutisError("ONNX Runtime does not compute in bf16 on a CPU. Set predict.precision=fp32, or predict.backend=openvino.")
    try:
        import onnx
        import onnxruntime as library
        import onnxscript  # noqa: F401 - torch.onnx.export needs it
    except ImportError as error:
        raise kept.missing(error.name or "onnxruntime") from None
    library.disable_telemetry_events()
    options = library.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    folder = _converted(job, onnx)
    with kept.converting("by ONNX Runtime"):
        return OnnxRuntime(job, library.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"]), folder)


def _converted(job: Job, onnx: Any) -> Path:
    """The folder with the network as ONNX; int8 is made from the float one."""
    versions = f"onnx {machine.version('onnx')} torch {machine.version('torch')} timm {machine.version('timm')}"

    def from_torch(folder: Path) -> None:
        with kept.converting("to ONNX"):
            torch.onnx.export(
                job.portable,
                (job.example(),),
                folder / FILE,
                input_names=["pixels"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                external_data=False,
                verbose=False,
            )

    def to_int8(folder: Path) -> None:
        with kept.converting("to int8 by NNCF"):
            model = quantised(job, onnx.load(exact / FILE), lambda batch: {"pixels": batch.numpy()})
            onnx.save(model, folder / FILE)

    exact = kept.conversion(job.key(versions), from_torch)
    if job.precision != "int8":
        return exact
    return kept.conversion(job.key(versions, f"int8 nncf {machine.version('nncf')}"), to_int8)


class OnnxRuntime:
    """A session, which uses all threads for each batch."""

    backend = "onnxruntime"

    def __init__(self, job: Job, session: Any, folder: Path) -> None:
        self.precision, self.folder, self._session = job.precision, folder, session

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Answers]:
        """Arrays in the order of the batches."""
        return map(self, batches)

    def __call__(self, batch: Tensor) -> Answers:
        """The array of one batch."""
        return np.asarray(self._session.run(None, {"pixels": batch.cpu().contiguous().numpy()})[0], np.float32)

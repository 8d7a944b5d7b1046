"""int8 by NNCF's post-training quantisation, for OpenVINO and for ONNX models; and the muting of both libraries' telemetry."""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from cutis.errors import CutisError
from cutis.models.backbones import ghost
from cutis.models.backends import kept
from cutis.models.backends.base import Job

CALIBRATION: Final = 300
"""Images at most that NNCF looks at; its own default."""

SENDERS: Final = ("send_event", "send_error", "send_stack_trace", "start_session", "end_session")


def no_telemetry() -> None:
    """Keep OpenVINO and NNCF from telling anybody what is done here; called before either is imported.

    Both import ``openvino_telemetry``, which sends usage data to Google Analytics unless the user opted out, and use a stub where
    the package is absent: so it is made absent. Where an application loaded it before, its senders are made to do nothing.
    """
    loaded = sys.modules.get("openvino_telemetry")
    if loaded is None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # importing it now raises ImportError
    else:
        for name in SENDERS:
            setattr(loaded.Telemetry, name, lambda *_, **__: None)


def quantised(job: Job, model: Any, shaped: Callable[[Tensor], Any]) -> Any:
    """A copy of an OpenVINO or ONNX model whose layers compute in int8, their ranges learnt from the job's calibration images.

    ``shaped`` makes a batch what the model takes. Raises CutisError where there are no images or NNCF is not installed.
    """
    if job.calibration is None:
        raise CutisError("int8 needs calibration images, and none are given. Use fp32 or bf16, or give some 100 to 300 images.")
    no_telemetry()
    try:
        import nncf
    except ImportError:
        raise kept.missing("nncf") from None
    nncf.set_log_level(logging.ERROR)
    images = job.calibration[:CALIBRATION].cpu().contiguous()
    with torch.no_grad():
        tokens = ghost(job.model).maps(torch.empty(1, 3, *job.size, device="meta")).ndim == 3
    return nncf.quantize(
        model,
        nncf.Dataset(list(images.split(1)), shaped),
        preset=nncf.QuantizationPreset.MIXED,  # activations asymmetric: what is not ReLU (swish, h-swish) needs it
        subset_size=len(images),
        model_type=nncf.ModelType.TRANSFORMER if tokens else None,
    )

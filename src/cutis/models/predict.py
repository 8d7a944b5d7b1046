"""Probabilities of a network for stored images, averaged over symmetries where asked."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from cutis import recipe
from cutis.data import augment
from cutis.data.loaders import Pixels
from cutis.models.build import Classifier


def probabilities(
    model: Classifier, pixels: Pixels, spec: recipe.Recipe, *, precision: str = "fp32", progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """N x C probabilities; rows sum to 1. The recipe's test-time views are averaged after the softmax. The model is put into eval mode."""
    size, batch_size = spec.predict_size, spec.predict.batch_size
    symmetries = augment.symmetries(*size, spec.predict.views)
    answers = np.empty((len(pixels), len(model.classes)))
    model.eval()
    with torch.inference_mode(), autocast(pixels.device, precision):
        for start in range(0, len(pixels), batch_size):
            rows = np.arange(start, min(start + batch_size, len(pixels)))
            images = pixels.batch(rows, size, None)
            views = [model(augment.symmetry(images, k)).double().softmax(1) for k in symmetries]
            answers[rows] = torch.stack(views).mean(0).cpu().numpy()
            if progress:
                progress(int(rows[-1]) + 1, len(pixels))
    return answers


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a network runs: bf16 where asked, else as it is."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def resolved(wanted: str, device: torch.device, *, training: bool = False) -> str:
    """``auto`` made definite: bf16 where the processor computes in it, else fp32.

    On a CPU training stays fp32: there bf16 does not pay for depthwise networks, while prediction is two to three times as fast.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and not training and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """Whether the processor has bf16 instructions (AMX or AVX-512 BF16); without them torch only imitates them, slowly."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

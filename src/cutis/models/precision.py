"""Number formats and devices: which there are here, and how a network runs in one."""

import torch


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

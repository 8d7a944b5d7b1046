"""What this machine is and has: for provenance and for doctor."""

import ctypes
import ctypes.util
import importlib.metadata
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

SHOWN = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "scikit-learn",
    "pillow",
    "simplejpeg",
    "opencv-python-headless",
    "openvino",
    "onnxruntime",
)


@cache
def version(package: str) -> str:
    """Version of an installed package; "absent" where it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in SHOWN}}


def describe() -> dict[str, Any]:
    """Processor, cores, memory, GPU, threads."""
    import psutil
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
    }


def reuse_memory() -> None:
    """Let glibc keep freed memory instead of giving it back: a training step then touches a fifth of the new pages.

    For programs that train and end (the command line), not for a library's import. Elsewhere than on glibc nothing happens.
    """
    libc = ctypes.util.find_library("c")
    if platform.libc_ver()[0] == "glibc" and libc:
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            ctypes.CDLL(libc).mallopt(option, 2**31 - 1)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()

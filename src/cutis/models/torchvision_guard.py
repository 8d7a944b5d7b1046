"""Lets torchvision, and what imports it (timm), be imported where its compiled part does not fit the installed torch.

The registry's torchvision is a CUDA build. Beside a CPU build of torch its compiled part does not load, and its import dies with
``operator torchvision::nms does not exist``, because it decorates operators that nobody declared. Declaring their two schemas is enough
for transforms, datasets and models; torchvision's own nms and JPEG decoder stay unavailable. On a healthy install nothing is declared.
"""

import importlib.util
import sys
from importlib.machinery import PathFinder

import torch

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"  # torchvision/csrc/ops/nms.cpp, quantized/cpu/qnms_kernel.cpp

_declared: list[torch.library.Library] = []  # a library that is collected takes its operators with it


def guard() -> None:
    """Declare ``torchvision::nms`` and ``torchvision::qnms`` where torchvision cannot bring them itself.

    To be called before the first import of torchvision or timm; ``import cutis.models`` does. A second call does nothing.
    """
    package = importlib.util.find_spec("torchvision") if "torchvision" not in sys.modules else None
    if package is None or hasattr(torch.ops.torchvision, "nms") or _loads(package.submodule_search_locations or []):
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + SCHEMA)
    _declared.append(library)


def _loads(folders: list[str]) -> bool:
    """Whether torchvision's compiled part, found as torchvision finds it, loads; loading it twice is harmless."""
    extension = PathFinder.find_spec("_C", folders)
    if extension is None or extension.origin is None:
        return False
    try:
        torch.ops.load_library(extension.origin)
    except OSError:
        return False
    return True

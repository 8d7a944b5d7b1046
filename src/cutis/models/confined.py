"""A programme of its own that reads a file which could be hostile, a pickled state dict or an HDF5 file, and hands back plain tensors.

Run by ``foreign.read`` as ``python -I confined.py KIND``: the file is its standard input, a safetensors file its standard output. All that
it needs is imported and tried before; then it gives up, for good, every system call but those on memory and on what is open (seccomp), so
that nothing in the file can open another file, make a connection or start a programme, whatever it makes the parser do.
"""

import contextlib
import ctypes
import io
import json
import os
import pickle
import platform
import re
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

# This file imports nothing of Cutis: the fewer lines run here, the better.

REFUSED: Final = 3
UNCONFINED: Final = 4
SECONDS: Final = 120
MEGABYTE: Final = 1 << 20

Named = tuple[str, str, Tensor]  # the section it is in, its name, and its values

# AUDIT_ARCH_*, then the numbers of the calls that are left (Linux, arch/*/syscalls): read write close lseek fstat mmap mprotect munmap brk
# mremap madvise futex rt_sigaction rt_sigprocmask rt_sigreturn sched_yield getpid gettid clock_gettime getrandom exit exit_group writev.
CALLS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "x86_64": (0xC000003E, (0, 1, 3, 8, 5, 9, 10, 11, 12, 25, 28, 202, 13, 14, 15, 24, 39, 186, 228, 318, 60, 231, 20)),
    "aarch64": (0xC00000B7, (63, 64, 57, 62, 80, 222, 226, 215, 214, 216, 233, 98, 134, 135, 139, 124, 172, 178, 113, 278, 93, 94, 66)),
}


def limit(size: int) -> list[str]:
    """Bound what this process may use while it reads a file of ``size`` bytes; what now holds, in words."""
    now = Path("/proc/self/statm")
    used = int(now.read_text().split()[0]) * resource.getpagesize() if now.exists() else 0
    room = 512 * MEGABYTE + 5 * size
    held = []
    for kind, most, words in (
        (resource.RLIMIT_CORE, 0, ""),
        (resource.RLIMIT_FSIZE, room, ""),
        (resource.RLIMIT_CPU, SECONDS, f"processor time at most {SECONDS} s"),
        (resource.RLIMIT_AS, used + room, f"memory at most {room // MEGABYTE:,} MB" if used else ""),
    ):
        with contextlib.suppress(ValueError, OSError):
            if used or kind != resource.RLIMIT_AS:
                resource.setrlimit(kind, (most, most))
                held += [words] * bool(words)
    return held


def confine() -> list[str]:
    """Give up every system call but ``CALLS``, for good; what now holds, in words, and nothing where the system cannot do it."""
    if sys.platform != "linux" or platform.machine() not in CALLS:
        return []
    architecture, allowed = CALLS[platform.machine()]
    # Classic BPF over struct seccomp_data: its first word is the call's number, its second the architecture (linux/seccomp.h).
    load, equal, give = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]  # another architecture: killed
    code += [(equal, len(allowed) - i, 0, number) for i, number in enumerate(allowed)]
    code += [(give, 0, 0, 0x00050001), (give, 0, 0, 0x7FFF0000)]  # EPERM; allowed
    packed = np.array(code, dtype=[("code", "<u2"), ("yes", "u1"), ("no", "u1"), ("k", "<u4")]).tobytes()
    filters = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(code), ctypes.addressof(filters))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privileges, seccomp, by_filter = 38, 22, 2
    if prctl(no_new_privileges, 1, 0, 0, 0) or prctl(seccomp, by_filter, ctypes.byref(program), 0, 0):
        return []
    return ["no file can be opened, no connection made, no programme started (seccomp)"]


def state_dict(stream: io.BytesIO) -> Iterator[Named]:
    """The tensors of a state dict, or of a checkpoint that holds some; ``weights_only`` refuses whatever is not plain."""
    loaded = torch.load(stream, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise ValueError("it holds no mapping of names to tensors")
    for section, inside in {"": loaded, **loaded}.items():
        if isinstance(section, str) and isinstance(inside, dict):
            yield from ((section, name, value) for name, value in inside.items() if isinstance(name, str) and isinstance(value, Tensor))


def keras(stream: io.BytesIO) -> Iterator[Named]:
    """The weights of a Keras HDF5 file, layer by layer as they were built: ``LAYER/kernel`` and so on.

    Both layouts: ``layer_names`` and ``weight_names`` (model.save, save_weights of Keras 2), and ``layers/LAYER/vars/N`` (.weights.h5).
    """
    import h5py

    with h5py.File(stream, "r") as file:
        root = file.get("model_weights", file)
        if "layer_names" in root.attrs:
            for layer in _texts(root.attrs["layer_names"]):
                for path in _texts(root[layer].attrs["weight_names"]):
                    yield "", f"{layer}/{path.split('/')[-1].split(':')[0]}", torch.from_numpy(np.array(root[layer][path]))
        else:
            layers = root.get("layers") or root["_layer_checkpoint_dependencies"]
            for layer in sorted(layers, key=_natural):
                for number in sorted(layers[layer].get("vars", ()), key=int):
                    yield "", f"{layer}/{number}", torch.from_numpy(np.array(layers[layer]["vars"][number]))


READERS: Final[dict[str, Callable[[io.BytesIO], Iterator[Named]]]] = {"pth": state_dict, "h5": keras}


def handed(found: list[Named], held: list[str]) -> bytes:
    """What was found as a safetensors file: tensors ``0``, ``1``, ... and their names as metadata, since a name could be anything."""
    tensors: dict[str, Tensor] = {}
    names: list[tuple[str, str]] = []
    for section, name, value in found:
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise ValueError(f"{name[:80]} is sparse or quantised; save plain numbers")
        tensors[str(len(names))] = value.detach().contiguous().clone()
        names.append((section, name))
    return save(tensors, {"names": json.dumps(names), "held": json.dumps(held)})


def main(kind: str, unconfined: bool) -> int:
    """Read standard input, write standard output; the exit code. Why it was refused goes to standard error, in words."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    data = io.BytesIO(sys.stdin.buffer.read())
    _rehearse(kind)
    limits = limit(data.getbuffer().nbytes)  # first, because afterwards no limit can be changed
    confined = [] if unconfined else confine()
    if not confined and not unconfined:
        return UNCONFINED
    try:
        out = memoryview(handed(list(READERS[kind](data)), [*confined, *limits]))
        while out:
            out = out[os.write(1, out[: 64 * MEGABYTE]) :]
    except Exception as error:
        os.write(2, why(error).encode())
        return REFUSED
    return 0


def _rehearse(kind: str) -> None:
    """Read and write something harmless, so that what is imported only then is there when no file can be opened any more."""
    sample = io.BytesIO()
    if kind == "h5":
        import h5py

        with h5py.File(sample, "w") as file:
            file.create_dataset("layers/dense/vars/0", data=np.ones((4, 4), np.float32), chunks=(2, 2), compression="gzip")
    else:
        torch.save({"weight": torch.ones(2, dtype=torch.bfloat16)}, sample)
    sample.seek(0)
    handed(list(READERS[kind](sample)), [])
    with contextlib.suppress(Exception):
        list(READERS["pth"](io.BytesIO(pickle.dumps(print))))


def why(error: Exception) -> str:
    """The reason in words that hold nothing of the file but a name in plain letters."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError):
        asked = re.search(r"GLOBAL ([A-Za-z0-9_.]{1,80})", text)
        return f"it is not only weights: it would run {asked[1]}" if asked else "it is not only weights, or no file that torch.save wrote"
    if isinstance(error, MemoryError) or "alloc" in text:
        return "it needs more memory than a file of its size may"
    if "TorchScript" in text:
        return "it is a TorchScript programme, not only weights"
    if isinstance(error, EOFError):
        return "it is empty or cut"
    plain = re.sub(r"[^A-Za-z0-9 _.,:;()/'-]", "?", text.splitlines()[0] if text else "")
    return f"{type(error).__name__}: {plain[:160]}"


def _texts(names: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _natural(name: str) -> list[tuple[int, str]]:
    """dense, dense_1, dense_2, dense_10."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--unconfined" in sys.argv[2:]))

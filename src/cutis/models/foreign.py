"""Weights that others published, as torch or Keras saved them: read in a confined process, handed back as plain tensors."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from torch import Tensor

from cutis.errors import ArtifactError, CutisError
from cutis.models import confined

KINDS: Final = {".h5": "h5", ".hdf5": "h5", ".keras": "keras"}
MOST: Final = 8 << 30
SECONDS: Final = 300


@dataclass(frozen=True)
class Foreign:
    """What a file of another programme held."""

    sections: dict[str, dict[str, Tensor]]
    """Tensors by name, in the file's order; by the entry they were under (``model``, ``ema``), empty for the file itself."""
    keras: bool
    """Whether Keras laid the values out: rows are inputs, and maps are flattened channels last."""
    held: tuple[str, ...]
    """What the process that read it was kept from, in words."""

    def section(self, name: str | None = None) -> dict[str, Tensor]:
        """The tensors of one section; of the only one where ``name`` is None. Raises CutisError naming those there are."""
        if name is None and len(self.sections) == 1:
            return next(iter(self.sections.values()))
        if name not in self.sections:
            listed = ", ".join(f"{section} ({len(tensors)} tensors)" for section, tensors in self.sections.items())
            raise CutisError(f"The file holds several sets of weights: {listed}. Say which: --part NAME")
        return self.sections[name]


def read(path: Path, *, unconfined: bool = False) -> Foreign:
    """The tensors in a ``.pth`` state dict or checkpoint, or in a Keras ``.h5`` file; nothing in it is run, and it is never opened here.

    ``unconfined`` lets it be read, still with weights only and in a process of its own, where the system cannot take that process's rights
    away. Raises ArtifactError where it is refused, CutisError where it is of another kind.
    """
    kind = _kind(path)
    with tempfile.TemporaryDirectory(prefix="cutis-import-") as folder:
        out = Path(folder) / "read.safetensors"
        _run(path, kind, out, unconfined)
        sections: dict[str, dict[str, Tensor]] = {}
        try:
            with safe_open(out, framework="pt") as file:
                told = file.metadata()
                for i, (section, name) in enumerate(json.loads(told["names"])):
                    sections.setdefault(section, {})[name] = file.get_tensor(str(i))
                held = tuple(json.loads(told["held"]))
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: what came of it is no list of tensors ({type(error).__name__}).") from None
    sections = {name: inside for name, inside in sections.items() if any(value.ndim for value in inside.values())}  # an accuracy is none
    if not sections:
        raise ArtifactError(f"{path} holds no weights. Give the file that torch.save(model.state_dict(), FILE) wrote.")
    return Foreign(sections, kind == "h5", held)


def _kind(path: Path) -> str:
    if not path.is_file():
        raise ArtifactError(f"There is no file {path}. Give the published file of weights.")
    if path.stat().st_size > MOST:
        raise ArtifactError(f"{path} has {path.stat().st_size:,} bytes; at most {MOST:,} are read.")
    kind = KINDS.get(path.suffix.lower(), "pth")
    with path.open("rb") as file:
        if file.read(8) == b"\x89HDF\r\n\x1a\n":
            kind = "h5"
    if kind == "keras":
        raise CutisError(f"{path} is a whole Keras model. Save its weights: model.save_weights('model.weights.h5')")
    if kind == "h5":
        try:
            import h5py  # noqa: F401
        except ModuleNotFoundError:
            raise CutisError("A Keras file is read with an extra: pip install 'cutis[keras]'") from None
    return kind


def _run(path: Path, kind: str, out: Path, unconfined: bool) -> None:
    """Let the confined process read the file into ``out``. Raises ArtifactError with its reason."""
    command = [sys.executable, "-I", confined.__file__, kind, *(["--unconfined"] if unconfined else [])]
    bare = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # none of ours: it may hold keys
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    try:
        with path.open("rb") as source, out.open("wb") as sink:
            done = subprocess.run(
                command, stdin=source, stdout=sink, stderr=subprocess.PIPE, env=bare | kept, cwd=out.parent, timeout=SECONDS, check=False
            )
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{path} took more than {SECONDS} s to read, and was left alone.") from None
    if done.returncode == confined.UNCONFINED:
        raise ArtifactError(
            "This system cannot confine the process that reads a pickled file (Linux on x86-64 or ARM can). Import it there, or read it "
            "all the same, with weights only and in a process of its own: --unconfined"
        )
    if done.returncode == confined.REFUSED:
        why = done.stderr.decode("ascii", "replace")[:400]
        raise ArtifactError(f"{path} is refused: {why}. Cutis reads weights, never programmes: torch.save(model.state_dict(), FILE)")
    if done.returncode:
        raise ArtifactError(f"{path} cannot be read: the process that read it ended with {done.returncode}. The file may be damaged.")

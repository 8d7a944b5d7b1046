"""One side of a case in a process of its own: it is stopped while another side runs, and talks in lines of JSON.

``python -m benchmarks._worker FILE CASE SIDE`` answers each command on stdin with one line; whatever the side itself prints, from Python
or from C, goes to stderr.
"""

import importlib
import importlib.metadata
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
LIMIT = 900  # seconds after which a side that does not answer is given up
SHOWN = ("cutis", "torch", "timm", "torchvision", "numpy", "openvino", "onnxruntime", "tensorflow", "keras", "pytorch_grad_cam", "sklearn")
SHOWN += ("PIL", "cv2", "simplejpeg", "imagededup", "cleanvision")


_remarks: list[str] = []


def remark(text: str) -> None:
    """To be called by ``prepare`` or a repeat: what the page should say of this side, such as the backend it chose."""
    if text not in _remarks:
        _remarks.append(text)


class SkipError(Exception):
    """Raised by ``prepare`` where a side cannot run on this machine; the message says why. An ImportError means the same."""


class BrokenError(Exception):
    """A side that gave no answer: it was skipped, it raised, it died or it hangs."""

    def __init__(self, why: str, skipped: bool = False) -> None:
        super().__init__(why)
        self.skipped = skipped


class Worker:
    """The harness's end of one side, whose caches and temporary files are its own and go when it ends."""

    def __init__(self, file: Path, case: str, side: str, cores: Sequence[int], environment: Mapping[str, str]) -> None:
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed with the worker)
        self.scratch = tempfile.TemporaryDirectory(prefix="cutis-bench-")  # all that the side writes, its caches too
        here = {"TMPDIR": self.scratch.name, "CUTIS_CACHE": str(Path(self.scratch.name) / "cache")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._worker", str(file), case, side, ",".join(map(str, cores))],
            cwd=FOLDER.parent,
            env=dict(environment) | here,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            process_group=0,  # so that its own children stop and end with it
        )

    def __enter__(self) -> "Worker":
        return self

    def ask(self, command: str) -> dict[str, Any]:
        """Let it run, wait for its answer, stop it again. Raises BrokenError."""
        assert self.process.stdin
        assert self.process.stdout
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise BrokenError(self._last_words()) from None
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        if not ready:
            raise BrokenError(f"no answer within {LIMIT} s")
        line = self.process.stdout.readline()
        if not line:
            raise BrokenError(self._last_words())
        self._signal(signal.SIGSTOP)
        said: dict[str, Any] = json.loads(line)
        if "why" in said:
            raise BrokenError(said["why"], said["skipped"])
        return said

    def _last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        last = next((line.strip() for line in reversed(self.log.read().splitlines()) if line.strip()), "")
        return f"the process ended with {code}{f': {last}' if last else ''}"

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with suppress(BrokenPipeError):  # words that a dead side never read
                stream.close()  # type: ignore[union-attr]
        self.scratch.cleanup()


def main() -> None:
    """The side's end: prepare once, then a repeat a command, until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    file, case, side, cores = Path(sys.argv[1]), *sys.argv[2:5]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    repeat = None
    for command in sys.stdin:
        try:
            if command.strip() == "prepare":
                repeat = _module(file).prepare(case, side)
                said: dict[str, Any] = {}
            else:
                assert repeat
                wall, cpu = time.perf_counter(), spent()
                units = int(repeat())
                said = {"units": units, "wall": time.perf_counter() - wall, "cpu": spent() - cpu}
                said |= {"versions": versions(), "remarks": _remarks}
        except Exception as error:
            why = str(error) if isinstance(error, SkipError) else f"{type(error).__name__}: {error}"
            said = {"why": why.strip().splitlines()[0][:300], "skipped": isinstance(error, (SkipError, ImportError))}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def _module(file: Path) -> Any:
    if file.parent == FOLDER:
        return importlib.import_module(f"benchmarks.{file.stem}")
    sys.path.insert(0, str(file.parent))
    return importlib.import_module(file.stem)


def spent() -> float:
    """CPU seconds, user and system, of this process and of its children, living and ended."""
    import psutil

    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in own)
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it has just ended, and its parent has counted it
        total += times.user + times.system + times.children_user + times.children_system
    return total


def versions() -> dict[str, str]:
    """Versions of the libraries that this side has loaded."""
    names = importlib.metadata.packages_distributions()
    loaded = [name for name in SHOWN if name in sys.modules and name in names]
    return {names[name][0]: importlib.metadata.version(names[name][0]) for name in loaded}


if __name__ == "__main__":
    from benchmarks import _worker  # as rows import it, so that a SkipError of theirs is the SkipError caught here

    _worker.main()

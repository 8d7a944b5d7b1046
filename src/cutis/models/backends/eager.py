"""torch itself: as it is on any device, and compiled on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from cutis.errors import CutisError
from cutis.models.backends.base import Answers, Engine, Job, backends


class Eager:
    """Runs a module where the job's device is, in fp32 or under bf16 autocast; on a GPU the next batch starts before one is fetched."""

    def __init__(self, job: Job, run: Callable[[Tensor], Tensor], backend: str) -> None:
        if job.precision == "int8":
            raise CutisError(f"The backend {backend} computes in fp32 and bf16. For int8 set predict.backend=openvino.")
        self.backend, self.precision = backend, job.precision
        self._run, self._device = run, job.device

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Answers]:
        """Arrays in the order of the batches."""
        ahead = 1 if self._device.type == "cuda" else 0
        running: deque[Tensor] = deque()
        for batch in batches:
            running.append(self._start(batch))
            if len(running) > ahead:
                yield running.popleft().cpu().numpy()
        yield from (out.cpu().numpy() for out in running)

    def __call__(self, batch: Tensor) -> Answers:
        """The array of one batch."""
        return next(self.stream([batch]))

    def _start(self, batch: Tensor) -> Tensor:
        autocast = torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), autocast:
            return self._run(batch.to(self._device, non_blocking=True)).float()


@backends.register("eager")
def eager(job: Job) -> Engine:
    """The network as it is: nothing to prepare, and the measure of all others."""
    return Eager(job, job.passage, "eager")


@backends.register("compiled")
def compiled(job: Job) -> Engine:
    """torch.compile, for long work on a GPU: preparing takes a minute."""
    if job.device.type != "cuda":
        raise CutisError("The backend compiled is for a GPU. Set predict.backend=auto: on a CPU OpenVINO is faster.")
    return Eager(job, Padded(torch.compile(job.passage)), "compiled")


class Padded:
    """Gives a compiled function one batch size only, so that it is not compiled again for the last, smaller batch."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        self._run, self._full = run, 0

    def __call__(self, batch: Tensor) -> Tensor:
        """The answers of the batch, computed in a batch of the largest size seen."""
        self._full = max(self._full, len(batch))
        padding = batch[-1:].expand(self._full - len(batch), *batch.shape[1:])
        return self._run(torch.cat([batch, padding]))[: len(batch)]

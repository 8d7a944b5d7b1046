"""One update of the weights: answers, loss, gradient, a look at both, the optimiser. What training repeats, and what is timed."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cutis.models.precision import autocast


class Update:
    """Updates ``parameters`` of a module in its number format, compiled where asked.

    Only batches of ``batch`` rows run compiled: the remainder of an epoch would cost a compilation of its own, or one for any length,
    and then a resumed run would compute with other code than one that was never stopped.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        precision: str,
        compiled: bool,
        batch: int,
        clip: float = 0.0,
    ) -> None:
        self.module, self.parameters, self.optimizer, self.loss, self.batch, self.clip = module, parameters, optimizer, loss, batch, clip
        device = parameters[0].device
        self.autocast = autocast(device, precision)
        self.seed = torch.cuda.manual_seed if device.type == "cuda" else torch.default_generator.manual_seed
        self.statistics = [b for b in module.buffers() if b.is_floating_point()]
        self.before = [b.clone() for b in self.statistics]
        if compiled:
            torch.compiler.reset()  # what earlier networks left counts towards the limit after which nothing is compiled any more
        self.whole = torch.compile(module, dynamic=False) if compiled else module

    def __call__(self, x: Tensor, targets: Tensor, seed: int, lr: float) -> tuple[float, str]:
        """The batch's mean loss, and what is no number: "loss", "gradient" or "". In the first two cases nothing was updated.

        ``seed``: of dropout and stochastic depth, which know only torch's global generator; the caller forks it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.statistics:
            torch._foreach_copy_(self.before, self.statistics)
        self.seed(seed)
        with self.autocast:
            logits = (self.whole if len(x) == self.batch else self.module)(x)
            loss = self.loss(logits.float(), targets)
        for p in self.parameters:
            p.grad = None
        loss.backward()
        values = torch.stack([loss.detach(), *self._norms()]).tolist()
        if not all(map(math.isfinite, values)):
            if self.statistics:
                torch._foreach_copy_(self.statistics, self.before)
            return values[0], "gradient" if math.isfinite(values[0]) else "loss"
        self.optimizer.step()
        return values[0], ""

    def _norms(self) -> Sequence[Tensor]:
        """Norms of the gradients, which are no numbers where one of their elements is none; clipped where asked."""
        if self.clip:
            return [torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)]
        return torch._foreach_norm([p.grad for p in self.parameters if p.grad is not None])

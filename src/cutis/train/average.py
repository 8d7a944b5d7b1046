"""The exponential moving average of a network's weights, which is validated and kept in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Moving average of a module's weights and statistics; with a decay of 0 it is the module as it stands.

    ``values`` are the averages by name, none before the first update; ``updates`` counts these. The module's tensors must stay where
    they are: pairs of them and their averages are listed once, because to gather a state by name costs more than to average it.
    """

    def __init__(self, module: nn.Module, decay: float, values: dict[str, Tensor], updates: int) -> None:
        self.module, self.decay, self.updates = module, decay, updates
        self._take(values)

    def _take(self, values: dict[str, Tensor]) -> None:
        now = self.module.state_dict()
        self.values = {name: torch.empty_like(now[name]).copy_(value) for name, value in values.items()}  # alike in memory, too
        names = [name for name in self.values if now[name].is_floating_point()]
        self._averages, self._now = [self.values[n] for n in names], [now[n] for n in names]

    def update(self) -> None:
        """Take in the module as it stands. The decay starts low, so that the random start is soon forgotten."""
        if not self.decay:
            return
        if not self.values:
            self._take(self.module.state_dict())
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._averages, self._now, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """What is to be validated and kept; not a copy."""
        return self.values or self.module.state_dict()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module holds the averages."""
        if not self.values:
            yield
            return
        now = copied(self.module.state_dict())
        self.module.load_state_dict(self.values)
        try:
            yield
        finally:
            self.module.load_state_dict(now)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state that later updates do not touch."""
    return {name: value.detach().clone() for name, value in state.items()}

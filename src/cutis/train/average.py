"""The exponential moving average of a network's weights, which is validated and kept in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Moving average of a module's weights and statistics; with a decay of 0 it is the module as it stands.

    ``values`` are the averages by name, none before the first update; ``updates`` counts these.
    """

    def __init__(self, module: nn.Module, decay: float, values: dict[str, Tensor], updates: int) -> None:
        self.module, self.decay, self.values, self.updates = module, decay, values, updates

    def update(self) -> None:
        """Take in the module as it stands. The decay starts low, so that the random start is soon forgotten."""
        if not self.decay:
            return
        now = self.module.state_dict()
        self.values = self.values or copied(now)
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in names], [now[n] for n in names], 1 - decay)

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

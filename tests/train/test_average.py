"""The moving average of weights against its definition, and gone on with from a checkpoint's tensors."""

import pytest
import torch
from torch import nn

from cutis.train.average import Average


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)


def moved(module: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Every weight and statistic at random; what they are now, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
    return {name: value.double() for name, value in module.state_dict().items()}


def test_it_is_the_sum_of_its_definition() -> None:
    """a_1 = w_1, a_t = d_t a_(t-1) + (1 - d_t) w_t with d_t = min(0.6, (1 + t) / (10 + t))."""
    module = network()
    average = Average(module, 0.6, {}, 0)
    expected: dict[str, torch.Tensor] = {}
    for t in range(1, 15):
        now = moved(module, t)
        average.update()
        decay = min(0.6, (1 + t) / (10 + t))
        expected = {name: decay * expected[name] + (1 - decay) * now[name] for name in now} if expected else now
    for name, value in average.state().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    with average.applied():
        assert all(torch.equal(value, average.values[name]) for name, value in module.state_dict().items())
    torch.testing.assert_close(module[0].weight.double(), now["0.weight"])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_goes_on_from_saved_values_whatever_their_layout(layout: torch.memory_format) -> None:
    whole, module = network(), network()
    average = Average(whole, 0.9, {}, 0)
    for t in range(3):
        moved(whole, t)
        average.update()
    saved = {name: v.clone(memory_format=layout) if v.ndim == 4 else v.clone() for name, v in average.values.items()}
    again = Average(module, 0.9, saved, average.updates)
    for one, other in ((whole, average), (module, again)):
        moved(one, 9)
        other.update()
    assert all(torch.equal(value, again.values[name]) for name, value in average.values.items())


def test_without_a_decay_it_is_the_module_as_it_stands() -> None:
    module = network()
    average = Average(module, 0.0, {}, 0)
    moved(module, 1)
    average.update()
    assert not average.values
    assert torch.equal(average.state()["0.weight"], module[0].weight)

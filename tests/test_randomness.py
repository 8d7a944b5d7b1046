"""Randomness: the same key gives the same numbers, any other key unrelated ones, and the global state is left alone."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cutis.randomness import stream, torch_stream

KEYS = st.tuples(
    st.integers(0, 2**40), st.sampled_from(["order", "augment", "dropout", ""]), st.lists(st.integers(0, 2**33), max_size=3).map(tuple)
)


def numbers(key: tuple[int, str, tuple[int, ...]]) -> list[int]:
    seed, purpose, counters = key
    return stream(seed, purpose, *counters).integers(2**63, size=4).tolist()


def torch_numbers(key: tuple[int, str, tuple[int, ...]]) -> list[int]:
    seed, purpose, counters = key
    return torch.randint(2**62, (4,), generator=torch_stream(seed, purpose, *counters)).tolist()


@given(KEYS, KEYS)
def test_equal_keys_give_equal_numbers_and_others_do_not(one: tuple, other: tuple) -> None:
    for draw in (numbers, torch_numbers):
        assert draw(one) == draw(one)
        assert (draw(one) == draw(other)) is (one == other)


def test_a_counter_of_zero_is_a_counter() -> None:
    keys = [(0, "order", ()), (0, "order", (0,)), (0, "order", (0, 0)), (1, "order", ()), (0, "augment", ())]
    assert len({tuple(numbers(key)) for key in keys}) == len(keys)


def test_consecutive_steps_are_uncorrelated() -> None:
    draws = np.array([stream(0, "augment", 0, step).random(200) for step in range(50)])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(50, 1)]
    # 1,225 correlations of 200 pairs have a standard deviation of 1 / sqrt(200) = 0.07 where there is none
    assert abs(off_diagonal.mean()) < 0.01
    assert abs(off_diagonal).max() < 0.35
    assert abs(draws.mean() - 0.5) < 0.01


def test_global_generators_are_not_touched() -> None:
    state, numpy_state, torch_state = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    numbers((3, "order", (1,)))
    torch_numbers((3, "order", (1,)))
    assert random.getstate() == state
    assert np.random.get_state()[1].tolist() == numpy_state
    assert torch.equal(torch.get_rng_state(), torch_state)

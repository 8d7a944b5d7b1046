"""Batches made ahead: the same ones in the same order, errors where they belong, and no thread left behind."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.data.loaders import ahead, fed


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cutis-ahead")]


@settings(max_examples=20)
@given(st.lists(st.integers(), max_size=9), st.integers(1, 4))
def test_the_same_items_in_the_same_order(items: list[int], depth: int) -> None:
    assert list(ahead(items, depth)) == items
    assert list(fed([(item,) for item in items], torch.device("cpu"))) == [(item,) for item in items]
    assert not threads()


def test_the_next_ones_are_made_while_one_is_used_and_no_more() -> None:
    made: list[int] = []
    ready = threading.Event()

    def items() -> Iterator[int]:
        for i in range(9):
            made.append(i)
            if len(made) == 3:
                ready.set()
            yield i

    with closing(ahead(items(), 2)) as source:
        assert next(source) == 0
        assert ready.wait(30), "nothing is made ahead"
        time.sleep(0.05)
        assert made == [0, 1, 2]
    assert not threads()


def test_they_are_made_in_another_thread() -> None:
    source = (threading.current_thread().name for _ in range(3))
    assert all(name.startswith("cutis-ahead") for name in ahead(source))


def test_fault_t5_an_error_in_making_an_item_is_raised_where_that_item_is_due() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the third cannot be read")

    source = ahead(items())
    assert [next(source), next(source)] == [1, 2]
    with pytest.raises(OSError, match="the third cannot be read"):
        next(source)
    assert not threads()


def test_left_early_the_thread_ends() -> None:
    def leave() -> None:
        with closing(ahead(range(100))) as source:
            for item in source:
                if item == 3:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert not threads()

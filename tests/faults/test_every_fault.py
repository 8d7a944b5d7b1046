"""Each fault and abuse that Cutis must survive has a test named after it."""

import re
from pathlib import Path

import pytest

FAULTS = {"i": 9, "d": 9, "t": 8, "m": 3, "s": 11, "g": 1}
"""Kinds (input, data, training, model, server, reproducibility) and how many there are of each."""
TESTS = "\n".join(path.read_text("utf-8") for path in Path(__file__).parents[1].rglob("*.py"))


@pytest.mark.parametrize("fault", [f"{kind}{n}" for kind, count in FAULTS.items() for n in range(1, count + 1)])
def test_a_test_is_named_after_it(fault: str) -> None:
    assert re.search(rf"def test_fault(_[a-z]\d+)*_{fault}(_|\()", TESTS), f"no test_fault_{fault}_..."

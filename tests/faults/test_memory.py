"""Memory that runs out is the machine's fault, and told with what to do."""

import pytest
import torch

from cutis.cli import told


def test_fault_t6_memory_that_runs_out_is_told_with_advice() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(10**15)
    for each in (error.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")):
        message, code = told(each)
        assert "Use smaller batches (--set train.batch_size=8)" in message
        assert code == 5

"""The frozen stage again with eight views of each image: eight passes for us, while a peer's epoch costs it what it did."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks import _harness as harness
from benchmarks import frozen_stage as one_view

COUNT = 256  # images of ours; a whole repeat of ResNet-50 would take minutes
NOTE = (
    "Ours: the eight symmetries of each image through the backbone once. Peers: a new view of each image in each epoch, which they are "
    "given for nothing. Otherwise as with one view."
)
ROW = harness.Row(
    "Frozen stage, eight views",
    one_view.ROW.unit,
    tuple(replace(case, targets={"keras": 15, "pytorch": 5}, note=NOTE if case.note else "") for case in one_view.ROW.cases),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """As with one view."""
    return one_view.ours(case, 8, COUNT) if side == "cutis" else one_view.prepare(case, side)


if __name__ == "__main__":
    harness.main(ROW, prepare)

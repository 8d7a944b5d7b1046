"""What a training run is given, what it yields, and what it must remember to go on: plain data."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.data.loaders import Pixels
from cutis.train.stages import Watch


@dataclass(frozen=True)
class Part:
    """The rows of one part of the split: images, their classes (0..C-1) and their names."""

    pixels: Pixels
    labels: NDArray[np.int64]
    images: NDArray[np.str_]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; a row of history.csv."""

    stage: int
    epoch: int
    size: int
    lr: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_auroc: float
    images_per_second: float
    seconds: float
    best: bool
    precision: str = ""  # number format; "bf16 compiled" where the network was compiled


@dataclass
class Progress:
    """Where training stands; plain data, so that a checkpoint holds it as JSON."""

    stage: int = 0
    epoch: int = 0  # within the stage
    epochs: int = 0  # of the whole run
    step: int = 0  # within the epoch
    updates: int = 0  # of the stage, for the moving average
    precision: str = ""  # number format of the stage, once settled: one that goes on keeps it, whatever has been measured since
    compiled: bool = False
    loss: float = 0.0
    seen: int = 0
    watch: Watch = field(default_factory=Watch)
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Progress":
        """The progress that a checkpoint's JSON holds."""
        return cls(**{**data, "watch": Watch(**data["watch"])})

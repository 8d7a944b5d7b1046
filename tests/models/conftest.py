"""A handful of made pictures as the cache would hold them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.recipe import Augment


@pytest.fixture
def pictures() -> Callable[..., Pixels]:
    """``pictures(count, side, seed)``: noise, with hashes that tell one seed from another."""

    def make(count: int = 12, side: int = 32, seed: int = 0) -> Pixels:
        pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
        hashes = np.array([f"{seed}-{i}" for i in range(count)], "<U64")
        cache = Cache(pixels, np.arange(count), hashes, pd.DataFrame(), pd.DataFrame(), count, 0.0)
        return Pixels(cache, np.arange(count), Augment(), torch.device("cpu"))

    return make

"""Batches of the image cache: the right pictures in the right order, as they are, resized, or augmented."""

import numpy as np
import pandas as pd
import pytest
import torch

from cutis.data.augment import augmented
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.recipe import Augment

CPU = torch.device("cpu")


@pytest.fixture
def cache() -> Cache:
    """Seven stored pictures of 6 x 4; the table's five rows point to some of them, one to none."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 4, 3), np.uint8)
    row = np.array([6, 2, -1, 0, 2])
    return Cache(pixels, row, np.array(["hash"] * 5), pd.DataFrame(), pd.DataFrame(), 7, 0.0)


def test_a_batch_holds_the_rows_asked_for_in_0_to_1(cache: Cache) -> None:
    pixels = Pixels(cache, np.array([4, 0, 3]), Augment(), CPU)
    assert len(pixels) == 3
    batch = pixels.batch(np.array([2, 0, 0, 1]), (6, 4), None)
    assert batch.shape == (4, 3, 6, 4)
    assert batch.dtype == torch.float32
    stored = cache.pixels[[0, 2, 2, 6]].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch.numpy(), stored / 255, atol=1e-7)
    assert torch.equal(pixels.raw(np.array([1])), torch.from_numpy(stored[3:]))


def test_without_a_generator_nothing_is_varied_and_with_one_it_is(cache: Cache) -> None:
    pixels = Pixels(cache, np.array([0, 1, 3, 4]), Augment(hflip=True), CPU)
    rows = np.arange(4).repeat(4)
    plain = pixels.batch(rows, (6, 4), None)
    one, same, other = (pixels.batch(rows, (6, 4), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(one, plain, strict=True))
    assert pixels.batch(rows, (3, 2), None).shape == (16, 3, 3, 2)


@pytest.mark.parametrize("flips", [{"hflip": True}, {"vflip": True}, {"hflip": True, "vflip": True, "quarter_turns": True}])
@pytest.mark.parametrize("shape", [(8, 8), (6, 4)])
def test_bytes_are_moved_as_floats_are(flips: dict[str, bool], shape: tuple[int, int]) -> None:
    """Against the augmentation of a batch of floats that lie plane by plane, which takes torch's own way."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, *shape, 3), np.uint8)
    cache = Cache(pixels, np.arange(40), np.array(["hash"] * 40), pd.DataFrame(), pd.DataFrame(), 40, 0.0)
    ours = Pixels(cache, np.arange(40), Augment(**flips), CPU).batch(np.arange(40), shape, torch.Generator().manual_seed(0))
    floats = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float() / 255
    assert torch.equal(ours, augmented(floats, Augment(**flips), shape, torch.Generator().manual_seed(0)))
    assert not torch.equal(ours, floats)


def test_an_unreadable_row_is_no_input(cache: Cache) -> None:
    with pytest.raises(AssertionError, match="left out before training"):
        Pixels(cache, np.array([0, 2]), Augment(), CPU)

"""The eight symmetries of packed pictures, against torch's."""

import numpy as np
import pytest
import torch

from cutis.data.augment import symmetry
from cutis.data.turns import turned


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("shape", "which"), [((5, 5), range(8)), ((224, 224), range(8)), ((4, 6), (0, 2, 4, 6)), ((1, 1), range(8))])
def test_each_picture_takes_its_own_symmetry(dtype: type, shape: tuple[int, int], which: range) -> None:
    chosen = np.random.default_rng(0).permutation(np.repeat(which, 2)).tolist()
    pictures = np.random.default_rng(1).integers(0, 256, (len(chosen), *shape, 3)).astype(dtype)
    before = pictures.copy()
    expected = [
        symmetry(torch.from_numpy(picture).permute(2, 0, 1), k).permute(1, 2, 0) for picture, k in zip(pictures, chosen, strict=True)
    ]
    np.testing.assert_array_equal(turned(pictures, chosen), np.stack(expected))
    np.testing.assert_array_equal(pictures, before)

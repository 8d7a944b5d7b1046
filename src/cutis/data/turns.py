"""Mirror images and quarter turns of packed pictures on the processor, one pass over memory each."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
FLIPS = {4: 1, 6: 0}  # left and right, top and bottom


def turned(pictures: NDArray[np.generic], which: Sequence[int]) -> NDArray[np.generic]:
    """Each picture (B x H x W x 3, uint8 or float32) under its symmetry of the square, 0..7 as in ``augment.symmetry``.

    Pictures that are not square have the even ones only, which keep their shape.
    """
    out = np.empty_like(pictures)
    for picture, k, result in zip(pictures, which, out, strict=True):
        if k == 0:
            result[:] = picture
        elif k in TURNS:
            cv2.rotate(picture, TURNS[k], result)
        elif k in FLIPS:
            cv2.flip(picture, FLIPS[k], result)
        else:  # mirrored, then turned by one quarter or three: the transpose, or that upside down
            cv2.transpose(picture, result)
            if k == 7:
                cv2.rotate(result.copy(), cv2.ROTATE_180, result)
    return out

"""Surroundings: each look sees its place and nothing else, in numbers that can be checked by hand."""

from typing import Any

import numpy as np
import pytest

from cutis.audit import surroundings
from cutis.audit.surroundings import SIDE
from cutis.data.masks import Masks

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)


def changed(rows: slice, columns: slice) -> Any:
    other = SMALL.copy()
    other[:, rows, columns] = 255 - other[:, rows, columns]
    return other


def test_corners_are_means_and_spreads_of_four_squares() -> None:
    found = surroundings.corners(SMALL)
    squares = [SMALL[:, :7, :7], SMALL[:, :7, -7:], SMALL[:, -7:, :7], SMALL[:, -7:, -7:]]
    by_hand = [np.concatenate([[s[i].reshape(-1, 3).mean(0), s[i].reshape(-1, 3).std(0)] for s in squares]).ravel() for i in range(3)]
    assert found == pytest.approx(np.array(by_hand), rel=1e-4)


@pytest.mark.parametrize("look", [surroundings.corners, surroundings.border])
def test_the_middle_is_not_looked_at(look: Any) -> None:
    assert np.array_equal(look(changed(slice(18, 38), slice(18, 38))), look(SMALL))
    assert not np.allclose(look(changed(slice(0, 6), slice(0, 6))), look(SMALL))


def test_a_black_frame_and_a_vignette_are_seen() -> None:
    plain = np.full((1, SIDE, SIDE, 3), 200, np.float32)
    framed = plain.copy()
    framed[:, :2] = 0
    assert surroundings.border(framed)[0, 24:28].tolist() == pytest.approx([0.5, 0, 0.5 * 4 / SIDE, 0.5 * 4 / SIDE], abs=1e-6)
    y, x = np.mgrid[:SIDE, :SIDE] - 27.5
    round_ = np.where(np.hypot(x, y)[..., None] < 28, plain, 0).astype(np.float32)
    assert surroundings.border(round_)[0, -4:].tolist() == [200, 200, 0, 0]


def test_the_background_says_nothing_of_the_lesion_nor_of_its_size() -> None:
    lesion = np.zeros((3, SIDE, SIDE), bool)
    lesion[:, 20:30, 15:40] = True
    assert np.allclose(surroundings.beside(changed(slice(20, 30), slice(15, 40)), lesion), surroundings.beside(SMALL, lesion), rtol=1e-5)
    even, larger = np.full_like(SMALL, 90), lesion.copy()
    larger[:, 10:40] = True
    assert np.array_equal(surroundings.beside(even, lesion), surroundings.beside(even, larger))


def test_the_background_is_that_of_what_is_left() -> None:
    lesion = np.zeros((3, SIDE, SIDE), bool)
    lesion[:, :, 20:] = True
    found, left = surroundings.beside(SMALL, lesion), SMALL[:, :, :20]
    assert found[:, :3] == pytest.approx(left.mean(axis=(1, 2)), rel=1e-4)
    assert found[:, 3:6] == pytest.approx(left.std(axis=(1, 2)), rel=1e-4)
    assert found[:, 6] == pytest.approx(np.abs(np.diff(left.mean(axis=3), axis=2)).mean(axis=(1, 2)), rel=1e-4)
    assert found[:, 7] == pytest.approx((left.mean(axis=3) < 25).mean(axis=(1, 2)), rel=1e-4)


def test_no_background_is_not_a_number() -> None:
    assert np.isnan(surroundings.beside(SMALL, np.ones((3, SIDE, SIDE), bool))).any(axis=1).all()


def test_pictures_are_measured_where_they_lie_and_masks_fitted_as_they_are(subject_of: Any) -> None:
    n = 20
    pixels = RNG.integers(0, 256, (n, 56, 56, 3)).astype(np.uint8)
    pixels[:, 20:36, 20:36] = 0
    seen = np.arange(n) != 3
    subject = subject_of(["a"] * n, pixels=pixels, readable=seen)
    wide = np.zeros((28, 56), bool)  # the stored picture is its middle square
    wide[10:18, 24:32] = True
    subject.masks = Masks({name: lambda: wide for name in subject.table["image"][:10]})
    found = surroundings.measured(subject, lambda done, total: None)
    assert found["corners"] == pytest.approx(surroundings.corners(pixels[seen].astype(np.float32)), rel=1e-4)
    assert np.isfinite(found["background"]).all(axis=1).tolist() == [True] * 9 + [False] * 10
    assert (found["background"][:9, 7] < 0.02).all(), "the black lesion is not looked at"

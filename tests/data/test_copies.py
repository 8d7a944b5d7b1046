"""What repeated rows are: blended as partners say, changed by a preset of their own, any step the same made alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cutis.data import augment, balance, copies
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.recipe import Augment, Balance, Recipe, augments

LABELS = np.repeat([0, 1, 2], [12, 4, 1])


class Numbers:
    """A source whose input is the number of its row, negative once it is changed."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def __len__(self) -> int:
        return len(LABELS)

    def batch(self, rows: np.ndarray, size: tuple[int, int], generator: torch.Generator | None) -> torch.Tensor:
        return self.sign * torch.from_numpy(rows + 1).float()[:, None]

    def apart(self, changes: Augment) -> tuple["Numbers", "Numbers"]:
        assert changes == augments["strong"]()
        return self, Numbers(-1)


def recipe(repeats: str, **options: object) -> Recipe:
    return Recipe(seed=5, balance=Balance(name="count", options={"count": 10}, repeats=repeats, preset="strong", **options))


def epoch(spec: Recipe, number: int = 3) -> np.ndarray:
    return np.random.default_rng(number).permutation(balance.indices(LABELS, spec.balance, spec.seed, number))


def whole(spec: Recipe, number: int = 3) -> np.ndarray:
    made = copies.inputs(Numbers(), LABELS, epoch(spec, number), spec, number)
    return made(slice(0, 30), (8, 8), torch.Generator())[:, 0].numpy()


def test_the_same_again_is_the_row() -> None:
    assert whole(recipe("same")).tolist() == (epoch(recipe("same")) + 1).tolist()


@pytest.mark.parametrize("most", [0.3, 1.0])
def test_mixed_rows_lie_between_two_of_their_class_and_first_ones_stay(most: float) -> None:
    spec = recipe("mixed", most=most)
    rows = epoch(spec)
    others, shares = balance.partners(LABELS, rows, most, 5, 3)
    np.testing.assert_allclose(whole(spec), (1 - shares) * (rows + 1) + shares * (others + 1), rtol=1e-5)
    first = np.unique(rows, return_index=True)[1]
    assert (whole(spec)[first] == rows[first] + 1).all()
    assert (shares > 0).sum() == 6 + 9
    assert not np.array_equal(whole(spec), whole(spec, 4))


def test_transformed_rows_are_the_repeated_ones_of_classes_brought_up() -> None:
    spec = recipe("transformed")
    rows, made = epoch(spec), whole(spec)
    assert (np.abs(made) == rows + 1).all()
    assert [(made[LABELS[rows] == c] < 0).sum() for c in range(3)] == [0, 6, 9]
    for row in np.unique(rows):
        assert made[rows == row].tolist()[0] > 0


@given(st.integers(0, 29), st.integers(1, 30), st.sampled_from(list(copies.KINDS)))
def test_a_step_made_alone_is_the_step_of_the_whole(start: int, length: int, repeats: str) -> None:
    spec, at = recipe(repeats), slice(start, min(start + length, 30))
    alone = copies.inputs(Numbers(), LABELS, epoch(spec), spec, 3)(at, (8, 8), torch.Generator())
    assert alone[:, 0].numpy().tolist() == whole(spec)[at].tolist()


def test_pictures_that_are_repeated_are_changed_by_the_preset_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 8, 8, 3), np.uint8)
    cache = Cache(pixels, np.arange(17), np.array([f"{i}" for i in range(17)]), pd.DataFrame(), pd.DataFrame(), 17, 0.0)
    source, spec = Pixels(cache, np.arange(17), Augment(), torch.device("cpu")), recipe("transformed")
    rows = epoch(spec)
    again = balance.repeated(LABELS, rows)
    made = copies.inputs(source, LABELS, rows, spec, 3)(slice(0, 30), (8, 8), torch.Generator().manual_seed(1))
    plain = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(made[~again], plain[~again])
    generator = torch.Generator().manual_seed(1)
    augment.augmented(plain[~again], Augment(), (8, 8), generator)  # the rows that are seen first draw first
    wanted = augment.augmented(plain[again], augments["strong"](), (8, 8), generator)
    torch.testing.assert_close(made[again], wanted)


def test_nothing_is_repeated_where_every_row_is_seen_once() -> None:
    with pytest.raises(ValueError, match=r"balance.name=none draws none: use sampling"):
        Balance(repeats="mixed")

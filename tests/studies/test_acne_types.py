"""S2: A and B differ in class weights alone, weights are the published ones, and the printed figures are those printed."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cutis.studies.book.acne_types import acne_types
from cutis.studies.catalog import Trained
from cutis.train.losses import class_weights

# Blackheads, Cysts, Papules, Pustules, Whiteheads: precision/recall/F1; then accuracy and macro F1
PRINTED = {
    "a": (".95/.78/.86 .89/.74/.81 .73/.70/.71 .66/.86/.75 .67/.97/.79", 0.80, 0.78),
    "b": (".92/.89/.91 .92/.82/.87 .82/.80/.81 .77/.86/.81 .76/.97/.85", 0.86, 0.85),
}
CLASSES = ("Blackheads", "Cysts", "Papules", "Pustules", "Whiteheads")


def cells() -> dict[tuple[str, str, str], float | None]:
    """Every printed cell by arm, figure and set."""
    rows = [cells for table in acne_types().published for cells in table.rows.values()]
    return {(c.arm, c.figure, c.at): c.printed for row in rows for c in row if c is not None}


@pytest.mark.parametrize("arm", PRINTED)
def test_the_printed_figures_are_those_printed(arm: str) -> None:
    line, accuracy, macro_f1 = PRINTED[arm]
    for name, triple in zip(CLASSES, line.split(), strict=True):
        for figure, value in zip(("precision", "sensitivity", "f1"), triple.split("/"), strict=True):
            assert cells()[arm, f"{figure}/{name}", "test"] == float(value)
    assert cells()[arm, "accuracy", "test"] == accuracy
    assert cells()[arm, "f1_macro", "test"] == macro_f1


@pytest.mark.parametrize("arm", PRINTED)
def test_the_printed_figures_agree_with_each_other_within_rounding(arm: str) -> None:
    """F1 is the harmonic mean of precision and recall, macro F1 the mean of the classes."""
    f1 = []
    for name in CLASSES:
        p, r, printed = (cells()[arm, f"{figure}/{name}", "test"] for figure in ("precision", "sensitivity", "f1"))
        assert p is not None
        assert r is not None
        assert printed == pytest.approx(2 * p * r / (p + r), abs=0.0101)
        f1.append(printed)
    assert cells()[arm, "f1_macro", "test"] == pytest.approx(np.mean(f1), abs=0.0101)


def test_everything_but_the_class_weights_is_the_same() -> None:
    a, b = (arm.plan()[0] for arm in acne_types().arms)
    assert (a.loss.class_weights, b.loss.class_weights) == ("none", "balanced")
    assert b.changed(name=a.name, description=a.description, **{"loss.class_weights": "none"}) == a
    arms = [arm for arm in acne_types().arms if isinstance(arm, Trained)]
    assert [arm.seeds for arm in arms] == [3, 3]


def test_class_weights_are_the_published_ones() -> None:
    """w_j = n / (C n_j), for a largest class 5.6 times the smallest."""
    counts = np.array([250, 100, 212, 125, 560])
    labels = np.repeat(np.arange(5), counts)
    ours = class_weights(acne_types().arm("b").plan()[0].loss, torch.tensor(counts, dtype=torch.float32))
    assert ours is not None
    np.testing.assert_allclose(ours.numpy(), compute_class_weight("balanced", classes=np.arange(5), y=labels), rtol=1e-6)


def test_the_gain_is_asked_for_each_class() -> None:
    gains = [pair for pair in acne_types().pairs if "f1/*" in pair.figures]
    assert [(pair.first, pair.second) for pair in gains] == [("b", "a")]


def test_the_split_is_70_20_10() -> None:
    split = acne_types().split
    assert (split.val, split.test) == (0.2, 0.1)

"""Skin tone: the angle of a known colour, the same whatever lies on the skin, and agreement against SciPy and scikit-learn."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from cutis.audit import tone
from cutis.data import readers, synthetic
from cutis.data.images import decode

LIGHT, BROWN = (224, 188, 160), (110, 72, 48)


def by_hand(rgb: tuple[int, int, int]) -> float:
    """ITA of an sRGB colour by the formulas of IEC 61966-2-1 and CIE 1976, with D65 as white."""
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb))
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fy, fz = (t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29 for t in (y, z))
    return math.degrees(math.atan((116 * fy - 16 - 50) / (200 * (fy - fz))))


def skin(rgb: tuple[int, int, int], size: int = 200) -> NDArray[np.uint8]:
    return np.tile(np.array(rgb, np.uint8), (size, size, 1))


@pytest.mark.parametrize("way", tone.WAYS)
@pytest.mark.parametrize("rgb", [LIGHT, (198, 150, 118), BROWN, (70, 45, 34)])
def test_the_angle_of_an_even_colour_is_the_formula(rgb: tuple[int, int, int], way: str) -> None:
    assert tone.measured(skin(rgb), way=way) == pytest.approx(by_hand(rgb), abs=0.5)  # OpenCV interpolates L*a*b* in a table


@pytest.mark.parametrize("rgb", [LIGHT, BROWN])
def test_lesion_vignette_hair_and_glare_do_not_move_it(rgb: tuple[int, int, int]) -> None:
    picture = skin(rgb)
    cv2.circle(picture, (100, 100), 55, (60, 30, 25), -1)
    cv2.rectangle(picture, (0, 90), (60, 110), (60, 30, 25), -1)  # it reaches the edge
    for x in range(20, 200, 30):
        cv2.line(picture, (x, 0), (x - 15, 199), (30, 20, 15), 2)
    cv2.circle(picture, (40, 160), 6, (255, 255, 255), -1)
    y, x = np.mgrid[:200, :200]
    picture[(y - 99.5) ** 2 + (x - 99.5) ** 2 > 98**2] = 3
    assert tone.measured(picture) == pytest.approx(by_hand(rgb), abs=2)


def test_with_a_mask_the_skin_is_what_lies_around_it() -> None:
    picture = skin(LIGHT)
    picture[:, :130] = (120, 60, 40)
    lesion = np.zeros((200, 200), bool)
    lesion[:, :130] = True
    assert tone.measured(picture, lesion) == pytest.approx(by_hand(LIGHT), abs=0.3)


def test_what_shows_no_skin_has_no_angle() -> None:
    assert math.isnan(tone.measured(skin((0, 0, 0))))
    assert math.isnan(tone.measured(skin((255, 255, 255))))
    assert math.isnan(tone.measured(skin((150, 150, 220))))  # blue: b* below 0
    assert math.isnan(tone.measured(skin(LIGHT), np.ones((200, 200), bool)))


def test_categories_begin_above_their_limits() -> None:
    angles = [80, 55.01, 55, 41.01, 41, 28.01, 28, 10.01, 10, -29.99, -30, -80, math.nan]
    assert tone.category(angles).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, -1]


def test_darker_drawings_have_smaller_angles(tmp_path: Path) -> None:
    table = readers.read(synthetic.write(tmp_path, kind="dermoscopy", lesions=40, views=(1, 1), size=96))
    angles = [tone.measured(decode(tmp_path / image).pixels) for image in table["image"]]
    known = np.isfinite(angles)
    assert known.mean() > 0.8
    given = table["skin_tone"].astype(int).to_numpy()
    assert spearmanr(np.array(angles)[known], given[known]).statistic < -0.6  # the drawn cameras have casts of their own


def test_agreement_is_that_of_scipy_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    grades = rng.integers(1, 7, 200)
    angles = 70 - 18 * grades + rng.normal(0, 25, 200)
    angles[::17] = np.nan
    found = tone.agreement(angles, grades, np.arange(200) // 2, replicates=200)
    known = np.isfinite(angles)
    kappa = cohen_kappa_score(grades[known] - 1, tone.category(angles[known]), labels=range(6), weights="quadratic")
    assert found["spearman"]["value"] == pytest.approx(spearmanr(-angles[known], grades[known]).statistic)
    assert found["kappa_quadratic"]["value"] == pytest.approx(kappa)
    for figure in found.values():
        assert figure["n"] == known.sum()
        assert figure["low"] < figure["value"] < figure["high"]
        assert 0.02 < figure["high"] - figure["low"] < 0.4


def test_agreement_of_one_grade_is_no_figure() -> None:
    found = tone.agreement(np.array([50.0, 20.0, 10.0]), np.array([2, 2, 2]), np.arange(3))
    assert all(figure["value"] is None for figure in found.values())

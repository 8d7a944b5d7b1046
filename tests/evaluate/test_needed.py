"""Images needed: with so many, the test finds the difference as often as promised, by SciPy's distributions."""

import math

import numpy as np
import pytest
from scipy import stats

from cutis.evaluate.needed import discordant, images


@pytest.mark.parametrize(("power", "level"), [(0.8, 0.95), (0.9, 0.99)])
def test_a_difference_is_found_as_often_as_asked_with_so_many_images(power, level):
    value, se, n = 0.02, 0.013, 1000
    needed = images(value, se, n, level=level, power=power)
    beyond = stats.norm.ppf((1 + level) / 2)
    reached = [stats.norm.sf(beyond - value / (se * math.sqrt(n / m))) for m in (needed - 1, needed)]
    assert reached[0] < power <= reached[1]
    assert images(-value, se, n, level=level, power=power) == needed
    assert images(value, se, n, level=level, power=power, df=4) > needed
    assert images(0.0, se, n, level=level) is None


@pytest.mark.parametrize(("first", "second", "n"), [(60, 40, 1000), (130, 100, 1000), (9, 3, 200)])
def test_mcnemars_count_has_the_power_by_exact_enumeration(first, second, n):
    needed = discordant(first, second, n, level=0.95)
    either = stats.binom(needed, (first + second) / n)
    power = 0.0
    for k in range(max(1, int(either.ppf(1e-6))), int(either.ppf(1 - 1e-6)) + 1):
        # |b - c| > z sqrt(b + c), b of k discordant images for the first
        far = stats.norm.ppf(0.975) * math.sqrt(k)
        b = np.arange(k + 1)
        power += either.pmf(k) * stats.binom(k, first / (first + second)).pmf(b)[abs(2 * b - k) > far].sum()
    assert power == pytest.approx(0.8, abs=0.03)
    assert discordant(second, first, n, level=0.95) == needed


def test_both_ways_agree_for_accuracy():
    first, second, n = 60, 40, 1000
    se = math.sqrt((0.1 - 0.02**2) / n)
    assert images(0.02, se, n, level=0.95) == pytest.approx(discordant(first, second, n, level=0.95), rel=0.01)


def test_no_number_of_images_shows_what_is_not_there():
    assert discordant(5, 5, 100, level=0.95) is None
    assert discordant(0, 0, 100, level=0.95) is None

"""No rule calls a true publication impossible or implausible, however it is shortened and whatever it leaves out."""

import pytest
import truth

from cutis.claims.finding import rules
from cutis.claims.table import validated

SEARCH = "no-such-matrix"  # takes longer than all other rules together
SEARCHED = 100


def alarms(seeds: range, searched: int) -> list[str]:
    """What any rule finds impossible or implausible; of the first ``searched`` publications the search for a matrix too."""
    found = []
    for seed in seeds:
        claim = validated(truth.publication(seed))
        for name, rule in rules.items():
            if name != SEARCH or seed < seeds.start + searched:
                found += [f"{seed}, {name}: {f.where}: {f.arithmetic}" for f in rule(claim) if f.severity in ("impossible", "implausible")]
    return found


def test_a_thousand_true_publications_raise_no_alarm() -> None:
    assert alarms(range(1000), SEARCHED) == []


@pytest.mark.slow
def test_nor_do_they_when_a_matrix_is_searched_for_each() -> None:
    assert alarms(range(1000), 1000) == []


@pytest.mark.slow
def test_ten_thousand_more_raise_no_alarm() -> None:
    assert alarms(range(1000, 11_000), 0) == []

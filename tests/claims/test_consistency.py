"""Figures held against one another, at the edges of each rule; probabilities against SciPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import beta, hypergeom, norm

from cutis.claims import chance
from cutis.claims.check import check, unchecked
from cutis.claims.finding import Finding
from cutis.claims.table import validated
from cutis.errors import CutisError

OUT = 2 * norm.sf(5)


def found(rule: str, **given: Any) -> list[Finding]:
    return [finding for finding in check(validated(given)) if finding.rule == rule]


def pair(first: dict[str, Any], second: dict[str, Any], **more: Any) -> dict[str, Any]:
    models = [{"name": "A", "on": "test"} | first, {"name": "A", "on": "balanced test"} | second]
    return {"classes": ["benign", "malignant"], "same_images": [["test", "balanced test"]], "models": models} | more


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_beyond_chance_is_fishers_exact_test_at_five_standard_errors(n: int, m: int, data: st.DataObject) -> None:
    k, j = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    null = hypergeom(n + m, k + j, n)
    p = 2 * min(null.cdf(k), null.sf(k - 1))
    assume(abs(p / OUT - 1) > 1e-6)
    assert chance.beyond_chance((k, n), (j, m)) == (p < OUT)


@given(st.integers(1, 5000), st.data())
def test_exact_limits_are_clopper_and_pearsons(n: int, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, n))
    high = data.draw(st.integers(low, n))
    ends = chance.exact_limits(low, high, n)
    assert ends[0] == pytest.approx(beta.ppf(OUT / 2, low, n - low + 1) if low else 0, rel=1e-6)
    assert ends[1] == pytest.approx(beta.isf(OUT / 2, high + 1, n - high) if high < n else 1, rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6), st.floats(0, 1))
def test_the_range_of_a_mean_is_that_of_a_linear_programme(sizes: list[tuple[int, int]], accuracy: float) -> None:
    here, there = map(list, zip(*sizes, strict=True))
    assume(sum(here) > 0)
    assume(sum(there) > 0)
    w, v = np.array(here) / sum(here), np.array(there) / sum(there)
    ends = [linprog(sign * v, A_eq=[w], b_eq=[accuracy], bounds=[(0, 1)] * len(w)) for sign in (1, -1)]
    assert chance.mean_range(accuracy, here, there) == pytest.approx((ends[0].fun, -ends[1].fun), abs=1e-7)


def test_recalls_that_stay_raise_nothing() -> None:
    first, second = {"confusion": [[900, 100], [30, 70]]}, {"confusion": [[88, 12], [31, 69]]}
    assert not found("recall-moved", **pair(first, second))
    assert not found("rebalanced-accuracy", **pair(first, second))


def test_sets_not_said_to_hold_the_same_images_are_not_compared() -> None:
    first, second = {"confusion": [[900, 100], [300, 700]]}, {"confusion": [[990, 10], [10, 990]]}
    assert len(found("recall-moved", **pair(first, second))) == 2
    assert not found("recall-moved", **pair(first, second, same_images=[]))
    with pytest.raises(CutisError, match="Unknown set of same_images 'balanced'"):
        validated(pair(first, second, same_images=[["test", "balanced"]]))


def test_printed_recalls_are_compared_at_their_nearest_counts() -> None:
    sizes = {"benign": 1000, "malignant": 1000}
    near = {"sizes": sizes, "per_class": {"malignant": {"recall": ".90"}}}, {"sizes": sizes, "per_class": {"malignant": {"recall": ".95"}}}
    far = near[0], {"sizes": sizes, "per_class": {"malignant": {"recall": ".98"}}}
    assert not found("recall-moved", **pair(*near))  # 909 against 945 of 1,000: p = .003
    assert [f.severity for f in found("recall-moved", **pair(*far))] == ["implausible"]  # 909 against 975: p = 1e-10


def test_few_images_are_never_implausible() -> None:
    first, second = {"confusion": [[500, 500], [3, 2]]}, {"confusion": [[500, 500], [0, 5]]}
    assert not found("recall-moved", **pair(first, second))


def test_specificity_is_the_recall_of_the_other_of_two_classes() -> None:
    binary = {"average": "binary", "positive": "malignant", "sizes": {"benign": 2000, "malignant": 1000}}
    moved = found(
        "recall-moved", **pair(binary | {"recall": ".80", "specificity": ".95"}, binary | {"recall": ".80", "specificity": ".80"})
    )
    assert [f.where for f in moved] == ["A on balanced test, recall of benign"]


@pytest.mark.parametrize(("validation", "n", "alarm"), [(".90", 1000, True), (".83", 1000, False), (".90", 50, False)])
def test_validation_far_above_test_is_more_than_three_standard_errors(validation: str, n: int, alarm: bool) -> None:
    # .80 against .90 at 1,000 each: .1 / sqrt(2 x .85 x .15 / 1,000) = 6.3; against .83: 1.7; at 50 each: 1.4
    models = [{"name": "A", "on": "val", "n": n, "accuracy": validation}, {"name": "A", "n": n, "accuracy": ".80"}]
    assert bool(found("validation-above-test", classes=3, models=models)) == alarm


def test_figures_out_of_range_stop_no_rule() -> None:
    models = [{"name": "A", "on": on, "n": 10, "accuracy": "1.7", "unit": ""} for on in ("test", "val", "balanced test")]
    for model in models:
        del model["unit"]
    claim = validated({"classes": 2, "unit": "fraction", "same_images": [["test", "balanced test"]], "models": models})
    assert {f.severity for f in check(claim)} >= {"impossible"}


def test_what_the_text_says_of_the_protocol_is_judged() -> None:
    said = {
        "classes": 2,
        "resampled": "before split",
        "split": "image",
        "seeds": 1,
        "models": [
            {"name": "A", "n": 400, "accuracy": ".90", "selected_on": "test"},
            {"name": "B", "on": "validation", "n": 400, "accuracy": ".80"},
        ],
        "pairs": [{"worse": "B", "better": "A"}],
    }
    rules = {f.rule: f for f in check(validated(said)) if f.severity == "weak"}
    assert {"drawn-before-split", "split-by-image", "one-seed", "chosen-on-test", "compared-on-other-images"} <= rules.keys()
    assert "sqrt(0.9000 x 0.1000 / 400) = 0.0150" in rules["chosen-on-test"].arithmetic
    better = said | {"resampled": "after split", "split": "patient", "seeds": 3, "pairs": [], "models": [{"name": "A", "accuracy": ".9"}]}
    assert not [f for f in check(validated(better)) if f.severity == "weak"]


def test_what_is_not_given_is_said() -> None:
    lines = unchecked(validated({"models": [{"name": "A", "accuracy": ".9", "auroc": ".95"}]}))
    assert len(lines) == 4
    assert all(line.startswith("Not given: ") and ". Not checked: " in line for line in lines)
    assert not unchecked(validated({"models": [{"name": "A", "confusion": [[5, 1], [2, 9]]}]}))

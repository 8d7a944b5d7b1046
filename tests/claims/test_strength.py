"""Intervals, the majority line and differences against SciPy, and counts by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency

from cutis.claims import chance
from cutis.claims.check import check
from cutis.claims.finding import Finding
from cutis.claims.table import validated


def found(rule: str, **given: Any) -> list[Finding]:
    return [finding for finding in check(validated(given)) if finding.rule == rule]


@given(st.integers(1, 3000), st.data())
def test_intervals_are_wilsons(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    reference = binomtest(k, n).proportion_ci(0.95, "wilson")
    assert chance.limits(k / n, n) == pytest.approx((reference.low, reference.high), abs=1e-9)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_the_z_of_two_shares_is_the_root_of_chi_square(n: int, m: int, data: st.DataObject) -> None:
    k, j = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    table = np.array([[k, n - k], [j, m - j]])
    if (table.sum(axis=0) == 0).any():
        assert chance.two_shares(k / n, n, j / m, m) == 0
    else:
        z = chance.two_shares(k / n, n, j / m, m)
        assert z**2 == pytest.approx(chi2_contingency(table, correction=False).statistic, abs=1e-7)
        assert np.sign(z) in (0, np.sign(j / m - k / n))


def test_intervals_of_a_matrix_name_every_class() -> None:
    (note,) = found("interval", classes=["a", "b"], models=[{"confusion": [[90, 10], [20, 30]]}])
    assert note.severity == "note"
    for share, k, n in (("recall of a", 90, 100), ("recall of b", 30, 50), ("precision of a", 90, 110), ("precision of b", 30, 40)):
        limits = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert f"{share} {k / n:.3f} [{limits.low:.3f}, {limits.high:.3f}]" in note.arithmetic


def test_the_interval_of_an_auroc_is_hanley_and_mcneils() -> None:
    # .9 with 50 and 100: Q1 = .9 / 1.1, Q2 = 1.62 / 1.9; (.09 + 49 (Q1 - .81) + 99 (Q2 - .81)) / 5,000 = .000951, error .03084
    (note,) = found("interval", classes=["a", "b"], models=[{"sizes": {"a": 50, "b": 100}, "auroc": ".90"}])
    assert "AUROC .90 [0.840, 0.960]" in note.arithmetic


@pytest.mark.parametrize(
    ("accuracy", "severity", "said"),
    [(".69", "weak", "below always answering b"), (".72", "weak", "cannot be told apart"), (".80", "note", "10 points above")],
)
def test_accuracy_stands_beside_the_majority_line(accuracy: str, severity: str, said: str) -> None:
    (finding,) = found("majority-line", classes=["a", "b"], sizes={"a": 300, "b": 700}, models=[{"accuracy": accuracy}])
    assert finding.severity == severity
    assert said in finding.sentence


@pytest.mark.parametrize(("n", "severity"), [(200, "weak"), (400, "note")])
def test_a_difference_takes_so_many_images(n: int, severity: str) -> None:
    models = [{"name": "A", "accuracy": ".80"}, {"name": "B", "accuracy": ".86"}]
    (finding,) = found("significance", classes=2, n=n, models=models, pairs=[{"worse": "A", "better": "B"}])
    assert finding.severity == severity


def test_a_model_said_to_be_better_that_is_not() -> None:
    models = [{"name": "A", "accuracy": ".80"}, {"name": "B", "accuracy": ".80"}]
    (finding,) = found("significance", classes=2, n=100, models=models, pairs=[{"worse": "A", "better": "B"}])
    assert finding.severity == "weak"
    assert "is not above" in finding.sentence


@pytest.mark.parametrize(
    ("more", "alarm"), [({}, True), ({"balanced_accuracy": ".7"}, False), ({"confusion": [[250, 50], [90, 610]]}, False)]
)
def test_accuracy_alone_is_weak_where_classes_differ_in_size(more: dict[str, Any], alarm: bool) -> None:
    sizes = {"a": 300, "b": 700}
    assert bool(found("accuracy-under-imbalance", classes=["a", "b"], sizes=sizes, models=[{"accuracy": ".86"} | more])) == alarm
    assert not found("accuracy-under-imbalance", classes=["a", "b"], sizes={"a": 500, "b": 500}, models=[{"accuracy": ".86"}])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"accuracy": ".9"}, ""),
        ({"confusion": [[60, 40], [5, 895]]}, "40 of 100 images of mel are missed, which is not reported"),
        ({"per_class": {"mel": {"recall": ".60"}}}, "40 % of the images of mel are missed."),
        ({"per_class": {"mel": {"recall": ".95"}}}, ""),
    ],
)
def test_the_class_that_matters_is_known_by_its_name(model: dict[str, Any], said: str) -> None:
    findings = found("class-that-matters", classes=["mel", "nv"], models=[model])
    assert [said in f.sentence for f in findings] == [True] * bool(said)


def test_a_sensitivity_that_is_nowhere_is_missed() -> None:
    rows = [{"name": "A", "accuracy": ".9"}, {"name": "B", "confusion": [[60, 40], [5, 895]]}]
    (finding,) = found("sensitivity-missing", classes=["mel", "nv"], models=rows)
    assert finding.where == "A"
    assert finding.sentence.startswith("How many images of mel are found is not stated")
    assert not found("sensitivity-missing", classes=["mel", "nv"], matters=["nv"], models=[rows[1]])

"""Verdicts and prediction sets from what was fitted: each case counted by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from cutis.serve.answers import NO_SETS, Fitted

CLASSES = ("a", "b", "c")


def told(**limits: float | None):
    return {
        "calibration": {"method": "temperature", "temperature": 2.0},
        "conformal": {"rules": {"lac_by_class": {"score": "lac", "by_class": True, "limits": limits}}},
        "decisions": {
            "questions": [
                {"classes": ["b", "c"], "plain": {"threshold": 0.3}, "guaranteed": {"threshold": 0.29}},
                {"classes": ["c"], "plain": {"threshold": 0.5}, "guaranteed": {"why": "too few"}},
            ]
        },
    }


def answer(raw, strange=None, *, limits=None, rule="lac_by_class", limit=None):
    limits = limits or {"a": 0.6, "b": 0.6, "c": 0.6}
    strangeness = None if strange is None else np.array([strange])
    return Fitted(CLASSES, told(**limits), rule, limit).answers(np.array([raw]), strangeness, [("a note",)])[0]


def test_probabilities_are_calibrated_and_sets_and_thresholds_are_made_of_those_before():
    raw = [0.7, 0.2, 0.1]
    found = answer(raw)
    assert found.raw == pytest.approx(raw)
    assert found.probabilities == pytest.approx(softmax(np.log(raw) / 2))
    assert (found.predicted, found.confidence) == ("a", pytest.approx(found.probabilities.max()))
    assert found.possible == ("a",)  # 1 - 0.7 <= 0.6, while the calibrated 1 - 0.46 would pass too, and 1 - 0.2 does not
    assert [(m.classes, m.rule, m.threshold, round(m.score, 9), m.met) for m in found.met] == [
        (("b", "c"), "plain", 0.3, 0.3, bool(0.2 + 0.1 >= 0.3)),
        (("b", "c"), "guaranteed", 0.29, 0.3, True),
        (("c",), "plain", 0.5, 0.1, False),
    ]
    assert found.notes == ("a note",)


@pytest.mark.parametrize(
    ("raw", "limits", "possible", "verdict"),
    [
        ([0.7, 0.2, 0.1], {"a": 0.6, "b": 0.6, "c": 0.6}, ("a",), "answer"),
        ([0.7, 0.2, 0.1], {"a": 0.6, "b": 0.85, "c": 0.6}, ("a", "b"), "not sure"),
        ([0.7, 0.2, 0.1], {"a": 0.1, "b": 0.1, "c": 0.1}, (), "not sure"),
        ([0.7, 0.2, 0.1], {"a": 0.6, "b": 0.6, "c": None}, ("a", "c"), "not sure"),  # too few of c on validation: never ruled out
        ([0.6, 0.3, 0.1], {"a": 0.2, "b": 0.75, "c": 0.2}, ("b",), "not sure"),  # the one that is left is not the likeliest
    ],
)
def test_an_answer_is_sure_where_the_likeliest_class_is_the_only_one_possible(raw, limits, possible, verdict):
    found = answer(raw, limits=limits)
    assert (found.possible, found.verdict, found.sure) == (possible, verdict, verdict == "answer")


@pytest.mark.parametrize(("strange", "in_scope", "verdict"), [(1.0, True, "answer"), (1.1, False, "out of scope")])
def test_what_is_stranger_than_the_limit_is_out_of_scope_however_sure(strange, in_scope, verdict):
    found = answer([0.98, 0.01, 0.01], strange, limit=1.0)
    assert (found.in_scope, found.verdict, found.strangeness, found.limit) == (in_scope, verdict, strange, 1.0)


def test_without_a_scope_nothing_is_said_of_it():
    found = answer([0.98, 0.01, 0.01])
    assert (found.in_scope, found.strangeness, found.limit) == (None, None, None)


def test_where_nothing_was_fitted_no_class_is_ruled_out_and_probabilities_stay():
    found = Fitted(CLASSES, {}, None, None).answers(np.array([[0.98, 0.01, 0.01]]), None, [()])[0]
    assert found.possible == CLASSES
    assert found.verdict == "not sure"
    assert found.notes == (NO_SETS,)
    assert found.met == ()
    assert found.probabilities == pytest.approx([0.98, 0.01, 0.01])

"""Decisions through what every set goes through: fitted on validation, measured on others, withheld where images are too few."""

import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk

from cutis.evaluate.after import fitted, measured
from cutis.recipe import Evaluation

SPEC = Evaluation(watch=("a", "b"), replicates=200, calibration="none")


@pytest.fixture
def decided(noisy):
    val, test = noisy([40, 60, 100], 0, views=2), noisy([60, 30, 200], 1, views=3)
    told = fitted(val, SPEC)
    return val, test, told["decisions"], measured(told, test, SPEC, 0)["decisions"]


def test_each_question_is_asked_and_its_thresholds_reach_what_scikit_learn_counts(decided):
    val, test, told, found = decided
    assert [q["classes"] for q in found["questions"]] == [["a", "b"], ["a"], ["b"]]
    for fit, q in zip(told["questions"], found["questions"], strict=True):
        columns = [test.classes.index(c) for c in q["classes"]]
        truth, score = np.isin(test.labels, columns), test.probabilities[:, columns].sum(1)
        assert (q["n"], q["rest"]) == (truth.sum(), (~truth).sum())
        for rule, called in {
            "answered": np.isin(test.predicted, columns),
            "plain": score >= fit["plain"]["threshold"],
            "guaranteed": score >= fit["guaranteed"]["threshold"],
        }.items():
            assert q[rule]["sensitivity"]["value"] == pytest.approx(sk.recall_score(truth, called))
            assert q[rule]["specificity"]["value"] == pytest.approx(sk.recall_score(~truth, ~called))
            assert q[rule]["precision"]["n"] == called.sum()
            for figure in ("sensitivity", "specificity", "precision", "called"):
                assert 0 < q[rule][figure]["low"] <= q[rule][figure]["value"] <= q[rule][figure]["high"] <= 1
        assert q["auroc"]["value"] == pytest.approx(sk.roc_auc_score(truth, score))
        assert list(q["partial_auroc"]) == ["0.8", "0.9"]
        assert 0 <= q["partial_auroc"]["0.9"]["low"] < q["partial_auroc"]["0.9"]["value"] < q["partial_auroc"]["0.9"]["high"] <= 0.1
        assert fit["guaranteed"]["threshold"] <= fit["plain"]["threshold"]
        assert fit["guaranteed"]["lower"] >= 0.9 > fit["plain"]["lower"]
        own = np.isin(val.labels, columns)
        assert fit["plain"]["sensitivity"] == (val.probabilities[own][:, columns].sum(1) >= fit["plain"]["threshold"]).mean() >= 0.9


def test_net_benefit_is_useful_where_its_gain_is_beyond_doubt(decided):
    *_, found = decided
    curve = found["questions"][0]["net_benefit"]
    assert len(curve["threshold"]) == len(curve["value"]) == len(curve["low"]) == 50
    gain = np.array(curve["value"]) - np.maximum(0, curve["all"])
    spans = curve["useful"]
    assert spans
    inside = np.zeros(50, bool)
    for a, b in spans:
        inside |= (np.array(curve["threshold"]) >= a) & (np.array(curve["threshold"]) <= b)
    assert (gain[inside] > 0).all()
    assert (np.array(curve["low"])[inside] > 0).all()


def test_all_of_it_is_json_and_the_same_again(decided):
    val, _, told, found = decided
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    shuffled = np.random.default_rng(0).permutation(len(val.labels))
    assert fitted(val.rows(shuffled), SPEC)["decisions"]["questions"][0]["plain"] == told["questions"][0]["plain"]


def test_constant_answers_are_of_no_use(noisy):
    val = noisy([40, 60])
    flat = replace(val, probabilities=np.full_like(val.probabilities, 0.5))
    spec = SPEC.model_copy(update={"watch": ("a",)})
    question = measured(fitted(flat, spec), flat, spec, 0)["decisions"]["questions"][0]
    assert question["auroc"]["value"] == 0.5
    assert question["plain"]["sensitivity"]["value"] == 1
    assert question["plain"]["specificity"]["value"] == 0
    assert question["net_benefit"]["useful"] == []


def test_watching_nothing_leaves_nothing_and_a_strange_class_says_so(noisy):
    val = noisy([10, 10])
    assert "decisions" not in fitted(val, SPEC.model_copy(update={"watch": ()}))
    told = fitted(val, SPEC.model_copy(update={"watch": ("a", "mel")}))
    assert "no class of this model: mel. It knows: a, b" in told["decisions"]["why"]
    assert "mel" in measured(told, val, SPEC, 0)["decisions"]["why"]


def test_what_rests_on_too_few_images_is_withheld_with_a_reason(noisy):
    val = noisy([0, 5, 40])
    told = fitted(val, SPEC)["decisions"]
    together, a, b = told["questions"]
    assert "validation image of a" in a["plain"]["why"]
    assert "It takes 29" in b["guaranteed"]["why"]
    assert b["plain"]["threshold"] == together["plain"]["threshold"] or together["n"] == 5
    test = noisy([1, 0, 20], 1)
    found = measured({"decisions": told}, test, SPEC, 0)["decisions"]["questions"]
    assert found[1]["answered"]["sensitivity"] == {"value": None, "low": None, "high": None, "n": 1, "why": "1 image"}
    assert found[1]["plain"] == a["plain"]
    assert found[2]["answered"]["sensitivity"]["why"] == "no image"
    assert found[2]["auroc"]["value"] is None
    assert found[2]["answered"]["specificity"]["value"] is not None


def test_the_first_of_each_patient_are_asked_where_patients_have_more(noisy):
    rng = np.random.default_rng(0)
    test = noisy([30, 10, 80], 2)
    many = replace(test, groups=np.array([f"p{i}" for i in rng.integers(0, 20, 120)]))
    told = fitted(noisy([40, 60, 100]), SPEC)
    first = measured(told, many, SPEC, 0)["decisions"]["questions"][1]["among_first"]
    assert set(first) >= {"1", "3"}
    assert first["1"]["value"] < first["3"]["value"]
    assert first["3"]["chance"] < first["3"]["low"] < first["3"]["value"] < first["3"]["high"]
    assert measured(told, test, SPEC, 0)["decisions"]["questions"][1]["among_first"] == {}
    twice = replace(many, images=many.images[np.arange(120) // 2])
    assert measured(told, twice, SPEC, 0)["decisions"]["questions"][1]["among_first"] == {}

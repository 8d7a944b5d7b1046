"""Prior correction against Bayes' rule on answers that are known, and shares as a user may write them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cutis.errors import CutisError
from cutis.evaluate import priors
from cutis.evaluate.after import Bootstrap
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.priors import prior_corrected
from cutis.recipe import Evaluation

MEANS = np.array([0.0, 1.0, 2.5])
CLASSES = ("a", "b", "c")


def posterior(x, shares):
    """Bayes' rule for three normal distributions."""
    joint = norm.pdf(x[:, None], MEANS) * np.asarray(shares)
    return joint / joint.sum(axis=1, keepdims=True)


def drawn(n, shares, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=shares)
    return labels, rng.normal(MEANS[labels])


@given(st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_the_correction_is_bayes_rule_and_is_undone_by_its_inverse(numbers):
    one, other = (np.array(part) / sum(part) for part in (numbers[:3], numbers[3:]))
    x = np.linspace(-3, 5, 20)
    found = prior_corrected(posterior(x, one), one, other)
    assert found == pytest.approx(posterior(x, other), abs=1e-12)
    assert prior_corrected(found, other, one) == pytest.approx(posterior(x, one), abs=1e-9)


def test_by_hand():
    assert prior_corrected(np.array([[0.5, 0.5]]), [0.5, 0.5], [0.9, 0.1]) == pytest.approx(np.array([[0.9, 0.1]]))
    assert prior_corrected(np.array([[0.8, 0.2]]), [1, 1], [1, 3]) == pytest.approx(np.array([[0.8, 0.6]]) / 1.4)  # counts will do
    with pytest.raises(CutisError, match="above 0"):
        prior_corrected(np.array([[1.0, 0]]), [1, 0], [1, 1])
    with pytest.raises(CutisError, match="share is 0"):
        prior_corrected(np.array([[1.0, 0]]), [1, 1], [0, 1])


def test_a_model_trained_on_balanced_classes_becomes_honest_elsewhere(answers):
    balanced, natural, elsewhere = (1 / 3, 1 / 3, 1 / 3), (0.8, 0.15, 0.05), (0.3, 0.3, 0.4)
    labels, x = drawn(20_000, natural, 0)
    val = answers(labels, posterior(x, balanced))
    found = priors.fit(val, dict(zip(CLASSES, balanced, strict=True)), Evaluation())
    assert found["calibration"]["temperature"] == pytest.approx(1, abs=0.06)  # Bayes' answers need none
    labels, x = drawn(3000, elsewhere, 1)
    test, wanted = answers(labels, posterior(x, balanced)), dict(zip(CLASSES, elsewhere, strict=True))
    out = priors.corrected(found, test, wanted)
    assert out.probabilities == pytest.approx(posterior(x, elsewhere), abs=0.03)
    boot = Bootstrap(bootstrap_weights(test.groups, 200, np.random.default_rng(0)), 0.95, 0)
    told = priors.measure(found, test, wanted, boot)
    assert told["difference"]["log_loss"]["high"] < 0
    assert told["absent"] == []


def test_images_weigh_as_their_class_does_in_deployment(answers):
    labels, x = drawn(6000, (0.4, 0.3, 0.3), 2)
    test = answers(labels, posterior(x, (0.4, 0.3, 0.3)))
    found = priors.fit(test, {"a": 0.4, "b": 0.3, "c": 0.3}, Evaluation(calibration="none"))
    boot = Bootstrap(bootstrap_weights(test.groups, 100, np.random.default_rng(0)), 0.95, 0)
    shares = {"a": 0.9, "b": 0.05, "c": 0.05}
    told = priors.measure(found, test, shares, boot)
    each = [(test.predicted == test.labels)[test.labels == c].mean() for c in range(3)]
    assert told["before"]["accuracy"]["value"] == pytest.approx(float(np.dot(list(shares.values()), each)))
    assert told["before"]["balanced_accuracy"]["value"] == pytest.approx(np.mean(each))
    assert told["shares"] == pytest.approx(shares)
    only = test.rows(test.labels < 2)
    assert priors.measure(found, only, shares, boot_of(only))["absent"] == ["c"]


def boot_of(predictions):
    return Bootstrap(bootstrap_weights(predictions.groups, 100, np.random.default_rng(0)), 0.95, 0)


def test_shares_are_read_from_texts_and_files(tmp_path):
    wanted = pytest.approx({"a": 0.5, "b": 0.25, "c": 0.25})
    assert priors.given(["a=.5", "b=.25", "c=.25"], CLASSES) == wanted
    assert priors.given(["a=50,b=25,c=25"], CLASSES) == wanted
    (tmp_path / "shares.json").write_text(json.dumps({"a": 2, "b": 1, "c": 1}))
    assert priors.given([str(tmp_path / "shares.json")], CLASSES) == wanted
    (tmp_path / "shares.csv").write_text("class,share\nc,1\nb,1\na,2\n")
    assert priors.given([str(tmp_path / "shares.csv")], CLASSES) == wanted


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a=1"], "missing: b, c"),
        (["a=1,b=1,c=1,d=1"], "not the model's: d"),
        (["a=1,b=1,c=1", "a=2"], "twice"),
        (["a=1,b=1,c=x"], "no number"),
        (["a=1,b=1,c=-1"], "at least 0"),
        (["a=1,b=1,c=nan"], "at least 0"),
        (["a=0,b=0,c=0"], "All shares are 0"),
        (["nowhere.csv"], "no file"),
    ],
)
def test_shares_that_cannot_be_used_are_refused_by_name(texts, said):
    with pytest.raises(CutisError, match=said):
        priors.given(texts, CLASSES)

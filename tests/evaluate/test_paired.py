"""Paired differences against a loop over scikit-learn's figures, SciPy's bootstrap, and sums done by hand."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from cutis.errors import CutisError, DataError
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.paired import aligned, differences, each_difference, every_difference, expanded, holm, less_is_better, mcnemar, values

OPTIONS = {"replicates": 400, "level": 0.9, "seed": 3}


def other(predictions, seed):
    """Answers for the same images by another model."""
    mixed = predictions.probabilities + np.random.default_rng(seed).dirichlet(np.ones(len(predictions.classes)), len(predictions.images))
    return replace(predictions, probabilities=mixed / mixed.sum(axis=1, keepdims=True))


FIGURES = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(1)),
    "f1_macro": lambda y, p: sk.f1_score(y, p.argmax(1), average="macro"),
    "log_loss": lambda y, p: sk.log_loss(y, p, labels=[0, 1, 2]),
    "auroc_weighted": lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr", average="weighted"),
    "f1/b": lambda y, p: sk.f1_score(y, p.argmax(1), labels=[1], average=None)[0],
}


def test_differences_equal_a_loop_with_the_same_draws_also_over_seeds(noisy):
    first = [noisy([40, 30, 20], seed, views=2) for seed in (0, 1)]
    second = [other(first[0], 5), other(first[1], 6)]
    found = differences(first, second, list(FIGURES), **OPTIONS)
    weights = bootstrap_weights(first[0].groups, 400, np.random.default_rng(3))
    draws = [np.repeat(np.arange(90), w) for w in weights]
    for name, figure in FIGURES.items():

        def gain(rows, figure=figure):
            sides = [np.mean([figure(p.labels[rows], p.probabilities[rows]) for p in side]) for side in (first, second)]
            return sides[0] - sides[1]

        value, loop = gain(np.arange(90)), np.array([gain(rows) for rows in draws])
        moved = loop - loop.mean() + value
        p = min(1, 2 * (1 + (sum(moved <= 0) if value > 0 else sum(moved >= 0))) / 401)
        wanted = {"value": value, "low": np.quantile(moved, 0.05), "high": np.quantile(moved, 0.95), "p": p}
        assert found[name] == pytest.approx(wanted, abs=1e-9), name


def test_the_interval_and_p_agree_with_scipy_where_both_are_means(noisy):
    one = noisy([150, 100], 1)
    two = replace(one, probabilities=one.probabilities * 0.9 + 0.05)
    losses = [((a.probabilities - np.eye(2)[a.labels]) ** 2).sum(axis=1) for a in (one, two)]
    found = differences([one], [two], ["brier"], replicates=9999, level=0.95, seed=0)["brier"]
    theirs = stats.bootstrap(
        losses, lambda a, b: np.mean(a) - np.mean(b), n_resamples=9999, paired=True, vectorized=False, method="percentile", rng=0
    ).confidence_interval
    assert [found["low"], found["high"]] == pytest.approx(list(theirs), abs=0.05 * (theirs.high - theirs.low))
    assert found["p"] == pytest.approx(stats.ttest_rel(*losses).pvalue, abs=0.03)


def test_the_same_answers_differ_by_nothing_and_sides_are_mapped_by_class_name(noisy):
    one = noisy([30, 20, 10])
    two = other(one, 1)
    turned = two.over(("c", "a", "b"))
    assert turned.classes == ("c", "a", "b")
    assert set(differences([one], [one], ["accuracy", "ece"], **OPTIONS)["ece"].items()) == {
        ("value", 0),
        ("low", 0),
        ("high", 0),
        ("p", 1),
    }
    names = ["kappa_quadratic", "sensitivity/*"]
    plain, mapped = differences([one], [two], names, **OPTIONS), differences([one], [turned], names, **OPTIONS)
    assert list(plain) == ["kappa_quadratic", "sensitivity/a", "sensitivity/b", "sensitivity/c"]
    assert plain == mapped
    assert each_difference([one], [[one], [turned]], names, **OPTIONS)[1] == plain
    assert differences([two], [one], names, **OPTIONS)["sensitivity/a"]["value"] == -plain["sensitivity/a"]["value"]


def test_a_difference_is_found_or_not_as_its_interval_says(noisy):
    one = noisy([60, 40], 0)
    worse = replace(one, probabilities=np.where((np.arange(100) % 3 == 0)[:, None], one.probabilities[:, ::-1], one.probabilities))
    for gain in differences([one], [worse], ["accuracy", "f1/*"], **OPTIONS).values():
        assert gain["low"] > 0
        assert gain["p"] < 0.1
    near = replace(one, probabilities=one.probabilities[:, ::-1] * 0.001 + one.probabilities * 0.999)
    for gain in differences([one], [near], ["accuracy", "f1/*"], **OPTIONS).values():
        assert gain["low"] <= 0 <= gain["high"]
        assert gain["p"] > 0.1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_the_interval_holds_the_value_and_p_says_what_the_interval_says(noisy, seed, changed):
    """Also where two models differ on hardly an image, of which a resample may hold none."""
    one, rng = noisy([14, 2], seed), np.random.default_rng(seed)
    rows = rng.choice(16, changed, replace=False)
    probabilities = one.probabilities.copy()
    probabilities[rows] = probabilities[rows, ::-1]
    for name, found in differences([one], [replace(one, probabilities=probabilities)], ["balanced_accuracy", "f1/a"], **OPTIONS).items():
        assert found["low"] <= found["value"] <= found["high"], name
        if found["low"] <= 0 <= found["high"]:
            assert found["p"] > 0.1
        else:
            assert found["p"] <= 0.105  # 42 / 401: one replicate more than a tail has


def test_unlabelled_rows_are_left_out_and_a_class_without_images_has_no_difference(noisy, answers):
    one = noisy([20, 10])
    three = replace(one, probabilities=np.pad(one.probabilities, ((0, 0), (0, 1))), classes=("a", "b", "c"))
    found = differences([three], [other(three, 0)], ["sensitivity/*", "balanced_accuracy"], **OPTIONS)
    assert found["sensitivity/c"] == dict.fromkeys(("value", "low", "high", "p"))
    assert found["balanced_accuracy"]["value"] is not None
    hidden = [replace(p, labels=np.where(np.arange(30) % 2, -1, p.labels)) for p in (one, other(one, 0))]
    halves = [p.rows(np.arange(0, 30, 2)) for p in (one, other(one, 0))]
    assert differences([hidden[0]], [hidden[1]], ["f1_macro"], **OPTIONS) == differences([halves[0]], [halves[1]], ["f1_macro"], **OPTIONS)


def test_what_is_not_paired_is_refused_by_name(noisy):
    one = noisy([6, 4])
    swapped = one.rows([1, 0, *range(2, 10)])
    for second, why in (
        (one.rows(range(9)), "on one side only, for example i00009"),
        (swapped, "another order"),
        (replace(one, labels=1 - one.labels), "labels differ, for example of i00000"),
        (replace(one, classes=("a", "z")), "not in all of them: b, z"),
    ):
        with pytest.raises(DataError, match=why):
            differences([one], [second], ["accuracy"], **OPTIONS)
        with pytest.raises(DataError, match=why):
            mcnemar(one, second)
    with pytest.raises(DataError, match="None of these images has a label"):
        differences([replace(one, labels=one.labels * 0 - 1)] * 2, [replace(one, labels=one.labels * 0 - 1)], ["accuracy"], **OPTIONS)
    for name, why in (
        ("acuracy", "Unknown metric 'acuracy'"),
        ("f1/mel", "the classes are a, b"),
        ("f1", "Write f1_macro or f1/CLASS"),
        ("accuracy/a", "Write accuracy"),
    ):
        with pytest.raises(CutisError, match=why):
            differences([one], [one], [name], **OPTIONS)


def test_mcnemar_is_the_exact_binomial_test(answers):
    sure = np.eye(2) * 0.8 + 0.1
    labels = np.zeros(20, int)
    first, second = (answers(labels, sure[wrong.astype(int)]) for wrong in (np.arange(20) == 0, (np.arange(20) > 0) & (np.arange(20) < 9)))
    p = 2 * sum(comb(9, k) for k in (0, 1)) / 2**9
    assert mcnemar(first, second) == pytest.approx({"only_first": 8, "only_second": 1, "p": p})
    assert mcnemar(second, first) == pytest.approx({"only_first": 1, "only_second": 8, "p": p})
    assert mcnemar(first, first) == {"only_first": 0, "only_second": 0, "p": 1}


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    order, rejected = np.argsort(p_values, kind="stable"), set()
    for i, index in enumerate(order):
        if p_values[index] * (len(p_values) - i) > alpha:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected


def test_every_two_of_several_sides_are_compared_as_two_alone_are(noisy):
    first = noisy([30, 20, 10])
    sides = [[first], [other(first, 1)], [other(first, 2), other(first, 3)]]
    names = ["accuracy", "f1/*"]
    found = every_difference(sides, names, **OPTIONS)
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    for (i, j), differs in found.items():
        assert differs == differences(sides[i], sides[j], names, **OPTIONS)
    own = values(sides[1][0], expanded(names, first.classes))
    assert own["accuracy"] == pytest.approx(sk.accuracy_score(first.labels, sides[1][0].predicted))
    assert own["f1/b"] == pytest.approx(sk.f1_score(first.labels, sides[1][0].predicted, average=None)[1])


def test_of_which_figures_less_is_better():
    assert [
        name for name in ("log_loss", "brier", "ece", "mean_absolute_error", "accuracy", "f1_macro", "auroc/a") if less_is_better(name)
    ] == [
        "log_loss",
        "brier",
        "ece",
        "mean_absolute_error",
    ]


def test_rows_are_put_in_the_order_of_another_run(noisy):
    one = noisy([6, 4])
    turned = one.rows(np.arange(10)[::-1]).over(("b", "a"))
    again = aligned(turned, one, "x", "y", "test").over(one.classes)
    assert again.images.tolist() == one.images.tolist()
    assert again.labels.tolist() == one.labels.tolist()
    assert again.probabilities.tolist() == one.probabilities.tolist()
    with pytest.raises(DataError, match="x and y answered different images in the set test: 0 only in x, 1 only in y, for example i00009"):
        aligned(one.rows(range(9)), one, "x", "y", "test")
    with pytest.raises(DataError, match="10 images of the set test have other labels in x than in y"):
        aligned(replace(one, labels=1 - one.labels), one, "x", "y", "test")

"""Ways to combine, against hand computation, SciPy, scikit-learn and plain search; what cannot be used is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import percentileofscore
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from cutis.ensemble.combiners import STRENGTHS, Task, Validation, combiners, fitted
from cutis.ensemble.rules import FLOOR, rule
from cutis.errors import CutisError, DataError
from cutis.recipe import Ensemble


def drawn(strengths: tuple[float, ...], n: int = 200, classes: int = 3, seed: int = 0) -> Validation:
    """Answers of members of different strength to the same images, two a group."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(np.resize(np.arange(classes), n // 2)), 2)
    logits = rng.normal(size=(len(strengths), n, classes))
    logits[:, np.arange(n), labels] += np.array(strengths)[:, None]
    e = np.exp(logits)
    return Validation(e / e.sum(2, keepdims=True), labels, np.array([f"g{i // 2}" for i in range(n)]))


def task(known: Validation | None, members: int = 3, classes: int = 3, weights: tuple[float, ...] = ()) -> Task:
    return Task(tuple("abcdefgh"[:members]), tuple(f"c{i}" for i in range(classes)), weights, known)


def loss(weights: Any, known: Validation) -> Any:
    """Log loss of one or several (last axis) sets of weights, as its definition says."""
    true = np.stack([answer[np.arange(len(known.labels)), known.labels] for answer in known.answers])
    return -np.log(np.asarray(weights) @ true).mean(-1)


def two_valued(often: int, seldom: int) -> Validation:
    """Two members of two classes: a gives the truth .8 in the first rows and .2 in the others, b the other way round."""
    true = np.array([[0.8] * often + [0.2] * seldom, [0.2] * often + [0.8] * seldom])
    return Validation(np.stack([true, 1 - true], axis=2), np.zeros(often + seldom, np.int64), np.arange(often + seldom).astype(str))


def test_mean_and_given_weights_are_weighted_means_by_hand() -> None:
    answers = np.array([[[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.6, 0.4]], [[1.0, 0.0], [0.3, 0.7]]])
    by_hand = [[0.15 + 0.06 + 0.4, 0.15 + 0.24 + 0.0], [0.27 + 0.18 + 0.12, 0.03 + 0.12 + 0.28]]
    for weights in ((0.3, 0.3, 0.4), (3.0, 3.0, 4.0)):
        made = fitted(Ensemble(method="given", weights=weights), task(None, classes=2, weights=weights))
        assert made.apply(answers) == pytest.approx(np.array(by_hand))
        assert made.importance == pytest.approx([0.3, 0.3, 0.4])
        assert ("sum to 10 and are divided by it" in made.how) == (weights[0] == 3)
    assert fitted(Ensemble(), task(None, classes=2)).apply(answers) == pytest.approx(answers.mean(0))


@pytest.mark.parametrize("weights", [(), (0.5, 0.5), (0.0, 0.0, 0.0), (1.0, -0.1, 0.1)])
def test_weights_that_cannot_be_used_are_named(weights: tuple[float, ...]) -> None:
    with pytest.raises(CutisError, match="one weight for each of the 3 members"):
        combiners["given"](task(None, weights=weights))


@pytest.mark.parametrize(("often", "seldom", "weight"), [(6, 4, 2 / 3), (5, 5, 0.5), (9, 1, 1.0), (1, 9, 0.0)])
def test_fitted_weights_are_those_of_the_hand_computation(often: int, seldom: int, weight: float) -> None:
    # n1 log(.2 + .6 w) + n2 log(.8 - .6 w) is highest at w = (.8 n1 - .2 n2) / (.6 n), or at the nearer end of 0..1
    found = combiners["fitted"](task(two_valued(often, seldom), members=2, classes=2))
    assert found.importance == pytest.approx([weight, 1 - weight], abs=1e-4)


@pytest.mark.parametrize("strengths", [(0.5, 1.0, 1.6), (1.0, 1.0, 1.0), (0.0, 0.1, 3.0)])
def test_fitted_weights_are_those_of_scipy_and_no_point_of_a_grid_is_better(strengths: tuple[float, ...]) -> None:
    known = drawn(strengths)
    found = combiners["fitted"](task(known)).importance
    best = minimize(
        loss, np.full(3, 1 / 3), (known,), "SLSQP", bounds=[(0, 1)] * 3, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, tol=1e-12
    )
    assert found == pytest.approx(best.x, abs=2e-3)
    assert loss(found, known) == pytest.approx(log_loss(known.labels, np.tensordot(found, known.answers, 1)))
    assert loss(found, known) <= best.fun + 1e-7
    grid = [(a / 20, b / 20, (20 - a - b) / 20) for a in range(21) for b in range(21 - a)]
    assert loss(found, known) <= loss(grid, known).min() + 1e-7


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=20)
def test_fitted_weights_are_shares_and_never_worse_than_a_member_or_the_mean(seed: int, members: int) -> None:
    known = drawn(tuple(np.random.default_rng(seed).uniform(0, 3, members)), n=20, seed=seed)
    found = combiners["fitted"](task(known, members)).importance
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    assert loss(found, known) <= loss([*np.eye(members), np.full(members, 1 / members)], known).min() + 1e-6


def test_answers_of_zero_for_the_truth_do_not_stop_the_fit() -> None:
    certain = np.array([[[1.0, 0.0]] * 4, [[0.5, 0.5]] * 4])
    found = combiners["fitted"](task(Validation(certain, np.array([0, 1, 1, 1]), np.array(list("wxyz"))), 2, 2)).importance
    assert found == pytest.approx([0, 1], abs=1e-6)  # most truths are impossible for the first member, so any share of it costs


@pytest.mark.parametrize(("metric", "score"), [("log_loss", None), ("balanced_accuracy", balanced_accuracy_score)])
def test_greedy_adds_in_each_round_what_plain_search_adds_and_keeps_the_best_round(metric: str, score: Any) -> None:
    known = drawn((0.8, 1.0, 1.2, 0.9), n=60, seed=3)

    def quality(chosen: list[int]) -> float:
        mean = np.mean([known.answers[i] for i in chosen], axis=0)
        return round(score(known.labels, mean.argmax(1)) if score else -log_loss(known.labels, mean), 12)

    chosen: list[int] = []
    prefixes = []
    for _ in range(12):
        chosen = [*chosen, max(range(4), key=lambda i: (quality([*chosen, i]), -i))]
        prefixes.append(chosen)
    kept = max(prefixes, key=lambda c: (quality(c), -len(c)))
    found = combiners["greedy"](task(known, 4), metric=metric, rounds=12)
    assert found.importance == pytest.approx(np.bincount(kept, minlength=4) / len(kept))
    assert f"{len(kept)} of 12 rounds kept" in found.how


def test_greedy_finds_the_best_multiset_where_that_is_one_member_twice_and_another_once() -> None:
    known = two_valued(6, 4)  # the best share of the first is 2/3
    found = combiners["greedy"](task(known, 2, 2), rounds=3)
    assert found.importance == pytest.approx([2 / 3, 1 / 3])


def test_ranks_are_those_of_scipy_one_image_at_a_time_or_all_and_keep_their_order_under_any_scale() -> None:
    known, new = drawn((0.5, 1.5)), drawn((0.5, 1.5), n=10, seed=1).answers
    new[0, 0] = known.answers[0, 0]  # equal to a reference image
    made = combiners["rank"](task(known, 2))
    n = known.answers.shape[1]
    places = np.array(
        [[[percentileofscore(known.answers[m, :, c], new[m, i, c], "mean") for c in range(3)] for i in range(10)] for m in range(2)]
    )
    mean = ((places / 100 * n + 0.5) / (n + 1)).mean(0)
    assert made.apply(new) == pytest.approx(mean / mean.sum(1, keepdims=True))
    assert np.concatenate([made.apply(new[:, [i]]) for i in range(10)]) == pytest.approx(made.apply(new), abs=0)
    surer = known.answers.copy()
    surer[1] = surer[1] ** 3
    other, twisted = combiners["rank"](task(Validation(surer, known.labels, known.groups), 2)), new.copy()
    twisted[1] = twisted[1] ** 3
    assert other.apply(twisted) == pytest.approx(made.apply(new))


def test_ranks_keep_at_most_a_thousand_references_and_lose_less_than_two_thousandths() -> None:
    known, new = drawn((1.0, 1.0), n=6000), drawn((1.0, 1.0), n=40, seed=1).answers
    made: Any = combiners["rank"](task(known, 2))
    assert np.array(made.reference).shape == (2, 3, 1001)
    exact = np.array(
        [
            [(np.sort(r).searchsorted(p) + 0.5) / 6001 for r, p in zip(a.T, b.T, strict=True)]
            for a, b in zip(known.answers, new, strict=True)
        ]
    )
    mean = exact.mean(0).T
    assert made.apply(new) == pytest.approx(mean / mean.sum(1, keepdims=True), abs=2e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_stacking_is_scikit_learn_on_the_same_design_and_its_strength_the_cross_validated_one(classes: int) -> None:
    known, new = drawn((0.5, 1.5), 80, classes), drawn((0.5, 1.5), 10, classes, seed=1).answers
    found: Any = combiners["stacking"](task(known, 2, classes))

    def x(answers: Any) -> Any:
        return np.hstack([np.log(np.maximum(a, FLOOR)) for a in answers])

    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(x(known.answers), known.labels, known.groups))
    models = {c: LogisticRegression(C=c, max_iter=5000, tol=1e-7) for c in STRENGTHS}
    losses = {
        c: log_loss(known.labels, cross_val_predict(m, x(known.answers), known.labels, cv=folds, method="predict_proba"))
        for c, m in models.items()
    }
    best = min(losses, key=lambda c: losses[c])
    assert f"C = {best:g} has the lowest log loss ({losses[best]:.4f}) in 5-fold" in found.how
    model = models[best].fit(x(known.answers), known.labels)
    assert found.apply(new) == pytest.approx(model.predict_proba(x(new)), abs=1e-5)
    assert found.importance.sum() == pytest.approx(1)
    assert found.importance[1] > found.importance[0]  # the better member counts more


def test_stacking_takes_fewer_folds_where_groups_are_few_and_refuses_a_class_of_one_group() -> None:
    known = drawn((0.5, 1.5), 60)
    rare = known.labels == 2
    few = Validation(known.answers, known.labels, np.where(rare, [f"r{i % 3}" for i in range(60)], known.groups))
    assert "in 3-fold cross-validation" in combiners["stacking"](task(few, 2)).how
    one = Validation(known.answers, known.labels, np.where(rare, "r", known.groups))
    with pytest.raises(DataError, match=r"at least two groups.*too few of c2 \(1\)\. Use fitted or mean"):
        combiners["stacking"](task(one, 2))
    with pytest.raises(DataError, match=r"too few of c3 \(0\)"):
        combiners["stacking"](task(known, 2, classes=4))


@pytest.mark.parametrize("method", ["fitted", "greedy", "rank", "stacking"])
def test_what_is_fitted_needs_validation(method: str) -> None:
    with pytest.raises(DataError, match=r"fitted on validation answers, and the members have none\. Train with split\.val above 0"):
        fitted(Ensemble(method=method), task(None))


@pytest.mark.parametrize("method", list(combiners))
def test_every_way_gives_distributions_survives_json_and_says_how(method: str) -> None:
    known, weights = drawn((0.5, 1.0, 1.5), 80), (1.0, 2.0, 3.0) if method == "given" else ()
    made = fitted(Ensemble(method=method, weights=weights), task(known, weights=weights))
    answers = made.apply(known.answers)
    assert (answers >= 0).all()
    assert answers.sum(1) == pytest.approx(1)
    assert made.importance.sum() == pytest.approx(1)
    assert made.how.endswith(".")
    again = rule.validate_json(made.model_dump_json())
    assert (again.apply(known.answers) == answers).all()
    swapped = [2, 0, 1]  # members in another order are the same ensemble
    other = task(
        Validation(known.answers[swapped], known.labels, known.groups), weights=tuple(np.array(weights)[swapped]) if weights else ()
    )
    same = fitted(Ensemble(method=method, weights=other.weights), other)
    assert same.apply(known.answers[swapped]) == pytest.approx(answers, abs=1e-4)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"method": "fited"}, "Did you mean 'fitted'"),
        ({"method": "fitted", "weights": [1, 1, 1]}, "Weights are used by the method given"),
        ({"method": "greedy", "options": {"metrics": "accuracy"}}, "It takes: metric='log_loss', rounds=50"),
        ({"method": "greedy", "options": {"rounds": "many"}}, "ensemble.options.rounds='many' does not fit"),
        ({"method": "greedy", "options": {"rounds": 0}}, "greedy needs one round or more"),
        ({"method": "greedy", "options": {"metric": "auroc"}}, "Give one of: auroc_macro, auroc_weighted"),
        ({"method": "greedy", "options": {"metric": "acuracy"}}, "Did you mean 'accuracy'"),
        ({"method": "mean", "options": {"a": 1}}, "It takes: none"),
    ],
)
def test_what_does_not_fit_a_method_is_named(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(CutisError) as refused:
        fitted(Ensemble(**spec), task(drawn((1.0, 1.0, 1.0), 20), weights=tuple(spec.get("weights", ()))))
    assert said in str(refused.value)

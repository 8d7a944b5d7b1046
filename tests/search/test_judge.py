"""The winner on unseen groups: figures of the head that won, the optimism of having been chosen, the paired difference."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from cutis.predictions import Predictions
from cutis.recipe import Evaluation
from cutis.search.genetic import Plan, trained
from cutis.search.judge import STARTS, Part, gap, judged
from cutis.search.population import Population
from cutis.search.space import PUBLISHED, Individual

CLASSES = ("a", "b", "c")
HOW = Evaluation(replicates=400)
PLAN = Plan(epochs=6, batch_size=64)


def part(rows: int, seed: int, per_group: int = 2) -> Part:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(3, 12))
    labels = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
    labels[:3] = np.arange(3)
    x = (centres[labels] + 1.5 * rng.normal(size=(rows, 12))).astype(np.float32)
    groups = np.array([f"{seed}-{i // per_group}" for i in range(rows)])
    return Part(x, labels, np.array([f"{seed}-{i}.png" for i in range(rows)]), groups)


def answers(rows: int, right: float, seed: int) -> Predictions:
    """Two classes in equal numbers of which a share is answered rightly."""
    labels = np.arange(rows) % 2
    hit = np.random.default_rng(seed).permutation(rows) < right * rows
    chances = np.where((labels == np.where(hit, 1, 0))[:, None], [0.2, 0.8], [0.8, 0.2])
    names = np.array([f"{seed}-{i}" for i in range(rows)])
    return Predictions(names, names, labels, chances, ("a", "b"))


def test_the_gap_is_the_difference_of_two_samples_with_the_error_of_both() -> None:
    first, second = answers(400, 0.9, 1), answers(300, 0.8, 2)
    found = gap(first, second, "accuracy", Evaluation(replicates=4000), 0)
    wanted = np.mean(first.probabilities.argmax(1) == first.labels) - np.mean(second.probabilities.argmax(1) == second.labels)
    assert found["value"] == pytest.approx(wanted)
    shares = [np.mean(p.probabilities.argmax(1) == p.labels) for p in (first, second)]
    error = np.sqrt(sum(s * (1 - s) / n for s, n in zip(shares, (400, 300), strict=True)))
    assert found["low"] == pytest.approx(wanted - 1.96 * error, abs=0.006)
    assert found["high"] == pytest.approx(wanted + 1.96 * error, abs=0.006)


def test_both_sides_are_trained_again_and_measured_on_rows_they_have_not_seen() -> None:
    train, val, held = part(150, 1), part(90, 2), part(120, 3)
    winner = Individual(1, 32, 16, 0.1, 1e-2, 1e-4, 1.0, 0.0)
    told = judged(PLAN, (winner, 7), PUBLISHED, train, val, held, CLASSES, HOW)
    alone = Population([winner.member], 12, 3, PLAN.seed, keys=[7])
    list(trained(alone, PLAN, train, val))
    for name, rows in (("val", val), ("judge", held)):
        figure = told["found"][name]
        assert figure["value"] == pytest.approx(balanced_accuracy_score(rows.y, alone.logits(rows.x)[0].argmax(1).numpy()))
        assert figure["low"] < figure["value"] < figure["high"]
    assert told["found"]["optimism"]["value"] == pytest.approx(told["found"]["val"]["value"] - told["found"]["judge"]["value"])
    assert (told["n"], told["groups"], told["starts"]) == (120, 60, STARTS)
    # a rate of 1e-4 over six epochs of three steps has not left its start; the winner has
    assert told["difference"]["low"] > 0

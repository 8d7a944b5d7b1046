"""Verdicts, pairs and subsets against what can be worked out by hand or with scikit-learn."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from cutis.evaluate.paired import settled
from cutis.evaluate.summary import picked, summarise
from cutis.predictions import Predictions
from cutis.recipe import Evaluation, Recipe
from cutis.runs import Run
from cutis.studies import tables
from cutis.studies.catalog import Cell, Pair, Published
from cutis.studies.compare import Answers, compared, judged

CLASSES = ("mel", "nv", "bcc")
TABLE = Published(title="T", columns=("accuracy",), rows={}, split="at random", definition="accuracy", classes=CLASSES, n=(90,))
SPEC = Recipe(evaluate=Evaluation(replicates=200))


def predicted(seed: int, right: float, n: int = 90) -> Predictions:
    """n answers of which about that share is right; labels are the same for every seed."""
    labels = np.arange(n) % 3
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(n) < right, labels, (labels + 1) % 3)
    probabilities = np.full((n, 3), 0.2)
    probabilities[np.arange(n), said] = 0.6
    names = np.array([f"{i}.jpg" for i in range(n)])
    return Predictions(names, names, labels.astype(np.int64), probabilities, CLASSES)


def written(folder: Path, answers: Predictions) -> Run:
    run = Run(folder)
    run.recipe, run.provenance = SPEC, {"majority": "nv"}
    run.save_predictions("test", answers)
    run.metrics = {"test": summarise(answers, replicates=200, level=0.95, seed=0, majority="nv")}
    return run


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Answers]:
    """An arm of one or several seeds."""

    def make(name: str, *parts: Predictions, **about: Any) -> Answers:
        if len(parts) == 1:
            return Answers(written(tmp_path / name, parts[0]), **about)
        for i, part in enumerate(parts):
            written(tmp_path / name / f"seed-{i}", part)
        run = Run(tmp_path / name)
        run.recipe, run.provenance = SPEC, {"majority": "nv"}
        return Answers(run, **about)

    return make


def test_a_cell_is_reached_up_to_our_upper_limit_and_not_beyond(made: Callable[..., Answers]) -> None:
    ours = made("a", predicted(0, 0.8))
    high = ours.run.metrics["test"]["accuracy"]["high"]
    for printed, verdict in ((0.0, "reached"), (high, "reached"), (high + 1e-6, "not reached")):
        assert judged(Cell(printed, "a"), TABLE, ours)["verdict"] == verdict
    told = judged(Cell(high, "a"), TABLE, ours)
    assert told["ours"] == ours.run.metrics["test"]["accuracy"]
    assert told["baseline"] == pytest.approx(1 / 3)


def test_of_a_figure_of_which_less_is_better_our_lower_limit_decides(made: Callable[..., Answers]) -> None:
    ours = made("a", predicted(0, 0.8))
    low = ours.run.metrics["test"]["log_loss"]["low"]
    for printed, verdict in ((low, "reached"), (9.0, "reached"), (low - 1e-6, "not reached")):
        assert judged(Cell(printed, "a", "log_loss"), TABLE, ours)["verdict"] == verdict


@pytest.mark.parametrize(
    ("cell", "table", "about", "why"),
    [
        (Cell(0.1, "a"), {"classes": ("benign", "malignant")}, {}, "other classes"),
        (Cell(0.1, "a"), {"n": (300, 400)}, {}, "90 test images here, 300 or 400 there"),
        (Cell(0.1, "a"), {"n": range(4180, 4261)}, {}, "90 test images here, 4,180 to 4,260 there"),
        (Cell(0.1, "a"), {"unlike": "copies in it"}, {}, "copies in it"),
        (Cell(0.1, "a", unlike="on validation"), {}, {}, "on validation"),
        (Cell(0.1, "a"), {}, {"cut": ["test"]}, "the scale leaves 90 test images"),
        (Cell(0.1, "a"), {}, {"drawn": True}, "drawn by Cutis"),
    ],
)
def test_what_cannot_be_compared_says_why(
    cell: Cell, table: dict[str, Any], about: dict[str, Any], why: str, made: Callable[..., Answers]
) -> None:
    told = judged(cell, replace(TABLE, **table), made("a", predicted(0, 0.8), **about))
    assert told["verdict"] == "not comparable"
    assert why in told["why"]
    assert told["ours"]["value"] is not None, "ours is shown all the same"


def test_remarks_do_not_prevent_a_verdict_and_what_is_absent_is_not_run(made: Callable[..., Answers]) -> None:
    ours = made("a", predicted(0, 0.8), notes=["fewer epochs"])
    told = judged(Cell(0.1, "a"), TABLE, ours)
    assert (told["verdict"], told["remarks"]) == ("reached", ["fewer epochs"])
    assert judged(Cell(0.1, "b"), TABLE, None)["verdict"] == "not run"
    assert judged(Cell(0.1, "a", at="test-stage-1"), TABLE, ours)["verdict"] == "not run"
    assert judged(Cell(None, "a"), TABLE, ours)["verdict"] == ""


def test_figures_of_one_class_are_found_whatever_the_case(made: Callable[..., Answers]) -> None:
    answers = predicted(3, 0.7)
    ours = made("a", answers)
    expected = f1_score(answers.labels == 0, answers.predicted == 0)
    for name in ("f1/mel", "f1/MEL"):
        found = ours.figure("test", name)
        assert found is not None
        assert found["value"] == pytest.approx(expected)
    assert picked(ours.run.metrics["test"], "f1/scc") is None
    assert picked(ours.run.metrics["test"], "nonsense") is None


def test_a_subset_is_counted_from_the_same_answers(made: Callable[..., Answers]) -> None:
    answers = predicted(4, 0.6)
    inside = frozenset(answers.images[:40])
    ours = made("a", answers, images=lambda name, subset: inside if subset == "first" else frozenset())
    found = ours.figure("test:first", "accuracy")
    assert found is not None
    assert found["value"] == pytest.approx(accuracy_score(answers.labels[:40], answers.predicted[:40]))
    assert found["n"] == 40
    assert ours.summary("test:nobody") is None


def test_over_seeds_mean_and_spread_are_those_of_the_runs(made: Callable[..., Answers]) -> None:
    parts = [predicted(seed, 0.7) for seed in range(3)]
    each = [accuracy_score(p.labels, p.predicted) for p in parts]
    found = made("a", *parts).figure("test", "accuracy")
    assert found is not None
    assert (found["mean"], found["sd"]) == (pytest.approx(np.mean(each)), pytest.approx(np.std(each, ddof=1)))
    assert found["value"] == pytest.approx(np.mean(each)), "of all answers together"
    assert found["seeds"] == 3


def by_hand(p: Sequence[float]) -> list[float]:
    """Holm's adjustment as its definition reads."""
    order, out, worst = sorted(range(len(p)), key=lambda i: p[i]), [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        out[i] = worst
    return out


def test_pairs_are_differences_on_the_same_images_adjusted_over_all_of_them(made: Callable[..., Answers]) -> None:
    answers = {"a": made("a", predicted(0, 0.9)), "b": made("b", predicted(1, 0.6)), "c": made("c", predicted(2, 0.85))}
    told = compared([Pair("a", "b", ("accuracy", "f1/*")), Pair("a", "c", ("accuracy",)), Pair("b", "c", ("accuracy",))], answers)
    values = {name: own.run.metrics["test"]["accuracy"]["value"] for name, own in answers.items()}
    for pair in told:
        found = pair["figures"]["accuracy"]
        assert found["value"] == pytest.approx(values[pair["first"]] - values[pair["second"]])
        assert found["low"] <= found["value"] <= found["high"]
    assert set(told[0]["figures"]) == {"accuracy", "f1/mel", "f1/nv", "f1/bcc"}
    p = [pair["figures"]["accuracy"]["p"] for pair in told]
    assert [pair["figures"]["accuracy"]["p_holm"] for pair in told] == pytest.approx(by_hand(p))
    assert settled(told[0]["figures"]["accuracy"]) == 1
    assert settled(told[2]["figures"]["accuracy"]) == -1
    right = [answers[x].predictions("test")[0].predicted == predicted(0, 1).labels for x in "ab"]
    assert told[0]["mcnemar"]["only_first"] == int((right[0] & ~right[1]).sum())


def test_a_pair_that_cannot_be_made_says_why(made: Callable[..., Answers]) -> None:
    answers = {"a": made("a", predicted(0, 0.9)), "less": made("less", predicted(1, 0.6, n=60))}
    absent, other, nowhere = compared([Pair("a", "gone"), Pair("a", "less"), Pair("a", "less", at="external")], answers)
    assert absent["cannot"] == "gone was not made"
    assert "30" in other["cannot"]
    assert nowhere["cannot"] == "a has no answers for external"


def test_a_table_without_printed_figures_has_one_majority_line() -> None:
    def cell(value: float, base: float, printed: float | None = None) -> dict[str, object]:
        ours = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 9}
        return {"printed": printed, "ours": ours, "baseline": base, "verdict": "", "arm": "a"}

    alone = {"title": "Ours", "columns": ["test", "external"], "rows": {"a": [cell(0.7, 0.5), None], "b": [cell(0.8, 0.5), cell(0.6, 0.4)]}}
    assert not tables.printed(alone)
    assert [list(row) for row in tables.published(alone).rows] == [
        ["a", "0.700 [0.600, 0.800]", ""],
        ["b", "0.800 [0.700, 0.900]", "0.600 [0.500, 0.700]"],
        ["majority line", "0.500", "0.400"],
    ]
    beside = alone | {"rows": {"a": [cell(0.7, 0.5, printed=0.9), None]}}
    assert tables.printed(beside)
    (row,) = tables.published(beside).rows
    assert row[1] == "printed 0.900\nours 0.700 [0.600, 0.800]\nmajority line 0.500"

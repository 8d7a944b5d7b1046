"""Rules of arithmetic, against calculations by hand, scikit-learn, and tables that are true."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import true_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.claims import arithmetic, averages, feasible, matrices
from cutis.claims.finding import Finding, Rule, rules
from cutis.claims.reading import EXAMPLE, parse
from cutis.claims.table import Claim, validated

RULES: tuple[Rule, ...] = (
    arithmetic.outside_range,
    arithmetic.accuracy_attainable,
    arithmetic.f1_above_mean,
    arithmetic.equal_by_definition,
    averages.average_of_classes,
    matrices.confusion_matrix,
    matrices.rows_do_not_sum,
    feasible.no_such_matrix,
)


def found(claim: Claim, chosen: Iterable[Rule] = RULES) -> list[Finding]:
    return [finding for rule in chosen for finding in rule(claim)]


def impossible(text: str, *chosen: Rule) -> list[Finding]:
    return [finding for finding in found(parse(text), chosen or RULES) if finding.severity == "impossible"]


def wheres(text: str, *chosen: Rule) -> list[str]:
    return [finding.where for finding in impossible(text, *chosen)]


def test_all_rules_here_are_registered() -> None:
    registered = [rule for _, rule in rules.items()]
    assert all(rule in registered for rule in RULES)


def test_the_template_is_consistent() -> None:
    assert found(parse(EXAMPLE)) == []


# ---- GRIM


def test_s3_accuracies_fit_1232_images_and_not_1227() -> None:
    models = "models: [{name: a, accuracy: .8271}, {name: b, accuracy: .8490}, {name: c, accuracy: .8247}]"
    (note,) = found(parse(f"n: [1227, 1232]\n{models}"))
    assert (note.severity, note.rule) == ("note", "accuracy-attainable")
    assert "fit n = 1,232, not 1,227" in note.sentence
    assert ".8271 ~ 1,019/1,232, .8490 ~ 1,046/1,232, .8247 ~ 1,016/1,232" in note.arithmetic
    assert wheres(f"n: 1227\n{models}") == ["a on test, accuracy", "b on test, accuracy"]  # 1,012 / 1,227 = .82477 is .8247 when cut off
    assert "1,014/1,227 = 0.826406, 1,015/1,227 = 0.827221" in impossible(f"n: 1227\n{models}")[0].arithmetic


@given(st.integers(1, 400), st.integers(2, 4), st.integers(0, 10_000))
def test_grim_is_what_going_through_all_counts_says(n: int, digits: int, figure: int) -> None:
    unit = Fraction(1, 10**digits)
    value = Fraction(figure % (10**digits + 1)) * unit
    attainable = any(value - unit / 2 <= Fraction(k, n) < value + unit for k in range(n + 1))
    text = f"n: {n}\nmodels: [{{accuracy: {float(value):.{digits}f}}}]"
    assert bool(impossible(text, arithmetic.accuracy_attainable)) == (not attainable)


def test_a_mean_over_seeds_is_a_share_of_all_their_images() -> None:
    assert wheres("n: 10\nmodels: [{accuracy: .850}]") == ["model on test, accuracy"]
    assert wheres("n: 10\nseeds: 2\nmodels: [{accuracy: .850}]") == []  # 17 / 20
    assert wheres("n: 10\nfolds: 3\nmodels: [{accuracy: .851}]") == []  # folds of 3, 3 and 4 images


def test_models_of_one_set_share_its_number_of_images() -> None:
    models = "models: [{name: a, accuracy: .6667}, {name: b, accuracy: .5714}]"  # of 3 and of 7
    (finding,) = impossible(f"n: [3, 7]\n{models}", arithmetic.accuracy_attainable)
    assert finding.arithmetic == ".6667 needs n = 3; .5714 needs n = 7"
    assert not impossible(f"n: [3, 7, 21]\n{models}", arithmetic.accuracy_attainable)
    assert not impossible("models: [{name: a, accuracy: .6667, n: [3, 7]}, {name: b, on: other, accuracy: .5714, n: [3, 7]}]")


# ---- F1


def test_s4_resnet_has_an_impossible_f1() -> None:
    text = "models: [{name: ResNet-50, on: validation, accuracy: 71.27, precision: 65.38, recall: 62.29, f1: 67.18}]"
    (finding,) = impossible(text)
    assert (finding.rule, finding.where) == ("f1-above-mean", "ResNet-50 on validation, F1")
    assert "= 63.798 %" in finding.arithmetic
    assert "63.835 %" in finding.arithmetic


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("precision: .80, recall: .60, f1: .71", True),  # harmonic mean .6857, at most h(.81, .61) = .6959
        ("precision: .80, recall: .60, f1: .70", False),
        ("precision: .80, recall: .60, f1: .50", False),  # an average of F1s may be far lower
        ("precision: .80, recall: .60, f1: .50, average: binary", True),  # that of one class may not
        ("precision_macro: .80, recall_weighted: .60, f1_macro: .75", False),  # averaged differently
        ("precision_weighted: .80, recall_weighted: .60, f1_weighted: .75", True),
    ],
)
def test_f1_against_precision_and_recall(row: str, wrong: bool) -> None:
    assert bool(impossible(f"models: [{{{row}}}]", arithmetic.f1_above_mean)) == wrong


@given(st.lists(st.tuples(*[st.fractions(0, 1, max_denominator=50)] * 2, st.integers(1, 9)), min_size=1, max_size=6))
def test_no_mean_of_f1s_exceeds_f1_of_the_means(classes: list[tuple[Fraction, Fraction, int]]) -> None:
    total = sum(weight for *_, weight in classes)
    p, r, f = (
        sum((x * weight for x, weight in values), Fraction(0)) / total
        for values in zip(*[((p, w), (r, w), (arithmetic.harmonic(p, r), w)) for p, r, w in classes], strict=True)
    )
    assert f <= arithmetic.harmonic(p, r) <= (p + r) / 2


# ---- figures that are the same by definition


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("accuracy: .86, recall_weighted: .88", True),
        ("accuracy: .86, recall_weighted: .87", False),  # .8699 rounded and cut off
        ("accuracy: .86, f1_micro: .84", True),
        ("accuracy: .86, precision: .84, average: micro", True),
        ("accuracy: .86, precision: .84, average: weighted", False),
        ("accuracy: .86, recall_macro: .70", False),
        ("balanced_accuracy: .86, recall_macro: .70", True),
        ("balanced: true, accuracy: .86, recall_macro: .70, n: 100, classes: 2", True),
    ],
)
def test_figures_that_are_one_figure(row: str, wrong: bool) -> None:
    assert bool(impossible(f"models: [{{{row}}}]", arithmetic.equal_by_definition)) == wrong


@pytest.mark.parametrize(("row", "wrong"), [("accuracy: 1.02", True), ("recall: -.1", True), ("kappa: -.1", False), ("mcc: -1.2", True)])
def test_figures_outside_their_range(row: str, wrong: bool) -> None:
    assert bool(impossible(f"n: 50\nmodels: [{{{row}}}]")) == wrong


# ---- averages of classes

S2 = {
    "precision": [".95", ".89", ".73", ".66", ".67"],
    "recall": [".78", ".74", ".70", ".86", ".97"],
    "f1": [".86", ".81", ".71", ".75", ".79"],
}


def s2(**changed: Any) -> Claim:
    names = ["Blackheads", "Cysts", "Papules", "Pustules", "Whiteheads"]
    per_class = {figure: dict(zip(names, values, strict=True)) for figure, values in S2.items()}
    return validated({"classes": names, "models": [{"name": "A", "accuracy": ".80", "f1_macro": ".78", "per_class": per_class, **changed}]})


def test_s2_is_consistent() -> None:
    assert found(s2()) == []


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"f1_macro": ".75"}, "average-of-classes"),
        ({"f1": ".98"}, "average-of-classes"),  # above what the highest precision and recall give, whatever it means
        ({"recall_macro": ".85"}, "average-of-classes"),
        ({"accuracy": ".98"}, "no-such-matrix"),  # above the highest recall
        ({"accuracy": ".68"}, "no-such-matrix"),
    ],
)
def test_s2_with_a_planted_error(changed: dict[str, str], rule: str) -> None:
    assert [finding.rule for finding in found(s2(**changed))] == [rule]


def test_a_weighted_average_needs_the_sizes() -> None:
    claim = "classes: [a, b]\nmodels: [{precision_weighted: .60, per_class: {precision: {a: .90, b: .50}}}]"
    assert not impossible(claim, averages.average_of_classes)
    assert wheres(f"sizes: {{a: 90, b: 10}}\n{claim}", averages.average_of_classes) == ["model on test, precision (weighted)"]


# ---- tables that are true


def test_true_tables_are_not_called_impossible() -> None:
    for seed in range(120):
        table, _ = true_tables.table(np.random.default_rng(seed))
        assert [f"{seed}: {f.where}: {f.arithmetic}" for f in found(validated(table)) if f.severity == "impossible"] == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from(["macro", "weighted"]))
def test_means_over_seeds_and_folds_are_not_called_impossible(seed: int, runs: int, average: str) -> None:
    """Seeds answer the same images; folds differ in size."""
    rng = np.random.default_rng(seed)
    same = bool(rng.integers(2))
    sizes = rng.integers(1, 40, int(rng.integers(2, 5)))
    every = []
    for _ in range(runs):
        of_run = sizes if same else sizes + rng.integers(0, 3, len(sizes))
        every.append(true_tables.figures([rng.multinomial(n, rng.dirichlet(np.ones(len(sizes)))).tolist() for n in of_run]))
    way = int(rng.integers(2, 5)), str(rng.choice(true_tables.MODES)), bool(rng.integers(2))
    names = [f"c{c}" for c in range(len(sizes))]
    means = {name: sum(whole[name] for whole, _ in every) / runs for name in every[0][0]}
    model: dict[str, Any] = {name: true_tables.shortened(value, *way) for name, value in means.items() if name != "specificity"}
    model |= {base: model[f"{base}_{average}"] for base in ("precision", "recall", "f1")}
    model["per_class"] = {
        name: {base: true_tables.shortened(sum(of[c][base] for _, of in every) / runs, *way) for base in every[0][1][c]}
        for c, name in enumerate(names)
    }
    claim = {"classes": names, "seeds" if same else "folds": runs, "models": [model]}
    if same:
        claim["sizes"] = dict(zip(names, map(int, sizes), strict=True))
    else:
        claim["n"] = int(sizes.sum())
    assert [finding for finding in found(validated(claim)) if finding.severity == "impossible"] == []

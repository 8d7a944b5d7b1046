"""The search for a confusion matrix, against going through every matrix; and planted errors at real sizes."""

import itertools
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import true_tables
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cutis.claims import exhaustive, feasible
from cutis.claims.finding import Finding
from cutis.claims.printed import Range
from cutis.claims.problem import Constraint, Problem
from cutis.claims.programme import LINEAR, programmed
from cutis.claims.reading import parse

Matrix = list[list[int]]


def rows(total: int, cells: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a total as a sum of so many counts."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in rows(total - first, cells - 1):
            yield first, *rest


def every_matrix(sizes: tuple[int, ...]) -> list[Matrix]:
    return [list(map(list, matrix)) for matrix in itertools.product(*(rows(size, len(sizes)) for size in sizes))]


MATRICES = {sizes: every_matrix(sizes) for sizes in ((3, 4), (1, 7), (2, 2, 3), (1, 3, 2), (1, 1, 2, 2))}
FIGURES = {
    sizes: [(any(sum(row[c] for row in m) == 0 for c in range(len(m))), *true_tables.figures(m)) for m in every]
    for sizes, every in MATRICES.items()
}
OF_ALL = ("accuracy", "recall_macro", "precision_macro", "f1_macro", "precision_weighted", "f1_weighted")


def fits(problem: Problem, undefined: bool, whole: dict[str, Fraction], of: list[dict[str, Fraction]]) -> bool:
    """Whether a matrix has the figures, by their definitions; averages over a class that was never predicted bind nothing."""
    for one in problem.constraints:
        if one.of is not None:
            value = {of[one.of][one.figure]}
            if one.figure == "precision" and undefined and not of[one.of]["recall"]:
                value |= {Fraction(0), Fraction(1)} if one.of in never(whole, of) else set()
        else:
            value = {whole[one.figure]}
            if one.figure in ("f1_macro", "f1_weighted"):
                kind = one.figure.removeprefix("f1_")
                p, r = whole[f"precision_{kind}"], whole[f"recall_{kind}"]
                value |= {2 * p * r / (p + r) if p + r else Fraction(0)}
            if undefined and one.figure not in ("accuracy", "recall_macro"):
                continue
        if not any(v in one.range for v in value):
            return False
    return True


def never(whole: dict[str, Fraction], of: list[dict[str, Fraction]]) -> list[int]:
    """Classes that were never predicted: all images of others are told to be none of them, and none of their own is right."""
    return [c for c, one in enumerate(of) if one["specificity"] == 1 and one["recall"] == 0]


@st.composite
def problems(draw: st.DrawFn, *, linear: bool) -> Problem:
    """Sizes, and some figures of some matrix with these sizes, one of them perhaps moved."""
    sizes = draw(st.sampled_from(sorted(MATRICES)))
    _, whole, of = draw(st.sampled_from(FIGURES[sizes]))
    unit = Fraction(1, 10 ** draw(st.integers(1, 3)))
    names: list[tuple[str, int | None]] = [(name, None) for name in (LINEAR if linear else OF_ALL)]
    names += [(figure, c) for c in range(len(sizes)) for figure in ("precision", "recall", "f1", "specificity")]
    constraints = []
    for name, c in draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True)):
        value = max((whole[name] if c is None else of[c][name]) // unit + draw(st.sampled_from([0, 0, 0, 1, -1, 5])), 0) * unit
        constraints.append(Constraint(name, Range(value - unit / 2, value + unit, high_in=False), c))
    return Problem(len(sizes), tuple(constraints), sum(sizes), sizes)


@settings(max_examples=200, deadline=None)
@given(problems(linear=False))
def test_the_exact_search_finds_what_going_through_all_matrices_finds(problem: Problem) -> None:
    assert problem.sizes
    assert exhaustive.exact(problem) == any(fits(problem, *figures) for figures in FIGURES[problem.sizes])


@settings(max_examples=80, deadline=None)
@given(problems(linear=True))
def test_the_programme_finds_what_going_through_all_matrices_finds(problem: Problem) -> None:
    """It treats open ends as closed, and so may see a matrix that sits on one."""
    assert problem.sizes
    open_ended = any(fits(problem, *figures) for figures in FIGURES[problem.sizes])
    closed = Problem(
        problem.classes,
        tuple(Constraint(o.figure, Range(o.range.low, o.range.high), o.of) for o in problem.constraints),
        problem.n,
        problem.sizes,
    )
    found = programmed(problem, 20)
    assert found is not None
    assert open_ended <= found <= any(fits(closed, *figures) for figures in FIGURES[problem.sizes])


@settings(max_examples=40, deadline=None)
@given(problems(linear=True))
def test_what_sizes_allow_is_allowed_without_them(problem: Problem) -> None:
    assume(programmed(problem, 20))
    without = [one for one in problem.constraints if one.figure != "recall_macro"]
    assert programmed(Problem(problem.classes, tuple(without), problem.n), 20)
    assert programmed(Problem(problem.classes, tuple(without)), 20)


def findings(text: str) -> list[Finding]:
    return list(feasible.no_such_matrix(parse(text)))


SIZES = "sizes: {a: 60, b: 450, c: 90}\n"


@pytest.mark.parametrize(
    ("text", "where", "arithmetic"),
    [
        (
            f"{SIZES}models: [{{name: m, per_class: {{a: {{recall: .655}}}}}}]",
            "m on test, recall (class a)",
            ".655 is none of 39/60 = 0.65000, 40/60 = 0.66667",
        ),
        (
            "sizes: {a: 3, b: 450}\nmodels: [{name: m, per_class: {a: {recall: .333, precision: .60}}}]",
            "m on test, precision (class a), recall (class a)",
            "with 1 of 3 right (recall .333), no number of predicted images gives precision (class a) .60",
        ),
        (  # at most (31 + 409 + 90) / 600
            f"{SIZES}models: [{{name: m, accuracy: .90, per_class: {{a: {{recall: .50}}, b: {{recall: .90}}}}}}]",
            "m on test, recall (class a), recall (class b), accuracy",
            "the recalls, weighted by class sizes, allow 0.721 to 0.883; printed .90",
        ),
        (
            "models: [{name: m, accuracy: .95, per_class: {recall: {a: .70, b: .90}}}]",
            "m on test, recall (class a), recall (class b), accuracy",
            "accuracy is a mean of the recalls, which lie in 0.695 to 0.910; printed .95",
        ),
        (  # nine tenths right leave 60 wrong, which cost the small classes at most 60 / 60, and 0 / 90, of their recall
            f"{SIZES}models: [{{name: m, accuracy: .90, recall_macro: .50}}]",
            "m on test, recall (macro), accuracy",
            "no matrix with rows that sum to 60, 450, 90 has accuracy .90, recall (macro) .50",
        ),
    ],
)
def test_a_planted_error_is_told_in_one_line(text: str, where: str, arithmetic: str) -> None:
    (finding,) = findings(text)
    assert finding.severity == "impossible"
    assert sorted(finding.where.split(", ")) == sorted(where.split(", "))
    assert finding.arithmetic == arithmetic


def test_an_unlabelled_figure_is_impossible_only_in_every_reading() -> None:
    """40 of 100 right with 10 and 90 images: the recall .70 is no accuracy, and the macro recall of (10, 30), .667, or near it."""
    text = "sizes: {a: 10, b: 90}\nmodels: [{accuracy: .40, recall: .%s}]"
    assert not findings(text % "66")  # macro: (10 / 10 + 30 / 90) / 2
    assert not findings(text % "40")  # micro, weighted
    assert not findings(text % "90")  # of class a
    assert findings("sizes: {a: 10, b: 80, c: 10}\nmodels: [{accuracy: .40, recall: .90}]")
    assert findings((text % "95") + "\naverage: macro")


def test_a_class_of_the_matrix_at_real_size() -> None:
    """1,384 benign and 1,381 malignant of 1,412 each right are 2,765 of 2,824 (.9791), which .9851 is not."""
    text = (
        "sizes: {benign: 1412, malignant: 1412}\nmodels: [{accuracy: %s, per_class: {benign: {recall: .9801}, malignant: {recall: .9780}}}]"
    )
    assert not findings(text % ".9791")
    assert findings(text % ".9851")


def test_the_example_of_mlscorecheck_is_found() -> None:
    """100 positives and 200 negatives with accuracy .9567, sensitivity .8545, specificity .9734: inconsistent, says that package."""
    (finding, *_) = findings(
        "sizes: {p: 100, n: 200}\nmodels: [{accuracy: .9567, per_class: {p: {sensitivity: .8545, specificity: .9734}}}]"
    )
    assert finding.severity == "impossible"


def test_too_many_images_to_search_say_nothing() -> None:
    assert not findings(
        "sizes: {a: 60000000000, b: 450, c: 90}\nmodels: [{accuracy: .90, recall_macro: .20, per_class: {a: {recall: .91}}}]"
    )


def test_time_that_is_up_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{SIZES}models: [{{accuracy: .90, recall_macro: .50}}]"
    assert findings(text)
    monkeypatch.setattr(feasible, "SECONDS", 0.0)
    assert not findings(text)


@pytest.mark.slow
def test_planted_errors_in_random_tables_are_found() -> None:
    """All figures of a random table, one class's recall moved by a tenth: nearly always no matrix has them."""
    found = tried = 0
    start = time.monotonic()
    for seed in range(200):
        counts = true_tables.matrix(np.random.default_rng(seed))
        if min(map(sum, counts)) < 5:
            continue
        whole, of = true_tables.figures(counts)
        of[0]["recall"] += Fraction(1, 10) * (1 if of[0]["recall"] < Fraction(1, 2) else -1)
        per_class = ", ".join(
            f"c{c}: {{{', '.join(f'{k}: {true_tables.shortened(v, 3, true_tables.MODES[0], False)}' for k, v in one.items())}}}"
            for c, one in enumerate(of)
        )
        sizes = ", ".join(f"c{c}: {sum(row)}" for c, row in enumerate(counts))
        tried += 1
        found += bool(findings(f"sizes: {{{sizes}}}\nmodels: [{{accuracy: {float(whole['accuracy']):.3f}, per_class: {{{per_class}}}}}]"))
    assert found >= 0.95 * tried, (found, tried, time.monotonic() - start)

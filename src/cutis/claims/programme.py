"""Search for a confusion matrix by integer programming (HiGHS), over the figures that are linear in its counts."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from cutis.claims.problem import Constraint, Problem

SCALE = 1000  # images where their number is open: then shares of them are searched, not whole numbers
SLACK = 1e-6  # images; ten times the solver's own tolerance, and far below what one print's unit is worth
LINEAR = ("accuracy", "recall_macro")  # figures of all classes that the programme knows, with known sizes

Terms = Mapping[int, Fraction | int]  # coefficients by variable
Row = tuple[Terms, float, float]  # and the lower and upper bound of their sum


def programmed(problem: Problem, seconds: float) -> bool | None:
    """Whether whole numbers satisfy the linear figures; None where the time was up. True does not say that a matrix gives the others.

    Variables are t (told rightly), q (told to be of it) and m (size) of each class; m is fixed where sizes are known. Linear in them are
    accuracy, and for a class recall t / m, precision t / q, F1 2t / (m + q) and specificity; with known sizes also the mean recall.
    Averages of precision and F1 are not, and are left out.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    if problem.n and not problem.right:
        return False
    k, n = problem.classes, problem.n or SCALE
    rows = [*_structure(problem, n), *(row for one in problem.constraints for row in _rows(problem, one, n))]
    matrix = np.zeros((len(rows), 3 * k))
    for i, (coefficients, _, _) in enumerate(rows):
        for j, value in coefficients.items():
            matrix[i, j] = float(value)
    lower = np.zeros(3 * k)
    upper = np.full(3 * k, float(n))
    for c in range(k):
        if problem.sizes:
            lower[2 * k + c] = upper[2 * k + c] = problem.sizes[c]
        elif problem.n:
            lower[2 * k + c] = 1
        if problem.n and any(one.figure == "precision" and 0 not in one.range and 1 not in one.range for one in problem.about(c)):
            lower[k + c] = 1  # a class that was never predicted has a precision of 0 or 1 in print
    answer = milp(
        np.zeros(3 * k),
        integrality=np.full(3 * k, 1 if problem.n else 0),
        bounds=Bounds(lower, upper),
        constraints=LinearConstraint(matrix, [low - SLACK for _, low, _ in rows], [high + SLACK for _, _, high in rows]),
        options={"time_limit": max(seconds, 0.1)},
    )
    return {0: True, 2: False}.get(answer.status)


def _structure(problem: Problem, n: int) -> list[Row]:
    """What makes t, q and m those of a confusion matrix."""
    k = problem.classes
    every = range(k)
    rows: list[Row] = [({k + c: 1 for c in every}, n, n), ({2 * k + c: 1 for c in every}, n, n)]
    for c in every:
        rows += [({c: 1, 2 * k + c: -1}, -np.inf, 0), ({c: 1, k + c: -1}, -np.inf, 0)]
        wrong = dict.fromkeys(every, 1) | {c: -1, k + c: 1, 2 * k + c: 1}  # (m - t) + (q - t) + sum t <= n
        rows.append((wrong, -np.inf, n))
        if problem.equal and not problem.sizes:
            rows.append(({2 * k + c: 1}, n / k - 1 if problem.n else n / k, n / k + 1 if problem.n else n / k))
    return rows


def _rows(problem: Problem, one: Constraint, n: int) -> list[Row]:
    """One figure's two inequalities, low x whole <= part <= high x whole."""
    k, c = problem.classes, one.of
    every: Terms = dict.fromkeys(range(k), 1)
    if one.figure == "accuracy" and problem.n:
        return [(every, problem.right.start, problem.right.stop - 1)]
    kinds: dict[str, tuple[Terms, int, Terms, int]] = {}  # terms and constant of the part, and of the whole
    if c is not None:
        t, q, m = c, k + c, 2 * k + c
        kinds["recall"] = {t: 1}, 0, {m: 1}, 0
        kinds["precision"] = {t: 1}, 0, {q: 1}, 0
        kinds["f1"] = {t: 2}, 0, {m: 1, q: 1}, 0
        kinds["specificity"] = {t: 1, q: -1, m: -1}, n, {m: -1}, n
    else:
        kinds["accuracy"] = every, 0, {}, n
        if problem.sizes and all(problem.sizes):
            kinds["recall_macro"] = {d: Fraction(1, k * size) for d, size in enumerate(problem.sizes)}, 0, {}, 1
    if one.figure not in kinds:
        return []
    part, part_n, whole, whole_n = kinds[one.figure]
    return [_side(part, part_n, whole, whole_n, one.range.low, 1), _side(part, part_n, whole, whole_n, one.range.high, -1)]


def _side(part: Terms, part_n: int, whole: Terms, whole_n: int, end: Fraction, sign: int) -> Row:
    """sign x (part - end x whole) >= 0, constants on the right."""
    coefficients = {j: sign * (part.get(j, 0) - end * whole.get(j, 0)) for j in part.keys() | whole.keys()}
    return coefficients, float(sign * (end * whole_n - part_n)), float("inf")

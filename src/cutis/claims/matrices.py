"""Rules about a printed confusion matrix: its rows, and every figure that follows from it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isqrt

from cutis.claims.arithmetic import harmonic, label, named
from cutis.claims.finding import Finding, rules
from cutis.claims.printed import Printed
from cutis.claims.seen import where
from cutis.claims.table import AVERAGED, Claim, Model

Counted = Sequence[Sequence[int]]
Values = list[Fraction]
DEFINITIONS = "Counts of the matrix, by the definition of each figure: Grandini et al. 2020, arXiv:2008.05756"


def of_class(matrix: Counted, c: int) -> dict[str, Fraction | None]:
    """The figures of class number ``c``, exact; None where one is not defined (no images, or none predicted)."""
    n, right = sum(map(sum, matrix)), matrix[c][c]
    size, predicted = sum(matrix[c]), sum(row[c] for row in matrix)
    return {
        "recall": _share(right, size),
        "precision": _share(right, predicted),
        "f1": _share(2 * right, size + predicted),
        "specificity": _share(n - size - predicted + right, n - size),
    }


def averaged(matrix: Counted, base: str, average: str) -> Values:
    """The values that an average of a figure may have: by each definition in use, undefined figures counted as 0 or left out."""
    every = [of_class(matrix, c) for c in range(len(matrix))]
    if average == "micro":
        n, right = sum(map(sum, matrix)), sum(row[c] for c, row in enumerate(matrix))
        negatives = n * (len(matrix) - 1)
        return [Fraction(negatives - (n - right), negatives) if base == "specificity" else Fraction(right, n)]
    weights = [sum(row) if average == "weighted" else 1 for row in matrix]
    found = {_mean([figures[base] for figures in every], weights, left_out) for left_out in (False, True)}
    if base == "f1":
        precision, recall = (_mean([figures[name] for figures in every], weights, False) for name in ("precision", "recall"))
        found |= {harmonic(precision, recall)}
    return sorted(found)


def overall(matrix: Counted) -> dict[str, Values]:
    """Accuracy, balanced accuracy, Cohen's kappa (plain, linearly or quadratically weighted), Matthews correlation (Gorodkin 2004)."""
    n, right = sum(map(sum, matrix)), sum(row[c] for c, row in enumerate(matrix))
    true, predicted = [sum(row) for row in matrix], [sum(column) for column in zip(*matrix, strict=True)]
    found = {"accuracy": [Fraction(right, n)], "balanced_accuracy": averaged(matrix, "recall", "macro")}
    found["kappa"] = sorted({*_kappa(matrix, 0), *_kappa(matrix, 1), *_kappa(matrix, 2)})  # a label rarely says which
    chance = sum(t * p for t, p in zip(true, predicted, strict=True))
    spread = (n * n - sum(t * t for t in true)) * (n * n - sum(p * p for p in predicted))
    found["mcc"] = [Fraction((n * right - chance) * 10**20, isqrt(spread * 10**40))] if spread else []  # a root to 20 digits
    return found


def _kappa(matrix: Counted, power: int) -> Values:
    """1 - observed over expected disagreement, |i - j| to a power (Cohen 1968; power 0: each disagreement counts 1)."""
    n, every = sum(map(sum, matrix)), range(len(matrix))
    true, predicted = [sum(row) for row in matrix], [sum(column) for column in zip(*matrix, strict=True)]
    apart = {(i, j): abs(i - j) ** power for i in every for j in every if i != j}
    expected = sum(weight * true[i] * predicted[j] for (i, j), weight in apart.items())
    return [1 - Fraction(n * sum(weight * matrix[i][j] for (i, j), weight in apart.items()), expected)] if expected else []


def _share(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def _mean(values: Sequence[Fraction | None], weights: Sequence[int], left_out: bool) -> Fraction:
    kept = [(value or Fraction(0), weight) for value, weight in zip(values, weights, strict=True) if value is not None or not left_out]
    total = sum(weight for _, weight in kept)
    return sum((value * weight for value, weight in kept), Fraction(0)) / total if total else Fraction(0)


def differing(model: Model, classes: Sequence[str], matrix: Counted) -> Iterator[tuple[str, Printed, Values]]:
    """The printed figures that a matrix does not give, each with what the matrix gives, in every reading of its label."""
    known = overall(matrix)
    for name, printed in model.figures.items():
        base, _, average = name.rpartition("_")
        if name in known:
            values = known[name]
        elif "auroc" in (name, base):
            continue
        else:
            values = averaged(matrix, base, average) if base in AVERAGED else _readings(model, classes, matrix, name)
        if values and not any(value in printed.possible() for value in values):
            yield label(model, name), printed, values
    for name, given in model.per_class.items():
        c = classes.index(name)
        of = of_class(matrix, c)
        n, size, predicted = sum(map(sum, matrix)), sum(matrix[c]), sum(row[c] for row in matrix)
        for figure, printed in given.items():
            if figure == "accuracy":  # one class's accuracy is its recall, or the share of all images told rightly as it or not it
                values = [*filter(None, [of["recall"]]), Fraction(n - size - predicted + 2 * matrix[c][c], n)]
            elif figure != "auroc":
                values = [of[figure] or Fraction(0)]
            else:
                continue
            if not any(value in printed.possible() for value in values) and of.get(figure, 0) is not None:
                yield named(figure, f"class {name}"), printed, values


def _readings(model: Model, classes: Sequence[str], matrix: Counted, base: str) -> Values:
    """The values of a figure without a suffix: by its average, where that is said; else by each, and of one class where there are two."""
    if model.average and model.average != "binary":
        return averaged(matrix, base, model.average)
    found = [] if model.average else [value for average in ("macro", "micro", "weighted") for value in averaged(matrix, base, average)]
    if model.average or model.positive or len(classes) == 2:
        about = [model.positive] if model.positive else classes
        found += [of_class(matrix, classes.index(name))[base] or Fraction(0) for name in about]
    return found


@rules.register("confusion-matrix")
def confusion_matrix(claim: Claim) -> Iterator[Finding]:
    """A printed figure is one that the printed matrix gives, with rows as true classes, or else as predicted ones (then a note)."""
    for model in map(claim.complete, claim.models):
        if not model.confusion or not any(map(sum, model.confusion)):
            continue
        classes = claim.classes_of(model)
        wrong = [] if model.averaged else list(differing(model, classes, model.confusion))
        turned = [list(column) for column in zip(*model.confusion, strict=True)]
        if wrong and not list(differing(model, classes, turned)):
            yield Finding(
                "note",
                "confusion-matrix",
                where(model, "confusion matrix"),
                f"The figures of {model.name} fit its matrix only if the rows are the predicted classes.",
                "; ".join(_told(*each) for each in wrong),
                DEFINITIONS,
            )
            continue
        for name, printed, values in wrong:
            yield Finding(
                "impossible",
                "confusion-matrix",
                where(model, name),
                f"The {name} of {model.name} does not follow from its confusion matrix.",
                _told(name, printed, values),
                DEFINITIONS,
            )


def _told(name: str, printed: Printed, values: Values) -> str:
    given = dict.fromkeys(printed.like(value, 2) for value in values)
    return f"the matrix gives {name} {' or '.join(given)}, printed {printed}"


@rules.register("rows-do-not-sum")
def rows_do_not_sum(claim: Claim) -> Iterator[Finding]:
    """Class sizes sum to n; a matrix's rows sum to the class sizes, and all of it to n (of one run, or of all seeds)."""
    for model in map(claim.complete, claim.models):
        classes, stated = claim.classes_of(model), claim.sizes_of(model)
        sizes = [stated[name] for name in classes] if stated else []
        n = model.n or (claim.n if claim.n and claim.shares(model) else ())
        wrong = []
        if sizes and n and sum(sizes) not in n:
            wrong.append(("class sizes", f"{_sum(sizes)}, not {_n(n)}"))
        if model.confusion:
            rows, times = [sum(row) for row in model.confusion], {1, model.seeds or 1}
            columns = [sum(column) for column in zip(*model.confusion, strict=True)]
            fits = [[size * k for size in sizes] for k in times]
            if sizes and rows not in fits and columns not in fits:
                off = [
                    f"{name}: {row:,} in its row, {size:,} stated"
                    for name, row, size in zip(classes, rows, sizes, strict=True)
                    if row != size
                ]
                wrong.append(("confusion matrix", "; ".join(off)))
            elif n and not {one * k for one in n for k in times} & {sum(rows)}:
                wrong.append(("confusion matrix", f"its rows sum to {_sum(rows)}, not {_n(n)}"))
        for what, arithmetic in wrong:
            yield Finding(
                "impossible",
                "rows-do-not-sum",
                where(model, what),
                f"The {what} of {model.name} and the stated numbers of images do not fit together.",
                arithmetic,
                "Each image stands in one row",
            )


def _sum(numbers: Sequence[int]) -> str:
    return f"{' + '.join(f'{one:,}' for one in numbers)} = {sum(numbers):,}"


def _n(candidates: Sequence[int]) -> str:
    return f"{candidates[0]:,}" if len(candidates) == 1 else f"one of {candidates[0]:,} to {candidates[-1]:,}"

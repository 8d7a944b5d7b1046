"""Tables that are true: figures of random confusion matrices, computed here with exact fractions, and shortened as people shorten them."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

MODES = (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)


def matrix(rng: np.random.Generator) -> list[list[int]]:
    """2 to 8 classes, 10 to 5,000 images, any skill and any imbalance; every class has an image."""
    classes, n = int(rng.integers(2, 9)), int(np.exp(rng.uniform(np.log(10), np.log(5000))))
    sizes = 1 + rng.multinomial(n - classes, rng.dirichlet(np.full(classes, rng.choice([0.3, 1, 100]))))
    skill = rng.uniform(0, 1)
    rows = [
        rng.multinomial(size, skill * np.eye(classes)[c] + (1 - skill) * rng.dirichlet(np.ones(classes))) for c, size in enumerate(sizes)
    ]
    return [[int(count) for count in row] for row in rows]


def figures(counts: list[list[int]]) -> tuple[dict[str, Fraction], list[dict[str, Fraction]]]:
    """Of all classes (an average by its suffix), and of each; a figure that is not defined is 0."""
    n, classes = sum(map(sum, counts)), range(len(counts))
    size = [sum(row) for row in counts]
    told = [sum(row[c] for row in counts) for c in classes]
    of = [
        {
            "precision": Fraction(counts[c][c], told[c] or 1),
            "recall": Fraction(counts[c][c], size[c]),
            "f1": Fraction(2 * counts[c][c], size[c] + told[c]),
            "specificity": Fraction(n - size[c] - told[c] + counts[c][c], (n - size[c]) or 1),
        }
        for c in classes
    ]
    accuracy = Fraction(sum(counts[c][c] for c in classes), n)
    whole = {"accuracy": accuracy, **{f"{base}_micro": accuracy for base in ("precision", "recall", "f1")}}
    for base in ("precision", "recall", "f1", "specificity"):
        whole[f"{base}_macro"] = sum((one[base] for one in of), Fraction(0)) / len(of)
        whole[f"{base}_weighted"] = sum((one[base] * m for one, m in zip(of, size, strict=True)), Fraction(0)) / n
    whole["balanced_accuracy"] = whole["recall_macro"]
    return whole, of


def shortened(value: Fraction, digits: int, mode: str, per_cent: bool) -> str:
    """With so many decimals of the fraction of one, rounded or cut off, as a fraction or per cent."""
    with localcontext() as context:
        context.prec = 60
        number = Decimal(value.numerator) / Decimal(value.denominator) * (100 if per_cent else 1)
        return str(number.quantize(Decimal(1).scaleb(-(digits - 2 if per_cent else digits)), rounding=mode)) + (" %" if per_cent else "")


def table(rng: np.random.Generator) -> tuple[dict[str, Any], list[list[int]]]:
    """A claim of which each part is told or not, by chance; and the matrix behind it."""
    counts = matrix(rng)
    whole, of = figures(counts)
    digits, mode, per_cent = int(rng.integers(2, 5)), str(rng.choice(MODES)), bool(rng.integers(2))
    names = [f"c{c}" for c in range(len(counts))]
    model: dict[str, Any] = {"name": "one"}
    average = str(rng.choice(["macro", "micro", "weighted", *names[: 2 * (len(names) == 2)]]))  # of what carries no label
    for base in ("precision", "recall", "f1"):
        about = of[names.index(average)][base] if average in names else whole[f"{base}_{average}"]
        model[base] = shortened(about, digits, mode, per_cent)
    model |= {name: shortened(value, digits, mode, per_cent) for name, value in whole.items() if rng.random() < 0.5}
    if rng.random() < 0.3 and average not in names:
        model["average"] = average
    if rng.random() < 0.5:
        kept = [base for base in of[0] if rng.random() < 0.7]
        model["per_class"] = {
            name: {base: shortened(one[base], digits, mode, per_cent) for base in kept}
            for name, one in zip(names, of, strict=True)
            if rng.random() < 0.9
        }
    if rng.random() < 0.2:
        model["confusion"] = counts
    claim: dict[str, Any] = {"classes": names, "models": [model]}
    if rng.random() < 0.5:
        claim["sizes"] = {name: sum(row) for name, row in zip(names, counts, strict=True)}
    if rng.random() < 0.5:
        n = sum(map(sum, counts))
        claim["n"] = n if rng.random() < 0.5 else {"from": max(n - 5, 1), "to": n + 5}
    return claim, counts

"""True publications: models on a test set, its rebalanced copy and validation, each row with figures of a random confusion matrix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from true_tables import MODES, figures, shortened

Counts = NDArray[np.int64]
Way = tuple[int, str, bool]


def publication(seed: int) -> dict[str, Any]:
    """A claim as plain data, true by construction: models on a test set, its rebalanced copy and validation."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    sizes = np.maximum(1, rng.lognormal(rng.uniform(1.5, 6), rng.uniform(0, 1.2), count)).astype(np.int64)
    print_as = int(rng.integers(2, 5)), str(rng.choice(MODES)), bool(rng.random() < 0.3)
    names = [f"class {i}" for i in range(count)]
    answers = rates(rng, count)
    test = matrix(rng, sizes, answers)
    rows = [("A", "test", test), ("A", "balanced test", rebalanced(rng, test))]
    if rng.random() < 0.3:
        rows.append(("A", "validation", matrix(rng, sizes // 2 + 1, answers)))
    if rng.random() < 0.3:
        rows.append(("B", "test", matrix(rng, sizes, rates(rng, count))))
    return {
        "classes": names,
        "matters": names[:1],
        "same_images": [["test", "balanced test"]],
        "split": str(rng.choice(["image", "lesion"])),
        "models": [model(rng, print_as, names, *row) for row in rows],
        "pairs": [{"worse": "A", "better": "B"}] if rows[-1][0] == "B" else [],
    }


def rates(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """How a model answers an image of each class: rows that sum to one, more or less skilled."""
    skill = rng.beta(4, rng.uniform(0.3, 4), count)
    wrong = rng.dirichlet(np.ones(count), count) * (1 - np.eye(count))
    return np.asarray(np.diag(skill) + (1 - skill)[:, None] * wrong / wrong.sum(axis=1, keepdims=True))


def matrix(rng: np.random.Generator, sizes: Counts, answers: NDArray[np.float64]) -> Counts:
    """Counts, rows true."""
    return np.stack([rng.multinomial(n, row) for n, row in zip(sizes, answers, strict=True)])


def rebalanced(rng: np.random.Generator, counts: Counts) -> Counts:
    """The same images with one number a class: down to the smallest, or to a count between, drawn with replacement where too few."""
    sizes = counts.sum(axis=1)
    wanted = int(rng.integers(sizes.min(), sizes.max() + 1)) if rng.random() < 0.7 else int(sizes.min())
    rows = [
        rng.multivariate_hypergeometric(row, wanted) if n >= wanted else rng.multinomial(wanted, row / n)
        for n, row in zip(sizes, counts, strict=True)
    ]
    return np.stack(rows)


def model(rng: np.random.Generator, print_as: Way, names: list[str], name: str, on: str, counts: Counts) -> dict[str, Any]:
    """A random selection of a model's figures."""
    whole, each = figures(counts.tolist())
    average = str(rng.choice(["macro", "weighted", "micro"]))
    row: dict[str, Any] = {"name": name, "on": on}
    n, sizes = int(counts.sum()), counts.sum(axis=1).tolist()
    row |= {"n": [n, n, sorted({n, n + 3, n + 7})][int(rng.integers(3))]} if rng.random() < 0.8 else {}
    row |= {"sizes": dict(zip(names, sizes, strict=True))} if rng.random() < 0.6 else {}
    for figure, value in whole.items():
        base, _, kind = figure.rpartition("_")
        if rng.random() < 0.6 and (kind not in ("macro", "weighted", "micro") or kind == average or rng.random() < 0.3):
            row[figure] = shortened(value, *print_as)
            if kind == average and rng.random() < 0.5:
                row[base] = row.pop(figure)  # without its label
    if rng.random() < 0.3:
        row["average"] = average
    if rng.random() < 0.5:
        chosen = [f for f in ("precision", "recall", "f1", "specificity") if rng.random() < 0.7]
        row["per_class"] = {c: {f: shortened(each[i][f], *print_as) for f in chosen} for i, c in enumerate(names)} if chosen else {}
    if rng.random() < 0.3:
        row["confusion"] = counts.tolist()
    return row

"""Probes: can the class be told from these numbers? Out-of-fold probabilities over grouped folds, and their AUROC with intervals."""

import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import randomness
from cutis.audit import copies
from cutis.audit.subject import Subject
from cutis.data.table import connected
from cutis.evaluate.intervals import bootstrap_weights, mean_limits, replicated, share_limits
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Floats, Integers, Rows

FOLDS = 5
REPLICATES = 1000
LEVEL = 0.95
SEED = 0
BINS = 20  # equally full bins into which a column of many different numbers is cut
SMOOTHING = 10.0  # images with the shares of the whole that are added to each value of a column, so that a rare one says little

Figure = dict[str, Any]
"""``value low high n``, as in metrics.json."""

Fit = Callable[[NDArray[Any], Integers, NDArray[Any], int], Floats]
"""Values and class indices to learn from, values to answer, number of classes -> probabilities of those, each row's sum 1."""


@dataclass(frozen=True, eq=False)
class Design:
    """Who is probed and how: n images of C classes, in folds that cut no group and part no copies.

    ``rows``: their places among ``subject.readable``; ``labels``: class indices; ``groups``: numbers, the same for all images that a
    group, equal pixels or a near copy connects; ``folds``: 0 to FOLDS - 1; ``rare``: groups of each class that is left out because it
    has fewer than FOLDS, or cannot be spread over two folds.
    """

    rows: Integers
    labels: Integers
    groups: Integers
    folds: Integers
    classes: tuple[str, ...]
    rare: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def weights(self) -> NDArray[np.uint8]:
        """REPLICATES x n bootstrap weights over the groups, the same for every probe."""
        return bootstrap_weights(self.groups, REPLICATES, randomness.stream(SEED, "probe"))

    @property
    def limits(self) -> tuple[str, ...]:
        """Which classes no probe looks at, as a sentence for the section; none where all are there."""
        if not self.rare:
            return ()
        named = ", ".join(f"{name} ({count})" for name, count in self.rare.items())
        return (f"Classes with too few groups for {FOLDS} folds are left out of every probe (groups): {named}.",)


@dataclass(frozen=True)
class Measured:
    """AUROC of a probe: the mean of the classes, and of each class against the rest."""

    macro: Figure
    per_class: dict[str, Figure]

    @property
    def strongest(self) -> str:
        """The class whose interval ends highest from below: the one that is told most surely."""
        return max(self.per_class, key=lambda name: float(self.per_class[name]["low"]))

    @property
    def surely(self) -> float:
        """The higher lower end: of the mean or of the strongest class."""
        return max(float(self.macro["low"]), float(self.per_class[self.strongest]["low"]))

    def to_dict(self) -> dict[str, Any]:
        """``auroc_macro`` and ``per_class`` with ``auroc``, keyed as in metrics.json."""
        return {"auroc_macro": self.macro, "per_class": {name: {"auroc": figure} for name, figure in self.per_class.items()}}


def design(subject: Subject) -> Design | None:
    """The design over all images with a label; None where fewer than two classes have enough groups. For ``subject.once``."""
    return designed(subject, np.ones(len(subject.rows), np.bool_))


def designed(subject: Subject, wanted: NDArray[np.bool_]) -> Design | None:
    """As ``design``, over those of the readable images that are ``wanted``, a flag each."""
    table, clusters = subject.readable, subject.once(copies.found).clusters
    twin = pd.Series({place: number for number, cluster in enumerate(clusters) for place in cluster}, dtype="Int64")
    groups = connected(table.assign(copies=twin.reindex(table.index)), ["group", "sha256", "copies"])
    usable = wanted & table["label"].notna().to_numpy()
    held = table["label"].where(usable)
    count = {str(name): int(n) for name, n in pd.Series(groups).groupby(held).nunique().items()}
    rare = {name: n for name, n in count.items() if n < FOLDS}
    rows = np.flatnonzero(usable & ~held.isin(list(rare)).to_numpy())
    if not len(rows):
        return None
    folds, names = _folds(held.iloc[rows].to_numpy(str), groups[rows]), held.iloc[rows]
    spread = pd.Series(folds).groupby(names.to_numpy()).nunique()
    rare |= {str(name): count[str(name)] for name, n in spread.items() if n < 2}
    kept = ~names.isin(list(rare)).to_numpy()
    labels, classes = pd.factorize(names[kept], sort=True)
    if len(classes) < 2:
        return None
    rows = rows[kept]
    return Design(rows, labels.astype(np.int64), groups[rows], folds[kept], tuple(map(str, classes)), rare)


def out_of_fold(plan: Design, values: NDArray[Any], fit: Fit) -> Floats:
    """Probabilities n x C of the images, each from a probe that saw none of its group.

    ``values``: n rows. A fold's probabilities are carried from the class shares of what it learned from to those of all images
    (Saerens et al. 2002): without that, folds are not comparable, and a probe that knows nothing scores below 0.5.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    count = len(plan.classes)
    whole = np.bincount(plan.labels, minlength=count) / len(plan.labels)
    answers = np.zeros((len(plan.labels), count))

    def answer(fold: np.int64) -> None:
        asked = plan.folds == fold
        given = plan.labels[~asked]
        own = np.bincount(given, minlength=count) / len(given)
        found = fit(values[~asked], given, values[asked], count) * np.divide(whole, own, out=np.zeros(count), where=own > 0)
        answers[asked] = found / found.sum(axis=1, keepdims=True)

    # A thread a fold, each with one of BLAS's: where processors are shared, its own wait for one another by spinning.
    with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(os.cpu_count(), "cutis-probe") as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)  # `linear` ends early on purpose
        list(pool.map(answer, np.unique(plan.folds)))
    return answers


def linear(known: NDArray[Any], labels: Integers, asked: NDArray[Any], classes: int) -> Floats:
    """Logistic regression on standardised numbers, for the features of a network.

    Penalty and number of steps are those beyond which 1,280 features of 8,000 dermoscopy images tell no more; ending early is itself a
    penalty.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale[scale < 1e-6] = 1
    model = LogisticRegression(C=0.003, max_iter=50).fit((known - mean) / scale, labels)
    return _placed(model, model.predict_proba((asked - mean) / scale), classes)


def trees(known: NDArray[Any], labels: Integers, asked: NDArray[Any], classes: int) -> Floats:
    """Extremely randomised trees: for some tens of numbers, of which any may be missing (NaN)."""
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(100, min_samples_leaf=5, random_state=SEED).fit(known, labels)
    return _placed(model, model.predict_proba(asked), classes)


def shares(known: NDArray[Any], labels: Integers, asked: NDArray[Any], classes: int) -> Floats:
    """The share of each class among the images with the same value: for one column, as ``codes`` gives it."""
    counts = np.zeros((int(max(known.max(), asked.max())) + 1, classes))
    np.add.at(counts, (known, labels), 1)
    counts += SMOOTHING * counts.sum(axis=0) / len(labels)
    return np.asarray(counts[asked] / counts[asked].sum(axis=1, keepdims=True))


def codes(column: pd.Series) -> Integers:
    """A column as whole numbers from 0: a value each, a bin each where many numbers differ, and one for missing."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > BINS and not pd.api.types.is_bool_dtype(column):
        column = pd.qcut(column.rank(method="min"), BINS, labels=False, duplicates="drop")
    return np.asarray(pd.factorize(column)[0] + 1, np.int64)


def measured(plan: Design, answers: Floats) -> Measured:
    """AUROC of n x C probabilities, with intervals from a bootstrap over the groups."""
    rows = Rows(plan.labels, answers)
    values, drawn = figures(rows.weighted(), ["auroc"])["auroc"][0], replicated(rows, plan.weights, ["auroc"])["auroc"]
    low, high = share_limits(values, drawn, _smaller(plan), LEVEL)
    ends = mean_limits(values, low, high, drawn)
    count = np.bincount(plan.labels)
    return Measured(
        macro=_figure(values.mean(), *ends, len(plan.labels)),
        per_class={name: _figure(values[c], low[c], high[c], count[c]) for c, name in enumerate(plan.classes)},
    )


def told(figure: Figure) -> str:
    """``0.84 [0.81, 0.87]``."""
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _figure(value: float, low: Any, high: Any, n: int) -> Figure:
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}


def _folds(labels: NDArray[Any], groups: Integers) -> Integers:
    """The fold of each image: whole groups, dealt so that each class is spread as evenly as they allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = np.zeros(len(labels), np.int64)
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for number, (_, asked) in enumerate(cut.split(labels, labels, groups)):
        folds[asked] = number
    return folds


def _smaller(plan: Design) -> Integers:
    """For each class, the groups on the smaller side: with an image of it, or with one of another class."""
    own = plan.labels[:, None] == np.arange(len(plan.classes))
    return np.array([min(len(np.unique(plan.groups[side])) for side in (column, ~column)) for column in own.T], np.int64)


def _placed(model: Any, answers: Floats, classes: int) -> Floats:
    """Answers for all classes; one that the model never saw gets 0."""
    every = np.zeros((len(answers), classes))
    every[:, model.classes_] = answers
    return every

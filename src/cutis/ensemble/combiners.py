"""Methods: each is one function that looks at the members' validation answers, where it must, and gives a rule."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.ensemble.rules import TINY, Floats, Ranked, Stacked, Weighted, design
from cutis.errors import CutisError, DataError
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.recipe import Ensemble
from cutis.registry import Registry

GAP = 1e-7  # nats of log loss: how far fitted weights may be from the best
STEPS = 10_000
POINTS = 1001  # reference probabilities kept of each class and member
STRENGTHS = tuple(10.0**k for k in range(-4, 3))  # inverse L2 penalties that stacking tries
LOWER = {"log_loss", "brier", "ece", "mean_absolute_error"}  # figures of which less is better


@dataclass(frozen=True)
class Validation:
    """Labelled validation rows: ``answers`` M x N x C, ``labels`` N class indices, ``groups`` N (what cross-validation may not cut)."""

    answers: Floats
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]


@dataclass(frozen=True)
class Task:
    """What a method is given: names of members and classes, weights the user gave, and validation rows where the members have them."""

    members: tuple[str, ...]
    classes: tuple[str, ...]
    weights: tuple[float, ...] = ()
    known: Validation | None = None

    @property
    def validation(self) -> Validation:
        """The validation rows. Raises DataError where there are none."""
        if self.known is None or not len(self.known.labels):
            raise DataError(
                "This method is fitted on validation answers, and the members have none. Train with split.val above 0, or give weights."
            )
        return self.known


combiners: Registry[Callable[..., Weighted | Ranked | Stacked]] = Registry("way to combine", "cutis.ensemble.combiners")
"""A method takes (Task, **options) and returns a rule; it never sees test rows."""


def fitted(spec: Ensemble, task: Task) -> Weighted | Ranked | Stacked:
    """The rule of an ensemble. Raises CutisError where weights or options do not fit, DataError where validation does not do."""
    method = combiners[spec.method]
    if spec.weights and spec.method != "given":
        raise CutisError(f"Weights are used by the method given; the method {spec.method} finds its own. Leave one of the two out.")
    known = {name: p.default for name, p in inspect.signature(method).parameters.items() if name != "task"}
    for name, value in spec.options.items():
        if name not in known or not isinstance(value, int | float if isinstance(known[name], int | float) else type(known[name])):
            takes = ", ".join(f"{k}={v!r}" for k, v in known.items()) or "none"
            raise CutisError(f"ensemble.options.{name}={value!r} does not fit the method {spec.method}. It takes: {takes}.")
    return method(task, **spec.options)


@combiners.register("mean")
def mean(task: Task) -> Weighted:
    """Every member weighs the same."""
    m = len(task.members)
    return Weighted(weights=(1 / m,) * m, how="The plain mean of the members' probabilities; nothing was fitted.")


@combiners.register("given")
def given(task: Task) -> Weighted:
    """Weights as the user gives them, divided by their sum."""
    weights, m = np.array(task.weights), len(task.members)
    if len(weights) != m or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        listed = ", ".join(f"{w:g}" for w in weights) or "none"
        raise CutisError(f"Give one weight for each of the {m} members, none below 0 and not all 0: --weights A,B,... (given: {listed}).")
    total = weights.sum()
    scaled = "" if abs(total - 1) < 1e-9 else f" The weights sum to {total:g} and are divided by it."
    return Weighted(weights=tuple((weights / total).tolist()), how=f"Weights were given; nothing was fitted.{scaled}")


@combiners.register("fitted")
def likeliest(task: Task) -> Weighted:
    """The weights, none below 0, that sum to 1 and give the mixture the lowest log loss on validation.

    The log loss of a mixture is convex in its weights, so expectation maximisation climbs to the one best value (Dempster et al. 1977):
    w_m <- w_m g_m, g_m the mean over images of p_m / sum_k w_k p_k at the true class. As sum_m w_m g_m = 1, convexity bounds what is
    still to be gained by max g - 1, which is where it stops.
    """
    known = task.validation
    true = known.answers[:, np.arange(len(known.labels)), known.labels].clip(TINY)
    weights = np.full(len(true), 1 / len(true))
    for _ in range(STEPS):
        gain = (true / (weights @ true)).mean(axis=1)
        if gain.max() - 1 < GAP:
            break
        weights *= gain
    weights /= weights.sum()
    found, equal = (-np.log(w @ true).mean() for w in (weights, np.full(len(true), 1 / len(true))))
    how = (
        f"The weights of the lowest log loss on {len(known.labels):,} validation images: {found:.4f}, against {equal:.4f} with equal "
        f"weights; no weights are better by more than {max(gain.max() - 1, GAP):.0e}."
    )
    return Weighted(weights=tuple(weights.tolist()), how=how)


@combiners.register("greedy")
def greedy(task: Task, metric: str = "log_loss", rounds: int = 50) -> Weighted:
    """Forward selection with replacement (Caruana et al. 2004): each round adds the member that helps the mean of those chosen most.

    ``metric``: a figure of metrics.json. Of all rounds the one with the best figure is kept, the earliest of equals; equal members: the
    first. A weight is how often a member was chosen.
    """
    known, base = task.validation, metric.removesuffix("_macro").removesuffix("_weighted")
    sign = -1 if base in LOWER else 1
    if rounds < 1:
        raise CutisError(f"greedy needs one round or more: ensemble.options.rounds={rounds} selects nothing.")

    def score(answers: Floats) -> float:
        found = figures(Rows(known.labels, answers).weighted(), [base])
        if metric not in found or found[metric].ndim > 1:
            whole = ", ".join(name for name, value in found.items() if value.ndim == 1)
            raise CutisError(f"greedy needs a figure of the whole table, and {metric} is none. Give one of: {whole}.")
        return sign * float(found[metric][0]) if np.isfinite(found[metric][0]) else -np.inf

    total, chosen, best, kept = np.zeros_like(known.answers[0]), list[int](), -np.inf, 0
    for size in range(1, rounds + 1):
        scores = [score((total + answer) / size) for answer in known.answers]
        chosen.append(int(np.argmax(scores)))
        total += known.answers[chosen[-1]]
        if max(scores) > best:
            best, kept = max(scores), size
    if not kept:
        raise DataError(f"{metric} is not defined on these {len(known.labels):,} validation images. Choose another metric.")
    weights = np.bincount(chosen[:kept], minlength=len(task.members)) / kept
    how = (
        f"Forward selection with replacement by {metric.replace('_', ' ')} on {len(known.labels):,} validation images: "
        f"{kept} of {rounds} rounds kept ({sign * best:.4f})."
    )
    return Weighted(weights=tuple(weights.tolist()), how=how)


@combiners.register("rank")
def rank(task: Task) -> Ranked:
    """The mean of within-class ranks among the validation images; at most ``POINTS`` of them, evenly spread, are kept as reference."""
    known = task.validation
    ordered = np.sort(known.answers, axis=1)
    kept = np.unique(np.linspace(0, ordered.shape[1] - 1, POINTS).round().astype(int))
    reference = ordered[:, kept].transpose(0, 2, 1)
    how = (
        f"The mean of each member's rank of an image in each class among {ordered.shape[1]:,} validation images, divided by its sum "
        "over the classes: how high an image stands, not a probability. Rare classes count as much as common ones."
    )
    return Ranked(reference=tuple(tuple(map(tuple, rows)) for rows in reference.tolist()), how=how)


@combiners.register("stacking")
def stacking(task: Task, seed: int = 0) -> Stacked:
    """Multinomial logistic regression on the members' log-probabilities; its L2 strength has the lowest cross-validated log loss.

    Folds keep groups whole and are five, fewer where a class has fewer groups. Raises DataError where a class has fewer than two.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    known, x = task.validation, design(task.validation.answers)
    counts = {name: len(np.unique(known.groups[known.labels == c])) for c, name in enumerate(task.classes)}
    few = [f"{name} ({n})" for name, n in counts.items() if n < 2]
    if few:
        raise DataError(
            f"Stacking needs validation images of at least two groups (lesions, patients) of every class; too few of {', '.join(few)}. "
            "Use fitted or mean, which need less, or train with a larger split.val."
        )
    folds = min(5, *counts.values())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # groups are counted above, images do not matter
        cut = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(x, known.labels, known.groups))

    def regression(strength: float, rows: NDArray[np.int64]) -> LogisticRegression:
        return LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8).fit(x[rows], known.labels[rows])

    def held_out(strength: float) -> float:
        losses = np.empty(len(x))
        for fit, test in cut:
            model, answers = regression(strength, fit), np.full((len(test), len(task.classes)), TINY)
            answers[:, model.classes_] = model.predict_proba(x[test])
            losses[test] = -np.log(answers[np.arange(len(test)), known.labels[test]].clip(TINY))
        return float(losses.mean())

    loss, strength = min((held_out(strength), strength) for strength in STRENGTHS)
    model = regression(strength, np.arange(len(x)))
    coefficients, intercepts = _symmetric(model.coef_, model.intercept_)
    how = (
        f"Multinomial logistic regression on the members' log-probabilities, fitted on {len(x):,} validation images; C = {strength:g} "
        f"has the lowest log loss ({loss:.4f}) in {folds}-fold cross-validation over groups. A member's weight is its share of the "
        "coefficients."
    )
    return Stacked(coefficients=tuple(map(tuple, coefficients.tolist())), intercepts=tuple(intercepts.tolist()), how=how)


def _symmetric(coefficients: Floats, intercepts: Floats) -> tuple[Floats, Floats]:
    """A row a class: of two classes scikit-learn keeps one row z, the log-odds of the second, which is the softmax of (-z / 2, z / 2)."""
    if len(intercepts) > 1:
        return coefficients, intercepts
    return np.concatenate([-coefficients, coefficients]) / 2, np.concatenate([-intercepts, intercepts]) / 2

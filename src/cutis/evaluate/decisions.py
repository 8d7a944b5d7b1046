"""Decisions about the classes that matter: thresholds from validation, what they reach on a set, net benefit, the first of a patient."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.errors import DataError
from cutis.evaluate import thresholds
from cutis.evaluate.after import After, Bootstrap, afterwards, figure
from cutis.evaluate.intervals import BLOCK, percentile_limits
from cutis.evaluate.sample import Floats
from cutis.evaluate.summary import Figure
from cutis.evaluate.watched import Mask, Question, among_first, net_benefit, partial_auroc, rates
from cutis.predictions import Predictions
from cutis.recipe import Evaluation

ABOVE = 0.8  # the sensitivity above which ISIC 2024 measures the area; the target of the run is measured beside it
WORTH = np.arange(1, 51) / 100  # threshold probabilities of the net-benefit curve: calling one in a hundred, to one in two
FIRST = (1, 3, 5, 10, 15)  # of each patient's images
RULES = {"plain": thresholds.plain, "guaranteed": thresholds.guaranteed}


def fit(val: Predictions, spec: Evaluation) -> dict[str, Any] | None:
    """For all watched classes together, and for each: the thresholds that find ``spec.sensitivity`` of its validation images.

    ``plain`` finds that share of them, ``guaranteed`` of others like them at one-sided confidence ``spec.level`` (evaluate/thresholds.py).
    None where no class is watched; DataError where one is not the model's.
    """
    if not spec.watch:
        return None
    strange = [c for c in spec.watch if c not in val.classes]
    if strange:
        raise DataError(f"Watched, but no class of this model: {', '.join(strange)}. It knows: {', '.join(val.classes)}.")
    asked = [_chosen(val, classes, spec) for classes in _questions(spec.watch, val.classes)]
    return {"target": spec.sensitivity, "level": spec.level, "questions": asked}


def measure(told: Mapping[str, Any], predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    """What the fitted thresholds reach on a set, and what needs no threshold: partial AUROC, net benefit, the first of each patient."""
    asked = [_measured(question, told["target"], predictions, bootstrap) for question in told["questions"]]
    return {"target": told["target"], "level": told["level"], "questions": asked}


afterwards.register("decisions")(After(fit, measure))


def _questions(watch: Sequence[str], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """All watched classes together, where they are several and leave a rest, then each alone."""
    together = [tuple(watch)] if 1 < len(watch) < len(classes) else []
    return together + [(c,) for c in watch]


def _chosen(val: Predictions, classes: Sequence[str], spec: Evaluation) -> dict[str, Any]:
    q = Question.of(val, classes)
    n, groups = q.count(q.positive)
    found: dict[str, Any] = {"classes": list(classes), "n": n, "groups": groups}
    if not n:
        return found | {name: {"why": f"no validation image of {' or '.join(classes)}"} for name in RULES}
    own = q.score[q.positive], q.groups[q.positive]
    found["effective"] = thresholds.effective(*own)
    for name, rule in RULES.items():
        try:
            found[name] = asdict(rule(*own, spec.sensitivity, spec.level))
        except DataError as error:
            found[name] = {"why": str(error)}
    return found


def _measured(told: Mapping[str, Any], target: float, predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    q = Question.of(predictions, told["classes"])
    n, groups = q.count(q.positive)
    found: dict[str, Any] = {"classes": told["classes"], "n": n, "groups": groups, "rest": q.count(~q.positive)[0]}
    watched = [predictions.classes.index(c) for c in told["classes"]]
    rules = {"answered": np.isin(predictions.predicted, watched)}
    rules |= {name: q.score >= told[name]["threshold"] for name in RULES if "threshold" in told[name]}
    cuts = sorted({0.0, ABOVE, target})
    values, drawn = _values(q, rules, cuts), _drawn(q, rules, cuts, bootstrap.weights)

    def share(key: str, counted: tuple[int, int], scale: float = 1.0) -> Figure:
        why = "" if counted[1] > 1 else "no image" if not counted[0] else "1 image" if counted[0] == 1 else "all of one group"
        made = figure(values[key][0] / scale, drawn[key] / scale, bootstrap.level, counted[0], groups=counted[1], why=why)
        return {k: made[k] * scale if k in ("value", "low", "high") and made[k] is not None else made[k] for k in made}

    everyone = np.ones(len(q.score), bool)
    for name, called in rules.items():
        basis = {"sensitivity": q.positive, "specificity": ~q.positive, "precision": called, "called": everyone}
        threshold = {"threshold": told[name]["threshold"]} if name in told else {}
        found[name] = threshold | {rate: share(f"{name}/{rate}", q.count(rows)) for rate, rows in basis.items()}
    found |= {name: told[name] for name in RULES if name not in rules}
    smaller = min(q.count(q.positive), q.count(~q.positive), key=lambda counted: counted[1])
    found["auroc"] = share("area/0", smaller)
    found["partial_auroc"] = {f"{cut:g}": share(f"area/{cut:g}", smaller, 1 - cut) for cut in cuts if cut}
    found["net_benefit"] = _benefit(values, drawn, bootstrap.level)
    found["among_first"] = _first(q, bootstrap)
    return found


def _values(q: Question, rules: Mapping[str, Mask], cuts: Sequence[float], weights: NDArray[np.uint8] | None = None) -> dict[str, Floats]:
    """Every figure of a question under R x N row weights (none: every row once), R or R x T each."""
    w = np.ones((1, len(q.score))) if weights is None else weights.astype(np.float64)
    found = {f"{name}/{rate}": v for name, called in rules.items() for rate, v in rates(q, called, w).items()}
    found |= {f"area/{cut:g}": partial_auroc(q.positive, q.score, w, cut) for cut in cuts}
    own, everyone = net_benefit(q, WORTH, w)
    return found | {"benefit": own, "benefit of all": everyone}


def _drawn(q: Question, rules: Mapping[str, Mask], cuts: Sequence[float], weights: NDArray[np.uint8]) -> dict[str, Floats]:
    """``_values`` in blocks of replicates, so that memory stays bounded."""
    step = max(1, BLOCK // len(q.score))
    blocks = [_values(q, rules, cuts, weights[start : start + step]) for start in range(0, len(weights), step)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _benefit(values: Mapping[str, Floats], drawn: Mapping[str, Floats], level: float) -> dict[str, Any]:
    """The curve with its band, that of calling all, and where the whole intervals of its gain over calling none and all are above 0."""
    own, everyone = values["benefit"][0], values["benefit of all"][0]
    low, high = percentile_limits(own, drawn["benefit"], level, signed=True)
    over_all, _ = percentile_limits(own - everyone, drawn["benefit"] - drawn["benefit of all"], level, signed=True)
    useful = (low > 0) & (over_all > 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], useful, [False]]).astype(int)))
    spans = [[float(WORTH[a]), float(WORTH[b - 1])] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    curve = {"threshold": WORTH, "value": own, "low": low, "high": high, "all": everyone}
    return {name: [float(x) for x in line] for name, line in curve.items()} | {"useful": spans}


def _first(q: Question, bootstrap: Bootstrap) -> dict[str, Any]:
    """For each k that some patient has more images than: the share of watched images among their patient's first k, and that of chance."""
    if len(np.unique(q.images)) < len(q.images):
        return {}  # several answers to an image would crowd each other out
    found = {}
    for k in FIRST:
        asked, hits, chance = among_first(q, k)
        n, patients = q.count(asked)
        if patients < 2:
            continue
        w = bootstrap.weights[:, asked].astype(np.float64)
        total = w.sum(axis=1)
        drawn = np.divide(w @ hits, total, out=np.full(len(w), np.nan), where=total > 0)
        found[str(k)] = figure(hits.mean(), drawn, bootstrap.level, n, groups=patients) | {
            "patients": patients,
            "chance": float(chance.mean()),
        }
    return found

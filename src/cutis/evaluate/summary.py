"""The summary of a set: every figure with its interval, as metrics.json holds it; and what several runs give together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.errors import DataError
from cutis.evaluate.intervals import METHOD, bootstrap_weights, mean_limits, percentile_limits, replicated, share_limits
from cutis.evaluate.metrics import AVERAGES, Basis, figures, metrics
from cutis.evaluate.sample import Floats, Integers, Rows
from cutis.predictions import Predictions

TWINS = {"balanced_accuracy": "sensitivity_macro"}  # one figure under two names, so with one interval
Figure = dict[str, Any]


def summarise(
    predictions: Predictions, *, replicates: int = 2000, level: float = 0.95, seed: int = 0, majority: str | None = None
) -> dict[str, Any]:
    """One set of metrics.json (docs/formats.md): every registered metric with its interval, the baseline, the confusion matrix.

    ``majority`` is the most frequent class of the training rows; without it there is no baseline. Rows without a label are counted
    as ``unlabelled`` and left out. Raises DataError where no row has a label, or where ``majority`` is not a class.
    """
    known = predictions.known()
    if not len(known.labels):
        raise DataError("None of these images has a label the model knows, so there is nothing to measure. Give data with labels.")
    if majority is not None and majority not in known.classes:
        raise DataError(f"The majority class {majority!r} is none of the classes {', '.join(known.classes)}. Give one of them.")
    rows = Rows(known.labels, known.probabilities)
    sample, weights = rows.weighted(), bootstrap_weights(known.groups, replicates, np.random.default_rng(seed))
    values = {name: value[0] for name, value in figures(sample).items()}
    groups = bases(known, rows)
    limits = limits_of(values, replicated(rows, weights), groups, level)

    n, alone = len(np.unique(known.images)), "all images are of one group" if groups["all"] < 2 else ""
    counts = [len(np.unique(known.images[known.labels == c])) for c in range(len(known.classes))]
    absent = [name for name, count in zip(known.classes, counts, strict=True) if not count]
    note = f"without {', '.join(absent)}: no image" if absent else ""
    whole = {
        name: entry(value, *limits[name], n, alone, note if name.endswith("_macro") else "")
        for name, value in values.items()
        if value.ndim == 0
    }
    per_class = {
        class_name: {
            name: entry(value[c], limits[name][0][c], limits[name][1][c], counts[c], _too_few(counts[c], int(groups["class"][c])) or alone)
            for name, value in values.items()
            if value.ndim == 1
        }
        for c, class_name in enumerate(known.classes)
    }
    return {
        **whole,
        **{name: dict(whole[twin]) for name, twin in TWINS.items()},
        "per_class": per_class,
        **({} if majority is None else {"baseline": _baseline(known, weights, groups["all"], level, majority)}),
        "confusion": sample.confusion[0].astype(int).tolist(),
        "classes": list(known.classes),
        "n": n,
        "groups": int(groups["all"]),
        "unlabelled": len(predictions.labels) - len(known.labels),
        "interval": {"method": METHOD, "level": level, "replicates": replicates, "seed": seed},
    }


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """All rows of several predictions (folds, seeds) under the classes of the first, mapped by name.

    An image answered by several runs keeps a row for each: figures are then those of one such run on average, and its group is resampled
    with all of them.
    Raises DataError where there is none, or where their classes differ.
    """
    if not parts:
        raise DataError("There are no predictions to pool. Name at least one run.")
    same = [part.over(parts[0].classes) for part in parts]
    return Predictions(
        images=np.concatenate([part.images for part in same]),
        groups=np.concatenate([part.groups for part in same]),
        labels=np.concatenate([part.labels for part in same]),
        probabilities=np.concatenate([part.probabilities for part in same]),
        classes=parts[0].classes,
    )


def picked(summary: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A figure of a summary; ``metric/class`` is that of one class, whatever the case of its letters. None where there is none."""
    metric, _, wanted = name.partition("/")
    if not wanted:
        found = summary.get(name)
        return dict(found) if isinstance(found, Mapping) and "value" in found else None
    own = [c for c in summary["classes"] if c.casefold() == wanted.casefold()]
    found = summary["per_class"][own[0]].get(metric) if own else None
    return dict(found) if found else None


def spread(summaries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation (n - 1) and the value of each run, of every whole-table figure.

    A run without the figure has None among the values and is left out of the mean; mean is None where no run has it, sd where only one has.
    """
    found = {}
    for name, figure in summaries[0].items() if summaries else ():
        if not isinstance(figure, Mapping) or "value" not in figure:
            continue
        runs = [summary.get(name, {}).get("value") for summary in summaries]
        known = [value for value in runs if value is not None]
        mean, sd = (float(np.mean(known)) if known else None), (float(np.std(known, ddof=1)) if len(known) > 1 else None)
        found[name] = {"mean": mean, "sd": sd, "runs": runs}
    return found


def limits_of(
    values: Mapping[str, Floats], drawn: Mapping[str, Floats], groups: Mapping[Basis, Integers], level: float
) -> dict[str, tuple[Floats, Floats]]:
    """Low and high end of every figure and average, by what the metric says of itself (metrics.share_of)."""
    found: dict[str, tuple[Floats, Floats]] = {}
    for name, metric in ((name, metric) for name, metric in metrics.items() if name in values):
        basis: Basis | None = getattr(metric, "share_of", None)
        averages = [f"{name}_{average}" for average in AVERAGES if values[name].ndim]
        for key in (name, *averages):
            if basis is None:
                found[key] = percentile_limits(values[key], drawn[key], level)
            elif key.endswith("_macro"):
                found[key] = mean_limits(values[name], *found[name], drawn[name])
            else:
                found[key] = share_limits(values[key], drawn[key], groups[basis if values[key].ndim else "all"], level)
    return found


def bases(known: Predictions, rows: Rows) -> dict[Basis, Integers]:
    """How many groups a share rests on, by its basis (metrics.share_of): one number, or one a class."""
    names, index = np.unique(known.groups, return_inverse=True)

    def count(member: NDArray[np.bool_]) -> Integers:
        return np.array([len(np.unique(index[column])) for column in member.T], np.int64)

    each = np.arange(len(known.classes))
    own, rest = count(known.labels[:, None] == each), count(known.labels[:, None] != each)
    called = count(rows.predicted[:, None] == each)
    return {"all": np.array(len(names)), "class": own, "rest": rest, "predicted": called, "smaller": np.minimum(own, rest)}


def _baseline(known: Predictions, weights: NDArray[np.uint8], groups: Integers, level: float, majority: str) -> dict[str, Figure]:
    """The figures of always answering ``majority``. Balanced accuracy and AUROC of a constant answer are what they are, without doubt."""
    constant = np.zeros_like(known.probabilities)
    constant[:, known.classes.index(majority)] = 1
    rows, n = Rows(known.labels, constant), len(np.unique(known.images))
    values = {name: value[0] for name, value in figures(rows.weighted(), ["accuracy", "balanced_accuracy", "auroc"]).items()}
    low, high = share_limits(values["accuracy"], replicated(rows, weights, ["accuracy"])["accuracy"], groups, level)
    found = {"accuracy": entry(values["accuracy"], low, high, n)}
    return found | {name: entry(values[name], values[name], values[name], n) for name in ("balanced_accuracy", "auroc_macro")}


def _too_few(images: int, groups: int) -> str:
    if images == 0:
        return "no image of this class"
    if groups > 1:
        return ""
    return "1 image of this class" if images == 1 else f"{images} images of this class, all of one group"


def entry(value: Floats | float, low: Floats | float, high: Floats | float, n: int, why: str = "", note: str = "") -> Figure:
    """One figure of metrics.json; ``why`` withholds it, and so does a value or an interval that is not a number."""
    if not why and not np.isfinite(value):
        why = "not defined for these images"
    elif not why and not (np.isfinite(low) and np.isfinite(high)):
        why = "not defined in too many resamples for an interval"
    if why:
        return {"value": None, "low": None, "high": None, "n": n, "why": why}
    return {"value": float(value), "low": float(low), "high": float(high), "n": n, **({"note": note} if note else {})}

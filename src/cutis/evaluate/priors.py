"""Class shares: probabilities of a model trained where classes are otherwise frequent than where it is used, corrected for that."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cutis.errors import CutisError
from cutis.evaluate import calibration
from cutis.evaluate.after import Bootstrap
from cutis.evaluate.sample import Floats
from cutis.files import read_json
from cutis.predictions import Predictions
from cutis.recipe import Evaluation

Shares = Mapping[str, float] | Sequence[str]
"""Class shares as a user may give them: see ``given``."""

FIGURES = ("log_loss", "brier", "ece", "accuracy", "balanced_accuracy")


def prior_corrected(probabilities: Floats, training: ArrayLike, deployment: ArrayLike) -> Floats:
    """Probabilities N x C for classes as frequent as ``deployment`` says, from those for ``training`` (C shares each).

    p'(c | x) is proportional to p(c | x) deployment_c / training_c (Saerens, Latinne & Decaestecker 2002, equation 4): pictures of a
    class look alike in both places, and only the shares differ. Raises CutisError where a training share is 0, or all that an answer
    holds possible has the share 0 in deployment.
    """
    before, now = np.asarray(training, np.float64), np.asarray(deployment, np.float64)
    if (before <= 0).any() or (now < 0).any() or not now.any():
        raise CutisError("Class shares are above 0 where a model was trained, and at least 0, not all of them 0, where it is used.")
    found = probabilities * (now / now.sum()) / (before / before.sum())
    total = found.sum(axis=1, keepdims=True)
    if (total <= 0).any():
        raise CutisError("Some answers give all probability to classes whose share is 0. Give every class a share above 0.")
    return np.asarray(found / total)


def given(shown: Shares, classes: Sequence[str]) -> dict[str, float]:
    """Shares of all classes, summing to 1, from a mapping, ``CLASS=SHARE`` texts (which may be joined by commas), or a file's name.

    The file is JSON, class to share, or CSV with the columns class and share. Shares may be counts or per cents: they are divided by their
    sum. Raises CutisError for a class that is missing or not the model's, and for what is no share.
    """
    texts = () if isinstance(shown, Mapping) else shown
    pairs: list[tuple[str, Any]] = [pair for text in texts for pair in (_of_text(text) if "=" in text else _of_file(Path(text)))]
    pairs += shown.items() if isinstance(shown, Mapping) else ()
    shares: dict[str, float] = {}
    for name, text in pairs:
        try:
            shares[name] = float(text)
        except (TypeError, ValueError):
            raise CutisError(f"The share of {name!r} is no number: {text!r}. Write --prior {name}=0.1") from None
        if not 0 <= shares[name] < math.inf:
            raise CutisError(f"The share of {name!r} is {text}; a share is at least 0.")
    strange, absent = sorted(set(shares) - set(classes)), [name for name in classes if name not in shares]
    if strange or absent or len(shares) != len(pairs):
        wrong = f"not the model's: {', '.join(strange)}" if strange else f"missing: {', '.join(absent)}" if absent else "one is given twice"
        raise CutisError(f"--prior gives each class its share once ({wrong}). The classes are {', '.join(classes)}.")
    total = sum(shares.values())
    if total <= 0:
        raise CutisError("All shares are 0. Give --prior CLASS=SHARE for each class, at least one of them above 0.")
    return {name: shares[name] / total for name in classes}


def fit(val: Predictions, training: Mapping[str, float], spec: Evaluation) -> dict[str, Any]:
    """How answers become those for any class shares: the shares that training showed, validation's, and the calibration between.

    Answers are carried from training's shares to validation's, calibrated there by the recipe's method, and from there to any others, so
    that a model trained on balanced classes is not calibrated for the imbalance of validation, and then corrected for it once more.
    Validation's shares have half an image added to each class, so that none is 0. Raises DataError where validation is too small.
    """
    counts = np.bincount(val.labels, minlength=len(val.classes)) + 0.5
    shares = dict(zip(val.classes, (counts / counts.sum()).tolist(), strict=True))
    moved = prior_corrected(val.probabilities, [training[c] for c in val.classes], list(shares.values()))
    there = Predictions(val.images, val.groups, val.labels, moved, val.classes)
    return {"training": {c: training[c] for c in val.classes}, "validation": shares, "calibration": calibration.fit(there, spec)}


def corrected(fitted: Mapping[str, Any], predictions: Predictions, deployment: Mapping[str, float]) -> Predictions:
    """The answers as they are where classes are as frequent as ``deployment`` says; ``fitted`` is what ``fit`` found."""
    training, validation, now = (
        [shares[c] for c in predictions.classes] for shares in (fitted["training"], fitted["validation"], deployment)
    )
    there = calibration.calibrated(fitted["calibration"], prior_corrected(predictions.probabilities, training, validation))
    probabilities = prior_corrected(there, validation, now)
    return Predictions(predictions.images, predictions.groups, predictions.labels, probabilities, predictions.classes)


def measure(fitted: Mapping[str, Any], predictions: Predictions, deployment: Mapping[str, float], bootstrap: Bootstrap) -> dict[str, Any]:
    """Figures of a set before and after the correction, as they are to be expected where classes are as frequent as ``deployment`` says.

    Each image weighs the share of its class in deployment divided by that in the set. ``absent``: classes with a share but no image,
    for which nothing can stand.
    """
    now, counts = (
        np.array([deployment[c] for c in predictions.classes]),
        np.bincount(predictions.labels, minlength=len(predictions.classes)),
    )
    weights = np.divide(now * len(predictions.labels), counts, out=np.zeros(len(now)), where=counts > 0)
    if not weights.any():
        raise CutisError("No class of this set has a share where the model is used, so nothing can be measured. Check --prior.")
    after = corrected(fitted, predictions, deployment)
    return {
        "shares": {c: float(share) for c, share in zip(predictions.classes, now, strict=True)},
        **calibration.compared(predictions, after.probabilities, bootstrap, FIGURES, weights[predictions.labels]),
        "changed": int((after.predicted != predictions.predicted).sum()),
        "absent": [c for c, share, n in zip(predictions.classes, now, counts, strict=True) if share > 0 and not n],
    }


def _of_text(text: str) -> list[tuple[str, Any]]:
    return [(name.strip(), share.strip()) for name, _, share in (part.rpartition("=") for part in text.split(",") if part)]


def _of_file(path: Path) -> list[tuple[str, Any]]:
    if not path.is_file():
        raise CutisError(f"--prior takes CLASS=SHARE or a file; there is no file {path}.")
    if path.suffix == ".json":
        told = read_json(path)
        if not isinstance(told, dict):
            raise CutisError(f'{path} does not hold class shares: write {{"class": share, ...}}.')
        return [(str(name), share) for name, share in told.items()]
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"class", "share"} <= rows[0].keys():
        raise CutisError(f"{path} does not hold class shares: its header must name the columns class and share.")
    return [(row["class"], row["share"]) for row in rows]

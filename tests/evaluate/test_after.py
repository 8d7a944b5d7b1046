"""The seam for what is fitted after training: only validation is fitted on, reasons are kept, and figures match the summary's resamples."""

from dataclasses import replace

import numpy as np
import pytest

from cutis.errors import DataError
from cutis.evaluate import after
from cutis.evaluate.after import After, Bootstrap
from cutis.evaluate.summary import summarise
from cutis.recipe import Evaluation
from cutis.registry import Registry

SPEC = Evaluation(replicates=200, level=0.9)


@pytest.fixture
def registered(monkeypatch):
    """The seam with a few measures of its own."""
    registry: Registry[After] = Registry("measure", "cutis.evaluate.after")
    monkeypatch.setattr(after, "afterwards", registry)
    return registry


def share(bound, predictions, bootstrap):
    """Share of answers above what was fitted."""
    above = (predictions.probabilities.max(axis=1) > bound["bound"]).astype(float)
    drawn = bootstrap.weights @ above / bootstrap.weights.sum(axis=1)
    return {"above": after.figure(above.mean(), drawn, bootstrap.level, len(above), groups=len(set(predictions.groups)))}


def test_what_is_fitted_is_measured_on_labelled_rows_and_reasons_are_kept(registered, noisy):
    def refuse(val, spec):
        raise DataError("There are no moles.")

    registered.register("bound")(After(lambda val, spec: {"bound": float(np.median(val.probabilities.max(axis=1)))}, share))
    registered.register("moles")(After(refuse, share))
    registered.register("nothing")(After(lambda val, spec: None, share))
    val, test = noisy([30, 20, 10], 1), noisy([40, 30, 20], 2, views=2)
    labels = val.labels.copy()
    labels[:10] = -1
    told = after.fitted(replace(val, labels=labels), SPEC)
    assert (told["set"], told["n"], told["groups"]) == ("val", 50, 50)
    assert set(told) == {"set", "n", "groups", "bound", "moles"}
    assert told["bound"]["bound"] == np.median(val.probabilities[10:].max(axis=1))
    figures = after.measured(told, test, SPEC, seed=0)
    assert figures["moles"] == {"why": "There are no moles."}
    above = figures["bound"]["above"]
    assert above["value"] == pytest.approx(np.mean(test.probabilities.max(axis=1) > told["bound"]["bound"]))
    assert above["low"] < above["value"] < above["high"]
    assert after.measured(told, replace(test, labels=np.full(90, -1)), SPEC, seed=0) == {}


def test_resamples_are_those_of_the_summary(registered, noisy):
    def right(_, predictions, bootstrap: Bootstrap):
        hit = predictions.predicted == predictions.labels
        drawn = bootstrap.weights @ hit / bootstrap.weights.sum(axis=1)
        return {"accuracy": after.figure(hit.mean(), drawn, bootstrap.level, len(hit), groups=len(set(predictions.groups)))}

    registered.register("right")(After(lambda val, spec: {}, right))
    test = noisy([40, 30, 20], 2, views=2)
    figures = after.measured(after.fitted(test, SPEC), test, SPEC, seed=5)
    assert figures["right"]["accuracy"] == pytest.approx(summarise(test, replicates=200, level=0.9, seed=5)["accuracy"])


def test_validation_without_a_label_is_refused(registered, noisy):
    with pytest.raises(DataError, match="labels"):
        after.fitted(replace(noisy([3, 3]), labels=np.full(6, -1)), SPEC)

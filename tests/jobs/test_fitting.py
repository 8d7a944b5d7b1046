"""What a run keeps of validation once training is over, and under which class shares it was trained."""

import numpy as np
import pandas as pd
import pytest

from cutis.errors import CutisError, DataError
from cutis.evaluate.summary import summarise
from cutis.files import read_json
from cutis.jobs import fitting
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.runs import Run

CLASSES = ("bkl", "mel", "nv")
TRAIN = (60, 20, 320)


def answers(sizes, seed, part):
    """Answers that are surer than they are right."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), sizes)
    e = np.exp(3 * (rng.normal(size=(len(labels), 3)) + 1.2 * np.eye(3)[labels]))
    names = np.array([f"{part}{i}" for i in range(len(labels))])
    return Predictions(names, names, labels, e / e.sum(axis=1, keepdims=True), CLASSES)


@pytest.fixture
def made(tmp_path):
    """A run as training leaves it, but for what is fitted."""

    def make(name="run", parts=("val", "test"), **fields):
        run = Run(tmp_path / name)
        run.recipe = Recipe().changed(**{"evaluate.replicates": 200, **fields})
        run.provenance = {"classes": list(CLASSES), "majority": "nv", "evaluated": {}}
        labels = np.repeat(CLASSES, TRAIN)
        run.save_table("split", pd.DataFrame({"image": [f"t{i}" for i in range(400)], "label": labels, "split": "train"}))
        metrics = {}
        for i, part in enumerate(parts):
            p = answers((30, 20, 100), i, part)
            run.save_predictions(part, p)
            metrics[part] = summarise(p, replicates=200, majority="nv")
        run.metrics = metrics
        return run

    return make


def test_validation_is_fitted_on_and_every_set_is_measured(made):
    run = made(parts=("val", "test", "val-stage-1"))
    before = run.metrics
    fitting.fit(run)
    told = read_json(run.folder / "fitted.json")
    assert (told["format"], told["set"], told["n"]) == ("cutis-fitted-1", "val", 150)
    assert told["calibration"]["temperature"] > 1
    after = run.metrics
    assert {name: {k: v for k, v in figures.items() if k != "after"} for name, figures in after.items()} == before
    assert "after" not in after["val-stage-1"]
    calibration = after["test"]["after"]["calibration"]
    assert calibration["before"]["log_loss"] == pytest.approx(before["test"]["log_loss"])
    assert calibration["difference"]["log_loss"]["high"] < 0


def test_no_test_answer_enters_a_fit(made):
    one, other = made("one"), made("other")
    other.save_predictions("test", answers((5, 100, 45), 9, "test"))
    for run in (one, other):
        fitting.fit(run)
    assert one.fitted == other.fitted


def test_without_validation_nothing_is_fitted(made):
    run = made(parts=("test",))
    assert not fitting.due(run)
    before = run.metrics
    fitting.fit(run)
    assert (run.fitted, run.metrics) == ({}, before)
    with pytest.raises(DataError, match="no validation images"):
        fitting.correct(run, ["test"], ["bkl=1,mel=1,nv=1"])


def test_runs_in_a_run_are_fitted_each(made):
    whole = made(parts=("test",))
    inner = [made(f"run/seed-{i}") for i in range(2)]
    assert fitting.due(whole)
    fitting.fit(whole)
    assert all(run.fitted for run in inner)
    assert not fitting.due(whole)
    with pytest.raises(CutisError, match="seed-0"):
        fitting.shares(whole, {"bkl": 1})


def test_classes_to_watch_are_settled_and_checked():
    how = Recipe().evaluate
    assert fitting.checked(how, CLASSES).watch == ("mel",)
    assert fitting.checked(how, ("0 clear", "1 mild")).watch == ()
    named = Recipe().changed(**{"evaluate.watch": "bkl,mel"}).evaluate
    assert fitting.checked(named, CLASSES).watch == ("bkl", "mel")
    with pytest.raises(CutisError, match=r"'bkl'.*evaluate\.watch"):
        fitting.checked(named, ("mel", "nv"))
    with pytest.raises(CutisError, match="temperature"):
        fitting.checked(Recipe().changed(**{"evaluate.calibration": "temprature"}).evaluate, CLASSES)


def test_recipes_of_an_older_cutis_still_load():
    old = Recipe().model_dump(mode="json")
    old["evaluate"] = {"replicates": 2000, "level": 0.95, "stages": False}
    assert Recipe.model_validate(old) == Recipe()


N = np.array(TRAIN) / sum(TRAIN)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, N),
        ({"balance.name": "sampling"}, np.full(3, 1 / 3)),
        ({"balance.name": "count", "balance.options": {"count": 50}}, np.full(3, 1 / 3)),
        ({"loss.class_weights": "balanced"}, np.full(3, 1 / 3)),
        ({"loss.class_weights": (1, 4, 1)}, N * (1, 4, 1) / (N @ (1, 4, 1))),
        ({"loss.class_weights": "balanced:0.5"}, np.sqrt(N) / np.sqrt(N).sum()),
        ({"loss.name": "logit_adjusted"}, np.full(3, 1 / 3)),  # what the loss adds in training is left out of answers
        ({"loss.name": "logit_adjusted", "loss.options": {"tau": 0.5}}, np.sqrt(N) / np.sqrt(N).sum()),
        ({"loss.options": {"label_smoothing": 0.3}}, N * 0.7 + 0.1),
        ({"stages": [{"epochs": 2}, {"epochs": 1, "class_weights": "balanced"}]}, np.full(3, 1 / 3)),  # the last stage counts
    ],
    ids=str,
)
def test_shares_that_training_showed_equal_the_sums_by_hand(made, fields, wanted):
    found, _ = fitting.trained_under(made(**fields))
    drawn = 0.02 if fields.get("balance.name") == "sampling" else 2e-3  # epochs are draws
    assert [found[c] for c in CLASSES] == pytest.approx(wanted, abs=drawn)


def test_answers_are_carried_to_given_shares_and_kept_beside_the_others(made):
    run = made(**{"balance.name": "count"})
    fitting.fit(run)
    kept = run.predictions("test")
    fitting.correct(run, ["val", "test"], {"bkl": 0.3, "mel": 0.3, "nv": 0.4})
    out = Predictions.load(run.folder / "prior" / "test.csv")
    assert (out.images == kept.images).all()
    assert out.probabilities[:, 1].mean() > kept.probabilities[:, 1].mean()
    assert run.sets == ["test", "val"]
    assert (run.predictions("test").probabilities == kept.probabilities).all()
    prior = run.metrics["test"]["prior"]
    assert prior["shares"] == {"bkl": 0.3, "mel": 0.3, "nv": 0.4}
    assert prior["difference"]["log_loss"]["value"] < 0
    with pytest.raises(CutisError, match="missing: nv"):
        fitting.correct(run, ["test"], ["bkl=1,mel=2"])

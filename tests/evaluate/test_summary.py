"""A whole set of metrics.json: schema, groups, rare classes, plugins; runs pooled and their spread."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from cutis.errors import DataError
from cutis.evaluate.metrics import metrics
from cutis.evaluate.summary import pooled, spread, summarise
from cutis.predictions import Predictions


def quick(predictions, **options):
    return summarise(predictions, **{"replicates": 200} | options)


def test_a_summary_holds_what_the_format_says(noisy):
    a = noisy([60, 30, 12], views=2)
    s = json.loads(json.dumps(quick(a, majority="a", level=0.9, seed=7), allow_nan=False))
    averages = [f"{m}_{k}" for m in ("precision", "sensitivity", "specificity", "f1", "auroc", "auprc") for k in ("macro", "weighted")]
    whole = ["accuracy", "balanced_accuracy", "kappa_quadratic", "mean_absolute_error", "ece", "brier", "log_loss", *averages]
    for figure in [*(s[name] for name in whole), *(f for c in s["per_class"].values() for f in c.values()), *s["baseline"].values()]:
        assert set(figure) == {"value", "low", "high", "n"}
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert set(s["per_class"]) == {"a", "b", "c"}
    assert set(s["per_class"]["a"]) == {"precision", "sensitivity", "specificity", "f1", "auroc", "auprc"}
    assert [s["per_class"][c]["sensitivity"]["n"] for c in "abc"] == [60, 30, 12]
    assert s["confusion"] == sk.confusion_matrix(a.labels, a.predicted).tolist()
    assert (s["classes"], s["n"], s["groups"], s["unlabelled"]) == (["a", "b", "c"], 102, 51, 0)
    assert {k: s["interval"][k] for k in ("level", "replicates", "seed")} == {"level": 0.9, "replicates": 200, "seed": 7}
    assert s["accuracy"]["value"] == pytest.approx(sk.accuracy_score(a.labels, a.predicted))
    assert s["balanced_accuracy"] == s["sensitivity_macro"]


def test_the_baseline_answers_the_majority_always(noisy):
    s = quick(noisy([60, 30, 12]), majority="b")
    assert s["baseline"]["accuracy"]["value"] == pytest.approx(30 / 102)
    assert s["baseline"]["accuracy"]["low"] < 30 / 102 < s["baseline"]["accuracy"]["high"]
    assert s["baseline"]["balanced_accuracy"]["value"] == pytest.approx(1 / 3)
    assert s["baseline"]["auroc_macro"]["value"] == 0.5
    assert "baseline" not in quick(noisy([6, 3]))


def test_the_same_seed_gives_the_same_figures_whatever_the_order_of_rows(noisy):
    a = noisy([30, 20, 9], views=3)
    assert quick(a, seed=3) == quick(a, seed=3)
    assert quick(a, seed=3)["accuracy"]["low"] != quick(a, seed=4)["accuracy"]["low"]
    shuffled = quick(a.rows(np.random.default_rng(0).permutation(len(a.labels))), seed=3)
    close(shuffled, quick(a, seed=3))


def test_copies_inside_a_group_change_neither_figure_nor_interval(noisy):
    a = noisy([24, 12, 9], views=3)
    twice = Predictions(
        images=np.concatenate([a.images, np.char.add(a.images, "-copy")]),
        groups=np.tile(a.groups, 2),
        labels=np.tile(a.labels, 2),
        probabilities=np.tile(a.probabilities, (2, 1)),
        classes=a.classes,
    )
    once, copied = quick(a), quick(twice)
    assert (copied["n"], copied["groups"]) == (90, once["groups"])
    close(copied, once)
    apart = quick(replace(twice, groups=twice.images))
    assert apart["accuracy"]["high"] - apart["accuracy"]["low"] < once["accuracy"]["high"] - once["accuracy"]["low"]


def close(one, other):
    for name, figure in other.items():
        if isinstance(figure, dict) and "value" in figure:
            for key in ("value", "low", "high"):
                assert one[name][key] == pytest.approx(figure[key], rel=1e-9, abs=1e-12), (name, key)
    for class_name, figures in other["per_class"].items():
        for name, figure in figures.items():
            for key in ("value", "low", "high"):
                assert one["per_class"][class_name][name][key] == pytest.approx(figure[key], rel=1e-9, abs=1e-12), (class_name, name, key)


def test_fault_d5_a_class_with_0_or_1_images_is_not_available(noisy):
    a = noisy([20, 10, 1, 3])
    p = np.column_stack([a.probabilities, np.zeros(34)])
    a = Predictions(a.images, np.where(a.labels == 3, "one lesion", a.groups), a.labels, p, ("a", "b", "single", "views", "none"))
    s = json.loads(json.dumps(quick(a, majority="a"), allow_nan=False))
    for name, n, why in (
        ("single", 1, "1 image of this class"),
        ("views", 3, "3 images of this class, all of one group"),
        ("none", 0, "no image of this class"),
    ):
        for figure in s["per_class"][name].values():
            assert figure == {"value": None, "low": None, "high": None, "n": n, "why": why}
    present = sk.recall_score(a.labels, a.predicted, labels=[0, 1, 2, 3], average="macro", zero_division=0)
    assert s["balanced_accuracy"]["value"] == pytest.approx(present)
    assert s["balanced_accuracy"]["note"] == "without none: no image"
    assert s["baseline"]["balanced_accuracy"]["value"] == 0.25


@pytest.mark.parametrize("labels", [[0], [0, 0], [0, 1], [1, 1, 1, 1]])
def test_fault_d5_tiny_sets_never_crash(answers, labels):
    a = answers(labels, np.tile([0.75, 0.25], (len(labels), 1)))
    s = json.loads(json.dumps(quick(a, majority="a"), allow_nan=False))
    assert s["n"] == len(labels)
    if len(set(labels)) == 1:
        assert s["auroc_macro"]["value"] is None
        assert s["auroc_macro"]["why"]


def test_one_group_has_no_interval_and_so_no_figure(answers):
    s = quick(answers([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], groups=["p", "p", "p"]), majority="a")
    assert s["accuracy"] == {"value": None, "low": None, "high": None, "n": 3, "why": "all images are of one group"}
    assert s["per_class"]["b"]["f1"]["value"] is None


def test_all_right_is_not_all_certain(answers):
    labels = np.repeat([0, 1], [40, 10])
    s = quick(answers(labels, np.eye(2)[labels] * 0.8 + 0.1))
    assert s["accuracy"]["value"] == s["accuracy"]["high"] == 1
    assert 0.9 < s["accuracy"]["low"] < 0.95  # Wilson at 50: 0.929
    assert s["per_class"]["b"]["sensitivity"]["low"] == pytest.approx(0.722, abs=0.001)  # Wilson at 10
    assert s["per_class"]["b"]["sensitivity"]["low"] < s["balanced_accuracy"]["low"] < s["accuracy"]["low"]
    assert s["per_class"]["a"]["auroc"]["low"] == pytest.approx(0.722, abs=0.001)  # the smaller side decides


def test_rows_without_a_label_are_left_out_and_counted(noisy):
    a = noisy([20, 10])
    labels = a.labels.copy()
    labels[::3] = -1
    s = quick(replace(a, labels=labels))
    assert (s["n"], s["unlabelled"]) == (20, 10)
    assert s["accuracy"]["value"] == pytest.approx(sk.accuracy_score(labels[labels >= 0], a.predicted[labels >= 0]))
    with pytest.raises(DataError, match="nothing to measure"):
        quick(replace(a, labels=np.full(30, -1)))
    with pytest.raises(DataError, match="'nv' is none of the classes a, b"):
        quick(a, majority="nv")


PLUGIN = """
import numpy as np
from cutis.evaluate.metrics import Sample, metrics, share_of

@metrics.register("second_guess")
@share_of("all")
def second_guess(s: Sample):
    return s.mean((np.argsort(-s.probabilities, axis=1)[:, :2] == s.labels[:, None]).any(axis=1))

@metrics.register("mean_confidence")
def mean_confidence(s: Sample):
    return np.stack([s.mean(p) for p in s.probabilities.T], axis=1)
"""


def test_a_metric_in_a_file_of_its_own_appears_by_its_decorator(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    code = """
import json, numpy as np
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions
p = np.array([[.5, .3, .2], [.1, .6, .3], [.2, .3, .5], [.6, .3, .1]] * 5)
i = np.array([f"i{k}" for k in range(20)])
s = summarise(Predictions(i, i, np.array([0, 2, 0, 1] * 5), p, ("a", "b", "c")), replicates=100)
print(json.dumps([s["second_guess"], s["per_class"]["a"]["mean_confidence"], s["mean_confidence_macro"]]))
"""
    environment = os.environ | {"CUTIS_PLUGINS": str(tmp_path / "mine.py")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    second, confidence, macro = json.loads(done.stdout)
    assert second["value"] == 0.75
    assert second["low"] < 0.75 < second["high"]
    assert confidence["value"] == pytest.approx(0.35)
    assert macro["value"] == pytest.approx(1 / 3)
    assert "second_guess" not in metrics


def test_pooled_maps_classes_by_name_and_counts_an_image_once(noisy):
    a, b = noisy([6, 4], seed=1), noisy([5, 5], seed=2)
    turned = Predictions(b.images, b.groups, np.where(b.labels >= 0, 1 - b.labels, -1), b.probabilities[:, ::-1], ("b", "a"))
    unlabelled = replace(turned, labels=np.full(10, -1))
    both = pooled([a, turned, unlabelled])
    assert both.classes == ("a", "b")
    np.testing.assert_array_equal(both.labels, [*a.labels, *b.labels, *[-1] * 10])
    np.testing.assert_array_equal(both.probabilities[10:20], b.probabilities)
    assert quick(pooled([a, b]))["n"] == 10
    with pytest.raises(DataError, match="not in all of them: b, c"):
        pooled([a, replace(b, classes=("a", "c"))])
    with pytest.raises(DataError, match="no predictions"):
        pooled([])


def test_spread_over_runs(noisy):
    runs = [quick(noisy([20, 10], seed=seed)) for seed in range(3)]
    values = [run["accuracy"]["value"] for run in runs]
    found = spread(runs)
    assert found["accuracy"] == {"mean": pytest.approx(np.mean(values)), "sd": pytest.approx(np.std(values, ddof=1)), "runs": values}
    assert not {"per_class", "n", "groups", "interval", "confusion"} & set(found)
    runs[1]["accuracy"] = {"value": None, "low": None, "high": None, "n": 0, "why": "1 image"}
    assert spread(runs)["accuracy"]["runs"] == [values[0], None, values[2]]
    assert spread(runs)["accuracy"]["mean"] == pytest.approx((values[0] + values[2]) / 2)
    assert spread(runs[:1])["accuracy"]["sd"] is None
    assert spread([]) == {}

"""Slices: figures and gaps by scikit-learn and by hand, what is too few, Holm, the worst group."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from sklearn import metrics as sk

from cutis.errors import DataError
from cutis.evaluate import slices
from cutis.evaluate.intervals import difference_limits, wilson
from cutis.evaluate.slices import FEW, FEW_OF_CLASS, Slicing, sliced, worst

RNG = np.random.default_rng(0)


def by(name, values, groups):
    return Slicing(name, name.replace("_", " "), np.array([groups.index(v) if v in groups else -1 for v in values]), tuple(groups))


def quick(predictions, *ways, **options):
    return sliced(predictions, ways, **{"replicates": 200} | options)


def test_figures_of_a_slice_and_its_gap_equal_scikit_learn(noisy):
    a = noisy([300, 200, 100], strength=1)
    site = np.tile(["arm", "arm", "back"], 200)
    told = quick(a, by("site", site, ["arm", "back"]))["by"]["site"]
    assert (told["title"], told["known"]) == ("site", 600)
    both = {}
    for group in ("arm", "back"):
        own = a.rows(site == group)
        both[group] = {
            "accuracy": sk.accuracy_score(own.labels, own.predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(own.labels, own.predicted),
            "auroc_macro": sk.roc_auc_score(own.labels, own.probabilities, multi_class="ovr", average="macro"),
            "auprc_weighted": sk.average_precision_score(np.eye(3)[own.labels], own.probabilities, average="weighted"),
            "f1_macro": sk.f1_score(own.labels, own.predicted, average="macro"),
            "log_loss": sk.log_loss(own.labels, own.probabilities),
            "kappa_quadratic": sk.cohen_kappa_score(own.labels, own.predicted, weights="quadratic"),
        }
        recall = sk.recall_score(own.labels, own.predicted, average=None)
        assert [told["groups"][group]["per_class"][c]["sensitivity"]["value"] for c in "abc"] == pytest.approx(recall)
        assert (told["groups"][group]["n"], told["groups"][group]["groups"]) == (len(own.labels), len(own.labels))
    for name in both["arm"]:
        figure, other = (told["groups"][group]["figures"][name] for group in ("arm", "back"))
        assert figure["value"] == pytest.approx(both["arm"][name], rel=1e-9)
        assert figure["gap"]["value"] == pytest.approx(both["arm"][name] - both["back"][name], rel=1e-9)
        assert figure["low"] < figure["value"] < figure["high"]
        assert [other["gap"][k] for k in ("value", "low", "high", "p")] == pytest.approx(
            [-figure["gap"]["value"], -figure["gap"]["high"], -figure["gap"]["low"], figure["gap"]["p"]]
        )


def test_the_gap_of_shares_is_newcombe_s(answers):
    ends = [(share, *map(float, wilson(share, n, 0.95))) for share, n in ((56 / 70, 70), (48 / 80, 80))]
    assert difference_limits(*ends) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)  # Newcombe 1998, table II a, method 10


def test_sides_that_move_together_have_a_narrower_gap():
    one, other = (0.8, 0.7, 0.9), (0.6, 0.5, 0.7)
    assert difference_limits(one, other, 1.0) == pytest.approx((0.2, 0.2, 0.2))
    assert difference_limits(one, other, -1.0) == pytest.approx((0.2, 0.0, 0.4))


def test_interval_and_p_of_a_large_gap_are_those_of_two_proportions(answers):
    right = np.concatenate([RNG.random(900) < 0.8, RNG.random(700) < 0.74])
    labels = np.arange(1600) % 2
    sure = np.where(right == (labels == 1), 0.9, 0.1)
    told = quick(answers(labels, np.stack([1 - sure, sure], axis=1)), by("sex", ["f"] * 900 + ["m"] * 700, ["f", "m"]), replicates=2000)
    gap = told["by"]["sex"]["groups"]["f"]["figures"]["accuracy"]["gap"]
    p, q = right[:900].mean(), right[900:].mean()
    error = np.sqrt(p * (1 - p) / 900 + q * (1 - q) / 700)
    assert gap["value"] == pytest.approx(p - q)
    assert [gap["low"], gap["high"]] == pytest.approx([p - q - 1.96 * error, p - q + 1.96 * error], abs=0.004)
    assert gap["p"] == pytest.approx(2 * NormalDist().cdf(-abs(p - q) / error), abs=0.01)
    assert (gap["p"] < 0.05) == (gap["low"] > 0)


def test_a_group_that_crosses_slices_is_drawn_with_all_its_images(noisy):
    a = noisy([120, 120], strength=1)
    paired = replace(a, groups=np.repeat([f"p{i}" for i in range(120)], 2))  # each person has a picture on both sites
    twins = replace(paired, labels=np.repeat(a.labels[::2], 2), probabilities=np.repeat(a.probabilities[::2], 2, axis=0))
    site = np.tile(["arm", "back"], 120)
    widths = []
    for answers in (twins, replace(twins, groups=twins.images)):
        gap = quick(answers, by("site", site, ["arm", "back"]))["by"]["site"]["groups"]["arm"]["figures"]["accuracy"]["gap"]
        assert gap["value"] == pytest.approx(0, abs=1e-12), "both sites have the same answers"
        widths.append(gap["high"] - gap["low"])
    assert widths[0] < widths[1] / 3, "a person who is hard is so on both sites"


def test_means_over_classes_are_over_those_that_both_sides_have(noisy):
    a = noisy([200, 200, 100], strength=1)
    young = (a.labels < 2) & (np.arange(500) % 2 == 0)
    young[np.flatnonzero(a.labels == 2)[: FEW_OF_CLASS - 1]] = True
    part = quick(a, by("age", np.where(young, "young", "old"), ["young", "old"]))["by"]["age"]["groups"]["young"]
    assert part["classes"] == list(part["per_class"]) == ["a", "b"]
    means = [sk.recall_score(a.labels[m], a.predicted[m], labels=[0, 1], average="macro") for m in (young, ~young)]
    figure = part["figures"]["balanced_accuracy"]
    assert (figure["value"], figure["gap"]["value"]) == pytest.approx((means[0], means[0] - means[1]))


def test_calibration_error_has_no_gap_because_small_groups_have_more_of_it(noisy):
    part = quick(noisy([200, 200]), by("site", ["foot"] * 50 + ["back"] * 350, ["foot", "back"]))["by"]["site"]["groups"]["foot"]
    assert part["figures"]["ece"]["value"] is not None
    assert part["figures"]["ece"]["gap"]["value"] is None
    assert "grows as images get fewer" in part["figures"]["ece"]["gap"]["why"]


def test_one_class_alone_has_no_mean_over_classes(noisy):
    a = noisy([200, 100], strength=1)
    part = quick(a, by("clinic", np.where(a.labels == 0, "x", "y"), ["x", "y"]))["by"]["clinic"]["groups"]["x"]
    assert part["classes"] == []
    assert part["figures"]["balanced_accuracy"]["value"] is None
    assert "fewer than 2 classes" in part["figures"]["balanced_accuracy"]["gap"]["why"]
    assert part["figures"]["accuracy"]["gap"]["value"] is not None


def test_too_few_are_counted_and_nothing_is_said_of_them(noisy):
    a = noisy([100, 100], views=2)  # two images a group
    site = np.full(200, "back", object)
    site[: 2 * (FEW - 1)] = "foot"
    told = quick(a, by("site", site, ["foot", "back", "never seen"]))
    groups = told["by"]["site"]["groups"]
    assert groups["foot"] == {"n": 58, "groups": 29, "why": "too few to say: 29 of the 30 groups that a figure needs"}
    assert groups["back"]["figures"]["accuracy"]["gap"] == {
        "value": None, "low": None, "high": None, "p": None, "why": "the rest has fewer than 30 groups"
    }  # fmt: skip
    assert set(groups) == {"foot", "back"}
    assert told["tests"] == 0


def test_unknown_values_and_unlabelled_images_are_on_no_side(noisy):
    a = noisy([150, 150], strength=1)
    sex = np.array(["f", "m", ""] * 100)
    labels = a.labels.copy()
    labels[::7] = -1
    kept = (labels >= 0) & (sex != "")
    told = quick(replace(a, labels=labels), by("sex", sex, ["f", "m"]))
    assert told["by"]["sex"]["known"] == kept.sum()
    assert told == quick(a.rows(labels >= 0), by("sex", sex[labels >= 0], ["f", "m"]))
    rates = [(a.predicted == a.labels)[kept & (sex == s)].mean() for s in "fm"]
    assert told["by"]["sex"]["groups"]["f"]["figures"]["accuracy"]["gap"]["value"] == pytest.approx(rates[0] - rates[1])
    with pytest.raises(DataError, match="nothing to measure"):
        quick(replace(a, labels=np.full(300, -1)), by("sex", sex, ["f", "m"]))


def test_holm_counts_the_two_sides_of_one_question_once(noisy):
    a = noisy([300, 300], strength=1)
    sex, age = RNG.choice(["f", "m"], 600), RNG.choice(["young", "middle", "old"], 600)
    told = quick(a, by("sex", sex, ["f", "m"]), by("age", age, ["young", "middle", "old"]))
    assert told["tests"] == 4
    gaps = {group: part["figures"]["log_loss"]["gap"] for way in told["by"].values() for group, part in way["groups"].items()}
    assert gaps["f"]["p_holm"] == gaps["m"]["p_holm"]
    asked = sorted((gaps[g]["p"], g) for g in ("f", "young", "middle", "old"))
    highest = 0.0
    for i, (p, group) in enumerate(asked):
        highest = max(highest, min(1, p * (4 - i)))
        assert gaps[group]["p_holm"] == pytest.approx(highest)


def test_a_planted_worst_group_is_found_and_chance_is_not(noisy):
    a = noisy([400, 400], strength=2)
    site = RNG.choice(["arm", "back", "foot", "face"], 800)
    even = quick(a, by("site", site, ["arm", "back", "foot", "face"]))
    assert not worst(even, "balanced_accuracy").sure
    spoilt = a.probabilities.copy()
    spoilt[(site == "foot") & (RNG.random(800) < 0.5)] = [0.5, 0.5]
    found = worst(quick(replace(a, probabilities=spoilt), by("site", site, ["arm", "back", "foot", "face"])), "balanced_accuracy")
    assert (found.way, found.group, found.sure) == ("site", "foot", True)
    assert found.told["figures"]["balanced_accuracy"]["gap"]["high"] < 0


def test_nothing_to_divide_by_is_an_answer_too(noisy):
    told = quick(noisy([40, 40]))
    assert (told["by"], told["tests"]) == ({}, 0)
    assert worst(told, "accuracy") is None


def test_a_side_that_two_slices_share_is_measured_once(noisy, monkeypatch):
    asked = []
    side = slices._side
    monkeypatch.setattr(slices, "_side", lambda own, *rest: (asked.append(len(own.labels)), side(own, *rest))[1])
    quick(noisy([100, 100]), by("sex", np.arange(200) % 2, [0, 1]))
    assert sorted(asked) == [100, 100]

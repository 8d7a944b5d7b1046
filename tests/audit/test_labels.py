"""Labels: swapped ones come first, pairs are counted as by hand, and what cannot be said is said."""

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cutis.audit import probes
from cutis.audit.checks import labels as check
from cutis.audit.checks.labels import agreeing, ceiling, labels
from cutis.audit.copies import Copies, Pair

CLASSES = np.array(["mel", "nv", "bkl"])


def near(a: int, b: int) -> Pair:
    return Pair(a, b, 3, 0.99, 0.9, 0)


def test_swapped_labels_are_the_first_suspects(subject_of: Any) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=300)
    features = (1.5 * np.repeat(np.eye(3), 20, axis=1)[true] + rng.normal(size=(300, 60))).astype(np.float32)
    odd = np.arange(300) % 33 == 0
    given = np.where(odd, (true + 1) % 3, true)
    subject = subject_of(CLASSES[given].tolist(), features=features)
    section = labels(subject)
    assert section is not None
    (finding,) = section.findings
    named = [item.images[0] for item in finding.items]
    assert set(named) <= set(subject.table["image"][odd]), "none but swapped ones"
    assert len(named) > odd.sum() / 2, "how many there are is an estimate of cleanlab's, on the careful side"
    assert (finding.kind, finding.severity, finding.rule) == ("suspect-labels", "warning", "suspects")

    plan, answers = subject.once(probes.design), subject.once(check.answers)
    worst = answers[np.arange(300), plan.labels].argsort()[: odd.sum()]
    assert odd[plan.rows[worst]].all(), "the least probable labels are the swapped ones"
    at = {name: i for i, name in enumerate(subject.readable["image"].iloc[plan.rows])}
    scores = [item.score for item in finding.items]
    assert scores == sorted(scores)
    for item in finding.items:
        own = answers[at[item.images[0]]]
        labelled = plan.labels[at[item.images[0]]]
        best = int(own.argmax())
        assert best != labelled
        assert item.score == pytest.approx(own[labelled])
        assert item.note == (
            f"labelled {plan.classes[labelled]} ({own[labelled]:.2f}), the probe says {plan.classes[best]} ({own[best]:.2f})"
        )
    by_sklearn = roc_auc_score(plan.labels, answers, multi_class="ovr")
    assert section.numbers["probe"]["auroc_macro"]["value"] == pytest.approx(by_sklearn)
    assert sum(row["suspects"] for row in section.numbers["by_class"].values()) == len(finding.items) == section.numbers["suspects"]
    json.dumps(section.to_dict(), allow_nan=False)


def test_labels_that_fit_give_no_suspect(subject_of: Any) -> None:
    true = np.arange(120) % 2
    features = (np.random.default_rng(1).normal(size=(120, 2)) + 30 * true[:, None]).astype(np.float32)
    section = labels(subject_of(CLASSES[true].tolist(), features=features))
    assert section is not None
    assert section.findings == ()
    assert section.sentence.startswith("Of 120 labels 0 contradict")


def test_copies_that_disagree_lower_the_ceiling(subject_of: Any) -> None:
    given = ["mel"] * 20 + ["nv"] * 20
    given[2] = "nv"
    lesion = [f"l{i}" for i in range(40)]
    lesion[11] = lesion[10]  # one lesion: its two images agree whatever is true
    exact, pairs = ((0, 1, 2),), (near(5, 6), near(7, 25), near(10, 11))
    found = Copies(exact, pairs, ((0, 1, 2), (5, 6), (7, 25), (10, 11)))
    section = labels(subject_of(given, lesion=lesion, found=found))
    assert section is not None
    by_hand = [given[a] == given[b] for a, b in [*combinations(range(3), 2), (5, 6), (7, 25)]]
    agreement = section.numbers["agreement"]["copies"]
    assert (agreement["n"], agreement["value"]) == (5, pytest.approx(np.mean(by_hand)))
    assert agreement["low"] < agreement["value"] < agreement["high"]
    assert section.numbers["ceiling"]["value"] == pytest.approx(np.sqrt(2 / 5))
    assert section.numbers["agreement"]["lesions"] | {"low": 0} == {"value": 1.0, "low": 0, "high": pytest.approx(1), "n": 1}
    (finding,) = section.findings
    assert finding.kind == "label-ceiling"
    assert "40.0 %" in finding.sentence
    assert "63.2 %" in finding.sentence


def test_without_features_that_is_said(subject_of: Any) -> None:
    section = labels(subject_of(["a", "b"] * 10))
    assert section is not None
    assert "weights" in section.limits[0]
    assert section.findings == ()
    assert section.numbers["ceiling"]["value"] is None
    assert "No picture occurs twice" in section.sentence


def test_classes_too_rare_for_the_folds_are_said(subject_of: Any) -> None:
    features = np.random.default_rng(2).normal(size=(33, 2)).astype(np.float32)
    section = labels(subject_of(["a", "b"] * 15 + ["df"] * 3, features=features))
    assert section is not None
    assert any("df (3)" in limit for limit in section.limits)
    few = labels(subject_of(["a", "b"] * 3, features=features[:6]))
    assert few is not None
    assert few.findings == ()
    assert "groups" in few.limits[0]


def test_one_label_or_none_has_nothing_to_check(subject_of: Any) -> None:
    assert labels(subject_of(["a"] * 9)) is None
    assert labels(subject_of([None] * 9)) is None


def test_labels_given_to_lesions_are_told_from_labels_given_to_images(subject_of: Any) -> None:
    lesion = [f"l{i // 3}" for i in range(30)]
    by_lesion = labels(subject_of([("a", "b")[i // 3 % 2] for i in range(30)], lesion=lesion))
    by_image = labels(subject_of([("a", "b")[i % 2] for i in range(30)], lesion=lesion))
    assert by_lesion is not None
    assert by_image is not None
    assert check.BY_LESION in by_lesion.limits
    assert check.BY_LESION not in by_image.limits
    assert by_image.numbers["agreement"]["lesions"]["value"] == pytest.approx(1 / 3)
    assert by_image.numbers["agreement"]["lesions"]["n"] == 30


def test_the_ceiling_is_above_what_the_best_answer_reaches() -> None:
    rng = np.random.default_rng(3)
    chances = rng.dirichlet(np.full(4, 0.3), 1000)
    agreement = {"value": float((chances**2).sum(axis=1).mean()), "low": 0.1, "high": 0.9, "n": 1000}
    assert agreement["value"] <= chances.max(axis=1).mean() <= ceiling(agreement)["value"]


def test_agreement_is_doubted_by_unit() -> None:
    rng = np.random.default_rng(4)
    agree = np.repeat(rng.random(20) < 0.7, 10).astype(float)
    pairs = np.stack([agree, np.ones(200)], axis=1)
    apart, together = agreeing(pairs, np.arange(200)), agreeing(pairs, np.repeat(np.arange(20), 10))
    assert apart["value"] == together["value"] == pytest.approx(agree.mean())
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])

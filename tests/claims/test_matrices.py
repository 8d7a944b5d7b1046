"""Figures of a confusion matrix, against scikit-learn; and printed matrices that contradict their figures."""

import numpy as np
import pytest
import true_tables
from sklearn import metrics

from cutis.claims import matrices
from cutis.claims.reading import parse

ENSEMBLE = """
classes: [Enfeksiyonel, Ekzama, Akne, Pigment, Benign, Malign]
n: 3928
models:
  - name: ensemble
    accuracy: 72.07
    precision: 66.36
    recall: 74.31
    f1: 68.54
    f1_weighted: 72.69
    confusion:
      - [490, 101, 74, 60, 15, 10]
      - [89, 334, 38, 41, 4, 4]
      - [10, 1, 295, 15, 1, 0]
      - [10, 10, 10, 106, 0, 0]
      - [114, 20, 32, 43, 986, 166]
      - [53, 21, 16, 23, 116, 620]
"""


def told(text: str) -> list[tuple[str, str]]:
    claim = parse(text)
    return [(f.severity, f.where) for rule in (matrices.confusion_matrix, matrices.rows_do_not_sum) for f in rule(claim)]


@pytest.mark.parametrize("seed", range(25))
def test_figures_of_a_matrix_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = true_tables.matrix(rng)
    cells = [(i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) for _ in range(count)]
    true, predicted = zip(*cells, strict=True)
    known = matrices.overall(matrix)
    given = {
        "accuracy": metrics.accuracy_score(true, predicted),
        "balanced_accuracy": metrics.recall_score(true, predicted, average="macro", zero_division=0),
        "mcc": metrics.matthews_corrcoef(true, predicted),
    }
    for name, value in given.items():
        assert any(float(one) == pytest.approx(value, abs=1e-12) for one in known[name]), name
    for weights in (None, "linear", "quadratic"):
        kappa = metrics.cohen_kappa_score(true, predicted, weights=weights)
        assert any(float(one) == pytest.approx(kappa, abs=1e-12) for one in known["kappa"])
    for average in ("macro", "micro", "weighted", None):
        figures = metrics.precision_recall_fscore_support(true, predicted, average=average, zero_division=0)
        for base, value in zip(("precision", "recall", "f1"), figures, strict=False):
            if average:
                assert any(float(one) == pytest.approx(value, abs=1e-12) for one in matrices.averaged(matrix, base, average))
            else:
                assert [float(matrices.of_class(matrix, c)[base] or 0) for c in range(len(matrix))] == pytest.approx(list(value), abs=1e-12)


def test_s4_ensemble_follows_from_its_matrix() -> None:
    assert told(ENSEMBLE) == []


@pytest.mark.parametrize(
    ("was", "now", "where"),
    [
        ("accuracy: 72.07", "accuracy: 72.27", "accuracy"),
        ("recall: 74.31", "recall: 73.31", "recall"),
        ("f1_weighted: 72.69", "f1_weighted: 72.96", "F1 (weighted)"),
        ("recall: 74.31", "recall: 74.31\n    kappa: .75", "kappa"),
        ("recall: 74.31", "recall: 74.31\n    per_class: {Malign: {recall: .75}}", "recall (class Malign)"),
    ],
)
def test_a_figure_that_the_matrix_does_not_give(was: str, now: str, where: str) -> None:
    assert told(ENSEMBLE.replace(was, now)) == [("impossible", f"ensemble on test, {where}")]


def test_s1_matrices_give_their_figures_cut_off_but_not_the_accuracies_of_the_table() -> None:
    row = "precision: .892, recall: .838, f1: .864, accuracy: {}, confusion: [[2667, 142], [228, 1184]]"
    text = "classes: [benign, malignant]\nmodels: [{{" + row + "}}]"
    assert told(text.format(".9123")) == []
    assert told(text.format(".9116")) == [("impossible", "model on test, accuracy")]


def test_a_matrix_that_fits_only_when_turned_is_a_note() -> None:
    text = "classes: [a, b]\nmodels: [{average: binary, positive: b, precision: .8, recall: .5, confusion: [[90, 2], [8, 8]]}]"
    assert told(text) == []
    assert told(text.replace("[[90, 2], [8, 8]]", "[[90, 8], [2, 8]]")) == [("note", "model on test, confusion matrix")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("n: 100\nsizes: {a: 60, b: 41}\nmodels: [{name: m}]", ["m on test, class sizes"]),
        ("n: 100\nsizes: {a: 60, b: 40}\nmodels: [{name: m}]", []),
        ("n: 100\nmodels: [{name: m, confusion: [[50, 10], [20, 21]]}]", ["m on test, confusion matrix"]),
        ("sizes: {a: 60, b: 40}\nmodels: [{name: m, confusion: [[50, 10], [20, 21]]}]", ["m on test, confusion matrix"]),
        ("sizes: {a: 60, b: 40}\nmodels: [{name: m, confusion: [[50, 10], [20, 20]]}]", []),
        ("sizes: {a: 60, b: 40}\nmodels: [{name: m, confusion: [[50, 20], [10, 20]]}]", []),  # rows are what was predicted
        ("sizes: {a: 60, b: 40}\nseeds: 2\nmodels: [{name: m, confusion: [[100, 20], [40, 40]]}]", []),
    ],
)
def test_rows_that_do_not_sum(text: str, where: list[str]) -> None:
    assert told(text) == [("impossible", one) for one in where]

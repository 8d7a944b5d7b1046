"""Bootstrap of all metrics, 7 classes, 2,000 rows, 2,000 replicates: ``summarise`` against scikit-learn called for each replicate."""

import warnings
from collections.abc import Callable
from typing import Any

from benchmarks import _harness as harness

REPLICATES, LOOPED, ROWS = 2000, 15, 2000
SHARES = (0.67, 0.11, 0.11, 0.05, 0.03, 0.015, 0.015)  # about HAM10000's
NOTE = (
    "The loop calls each scikit-learn function once a replicate and takes averages from the per-class figures, so it is about as quick as "
    "such a loop can be. Groups are single rows, because the loop knows no other."
)
ROW = harness.Row(
    "Bootstrap of all metrics",
    "replicate",
    (harness.Case("7 classes, 2,000 rows, 2,000 replicates", ("cutis", "scikit-learn"), {"scikit-learn": 100}, REPLICATES, NOTE),),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """All replicates at once, or a few of the loop."""
    rows, replicates, looped = (200, 100, 2) if harness.quick() else (ROWS, REPLICATES, LOOPED)
    answers = drawn(rows)
    if side == "cutis":
        from cutis.evaluate.summary import summarise

        def ours() -> int:
            summarise(answers, replicates=replicates)
            return replicates

        return ours

    def theirs() -> int:
        loop(answers, looped)
        return looped

    return theirs


def drawn(rows: int) -> Any:
    """Made-up answers over seven classes, three in four right."""
    import numpy as np

    from cutis.predictions import Predictions

    rng = np.random.default_rng(0)
    labels = rng.choice(len(SHARES), rows, p=SHARES)
    labels[: len(SHARES)] = range(len(SHARES))  # each occurs
    scores = np.exp(rng.normal(size=(rows, len(SHARES))) + 2 * np.eye(len(SHARES))[labels])
    images = np.array([f"image{i}" for i in range(rows)])
    return Predictions(images, images, labels, scores / scores.sum(axis=1, keepdims=True), tuple("abcdefg"))


def loop(answers: Any, replicates: int) -> None:
    """The same figures by scikit-learn, replicate by replicate."""
    import numpy as np
    from sklearn import metrics as sk

    rng, every = np.random.default_rng(0), np.arange(len(answers.classes))
    for _ in range(replicates):
        rows = rng.integers(len(answers.labels), size=len(answers.labels))
        y, p = answers.labels[rows], answers.probabilities[rows]
        best, onehot = p.argmax(axis=1), np.eye(len(every))[y]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sk.accuracy_score(y, best)
            sk.balanced_accuracy_score(y, best)
            sk.precision_recall_fscore_support(y, best, labels=every, zero_division=0)
            sk.multilabel_confusion_matrix(y, best, labels=every)  # specificity
            sk.roc_auc_score(onehot, p, average=None)
            sk.average_precision_score(onehot, p, average=None)
            sk.cohen_kappa_score(y, best, labels=every, weights="quadratic")
            sk.brier_score_loss(y, p, labels=every)
            sk.log_loss(y, p, labels=every)
        order = p.max(axis=1).argsort()  # the calibration error, which scikit-learn does not have
        sum(len(b) * abs(p[b].max(axis=1).mean() - (best[b] == y[b]).mean()) for b in np.array_split(order, 15)) / len(y)


if __name__ == "__main__":
    harness.main(ROW, prepare)

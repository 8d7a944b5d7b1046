"""Bootstrap of all metrics, 7 classes, 2,000 rows, 2,000 replicates: ``summarise`` against scikit-learn called for each replicate.

``python benchmarks/bootstrap.py [--rows N] [--replicates R] [--json]``. One thread each, interleaved, medians of five. The loop is
measured on a few replicates and multiplied ("extrapolated"); it calls each scikit-learn function once a replicate and takes averages from
the per-class figures, so it is about as quick as such a loop can be. Groups are single rows, because the loop knows no other.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # before NumPy is imported

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import sklearn
from sklearn import metrics as sk

from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions

SHARES = (0.67, 0.11, 0.11, 0.05, 0.03, 0.015, 0.015)  # about HAM10000's


def main() -> None:
    """Measure both and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--looped", type=int, default=15, help="replicates of the scikit-learn loop that are really run")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    answers = drawn(chosen.rows)
    summarise(answers, replicates=100)  # imports and first touches
    ours, theirs = [], []
    for repeat in range(5):
        ours.append(seconds(lambda: summarise(answers, replicates=chosen.replicates)))
        theirs.append(seconds(lambda seed=repeat: loop(answers, chosen.looped, seed)))
    scale = chosen.replicates / chosen.looped
    result = {
        "rows": chosen.rows,
        "replicates": chosen.replicates,
        "cutis_seconds": statistics.median(w for w, _ in ours),
        "cutis_cpu_seconds": statistics.median(c for _, c in ours),
        "scikit_learn_seconds_extrapolated": statistics.median(w for w, _ in theirs) * scale,
        "scikit_learn_cpu_seconds_extrapolated": statistics.median(c for _, c in theirs) * scale,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__},
    }
    result["ratio"] = result["scikit_learn_cpu_seconds_extrapolated"] / result["cutis_cpu_seconds"]
    if chosen.json:
        print(json.dumps(result, indent=2))
        return
    print("| | seconds | CPU seconds |\n|---|---|---|")
    print(f"| Cutis, {chosen.replicates:,} replicates | {result['cutis_seconds']:.2f} | {result['cutis_cpu_seconds']:.2f} |")
    wall, cpu = (result[f"scikit_learn_{k}seconds_extrapolated"] for k in ("", "cpu_"))
    print(f"| scikit-learn in a loop (extrapolated from {chosen.looped}) | {wall:.1f} | {cpu:.1f} |")
    print(f"\nRatio of CPU seconds: {result['ratio']:.0f} (target 100). {result['versions']}")


def drawn(rows: int) -> Predictions:
    """Made-up answers over seven classes, three in four right."""
    rng = np.random.default_rng(0)
    labels = rng.choice(len(SHARES), rows, p=SHARES)
    scores = np.exp(rng.normal(size=(rows, len(SHARES))) + 2 * np.eye(len(SHARES))[labels])
    images = np.array([f"image{i}" for i in range(rows)])
    return Predictions(images, images, labels, scores / scores.sum(axis=1, keepdims=True), tuple("abcdefg"))


def loop(answers: Predictions, replicates: int, seed: int) -> None:
    """The same figures by scikit-learn, replicate by replicate."""
    rng, every = np.random.default_rng(seed), np.arange(len(answers.classes))
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


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()

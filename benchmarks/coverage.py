"""How often a 95 % interval of ``summarise`` holds the truth, by simulation, beside plain bootstrap percentiles of the same draws.

``python benchmarks/coverage.py [--draws N] [--json]``. Each scene draws test sets of fixed class sizes from scores with a known law; the
truth is the figure on 400 times as many images.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # before NumPy is imported

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from cutis.evaluate.intervals import bootstrap_weights, replicated
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions

REPLICATES = 1000
SHOWN = {"accuracy": None, "balanced_accuracy": None, "auroc_macro": None, "sensitivity": "a", "auroc": "a"}


@dataclass(frozen=True)
class Scene:
    """Class sizes; how far the true class's score stands above the others; images a lesion and the share of noise they have in common."""

    sizes: tuple[int, ...]
    strength: float
    views: int = 1
    common: float = 0.0

    def draw(self, rng: np.random.Generator, times: int = 1) -> Predictions:
        """A test set, ``times`` as large."""
        labels = np.repeat(np.arange(len(self.sizes)), np.array(self.sizes) * times)
        lesion = np.arange(len(labels)) // self.views  # sizes are multiples of views, so a lesion has one class
        shared = rng.normal(size=(lesion[-1] + 1, len(self.sizes)))[lesion]
        noise = np.sqrt(self.common) * shared + np.sqrt(1 - self.common) * rng.normal(size=(len(labels), len(self.sizes)))
        scores = np.exp(noise + self.strength * np.eye(len(self.sizes))[labels])
        images = np.arange(len(labels)).astype(str)
        return Predictions(
            images, lesion.astype(str), labels, scores / scores.sum(axis=1, keepdims=True), tuple("abcdef"[: len(self.sizes)])
        )


SCENES = {
    "30, 30, 30": Scene((30, 30, 30), 1.5),
    "30, 30, 240": Scene((30, 30, 240), 2.0),
    "30, 30, 240, easy": Scene((30, 30, 240), 3.0),
    "60, 60, 240 in pairs": Scene((60, 60, 240), 2.0, views=2, common=0.6),
    "10, 30, 240": Scene((10, 30, 240), 2.5),
    "4, 30, 240": Scene((4, 30, 240), 1.5),
}


def main() -> None:
    """Measure every scene and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = {name: covered(scene, chosen.draws) for name, scene in SCENES.items()}
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    names = [f"{name} of the first class" if of else name for name, of in SHOWN.items()]
    print(f"| images a class | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for name, figure in found.items():
        cells = (f"{f['covered']:.1%} ({f['percentile']:.1%}) at {f['truth']:.3f}" for f in figure.values())
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nShare of {chosen.draws:,} draws whose interval holds the truth; in brackets plain percentiles; behind it the truth.")


def covered(scene: Scene, draws: int) -> dict[str, dict[str, float]]:
    """Share of draws in which each figure's interval, and its plain percentiles, hold the truth."""
    rng = np.random.default_rng(0)
    large = scene.draw(rng, 400)
    names = ["accuracy", "balanced_accuracy", "sensitivity", "auroc"]
    truth = {k: v[0] for k, v in figures(Rows(large.labels, large.probabilities).weighted(), names).items()}
    inside: dict[str, list[tuple[bool, bool]]] = {name: [] for name in SHOWN}
    for seed in range(draws):
        answers = scene.draw(rng)
        summary = summarise(answers, replicates=REPLICATES, seed=seed)
        weights = bootstrap_weights(answers.groups, REPLICATES, np.random.default_rng(seed))
        drawn = replicated(Rows(answers.labels, answers.probabilities), weights, names)
        for name, of in SHOWN.items():
            figure: dict[str, Any] = summary["per_class"][of][name] if of else summary[name]
            right = _of(truth[name], of)
            low, high = np.nanquantile(_of(drawn[name], of), [0.025, 0.975])
            inside[name].append((bool(figure["low"] <= right <= figure["high"]), bool(low <= right <= high)))
    shares = {name: np.mean(hits, axis=0) for name, hits in inside.items()}
    return {
        name: {"covered": float(ours), "percentile": float(plain), "truth": float(_of(truth[name], SHOWN[name]))}
        for name, (ours, plain) in shares.items()
    }


def _of(values: Any, class_name: str | None) -> Any:
    return values[..., "abcdef".index(class_name)] if class_name else values


if __name__ == "__main__":
    main()

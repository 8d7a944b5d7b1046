"""The HAM10000 recipes on the real images, beside the floor that each must reach; writes docs/results/ham10000.md.

``python -m benchmarks.ham10000 --runs FOLDER [--write docs/results/ham10000.md]``. Needs CUTIS_DATA (isic2018/) and CUTIS_WEIGHTS
(mobilenetv2_100); without them it says so and ends. Runs that are finished in FOLDER are kept, missing ones are trained: minutes for a
probe, most of an hour for the fine-tuned network on two cores.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cutis.evaluate.intervals import bootstrap_weights, percentile_limits, replicated
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.runs import Run

DATA = "$CUTIS_DATA/isic2018"
CORRECTED = [f"{DATA}/HAM10000_metadata.csv", "--split", f"{DATA}/dermamnist_splits.csv:split_corrected"]
EXTERNAL = [
    f"train={DATA}/HAM10000_metadata.csv",
    f"val={DATA}/ISIC2018_Task3_Validation_GroundTruth.csv",
    f"test={DATA}/ISIC2018_Task3_Test_GroundTruth.csv",
]
TEST = f"{DATA}/ISIC2018_Task3_Test_GroundTruth.csv"
RUNS = {
    "probe": ("ham10000-probe", CORRECTED),
    "probe-balanced": ("ham10000-probe-balanced", CORRECTED),
    "probe1": ("ham10000-probe1", CORRECTED),
    "probe8": ("ham10000-probe8", CORRECTED),
    "finetune": ("ham10000-finetune", CORRECTED),
    "probe-all": ("ham10000-probe", EXTERNAL),
    "probe-balanced-all": ("ham10000-probe-balanced", EXTERNAL),
}
FIGURES = ("accuracy", "balanced_accuracy", "auroc_macro")
# What plain scripts reached on the same split, weights and pixels: scikit-learn's logistic regression on frozen features,
# and a plain PyTorch fine-tuning loop. Rows: run, evaluated set.
FLOOR = {
    ("probe", "test"): (0.849, 0.487, 0.959),
    ("probe-balanced", "test"): (0.800, 0.683, 0.946),
    ("finetune", "test"): (0.906, 0.777, 0.981),
    ("finetune", "external"): (0.825, 0.713, 0.960),
    ("probe-all", "test"): (0.731, 0.462, 0.922),
    ("probe-balanced-all", "test"): (0.678, 0.608, 0.905),
}


def main() -> None:
    """Train what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs/ham10000"))
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    if not (os.environ.get("CUTIS_DATA") and os.environ.get("CUTIS_WEIGHTS")):
        print("Skipped: set CUTIS_DATA and CUTIS_WEIGHTS to folders with the real images and weights.")
        return
    for name, (recipe, data) in RUNS.items():
        folder = chosen.runs / name
        if not Run(folder).finished:
            cutis("train", *data, "--recipe", recipe, "--out", str(folder))
        if data is CORRECTED and "external" not in Run(folder).sets:
            cutis("evaluate", str(folder), TEST, "--name", "external")
    text = page({name: Run.open(chosen.runs / name) for name in RUNS})
    if chosen.write:
        chosen.write.write_text(text, "utf-8")
    print(text)


def cutis(*words: str) -> None:
    """One command of Cutis, as a user types it."""
    command = [str(Path(sys.executable).with_name("cutis")), *(os.path.expandvars(word) for word in words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def page(runs: dict[str, Run]) -> str:
    """The whole page as Markdown."""
    about = runs["finetune"].provenance
    machine, versions = about["machine"], about["versions"]
    lines = [
        "# HAM10000: the probe and the fine-tuned network, beside their floors",
        "",
        "Made by `python -m benchmarks.ham10000`. MobileNetV2 with ImageNet weights, 224 pixels, group = lesion, seed 0. "
        "Each figure with its 95 % interval from 2,000 bootstrap replicates over groups.",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, no GPU. "
        f"torch {versions['torch']}, Python {versions['python']}. Date: {about['finished'][:10]}.",
        "",
        "The floor is what a plain script reached on the same split and weights: logistic regression on frozen features, "
        "and a plain PyTorch loop in 46 minutes.",
        "",
        "| run, set | n | accuracy | floor | balanced accuracy | floor | AUROC | floor | majority line |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [line(name, s, run.metrics[s]) for name, run in runs.items() for s in ("test", "external") if s in run.metrics]
    lines += [
        "",
        "`test` of a run is the 1,232 images of the corrected DermaMNIST split, `external` the 1,512 of the ISIC 2018 test set,",
    ]
    lines += ["which is `test` for the two runs trained on all of HAM10000 (`-all`). A figure below its floor is marked.", ""]
    lines += ["What fell short, and what a run was made with, is in [the log](../log.md).", ""]
    lines += ["## Fine-tuned against probe, paired", "", *paired(runs["finetune"], runs["probe"]), ""]
    lines += ["## Eight views against one, paired", "", *paired(runs["probe8"], runs["probe1"]), ""]
    lines += ["## Commands and times", ""]
    lines += ["Runs that follow one another share images and features: only the first that needs them computes them.", ""]
    lines += ["| run | command | seconds, whole | of which |", "|---|---|---:|---|"]
    lines += [timed(name, run) for name, run in runs.items()]
    lines += ["", "External figures of a run are added by", "", f"    cutis evaluate RUN {TEST} --name external", ""]
    return "\n".join(lines)


def line(name: str, evaluated: str, metrics: dict[str, Any]) -> str:
    """One row of the table of figures."""
    floor = FLOOR.get((name, evaluated), (None,) * len(FIGURES))
    cells = []
    for metric, least in zip(FIGURES, floor, strict=True):
        f = metrics[metric]
        below = least is not None and round(f["value"], 3) < least
        cells += [
            f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]",
            "" if least is None else f"{least:.3f}{' (below)' if below else ''}",
        ]
    return f"| {name}, {evaluated} | {metrics['n']:,} | {' | '.join(cells)} | {metrics['baseline']['accuracy']['value']:.3f} |"


def paired(one: Run, other: Run) -> list[str]:
    """Differences of two runs on the same images: both are measured on the same resamples of groups."""
    rows = ["| set | figure | difference | 95 % interval |", "|---|---|---:|---:|"]
    for evaluated in ("test", "external"):
        a, b = one.predictions(evaluated), other.predictions(evaluated)
        assert (a.images == b.images).all(), "the same images in the same order"
        weights = bootstrap_weights(a.groups, 2000, np.random.default_rng(0))
        names = ["accuracy", "balanced_accuracy", "auroc"]
        first, second = (Rows(p.labels, p.probabilities) for p in (a, b))
        drawn = [replicated(r, weights, names) for r in (first, second)]
        points = [figures(r.weighted(), names) for r in (first, second)]
        for name in FIGURES:
            value = points[0][name][0] - points[1][name][0]
            low, high = percentile_limits(value, drawn[0][name] - drawn[1][name], 0.95)
            rows.append(f"| {evaluated} | {name} | {value:+.3f} | [{low:+.3f}, {high:+.3f}] |")
    return rows


def timed(name: str, run: Run) -> str:
    """One row of the table of times."""
    recipe, data = RUNS[name]
    seconds = run.provenance["seconds"]
    parts = ", ".join(f"{part} {value:,.0f}" for part, value in seconds.items() if value >= 1)
    return f"| {name} | `cutis train {' '.join(data)} --recipe {recipe} --out RUN` | {sum(seconds.values()):,.0f} | {parts} |"


if __name__ == "__main__":
    main()

"""A run folder as training leaves it: seven classes, 1,232 test images, answers drawn from a seeded generator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.data.proof import prove
from cutis.data.table import describe, finish
from cutis.evaluate.summary import summarise
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.runs import Run

HAM = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SIZES = {"train": (228, 359, 769, 80, 779, 4693, 99), "val": (30, 40, 80, 9, 84, 620, 12), "test": (43, 63, 120, 14, 105, 872, 15)}
STRENGTH = (2.2, 2.6, 2.4, 1.6, 1.9, 2.2, 2.8)


def answers(rows: pd.DataFrame, classes: tuple[str, ...], rng: np.random.Generator) -> Predictions:
    """Plausible probabilities: a bonus for the true class, one for the commonest."""
    labels = np.array([classes.index(x) for x in rows["label"]])
    logits = rng.normal(size=(len(rows), len(classes))) + np.linspace(0, 0.6, len(classes))
    logits[:, min(5, len(classes) - 1)] += 1.2
    logits[np.arange(len(rows)), labels] += np.array(STRENGTH)[labels % len(STRENGTH)]
    e = np.exp(1.3 * logits)
    return Predictions(rows["image"].to_numpy(np.str_), rows["group"].to_numpy(np.str_), labels, e / e.sum(1, keepdims=True), classes)


def photos(root: Path, names: list[str], rng: np.random.Generator) -> None:
    """Skin with a darker spot, 4:3."""
    y, x = np.mgrid[0:90, 0:120]
    for name in names:
        spot = ((x - rng.uniform(45, 75)) ** 2 / rng.uniform(300, 900) + (y - rng.uniform(35, 55)) ** 2 / rng.uniform(200, 700)) < 1
        pixels = np.where(spot[..., None], rng.integers(60, 120, 3), (226, 178, 158)) + rng.normal(0, 6, (90, 120, 1))
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name, quality=85)


def history(epochs: tuple[int, ...]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for stage, n in enumerate(epochs):
        for epoch in range(n):
            t = sum(epochs[:stage]) + epoch
            rows.append({"stage": stage, "epoch": epoch, "size": 224, "lr": 1e-3 / 10**stage, "train_loss": 0.3 + 1.2 * 0.85**t})
            rows[-1] |= {
                "val_loss": 0.5 + 0.9 * 0.8**t + 0.003 * t,
                "val_accuracy": 0.85 - 0.3 * 0.8**t,
                "val_balanced_accuracy": 0.6 - 0.4 * 0.85**t,
            }
            rows[-1] |= {"val_auroc": 0.95 - 0.2 * 0.8**t, "images_per_second": 50000.0, "seconds": 0.2, "best": t == sum(epochs) - 5}
    return pd.DataFrame(rows)


def build(
    folder: Path,
    *,
    classes: tuple[str, ...] = HAM,
    sizes: dict[str, tuple[int, ...]] = SIZES,
    pictures: int = 40,
    leak: bool = False,
    recipe: Recipe | None = None,
    seed: int = 0,
) -> Run:
    """Write a run below ``folder`` and its pictures beside it."""
    rng = np.random.default_rng(seed)
    root, run = folder / "data", Run(folder / "run")
    rows = [(name, part) for part, counts in sizes.items() for name, n in zip(classes, counts, strict=True) for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["label", "split"])
    frame["image"] = [f"images/ISIC_{24306 + i:07d}.jpg" for i in range(len(frame))]
    frame["lesion"] = [f"HAM_{i // 2 if part == 'train' else i:07d}" for i, part in enumerate(frame["split"])]
    if leak:
        frame.loc[frame.index[-20:], "lesion"] = frame["lesion"].iloc[:20].to_numpy()
    frame["sex"] = rng.choice(["female", "male"], len(frame))
    frame["age"] = rng.integers(20, 85, len(frame)).astype(float)
    (root / "images").mkdir(parents=True, exist_ok=True)
    table = finish(frame, root, "ham10000", [])
    table["sha256"] = [f"{i:064x}" for i in range(len(table))]
    proof = prove(table)
    run.recipe = recipe or Recipe(
        name="ham10000-probe",
        description="A linear head on frozen MobileNetV2 features",
        assumptions=("stages.0.lr",),
        stages=[{"epochs": 12, "train": "head"}, {"epochs": 20, "lr": 1e-4, "schedule": "cosine", "patience": 5}],
    )
    run.save_table("split", table)
    run.save_table("history", history((12, 20)))
    run.save_table("unreadable", pd.DataFrame({"image": ["images/torn.jpg"], "reason": ["a damaged JPEG file"]}))
    metrics = {}
    for part in ("test", "val"):
        p = answers(table[table["split"] == part], classes, rng)
        run.save_predictions(part, p)
        metrics[part] = summarise(p, replicates=100, majority=classes[int(np.argmax(sizes["train"]))])
    run.metrics = metrics
    test = run.predictions("test")
    wrong = np.flatnonzero(test.predicted != test.labels)
    surest = wrong[np.argsort(-test.probabilities[wrong].max(1))]
    photos(root, list(test.images[surest[:pictures]]), rng)
    run.provenance = {
        "cutis": "0.1.0",
        "command": "cutis train data/HAM10000_metadata.csv --recipe ham10000-probe --out run",
        "started": "2026-03-02T09:00:00",
        "finished": "2026-03-02T09:06:12",
        "seconds": {"read": 0.9, "cache": 61.0, "split": 0.4, "features": 180.2, "train": 95.3, "evaluate": 21.0, "report": 6.1},
        "data": {
            "root": str(root),
            "reader": "ham10000",
            "files": [{"path": "HAM10000_metadata.csv", "sha256": "ab" * 32}],
            "summary": describe(table),
            "notes": ["57 rows have no age."],
            "unreadable": 1,
        },
        "split": {"how": "by the column split_corrected of dermamnist_splits.csv", "proof": proof.to_dict(), "leaks_allowed": leak},
        "classes": list(classes),
        "majority": classes[int(np.argmax(sizes["train"]))],
        "model": {"backbone": "mobilenetv2_100.ra_in1k", "weights": "mobilenetv2_100.ra_in1k.safetensors", "weights_sha256": "cd" * 32,
                  "parameters": 2230000, "trained_parameters": 8967},
        "evaluated": {"test": {"data": str(root), "when": "2026-03-02"}, "val": {"data": str(root), "when": "2026-03-02"}},
        "machine": {"cpu": "a CPU", "cores": 2, "memory_gb": 24, "gpu": None},
        "versions": {"python": "3.11.2", "torch": "2.13.0"},
        "overrides": ["--allow-leaks"] if leak else [],
    }  # fmt: skip
    return run


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    return build

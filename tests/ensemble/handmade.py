"""Members as training leaves them, with answers written by hand or drawn: no network is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cutis.data.proof import prove
from cutis.data.table import finish
from cutis.predictions import Predictions
from cutis.recipe import Evaluation, Recipe
from cutis.runs import Run

CLASSES = ("bcc", "mel", "nv")


def rows(seed: int = 0, *, train: int = 30, val: int = 60, test: int = 90) -> pd.DataFrame:
    """A table of images, two a lesion, in three parts that share no lesion."""
    parts = np.repeat(["train", "val", "test"], [train, val, test])
    frame = pd.DataFrame({"image": [f"{i:03}.jpg" for i in range(len(parts))], "split": parts})
    frame["lesion"] = [f"L{i // 2}" for i in range(len(frame))]
    frame["label"] = np.repeat(np.random.default_rng(seed).permutation(np.resize(CLASSES, len(frame) // 2)), 2)
    table = finish(frame, Path(), "csv", [])
    return table.assign(sha256=[f"{i:064x}" for i in range(len(table))])


def answers(table: pd.DataFrame, strength: float, seed: int, classes: tuple[str, ...] = CLASSES) -> Predictions:
    """Answers that are the better the greater ``strength``."""
    labels = np.array([CLASSES.index(x) for x in table["label"]])
    logits = np.random.default_rng(seed).normal(size=(len(table), len(CLASSES)))
    logits[np.arange(len(table)), labels] += strength
    e = np.exp(logits)
    p = (e / e.sum(1, keepdims=True))[:, [CLASSES.index(c) for c in classes]]
    own = np.array([classes.index(x) for x in table["label"]])
    return Predictions(table["image"].to_numpy(np.str_), table["group"].to_numpy(np.str_), own, p, classes)


def build(folder: Path, sets: Mapping[str, Predictions], table: pd.DataFrame, classes: tuple[str, ...] = CLASSES) -> Run:
    """A finished run with these predictions; its model is a file of its name."""
    run = Run(folder)
    run.recipe = Recipe(name="small", evaluate=Evaluation(replicates=100))
    run.save_table("split", table)
    for name, part in sets.items():
        run.save_predictions(name, part)
    run.model_file.write_text(folder.name)
    proof = prove(table)
    about: dict[str, Any] = {
        "data": {"root": str(folder), "reader": "csv", "files": [], "notes": [], "unreadable": 0},
        "split": {"how": "by lesion", "proof": proof.to_dict(), "leaks_allowed": not proof.ok},
    }
    run.provenance = about | {"classes": list(classes), "majority": "nv", "evaluated": {name: {} for name in sets}}
    return run


def member(
    folder: Path, strength: float = 1.0, seed: int = 0, *, classes: tuple[str, ...] = CLASSES, table: pd.DataFrame | None = None
) -> Run:
    """A run that answered validation and test of a table."""
    whole = rows() if table is None else table
    sets = {part: answers(whole[whole["split"] == part], strength, seed + i, classes) for i, part in enumerate(("val", "test"))}
    return build(folder, sets, whole, classes)


def trio(folder: Path) -> list[Run]:
    """Three members, each better than the one before."""
    return [member(folder / name, strength, 10 * i) for i, (name, strength) in enumerate((("weak", 0.5), ("fair", 1.0), ("good", 1.6)))]

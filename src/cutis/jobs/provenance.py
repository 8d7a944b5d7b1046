"""Provenance: what was run, on which data, with what, in which words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cutis import machine
from cutis.data.cache import Cache
from cutis.data.proof import Proof
from cutis.data.table import describe
from cutis.files import sha256
from cutis.recipe import Recipe


def about(table: pd.DataFrame, cache: Cache, proof: Proof, classes: Sequence[str]) -> dict[str, Any]:
    """What is known before training. A split that leaks gets this far only where that was allowed."""
    return {
        "cutis": machine.version("cutis"),
        "request": table.attrs.get("request", {}),
        "data": {
            "root": table.attrs["root"],
            "reader": table.attrs["reader"],
            "files": files(table),
            "summary": describe(table),
            "notes": table.attrs["notes"] + [f"{r.image}: {r.note}" for r in cache.notes.head(50).itertuples()],
            "unreadable": len(cache.failures),
        },
        "split": {"proof": proof.to_dict(), "leaks_allowed": not proof.ok},
        "classes": list(classes),
        "majority": str(table.loc[table["split"] == "train", "label"].value_counts().idxmax()),
        "evaluated": {},
        "machine": machine.describe(),
        "versions": machine.versions(),
        "overrides": [] if proof.ok else ["--allow-leaks"],
    }


def how(table: pd.DataFrame, spec: Recipe, given: str) -> str:
    """Where the split comes from, in words."""
    unit = "patient" if table["patient"].notna().any() else "lesion" if table["lesion"].notna().any() else "image"
    drawn = f"by {unit}, stratified by class, seed {spec.split.seed}"
    if spec.split.folds:
        return f"fold {spec.split.fold + 1} of {spec.split.folds}, {drawn}"
    parts = set(table["split"].dropna())
    if not parts:
        return f"{spec.split.test:.0%} test, {spec.split.val:.0%} validation, {drawn}"
    return (given or "as the data give it") + (f"; validation {drawn}" if "val" not in parts and spec.split.val else "")


def now() -> str:
    """Date and time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def files(table: pd.DataFrame) -> list[dict[str, str]]:
    """Name and SHA-256 of each file that the rows came from."""
    return [{"path": Path(f).name, "sha256": sha256(Path(f))} for f in table.attrs.get("files", []) if Path(f).is_file()]

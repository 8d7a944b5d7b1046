"""What is told of the people in the images (skin tone, sex, age, body site), counted by part of the split and by class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from cutis.audit.findings import Severity
from cutis.data.groupings import Grouping, people
from cutis.data.table import PARTS
from cutis.tabular import Table

SEVERITY: Final[Mapping[str, Severity]] = {"skin_tone": "warning", "sex": "warning", "age": "note", "site": "note"}
"""How bad it is that hardly anybody of a group is there."""


@dataclass(frozen=True)
class Trait(Grouping):
    """Something known about people: ``of`` the group of each table row (missing where unknown), ``groups`` all groups, empty ones too."""

    severity: Severity


def traits(table: pd.DataFrame) -> list[Trait]:
    """Skin tone as given, sex, age and body site; what a table does not tell is missing in every row."""
    return [Trait(way.name, way.title, way.of, way.groups, SEVERITY[way.name]) for way in people(table)]


def unit(table: pd.DataFrame) -> tuple[str, str]:
    """The column that says what belongs together, and what one of it is called."""
    for column, noun in (("patient", "person"), ("lesion", "lesion")):
        if table[column].notna().mean() > 0.5:
            return column, noun
    return "group", "group" if table["group"].nunique() < len(table) else "image"


def counted(n: int, noun: str) -> str:
    """``1 person``, ``1,232 images``."""
    return f"{n:,} {noun if n == 1 else 'people' if noun == 'person' else noun + 's'}"


def per_cent(part: float, whole: float) -> str:
    """``67 %``; one decimal under 10 %."""
    share = part / max(whole, 1)
    return f"{100 * share:.{0 if share >= 0.0995 or share == 0 else 1}f} %"


def numbers(trait: Trait, table: pd.DataFrame) -> dict[str, Any]:
    """How many rows are known, and for each group its images, what they belong to, and counts by part and class."""
    column, _ = unit(table)
    rows = table.assign(group_of=trait.of)
    groups = {}
    for group in trait.groups:
        own = rows[rows["group_of"] == group]
        groups[group] = {
            "images": len(own),
            f"{column}s": int(own[column].nunique()),
            "splits": {part: int((own["split"] == part).sum()) for part in PARTS},
            "classes": {str(c): int(n) for c, n in own["label"].value_counts().sort_index().items()},
        }
    return {"known": int(trait.of.notna().sum()), "groups": groups}


def tables(trait: Trait, table: pd.DataFrame) -> list[Table]:
    """Counts by part of the split, and by class."""
    column, noun = unit(table)
    rows = table.assign(group_of=trait.of)
    known = int(trait.of.notna().sum())
    parts = [part for part in PARTS if (table["split"] == part).any()]
    classes = sorted(table["label"].dropna().unique())
    units = [("people" if noun == "person" else noun + "s")] if noun != "image" else []
    by_part, by_class = [], []
    for group in trait.groups:
        own = rows[rows["group_of"] == group]
        counts = [f"{own[column].nunique():,}"] if units else []
        by_part.append([group, f"{len(own):,}", per_cent(len(own), known), *counts, *(f"{(own['split'] == p).sum():,}" for p in parts)])
        by_class.append([group, *(f"{(own['label'] == c).sum():,}" for c in classes)])
    title = f"{trait.title[0].upper()}{trait.title[1:]}"
    told = f"known for {known:,} of {len(table):,} images"
    made = [Table(f"{title} ({told})", (trait.title, "images", "share", *units, *parts), by_part)]
    if classes:
        made.append(Table(f"{title} by class, images", (trait.title, *map(str, classes)), by_class))
    return made

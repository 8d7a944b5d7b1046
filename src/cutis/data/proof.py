"""The proof of a split: that no lesion, patient or identical picture is on both sides, or exactly which ones are."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cutis.data.table import PARTS

_SHOWN = 5


@dataclass(frozen=True)
class Proof:
    """What was found in a split.

    ``kind``: what a group is in these data (lesion, patient, group); ``parts``: images in each part; ``groups``: identifiers in more
    than one part, ``images``: how many images they have; ``identical``: sets of images with equal pixels in different parts, of different
    groups; ``conflicts``: sets with equal pixels and different labels; ``classes``: for each class, ``test`` and ``val`` images,
    and how many of them share a group or equal pixels with another part (``test_in_train``, ``test_in_val``, ``val_in_train``);
    ``unhashed``: images without pixel hash, whose copies cannot be seen.
    """

    kind: str
    parts: dict[str, int]
    groups: tuple[str, ...]
    images: int
    identical: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    unhashed: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing crosses."""
        return not self.groups and not self.identical

    @property
    def leaks(self) -> list[str]:
        """A sentence for each way in which the split leaks; empty where it does not."""
        found = []
        if self.groups:
            kinds = _plural(self.kind, len(self.groups))
            found.append(f"{len(self.groups):,} {kinds} ({self.images:,} images) are in more than one part of the split.")
        if self.identical:
            n = sum(map(len, self.identical))
            found.append(f"{len(self.identical):,} pictures ({n:,} images) are in more than one part under different {self.kind}s.")
        return found

    def message(self) -> str:
        """The answer for the user: what crosses, how much of each class, examples, and what to do."""
        if self.ok:
            compared = sum(self.parts.values()) - self.unhashed
            seen = f" and no identical picture among {compared:,} images" if compared else ""
            parts = ", ".join(f"{p} {n:,}" for p, n in self.parts.items())
            return "\n".join([f"The split is clean: no {self.kind}{seen} is in more than one part ({parts}).", *self._conflicts()])
        lines = ["The split leaks. " + " ".join(self.leaks), "", *self._table(), ""]
        if self.groups:
            lines.append(f"For example {self.kind} {', '.join(self.groups[:_SHOWN])}.")
        if self.identical:
            lines.append(f"Identical: {'; '.join(' = '.join(same) for same in self.identical[:_SHOWN])}.")
        lines += self._conflicts()
        lines.append("Figures from such a split are too good. Let Cutis split the data, or give another split with --split FILE:COLUMN.")
        lines.append("To train on it all the same: --allow-leaks (every page of the run then says so).")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For provenance.json: counts, and the first crossing groups and pictures."""
        return {
            "ok": self.ok,
            "kind": self.kind,
            "parts": self.parts,
            "crossing_groups": len(self.groups),
            "crossing_group_images": self.images,
            "crossing_identical": len(self.identical),
            "identical_with_two_labels": len(self.conflicts),
            "unhashed": self.unhashed,
            "classes": self.classes,
            "leaks": self.leaks,
            "examples": {
                "groups": list(self.groups[:50]),
                "identical": [list(same) for same in self.identical[:50]],
                "two_labels": [list(same) for same in self.conflicts[:50]],
            },
        }

    def _table(self) -> list[str]:
        """Per class: how many test images have their like in train and in val, and how many val images in train."""
        columns = [("test", "test_in_train"), ("test", "test_in_val"), ("val", "val_in_train")]
        total = {key: sum(c[key] for c in self.classes.values()) for key in ("test", "val", *(key for _, key in columns))}
        rows = [["class", "test images", "with like in train", "with like in val", "val images", "with like in train"]]
        for name, c in [*self.classes.items(), ("all", total)]:
            cells = [f"{c[key]:,} ({c[key] / c[whole]:.1%})" if c[whole] else "-" for whole, key in columns]
            rows.append([name, f"{c['test']:,}", cells[0], cells[1], f"{c['val']:,}", cells[2]])
        rows[0] = [h.replace("like", self.kind if not self.identical else f"{self.kind} or copy") for h in rows[0]]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return [
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths, strict=True))) for r in rows
        ]

    def _conflicts(self) -> list[str]:
        if not self.conflicts:
            return []
        shown = "; ".join(" = ".join(same) for same in self.conflicts[:_SHOWN])
        return [f"{len(self.conflicts)} identical pictures have different labels: {shown}. Correct the label of each."]


def prove(table: pd.DataFrame) -> Proof:
    """Look at every row that is in a part. Needs ``image label group split``; uses ``lesion patient sha256`` where they are known.

    Rows with the same group or the same ``sha256`` (of decoded pixels) must be in one part.
    """
    rows = table[table["split"].notna()]
    hashes = rows["sha256"] if "sha256" in rows else pd.Series(pd.NA, index=rows.index)
    hashes = hashes.where(hashes.notna() & (hashes != ""))
    crossing = rows[_crosses(rows["group"], rows["split"])]
    copied = rows[_crosses(hashes, rows["split"])]
    identical = [same for _, same in copied.groupby(hashes[copied.index]) if same["group"].nunique() > 1]
    torn = rows[_crosses(hashes, rows["label"])]
    kind = "patient" if rows["patient"].notna().any() else "lesion" if rows["lesion"].notna().any() else "group"
    return Proof(
        kind=kind,
        parts={p: n for p in PARTS if (n := int((rows["split"] == p).sum()))},
        groups=tuple(sorted(crossing["group"].unique())),
        images=len(crossing),
        identical=tuple(tuple(sorted(same["image"])) for same in identical),
        conflicts=tuple(tuple(sorted(same["image"])) for _, same in torn.groupby(hashes[torn.index])),
        classes=_by_class(rows, hashes),
        unhashed=int(hashes.isna().sum()),
    )


def _crosses(key: pd.Series, value: pd.Series) -> pd.Series:
    """Rows whose key (missing: none) occurs with several values."""
    known = pd.DataFrame({"key": key, "value": value}).dropna()
    several = known.drop_duplicates()["key"].value_counts()
    return key.isin(several.index[several > 1])


def _by_class(rows: pd.DataFrame, hashes: pd.Series) -> dict[str, dict[str, int]]:
    classes = sorted(rows["label"].dropna().unique())
    counts: dict[str, dict[str, int]] = {c: {} for c in classes}
    for part, other in (("test", "train"), ("test", "val"), ("val", "train")):
        here, there = rows["split"] == part, rows["split"] == other
        like = here & (rows["group"].isin(rows.loc[there, "group"]) | (hashes.notna() & hashes.isin(hashes[there].dropna())))
        total, shared = rows.loc[here, "label"].value_counts(), rows.loc[like, "label"].value_counts()
        for c in classes:
            counts[c][part] = int(total.get(c, 0))
            counts[c][f"{part}_in_{other}"] = int(shared.get(c, 0))
    return counts


def _plural(kind: str, n: int) -> str:
    return kind if n == 1 else kind + "s"

"""What a check of the data says: findings that name their images, numbers for machines, tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cutis.tabular import Table

Depth = Literal["none", "quick", "full"]
"""How much of an audit a run begins with: quick is the cheap checks."""

Severity = Literal["serious", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")


@dataclass(frozen=True)
class Item:
    """One thing that was found: an image, or several that belong together (copies of one another)."""

    images: tuple[str, ...]
    """Names as in the table: paths relative to its root."""
    note: str = ""
    """What is remarkable about it, in a few words."""
    score: float | None = None
    """What the items are ranked by, worst first; its meaning is the finding's ``measure``."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found."""

    kind: str
    """Short name for machines: ``exact-copies``."""
    severity: Severity
    """serious: figures from these data cannot be believed, or images are lost; warning: look at it; note: good to know."""
    sentence: str
    """What was found, with its numbers, in one plain sentence."""
    advice: str = ""
    """What to do, in one plain sentence."""
    items: tuple[Item, ...] = ()
    measure: str = ""
    """What ``Item.score`` is, with its unit."""
    rule: str = ""
    """The rule of ``--leave-out`` or ``--merge`` that mends it."""

    @property
    def images(self) -> int:
        """How many images it names."""
        return len({image for item in self.items for image in item.images})


@dataclass(frozen=True)
class Section:
    """What one check found."""

    title: str
    sentence: str
    """What it means, in one plain sentence; the page opens the part with it."""
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """All its figures, for audit.json: plain values, lists, mappings."""
    tables: Sequence[Table] = ()
    limits: tuple[str, ...] = ()
    """What could not be looked at, and why; how far what it says holds."""

    def to_dict(self) -> dict[str, Any]:
        """For audit.json; tables are for people and stay out."""
        return {
            "title": self.title,
            "sentence": self.sentence,
            "findings": [asdict(finding) | {"images": finding.images} for finding in self.findings],
            "numbers": dict(self.numbers),
            "limits": list(self.limits),
        }


def counted(n: int, noun: str = "image") -> str:
    """``1 image``, ``1,232 images``."""
    return f"{n:,} {noun if n == 1 else noun + 's'}"

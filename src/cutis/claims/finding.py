"""What a rule says about a published table, and the registry of rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cutis.claims.table import Claim
from cutis.registry import Registry

Severity = Literal["impossible", "implausible", "weak", "note"]
SEVERITIES: tuple[Severity, ...] = ("impossible", "implausible", "weak", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found."""

    severity: Severity
    """impossible: no data give these figures, rounded or cut off, whatever an ambiguous label means; implausible: hardly any do;
    weak: the figures do not show what is claimed; note: good to know."""
    rule: str
    """Name of the rule: ``f1-above-mean``."""
    where: str
    """Model, set and figures: ``ResNet-50 on test, F1 (macro)``."""
    sentence: str
    """What it means, in one plain sentence."""
    arithmetic: str
    """The calculation, in one line, with the printed figures in it."""
    source: str
    """Where the rule comes from: a publication, or the identity it rests on."""
    settle: str = "The confusion matrix behind the figures, and whether they were rounded or cut off."
    """What would settle it: what the authors could publish or do, in one plain sentence."""


Rule = Callable[[Claim], Iterator[Finding]]
rules: Registry[Rule] = Registry("rule", "cutis.claims")

"""A claim checked: all rules run over it, what they found by severity, and what could not be checked and why."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from cutis.claims import seen
from cutis.claims.finding import SEVERITIES, Finding, rules
from cutis.claims.table import Claim, Model

FORMAT = "cutis-check-1"


COMMON = ("accuracy-under-imbalance", "sensitivity-missing", "one-seed", "split-by-image", "interval")
"""What is found of most tables, and stands after what is particular to one."""


def check(claim: Claim) -> list[Finding]:
    """What all rules find, the most severe first; rules in the order of their names, their findings in the order of the table."""
    found = [finding for _, rule in rules.items() for finding in rule(claim)]
    return sorted(found, key=lambda finding: (SEVERITIES.index(finding.severity), finding.rule in COMMON))


def figures(claim: Claim) -> int:
    """How many printed figures a claim has; a confusion matrix is one."""
    return sum(len(model.figures) + sum(map(len, model.per_class.values())) + (model.confusion is not None) for model in claim.models)


Lacks = Callable[[Claim, Model], bool]
UNCHECKED: Sequence[tuple[Lacks, str, str]] = (
    (
        lambda claim, model: not claim.n_of(model),
        "the number of images",
        "whether the figures are attainable, their intervals, and what is chance",
    ),
    (
        lambda claim, model: model.accuracy is not None and not seen.sizes(claim, model),
        "the images of each class",
        "the majority line, and whether the averages fit the accuracy",
    ),
    (
        lambda claim, model: model.confusion is None and not seen.printed_recalls(claim, model),
        "a confusion matrix or the recall of each class",
        "which classes are missed, and what to expect on other shares of the classes",
    ),
    (
        lambda claim, model: bool({"auroc", "auroc_macro", "auroc_micro", "auroc_weighted"} & model.figures.keys()),
        "the scores of each image",
        "whether the AUROC follows from them; a table bounds it only loosely",
    ),
)
"""What a model may lack, its name, and what cannot be checked without it."""


def unchecked(claim: Claim) -> list[str]:
    """What was not checkable and why, a sentence each."""
    models = [model for model in claim.models if model.figures or model.per_class or model.confusion]
    lines = []
    for lacks, what, cost in UNCHECKED:
        lacking = [seen.where(model) for model in models if lacks(claim, model)]
        if lacking:
            who = "all rows" if len(lacking) == len(models) else seen.listed(lacking)
            lines.append(f"Not given: {what} ({who}). Not checked: {cost}.")
    if not models:
        lines.append("Not given: any figure. Not checked: everything.")
    return lines


def answer(claim: Claim, findings: Sequence[Finding]) -> dict[str, Any]:
    """The whole answer as plain data."""
    return {
        "format": FORMAT,
        "title": claim.title,
        "source": claim.source,
        "figures": figures(claim),
        "rules": list(rules),
        "findings": [asdict(finding) for finding in findings],
        "unchecked": unchecked(claim),
    }

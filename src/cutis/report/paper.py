"""The methods and results of a run as paragraphs for a paper, the numbers filled in."""

from cutis.report.context import Context
from cutis.report.facts import told

PARAGRAPHS = {
    "Data": ("sources", "size", "class_sizes", "confirmation", "exclusions", "audit", "partitions", "disjoint", "demographics", "missing"),
    "Images and network": ("task", "preprocessing", "network", "initialisation"),
    "Training": ("augmentation", "training", "selection", "search", "ensembling", "repeats"),
    "Evaluation": (
        "metrics",
        "intervals",
        "baseline",
        "fitting",
        "calibrating",
        "deciding",
        "declining",
        "scoping",
        "comparing_groups",
        "explaining",
    ),
    "Software": ("software", "machine"),
    "Results": ("internal", "by_class", "failures", "calibration", "decisions", "unanswered", "groups", "external", "explanation"),
}
"""Title of each paragraph, and the facts it is made of."""


def paragraphs(context: Context) -> list[tuple[str, str]]:
    """Title and text of each paragraph for which the run knows something."""
    found = [(title, told(context, names)) for title, names in PARAGRAPHS.items()]
    return [(title, text) for title, text in found if text]

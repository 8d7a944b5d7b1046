"""What a run can say for itself: sentences with the numbers filled in, of which methods text, model card and checklists are made."""

from collections.abc import Callable, Iterable

from cutis.registry import Registry
from cutis.report.context import Context

Fact = Callable[[Context], str]
"""Sentences in the past tense, as a paper has them; empty where the run does not know."""

facts: Registry[Fact] = Registry("fact of a run", "cutis.report.facts")


def told(context: Context, names: Iterable[str]) -> str:
    """The facts of these names that the run knows, one after the other; empty where it knows none of them."""
    return " ".join(filter(None, (facts[name](context) for name in names)))

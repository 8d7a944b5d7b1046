"""Reporting checklists as data, and how far a run answers them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import yaml

from cutis.recipe import Part
from cutis.report.context import Context
from cutis.report.facts import told

Status = Literal["answered", "in part", "open"]


class Item(Part):
    """An item of a checklist, in our own words."""

    item: int
    """Its number."""
    section: str
    """The heading it stands under."""
    text: str
    """What it asks for."""
    facts: tuple[str, ...] = ()
    """What of a run answers it (report/facts)."""
    where: str = ""
    """The part of the page that shows more."""
    ask: str = ""
    """What only a person can add, whatever the run knows."""
    lacking: str = ""
    """What to do where the run knows nothing."""


class Checklist(Part):
    """A reporting checklist."""

    name: str
    title: str
    source: str
    """Whose it is: authors, year, journal, doi."""
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Answer:
    """An item and what a run has to say to it; ``open``: what a person must do, empty where nothing."""

    item: Item
    told: str
    open: str

    @property
    def status(self) -> Status:
        """How far the item is answered."""
        return "open" if not self.told else "in part" if self.open else "answered"


def checklists() -> list[Checklist]:
    """Those that come with Cutis, in the order of their names."""
    files = sorted(f.name for f in resources.files(__name__).iterdir() if f.name.endswith(".yaml"))
    return [Checklist.model_validate(yaml.safe_load((resources.files(__name__) / name).read_text("utf-8"))) for name in files]


def answers(checklist: Checklist, context: Context) -> list[Answer]:
    """What a run has to say to each item."""
    return [_answer(item, told(context, item.facts)) for item in checklist.items]


def counts(found: Sequence[Answer]) -> dict[Status, int]:
    """How many items are answered, in part, and open."""
    statuses: tuple[Status, ...] = ("answered", "in part", "open")
    return {status: sum(answer.status == status for answer in found) for status in statuses}


def _answer(item: Item, known: str) -> Answer:
    return Answer(item, known, item.ask if known else item.ask or item.lacking)

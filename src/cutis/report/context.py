"""What a part of the report is, and what it may read: the run folder, and nothing else but the pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from cutis.files import read_json, write_text
from cutis.predictions import Predictions
from cutis.recipe import Recipe
from cutis.registry import Registry
from cutis.report import blocks, words
from cutis.report.drawing import OKABE_ITO, Drawing
from cutis.runs import Run, stage_of


@dataclass(frozen=True)
class Part:
    """A part of a page: a title, one plain sentence that says what it means, and what stands below."""

    title: str
    sentence: str
    body: Sequence[Markup] = ()


Writer = Callable[["Context"], Part | None]
parts: Registry[Writer] = Registry("report part", "cutis.report.parts")  # in the order of their names: "10 data", "20 split", ...


class Context:
    """A run as the parts see it; read once, lazily."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.written: dict[str, str] = {}
        """Id and title of the parts that stand on the page already."""

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the run."""
        return self.run.recipe

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What was run; empty where the file is absent."""
        return self.run.provenance if (self.run.folder / "provenance.json").is_file() else {}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Figures of every evaluated set."""
        return self.run.metrics

    @cached_property
    def fitted(self) -> dict[str, Any]:
        """What was fitted on validation after training; empty where nothing was."""
        return self.run.fitted

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """The rows after the split; none for a run of runs, which has none of its own."""
        return self.run.table if (self.run.folder / "split.csv").is_file() else None

    @cached_property
    def audit(self) -> tuple[str, dict[str, Any]] | None:
        """Where the page of the audit lies, seen from the report, and what audit.json says; the first part's for a run of runs; or none."""
        for run in (self.run, *self.run.parts):
            folder = run.folder / "audit"
            if (folder / "audit.json").is_file():
                return f"{folder.relative_to(self.run.folder).as_posix()}/audit.html", dict(read_json(folder / "audit.json"))
        return None

    @cached_property
    def main(self) -> str | None:
        """The set the page is about: test, else the first that was evaluated."""
        return "test" if "test" in self.metrics else next(iter(self.metrics), None)

    @cached_property
    def elsewhere(self) -> list[str]:
        """The evaluated sets that are no part of the run's own data."""
        return [name for name in self.metrics if name not in ("train", "val", "test") and not stage_of(name)]

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Figures of the main set; empty before the first evaluation."""
        return self.metrics[self.main] if self.main else {}

    @cached_property
    def classes(self) -> list[str]:
        """Class names in the order of the model."""
        return list(self.figures.get("classes") or self.provenance.get("classes") or [])

    @cached_property
    def majority(self) -> str | None:
        """The most frequent training class."""
        return self.provenance.get("majority")

    @cached_property
    def leaks(self) -> str:
        """What every page and figure says where the run, or a run inside it, was trained with leaks allowed; else empty."""
        told = [c.provenance.get("split", {}) for c in (self, *map(Context, self.run.parts))]
        allowed = [t for t in told if t.get("leaks_allowed")]
        if not allowed:
            return ""
        clean = all((t.get("proof") or {}).get("ok") for t in allowed)
        return (
            "Trained with leaks allowed; none was found."
            if clean
            else "Trained with leaks allowed: the figures are too good to be believed."
        )

    @cached_property
    def note(self) -> str:
        """What stands in every figure."""
        return f"{words.NOTICE} {self.leaks}".rstrip()

    def predictions(self, name: str) -> Predictions | None:
        """Predictions for a set, rows with a known class; none where the run keeps none."""
        return self.run.predictions(name).known() if name in self.run.sets else None

    def colour(self, name: str) -> int:
        """Index of a class's colour: by its place among the classes, the same on every page."""
        return self.classes.index(name) % len(OKABE_ITO) if name in self.classes else len(OKABE_ITO)

    def chip(self, name: str) -> Markup:
        """A class name with its colour."""
        return blocks.chip(name, self.colour(name))

    def save(self, drawing: Drawing) -> None:
        """Write a figure to the run's figures folder."""
        write_text(self.run.folder / "figures" / f"{drawing.name}.svg", drawing.svg)

    def figure(self, drawing: Drawing) -> Markup:
        """Write a figure to the run's figures folder and put it on the page."""
        self.save(drawing)
        return Markup('<figure class="plot">{}</figure>').format(drawing.inline())

    @cached_property
    def root(self) -> Path | None:
        """The folder of the image files."""
        root = self.provenance.get("data", {}).get("root")
        return Path(root) if root else None


def costly(classes: Sequence[str]) -> set[tuple[int, int]]:
    """Cells (true, answered) in which a malignant class is called benign; empty where the names do not say."""
    kinds = [words.malignant().get(c.lower()) for c in classes]
    return {(i, j) for i, a in enumerate(kinds) for j, b in enumerate(kinds) if a is True and b is False}

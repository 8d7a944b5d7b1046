"""What a part of a study's page may read, and where further parts are registered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from cutis.files import write_text
from cutis.registry import Registry
from cutis.report import words
from cutis.report.context import Part
from cutis.report.drawing import OKABE_ITO, Drawing
from cutis.runs import Run
from cutis.studies.catalog import Study
from cutis.studies.compare import Answers
from cutis.studies.tables import Told


@dataclass(frozen=True)
class Context:
    """A study as the parts of its page see it: its runs by arm, what they answered, and study.json."""

    study: Study
    out: Path
    answers: Mapping[str, Answers]
    told: Told

    @property
    def runs(self) -> dict[str, Run]:
        """The run of each arm."""
        return {name: own.run for name, own in self.answers.items()}

    @property
    def note(self) -> str:
        """What stands in every figure."""
        return f"{words.NOTICE} {'Drawn pictures.' if self.told['drawn'] else ''}".rstrip()

    def title(self, arm: str) -> str:
        """How tables name an arm."""
        return str(next(a["title"] for a in self.told["arms"] if a["name"] == arm))

    def colour(self, name: str) -> int:
        """Index of a class's colour: by its place among all classes of the study, in the order of the arms."""
        known = list(dict.fromkeys(c for arm in self.told["arms"] for c in arm["classes"]))
        return known.index(name) % len(OKABE_ITO)

    def figure(self, drawing: Drawing) -> Markup:
        """Write a figure to the study's ``figures`` folder and put it on the page."""
        write_text(self.out / "figures" / f"{drawing.name}.svg", drawing.svg)
        return Markup('<figure class="plot">{}</figure>').format(drawing.inline())


parts: Registry[Callable[[Context], Part | None]] = Registry("study page part", "cutis.studies")
"""Further parts of a study's page, which ``Study.pages`` names: ``precision-recall``, ``curves``, ``confusion``, ..."""

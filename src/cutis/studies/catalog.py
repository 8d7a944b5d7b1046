"""What a study is: arms that make runs, the tables that were published, and what is set beside what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cutis.errors import CutisError
from cutis.recipe import Recipe, Split
from cutis.registry import Registry, unknown

if TYPE_CHECKING:
    import pandas as pd

    from cutis.runs import Run
    from cutis.studies.work import Work


@dataclass(frozen=True)
class Scale:
    """How far a study is cut down to fit a machine: every number is the most that is used, None leaves it as published."""

    name: str
    images: int | None = None
    """Training and validation images, whole groups, classes in proportion."""
    test: int | None = None
    """Test images, whole groups, classes in proportion."""
    size: int | None = None
    """Longest side in pixels; the aspect ratio stays."""
    epochs: int | None = None
    """Epochs a stage."""
    batch: int | None = None
    """Images a step."""
    candidates: int | None = None
    """Individuals that a search trains in all."""
    seeds: int | None = None
    """Seeds of an arm."""
    replicates: int | None = None
    """Bootstrap replicates."""
    minutes: int | None = None
    """What it takes on two cores, as measured or expected; shown, not enforced."""


SMOKE = Scale("smoke", images=96, test=48, size=48, epochs=1, batch=16, candidates=4, seeds=2, replicates=200, minutes=3)
FULL = Scale("full")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One line of a study: whatever makes a run (or, with several seeds, a run of runs) in a folder of its own."""

    name: str
    """Folder name: letters, digits, hyphens."""
    title: str = ""
    """How tables name it."""
    data: str = ""
    """Which of the study's tables it is trained on."""
    ours: bool = False
    """Not in the publication."""
    cpu: Scale | None = None
    """What holds at the scale cpu in place of the study's; the test images are the study's, so that arms are tested alike."""

    def make(self, work: "Work") -> "Run":
        """Make, take up or find the arm's run."""
        raise NotImplementedError

    def plan(self) -> tuple[Recipe, ...]:
        """The recipes that it trains, as published."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Trained(Arm):
    """A recipe, trained."""

    recipe: Recipe
    seeds: int = 1
    """How many seeds, each a run of its own on the same split."""
    also: tuple[str, ...] = ()
    """Further tables of the study that the model answers; the figures stand under the table's name."""
    leaks: bool = False
    """Trained although the split leaks, to show what that does; every page says so."""

    def plan(self) -> tuple[Recipe, ...]:
        """The recipe."""
        return (self.recipe,)

    def make(self, work: "Work") -> "Run":
        """Train it, or go on where it stopped."""
        return work.train(self)


@dataclass(frozen=True, kw_only=True)
class Combined(Arm):
    """An ensemble of other arms, which stand before it."""

    members: tuple[str, ...]
    method: str = "mean"
    weights: tuple[float, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, work: "Work") -> "Run":
        """Combine the members' answers."""
        return work.combine(self)


@dataclass(frozen=True)
class Cell:
    """A printed figure and where ours is found; without a printed one, ours stands alone."""

    printed: float | None
    """As a fraction."""
    arm: str
    figure: str = "accuracy"
    """A figure of metrics.json; of one class: ``f1/Papules``."""
    at: str = "test"
    """The evaluated set: test, val, ``test-stage-1`` (after the first stage), another table's name, or a subset's (``test:clean``)."""
    unlike: str = ""
    """Why this cell cannot be compared whatever the data; empty: as the table."""


@dataclass(frozen=True)
class Published:
    """A printed table: the same rows and columns are filled with ours."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Cell | None, ...]]
    split: str
    """How the publication divided the images."""
    definition: str
    """What its figures are, measured on what."""
    classes: tuple[str, ...] = ()
    """Its classes; on others nothing is comparable. Empty: any."""
    n: tuple[int, ...] | range = ()
    """Numbers of test images with which ours is comparable. Empty: any."""
    unlike: str = ""
    """Why none of it can be compared whatever the data."""


@dataclass(frozen=True)
class Pair:
    """Two arms on the same test images: the difference, first less second, with its interval; over seeds, of their mean."""

    first: str
    second: str
    figures: tuple[str, ...] = ("accuracy", "balanced_accuracy", "auroc_macro")
    """``f1/*`` stands for the figure of each class."""
    at: str = "test"
    why: str = ""
    """What the comparison asks, in one sentence."""


@dataclass(frozen=True)
class Subset:
    """A part of the test images of some arms, told from the table alone; its figures come from the same answers."""

    name: str
    title: str
    rows: Callable[["pd.DataFrame"], NDArray[np.bool_]]
    """From the whole table with its ``split`` to one truth value a row."""


@dataclass(frozen=True)
class Given:
    """What the user gave: the table of DATA, splits by name (an unnamed one under the empty name), and data from elsewhere."""

    table: "pd.DataFrame"
    splits: Mapping[str, str] = field(default_factory=dict)
    """name -> FILE:COLUMN."""
    external: "pd.DataFrame | None" = None

    def divided(self, split: Split, name: str = "") -> "pd.DataFrame":
        """The table with its ``split``: from the file given under that name, else as the data say, else drawn by group.

        ``attrs["how"]`` says which, in words; a study's own tables may set it too.
        """
        from cutis.data import splits
        from cutis.jobs import provenance

        file = self.splits.get(name)
        table = splits.from_file(self.table, file) if file else self.table
        how = provenance.how(table, Recipe(split=split), splits.named(file) if file else "")
        table = splits.split(table, split)
        table.attrs["how"] = how
        return table


Tables = Mapping[str, "pd.DataFrame"]


def one_table(given: Given, split: Split) -> Tables:
    """The tables of a study that names none: what was given, divided, under the empty name, and data from elsewhere under ``external``."""
    own = {"": given.divided(split)}
    return own if given.external is None else own | {"external": given.external}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published piece of work, rebuilt: arms as published and ours, its printed tables, and how the data must be."""

    name: str
    title: str
    paper: str
    """What it is and where it appeared, in one or two sentences."""
    needs: str
    """What data it wants, in words."""
    arms: tuple[Arm, ...]
    cpu: Scale
    published: tuple[Published, ...] = ()
    pairs: tuple[Pair, ...] = ()
    subsets: tuple[Subset, ...] = ()
    honest: tuple[str, ...] = ()
    """What is done otherwise here than there, and why, a sentence each."""
    expects: str = ""
    """What to expect, in one or two sentences."""
    kind: Literal["dermoscopy", "acne", "acne-severity"] = "dermoscopy"
    """What ``data.synthetic`` draws where the study runs on drawn pictures."""
    split: Split = field(default_factory=Split)
    """How images are divided where the data do not say."""
    tables: Callable[[Given, Split], Tables] = one_table
    """From what was given to the study's tables, each with ``split`` (a table without any is one to be answered: ``Trained.also``)."""
    pages: Sequence[str] = ()
    """Further parts of its page, by their registered names, such as ``precision-recall``."""

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def scale(self, name: str) -> Scale:
        """smoke, cpu or full. Raises CutisError for another."""
        scales = {"smoke": SMOKE, "cpu": self.cpu, "full": FULL}
        if name not in scales:
            raise CutisError(unknown("scale", name, scales))
        return scales[name]


studies: Registry[Callable[[], Study]] = Registry("study", "cutis.studies.book")
"""A study is a function without arguments, registered by its name, in a file of its own: ``@studies.register("acne-severity")``."""

"""Whether the class can be told from what is not the lesion: from a column, the file, or the surroundings in the picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from cutis.audit import headers, probes, surroundings
from cutis.audit.findings import Finding, Item, Section, Severity
from cutis.audit.probes import Design, Measured, told
from cutis.audit.subject import Subject, check
from cutis.data import columns
from cutis.data.columns import Columns, LabelColumn
from cutis.evaluate.sample import Floats
from cutis.progress import OnStep
from cutis.tabular import Table

TITLE: Final = "Shortcuts"

GIVES_AWAY: Final = 0.7
"""What tells the class, or any one class from the rest, with an AUROC whose interval lies above this gives it away: 0.7 is where
discrimination begins to be called acceptable (Hosmer & Lemeshow 2000, 5.2.4)."""
DECIDES: Final = 0.9
"""Above this (outstanding, in the same source), what stands in the picture can carry a model's whole score."""


@dataclass(frozen=True)
class Kind:
    """What it means that one kind of thing gives the class away: ``severity`` above GIVES_AWAY and above DECIDES."""

    means: str
    advice: str
    severity: tuple[Severity, Severity]


COLUMN: Final = Kind(
    "a model that is given it need not look at the picture",
    "No model is given this column unless you ask for it by name. Where pictures differ with it, as those of clinics do, test on a "
    "value that was not trained on.",
    ("warning", "warning"),
)
PERSON: Final = Kind(
    "this is a fact of the patient, known before the diagnosis: it may be used, if the patients to come are like these",
    "Compare a model of pictures and patients with one of patients alone.",
    ("note", "note"),
)
FILE: Final = Kind(
    "pictures of the classes were made or stored in different ways, and a model can learn the ways",
    "Find out why the files differ, store all in one way, and take a square of each (--set images.fit=crop).",
    ("warning", "serious"),
)
PLACE: Final = Kind(
    "a model can be right without looking at the lesion",
    "Look at pictures of each class side by side; crop to the lesion, or test on pictures from another place.",
    ("warning", "serious"),
)
COLOUR: Final = Kind(
    "six numbers do that, lesion included: a network is worth what it does better",
    "Say this figure beside the model's own.",
    ("note", "note"),
)
NUMBER: Final = Kind(
    "pictures of a class were collected or numbered together, so that they may share a camera or a day",
    "No model sees the number. If the pictures come from several places, give the place in a column named source.",
    ("note", "note"),
)
FILE_NUMBER: Final = "number in the files' names"
KINDS: Final = {FILE_NUMBER: NUMBER, "mean colour": COLOUR, "size and format of the files": FILE, **dict.fromkeys(columns.PERSON, PERSON)}
PICTURES: Final = (*surroundings.LOOKS, surroundings.BACKGROUND)


@dataclass(frozen=True)
class Clue:
    """Something that is not the lesion, and how well it alone tells the class."""

    name: str
    column: bool
    images: int
    found: Measured

    @property
    def kind(self) -> Kind:
        """What it means where it gives the class away."""
        return KINDS.get(self.name, PLACE) if not self.column or self.name in columns.PERSON else COLUMN

    @property
    def gives_away(self) -> bool:
        """Whether the interval of the mean, or of any class, lies above GIVES_AWAY."""
        return self.found.surely > GIVES_AWAY


@check("50 shortcuts")
def shortcuts(subject: Subject) -> Section | None:
    """Grouped, cross-validated probes on columns, file headers and surroundings, each alone."""
    if subject.readable["label"].nunique() < 2:
        return None
    plan = subject.once(probes.design)
    if plan is None:
        lacking = f"No two classes have the {probes.FOLDS} groups each that a cross-validated probe needs."
        return Section(TITLE, "Whether something beside the lesion tells the class could not be looked at.", limits=(lacking,))
    table = subject.readable.iloc[plan.rows].reset_index(drop=True)
    kept = columns.sorted_out(table, plan.labels, plan.groups)
    with subject.progress.part("shortcuts") as on_step:
        clues = [*_columns(plan, table, kept), *_files(subject, plan), *_pictures(subject, plan, on_step)]
    clues.sort(key=lambda clue: -clue.found.surely)
    findings = [*_given_away(clues), *(_same(table, column) for column in kept.labels)]
    return Section(TITLE, _sentence(clues), tuple(findings), _numbers(plan, kept, clues), _tables(clues), _limits(subject, plan, clues))


def _columns(plan: Design, table: pd.DataFrame, kept: Columns) -> Iterator[Clue]:
    """Each column alone, and the number that ends the file's name."""
    for name in kept.facts:
        yield Clue(name, True, len(table), _shares(plan, table[name]))
    stems = table["image"].str.replace(r"\.\w+$", "", regex=True).where(~table["image"].str.contains("::"))
    number = pd.to_numeric(stems.str.extract(r"(\d{1,15})\D*$")[0])
    if number.nunique() > 1:
        yield Clue(FILE_NUMBER, False, len(table), _shares(plan, number))


def _files(subject: Subject, plan: Design) -> Iterator[Clue]:
    """Format, colour mode, size and orientation of the files; how many bytes there are tells detail, which is content."""
    found = subject.once(headers.read).iloc[plan.rows]
    coded = found.assign(
        format=pd.factorize(found["format"])[0], mode=pd.factorize(found["mode"])[0], aspect=found["width"] / found["height"]
    )
    varying = [name for name in ("format", "mode", "width", "height", "aspect", "orientation") if coded[name].nunique() > 1]
    if varying:
        yield Clue("size and format of the files", False, len(found), _trees(plan, coded[varying].to_numpy(np.float32)))


def _pictures(subject: Subject, plan: Design, on_step: OnStep) -> Iterator[Clue]:
    """What the stored pictures show beside the lesion; the background only of those with a mask."""
    for name, values in surroundings.measured(subject, on_step).items():
        there = np.asarray(np.isfinite(values).all(axis=1))
        some = plan if there[plan.rows].all() else probes.designed(subject, there)
        if some is not None:
            yield Clue(name, False, len(some.rows), _trees(some, values[some.rows]))


def _shares(plan: Design, column: pd.Series) -> Measured:
    return probes.measured(plan, probes.out_of_fold(plan, probes.codes(column), probes.shares))


def _trees(plan: Design, values: Any) -> Measured:
    answers: Floats = probes.out_of_fold(plan, values, probes.trees)
    return probes.measured(plan, answers)


def _given_away(clues: Sequence[Clue]) -> Iterator[Finding]:
    for clue in (clue for clue in clues if clue.gives_away):
        kind, found = clue.kind, clue.found
        yield Finding(
            "column-giveaway" if clue.column else "picture-giveaway",
            kind.severity[found.surely > DECIDES],
            f"From {_called(clue)} alone a probe tells {found.strongest} from the rest with an AUROC of "
            f"{told(found.per_class[found.strongest])}, and the classes with {told(found.macro)} on average (0.5 is chance): {kind.means}.",
            kind.advice,
        )


def _same(table: pd.DataFrame, column: LabelColumn) -> Finding:
    odd = table.iloc[column.odd]
    how = "finer" if column.finer else "coarser"
    return Finding(
        "label-column",
        "warning" if len(odd) else "note",
        f"The column {column.name} says the label in the same, {how} or other words; in {len(odd):,} of {len(table):,} images the two "
        "do not fit.",
        "No model is given this column. Where the two do not fit, find out which is right."
        if len(odd)
        else "No model is given this column.",
        tuple(Item((str(row["image"]),), f"label {row['label']}, {column.name} {row[column.name]}") for _, row in odd.iterrows()),
    )


def _called(clue: Clue) -> str:
    return f"the column {clue.name}" if clue.column else f"the {clue.name}"


def _sentence(clues: Sequence[Clue]) -> str:
    named = [clue.name for clue in clues if clue.gives_away and clue.kind.severity[0] != "note"]
    if not named:
        return "Nothing that was looked at beside the lesion gives the class away."
    return f"The class can be told without the lesion, from: {', '.join(named)}."


def _numbers(plan: Design, kept: Columns, clues: Sequence[Clue]) -> dict[str, Any]:
    """For audit.json; ``giveaways`` are the columns that ``columns.withheld`` keeps from models."""
    away = [clue.name for clue in clues if clue.gives_away and clue.kind is COLUMN]
    return {
        "giveaways": [*(column.name for column in kept.labels), *away],
        "limit": GIVES_AWAY,
        "decides": DECIDES,
        "images": len(plan.labels),
        "groups": len(np.unique(plan.groups)),
        "folds": probes.FOLDS,
        "replicates": probes.REPLICATES,
        "level": probes.LEVEL,
        "probes": {
            kind: {
                clue.name: {"images": clue.images, "gives_away": clue.gives_away, **clue.found.to_dict()}
                for clue in clues
                if clue.column == column
            }
            for kind, column in (("columns", True), ("pictures", False))
        },
        "label_columns": {column.name: {"finer": column.finer, "odd": len(column.odd)} for column in kept.labels},
        "identifiers": list(kept.identifiers),
        "constant": list(kept.constant),
        "rare_classes": dict(plan.rare),
    }


def _tables(clues: Sequence[Clue]) -> list[Table]:
    classes = list(dict.fromkeys(name for clue in clues for name in clue.found.per_class))
    each = [(clue.name, *(_cell(clue, name) for name in classes)) for clue in clues]
    summary = [
        (clue.name, told(clue.found.macro), clue.found.strongest, told(clue.found.per_class[clue.found.strongest])) for clue in clues
    ]
    return [
        Table(
            "How well each tells the class, alone: AUROC, 0.5 is chance",
            ("what", "all classes", "told best", "its AUROC"),
            summary,
            ("told best",),
        ),
        Table("The same for each class", ("what", *classes), each),
    ]


def _cell(clue: Clue, name: str) -> str:
    return told(clue.found.per_class[name]).replace(" ", "\n", 1) if name in clue.found.per_class else "n/a"


def _limits(subject: Subject, plan: Design, clues: Sequence[Clue]) -> tuple[str, ...]:
    size = " x ".join(map(str, reversed(subject.spec.images.size)))
    masked = next((clue.images for clue in clues if clue.name == surroundings.BACKGROUND), 0)
    return (
        "Probes are simple: what they find is there, what they do not find may still be.",
        f"Corners, border and colour are those of the stored picture ({size}, {subject.spec.images.fit}), which is what a model sees.",
        f"The background is judged on {masked:,} images with a mask, by its colours and roughness alone."
        if masked
        else "The background was not looked at: it needs lesion masks (--masks).",
        *plan.limits,
    )

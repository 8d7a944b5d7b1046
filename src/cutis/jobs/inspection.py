"""An audit put together: pictures decoded once, the checks one after the other, and what they found as JSON and as a page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cutis import machine
from cutis import recipe as recipes
from cutis.audit import mending
from cutis.audit.findings import SEVERITIES, Finding, Section
from cutis.audit.subject import Subject, checks
from cutis.data import cache as caches
from cutis.data.masks import Masks
from cutis.data.table import describe
from cutis.errors import CutisError, DataError
from cutis.files import write_json
from cutis.jobs import provenance
from cutis.progress import Progress
from cutis.recipe import Recipe
from cutis.registry import unknown
from cutis.report import audit as page
from cutis.report import words
from cutis.runs import Run

FORMAT = "cutis-audit-1"
FILE = "audit.json"
RECIPE = "probe"
"""The recipe whose frozen backbone looks at the pictures where none is named."""


@dataclass(frozen=True)
class Audit:
    """What was found in a collection. ``sections``: what each check found, by its short name, in the order of the page."""

    folder: Path
    subject: Subject
    sections: dict[str, Section]
    seconds: dict[str, float] = field(default_factory=dict)
    """What each check took."""

    @property
    def findings(self) -> list[Finding]:
        """All findings, serious ones first."""
        found = [finding for section in self.sections.values() for finding in section.findings]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def serious(self) -> list[Finding]:
        """Findings because of which figures from these data cannot be believed, or images are lost."""
        return [finding for finding in self.findings if finding.severity == "serious"]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each severity."""
        return {severity: sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES}

    @property
    def page(self) -> Path:
        """Where audit.html lies."""
        return self.folder / "audit.html"

    def mend(self, path: str | Path, *, leave_out: Sequence[str] = (), merge: Sequence[str] = ()) -> mending.Mended:
        """Write a CSV without, or with joined, what these rules choose, and beside it a log of every change; see ``audit.mending``.

        Raises CutisError for an unknown rule, one whose check did not run, a file that is not ours to replace, and where nothing is left.
        """
        table = self.subject.table
        return mending.Plan.of(Path(path), leave_out, merge, table, list(self.seconds)).carry_out(table, self.sections)


def audit(
    table: pd.DataFrame,
    out: str | Path,
    *,
    spec: Recipe | None = None,
    checks: Sequence[str] = (),
    quick: bool = False,
    masks: Masks | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Audit:
    """Look at a table's images and labels; leave ``audit.json`` and ``audit.html`` in the folder ``out``.

    ``spec``: the recipe whose picture size and frozen backbone are used; ``checks``: only these, by name (``copies``); ``quick``: only
    what needs neither features nor minutes; ``masks``: where lesions are. Raises CutisError for an unknown check, DataError where no image
    can be read.
    """
    spec, progress = spec or recipes.load(RECIPE), progress or Progress()
    names = chosen(checks, quick)
    with progress.part("cache") as on_step:  # unreadable images are a finding here, and no reason to stop
        pictures = caches.build(table, spec.images.model_copy(update={"max_unreadable": 1.0}), progress=on_step)
    if (pictures.row < 0).all():
        first = "; ".join(f"{row.image} ({row.reason})" for row in pictures.failures.head(3).itertuples())
        raise DataError(f"None of the {len(table):,} images can be read: {first}. Check the paths and the files.")
    return look(Subject(table, pictures, spec, masks, quick, progress), out, names, command)


def of_run(run: Run, subject: Subject, command: str) -> None:
    """Audit what a run trains on, in its folder ``audit``, unless that was done before it was interrupted; say what was found."""
    if (run.folder / "audit" / FILE).is_file():
        return
    audit = look(subject, run.folder / "audit", chosen(quick=subject.quick), command)
    subject.progress.say(f"The audit found {words.found(audit.counts)}: {audit.page}")
    for finding in audit.serious:
        subject.progress.say(f"Serious: {finding.sentence}")


def look(subject: Subject, out: str | Path, names: Sequence[str], command: str = "") -> Audit:
    """Run these checks (``chosen``) on a subject, and write what they find."""
    seconds = {}
    for name in names:
        started = time.perf_counter()
        section = checks[name].run(subject)
        seconds[short(name)] = round(time.perf_counter() - started, 3)
        if section is not None:
            subject.sections[short(name)] = section
    if "features" in vars(subject) and subject.lacking:
        subject.progress.say(subject.lacking)
    found = Audit(Path(out), subject, dict(subject.sections), seconds)
    page.write(found.folder, data := _as_json(found, command), subject.table, found.sections)
    write_json(found.folder / FILE, data)  # last: where it lies, the audit is done
    return found


def chosen(wanted: Sequence[str] = (), quick: bool = False) -> list[str]:
    """Full names of the checks to run, in their order: those ``wanted``, else the cheap ones where ``quick``, else all."""
    known = {short(name): name for name in checks}
    for name in wanted:
        if name not in known:
            raise CutisError(unknown("check", name, known))
    return [name for name, check in checks.items() if (short(name) in wanted if wanted else check.cheap or not quick)]


def short(name: str) -> str:
    """``copies`` of ``20 copies``."""
    return name.split(" ", 1)[-1]


def _as_json(audit: Audit, command: str) -> dict[str, Any]:
    """audit.json."""
    subject = audit.subject
    return {
        "format": FORMAT,
        "cutis": machine.version("cutis"),
        "command": command,
        "finished": provenance.now(),
        "quick": subject.quick,
        "data": {
            "root": subject.table.attrs["root"],
            "reader": subject.table.attrs["reader"],
            "files": provenance.files(subject.table),
            "notes": list(subject.table.attrs["notes"]),
            "summary": describe(subject.table),
            "unreadable": len(subject.cache.failures),
        },
        "recipe": {"images": subject.spec.images.model_dump(mode="json"), "model": subject.spec.model.model_dump(mode="json")},
        "counts": audit.counts,
        "sections": {name: section.to_dict() | {"seconds": audit.seconds[name]} for name, section in audit.sections.items()},
    }

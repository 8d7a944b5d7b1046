"""A study from data to page: its arms are made, compared and written down; several studies get an index."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from cutis.data import readers, synthetic
from cutis.errors import CutisError
from cutis.files import write_json, write_text
from cutis.progress import Progress
from cutis.report import blocks, words
from cutis.report.context import Part
from cutis.report.opening import Opening
from cutis.studies import page
from cutis.studies.catalog import Given, Study
from cutis.studies.context import Context
from cutis.studies.record import answered, record
from cutis.studies.tables import verdict
from cutis.studies.work import Work

LESIONS = {"pictures": 150, "elsewhere": 40}
"""How many lesions are drawn where no data are given: about what the scale smoke uses, and a second collection as data from elsewhere."""


def carry_out(work: Work) -> dict[str, Any]:
    """Make the arms, then write ``study.json``, ``study.html`` and ``study.md`` into ``work.out``; gives what study.json holds."""
    answers = {name: answered(work, work.study.arm(name), run) for name, run in work.run().items()}
    if not answers:
        raise CutisError(f"No arm of {work.study.name} can be made: {'; '.join(f'{n} {why}' for n, why in work.left_out.items())}.")
    told = record(work, answers)
    write_json(work.out / "study.json", told)
    page.write(Context(work.study, work.out, answers, told))
    return told


def drawn(study: Study, out: Path, progress: Progress) -> Given:
    """Pictures that Cutis draws for a study, in ``out/pictures`` and, as data from elsewhere, ``out/elsewhere``; kept where they are."""
    tables = []
    for seed, (name, lesions) in enumerate(LESIONS.items()):
        file = out / name / "labels.csv"
        if not file.is_file():  # written last
            with progress.part("draw"):
                synthetic.write(out / name, kind=study.kind, lesions=lesions, views=(1, 2), size=64, seed=seed)
        tables.append(readers.read(file))
    return Given(tables[0], external=tables[1])


def index(out: Path, found: Mapping[str, dict[str, Any] | str], command: str) -> Path:
    """Write ``index.html`` over several studies: what each found, or why it was not carried out; returns its path."""
    rows: list[Sequence[Any]] = []
    for name, told in found.items():
        if isinstance(told, str):
            rows.append([name, told, "", ""])
            continue
        link = Markup('<a href="{}/study.html">{}</a>').format(quote(name), told["title"])
        seconds = sum(arm["seconds"] for arm in told["arms"])
        rows.append([link, verdict(told), f"{len(told['arms'])}", words.duration(seconds)])
    columns: list[str | blocks.Column] = ["study", blocks.Column("what was found", text=True), "arms", "training"]
    body = [blocks.table("The studies", columns, rows, hidden=True), blocks.code(command)]
    done = [told for told in found.values() if not isinstance(told, str)]
    opening = Opening(
        title="The recipe book",
        kicker="studies",
        data="Published studies, each rebuilt and set beside its printed figures.",
        verdict=f"{len(done)} of {words.count(len(found), 'study')} carried out.",
        not_for=["Diagnosis, triage or reassurance of any person."],
    )
    write_text(
        out / "index.html", blocks.page("study.html", opening=opening, parts=[("studies", Part("Studies", "Each has a page.", body))])
    )
    return out / "index.html"

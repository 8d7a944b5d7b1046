"""The page of an audit: what is wrong with the images and labels, how bad it is, what to do, and the pictures side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd
from markupsafe import Markup

from cutis.audit.findings import SEVERITIES, Finding, Item, Section
from cutis.audit.mending import leaving_out, merging
from cutis.files import write_text
from cutis.report import blocks, pictures, words
from cutis.report.context import Part
from cutis.report.drawing import OKABE_ITO
from cutis.report.parts.data import size
from cutis.report.tabular import shown

ITEMS, OPEN = 24, 6  # things of one finding on the page; the first of them at once, the others behind a line
TOGETHER: Final = 6  # pictures of one thing that are shown
SIDE: Final = 200  # longer side of a picture, in pixels
BYTES: Final = 8_000_000  # of pictures in all, so that the page opens on any machine
STEPS: Final = 6  # lines of "what to do next"
ALIKE: Final = 3  # findings of one kind that are shown at once

MEANING: Final[Mapping[str, tuple[str, str]]] = {
    "serious": ("serious", "Figures from these data cannot be believed, or images are lost."),
    "warning": ("to look at", "May mislead a model or a reader; decide before training."),
    "note": ("to know", "No fault, but whoever uses the data should know."),
}
"""What each severity is called on the page, and what it means."""


@dataclass(frozen=True)
class Count:
    """How many findings of a severity there are."""

    severity: str
    n: int

    @property
    def name(self) -> str:
        """``serious``, ``to look at``, ``to know``."""
        return MEANING[self.severity][0]

    @property
    def meaning(self) -> str:
        """What findings of it mean."""
        return MEANING[self.severity][1]


@dataclass(frozen=True)
class Step:
    """Something to do, the finding that asks for it, and how many more of its kind there are."""

    advice: str
    finding: str
    anchor: str
    severity: str
    alike: int


@dataclass(frozen=True)
class Opening:
    """What the template ``audit.html`` shows first."""

    title: str
    kicker: str
    data: str
    verdict: str
    counts: Sequence[Count]
    steps: Sequence[Step]
    more: int
    beyond: Sequence[str]
    made: str


@dataclass
class Pictures:
    """Embeds pictures until the page has enough of them."""

    table: pd.DataFrame
    max_pixels: int
    colours: Mapping[str, int]
    bytes: int = 0
    seen: dict[str, str | None] = field(default_factory=dict)

    def photo(self, image: str, others: Sequence[str] = ()) -> tuple[blocks.Photo, str | None]:
        """A picture with its label, and what the ``others`` beside it may differ in: part of the split, and group."""
        row = self.table.loc[image] if image in self.table.index else None
        label = str(row["label"]) if row is not None and pd.notna(row["label"]) else ""
        caption = blocks.chip(label, self.colours.get(label, len(OKABE_ITO))) if label else Markup('<span class="quiet">no label</span>')
        if row is not None and others:
            told = [str(row["split"])] if pd.notna(row["split"]) else []
            apart = self.table.loc[self.table.index.isin([image, *others]), "group"].nunique() > 1
            told += [f"group {visible(str(row['group']))}"] if apart and row["group"] != image else []
            caption += Markup('<span class="quiet"> {}</span>').format(" · ".join(told)) if told else Markup("")
        name = visible(image)
        photo = blocks.Photo(name, caption, f"{name}, labelled {label}" if label else f"{name}, no label")
        return photo, self.source(image)

    def source(self, image: str) -> str | None:
        """The picture as a ``data:`` address; none where it cannot be read or the page is full."""
        if image not in self.seen:
            root = Path(self.table.attrs["root"])
            self.seen[image] = pictures.thumbnail(root, image, side=SIDE, max_pixels=self.max_pixels)
        source = self.seen[image]
        if source is None or self.bytes + len(source) > BYTES:
            return None
        self.bytes += len(source)
        return source


def write(folder: Path, told: Mapping[str, Any], table: pd.DataFrame, sections: Mapping[str, Section]) -> Path:
    """Write ``audit.html`` into the folder; returns its path.

    ``told``: what audit.json holds; ``table``: the rows that were audited, whose pictures are read where they are at hand; ``sections``:
    what each check found, by name, in the order of the page.
    """
    names = sorted(told["data"]["summary"]["classes"])
    indexed = table.set_index("image")
    indexed.attrs = table.attrs
    embedded = Pictures(indexed, told["recipe"]["images"]["max_pixels"], {name: i % len(OKABE_ITO) for i, name in enumerate(names)})
    numbered = {id(finding): (name, i) for name, section in sections.items() for i, finding in enumerate(section.findings)}
    # serious findings get their pictures first, wherever they stand on the page
    ordered = sorted(_all(sections), key=lambda finding: SEVERITIES.index(finding.severity))
    bodies = {id(finding): _finding(finding, _anchor(*numbered[id(finding)]), embedded) for finding in ordered}
    parts = [(name, _part(section, bodies)) for name, section in sections.items()]
    path = folder / "audit.html"
    write_text(path, blocks.page("audit.html", opening=opening(told, sections), parts=[*parts, ("made", _made(told, table))]))
    return path


def opening(told: Mapping[str, Any], sections: Mapping[str, Section]) -> Opening:
    """The first screen: a verdict in a sentence, how many findings of each severity, and what to do next."""
    findings = [(finding, _anchor(name, i)) for name, section in sections.items() for i, finding in enumerate(section.findings)]
    findings.sort(key=lambda pair: SEVERITIES.index(pair[0].severity))
    counts = [Count(severity, sum(f.severity == severity for f, _ in findings)) for severity in SEVERITIES]
    kinds: dict[tuple[str, str], list[tuple[Finding, str]]] = {}
    for finding, anchor in findings:
        if finding.advice and finding.severity != "note":
            kinds.setdefault((finding.kind, finding.severity), []).append((finding, anchor))
    steps = [Step(f.advice, f.sentence, anchor, f.severity, len(alike) - 1) for alike in kinds.values() for f, anchor in alike[:1]]
    when = str(told.get("finished") or "")[:10]
    return Opening(
        title=f"What is wrong with {Path(told['data']['root']).name or 'these data'}",
        kicker=" · ".join(filter(None, ["quick audit" if told["quick"] else "audit", when])),
        data=f"{size(told['data']['summary'])}.",
        verdict=verdict({count.severity: count.n for count in counts}, sections),
        counts=counts,
        steps=steps[:STEPS],
        more=max(0, len(steps) - STEPS),
        beyond=_beyond(told, sections),
        made=f"Made by Cutis {told['cutis']}, {when}.",
    )


def verdict(counts: Mapping[str, int], sections: Mapping[str, Section]) -> str:
    """One sentence: may these data be used?"""
    looked = words.listed([section.title.lower() for section in sections.values() if not blind(section)])
    if counts["serious"]:
        return f"Do not trust figures from these data yet: {words.count(counts['serious'], 'serious problem')} must be mended first."
    if counts["warning"]:
        return f"Nothing serious was found. Look at {words.count(counts['warning'], 'finding')} before you train."
    return f"Nothing was found that speaks against these data. Looked at: {looked}." if looked else "Nothing was looked at."


def _beyond(told: Mapping[str, Any], sections: Mapping[str, Section]) -> list[str]:
    """What a reader must not conclude."""
    lines = ["An audit finds what shows in files, pictures and tables. That nothing was found is no proof that a label is right."]
    if told["quick"]:
        lines.append("Only the quick checks ran. For near copies, labels, shortcuts and people, run cutis audit on these data.")
    unseen = [section.title for section in sections.values() if blind(section)]
    if unseen:
        lines.append(f"{words.listed(unseen)} could not be looked at; below it says why.")
    return lines


def blind(section: Section) -> bool:
    """Whether a check could not look: it found nothing, counted nothing, and says why."""
    return bool(section.limits) and not section.findings and not any(table.rows for table in section.tables)


def _part(section: Section, bodies: Mapping[int, Markup]) -> Part:
    if blind(section):
        return Part(section.title, section.sentence, [blocks.items(section.limits)])
    body: list[Markup] = []
    kinds: dict[tuple[int, str], list[Markup]] = {}
    for finding in section.findings:
        kinds.setdefault((SEVERITIES.index(finding.severity), finding.kind), []).append(bodies[id(finding)])
    for _, alike in sorted(kinds.items(), key=lambda kind: kind[0][0]):
        body += alike[:ALIKE]
        body += [blocks.fold(f"{len(alike) - ALIKE} more like these", *alike[ALIKE:])] if alike[ALIKE:] else []
    body = body or [Markup('<p class="clear">Nothing to mend here.</p>')]
    tables = [shown(table) for table in section.tables if table.rows]
    body += tables[:1]
    body += [blocks.fold(f"{words.count(len(tables) - 1, 'more table')}", *tables[1:])] if tables[1:] else []
    body += [blocks.fold(f"How far this holds ({len(section.limits)})", blocks.items(section.limits))] if section.limits else []
    return Part(section.title, section.sentence, body)


def _finding(finding: Finding, anchor: str, embedded: Pictures) -> Markup:
    """A finding with its advice, how to mend it, and its pictures."""
    drawn = [_item(item, embedded) for item in finding.items[:ITEMS]]
    rest = len(finding.items) - len(drawn)
    return blocks.audit_finding(
        finding, anchor, MEANING[finding.severity][0], list(_commands(finding.rule)), drawn[:OPEN], drawn[OPEN:], rest
    )


def _item(item: Item, embedded: Pictures) -> Markup:
    """Pictures that belong together, framed; one alone stands by itself."""
    first = item.images[:TOGETHER]
    photos = [embedded.photo(image, item.images if len(item.images) > 1 else ()) for image in first]
    score = f"{item.score:.3g}" if item.score is not None else ""
    return blocks.audit_item(photos, item.note, score, len(item.images) - len(first))


def _commands(rule: str) -> Iterator[str]:
    """What to write on the command line to mend a finding by its rule."""
    for option, rules in (("--leave-out", leaving_out), ("--merge", merging)):
        if rule and rule in rules:
            yield f"--write cleaned.csv {option} {rule}{':50' if rules[rule].counts else ''}"


def _made(told: Mapping[str, Any], table: pd.DataFrame) -> Part:
    """Where the data came from and what was run, for whoever wants to do it again."""
    data, spec = told["data"], told["recipe"]
    took = {name: words.duration(section["seconds"]) for name, section in told["sections"].items() if section.get("seconds") is not None}
    facts = {
        "command": Markup("<code>{}</code>").format(told["command"] or "called from Python"),
        "folder": data["root"],
        "read as": data["reader"],
        "pictures seen at": f"{spec['images']['size'][0]} x {spec['images']['size'][1]} pixels ({spec['images']['fit']})",
        "features": spec["model"]["backbone"],
        "time": ", ".join(f"{name} {seconds}" for name, seconds in took.items()),
        "as data": "audit.json: every finding with all its images",
    }
    body = [blocks.facts(facts)]
    body += [blocks.items(data["notes"])] if data["notes"] else []
    if data["files"]:
        rows = [(file["path"], file["sha256"]) for file in data["files"]]
        body.append(
            blocks.fold("Files the rows were read from", blocks.table("Files", ["file", blocks.Column("SHA-256", text=True)], rows))
        )
    return Part("How this was made", f"{words.count(len(table), 'row')}; the images were read and not changed.", body)


def visible(name: str) -> str:
    """A file's name with what cannot be seen, such as a mark that turns the writing round, as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def _all(sections: Mapping[str, Section]) -> list[Finding]:
    return [finding for section in sections.values() for finding in section.findings]


def _anchor(name: str, place: int) -> str:
    return f"{name}-{place + 1}"

"""The page of a checked table: how many figures were looked at, the worst finding in a sentence, then all of them by severity."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cutis.files import write_json, write_text
from cutis.report import blocks, words
from cutis.report.context import Part
from cutis.report.opening import Card, Opening

MEANING = {
    "impossible": "These figures contradict each other, rounded or cut off, whatever an ambiguous name means: no data give them.",
    "implausible": "Chance hardly gives these figures; something unsaid must explain them.",
    "weak": "The figures may be right, and do not show what is claimed.",
    "note": "Good to know when reading the figures.",
}
TITLE = {"impossible": "Impossible", "implausible": "Implausible", "weak": "Weak", "note": "Notes"}
LABELS = {"impossible": "figures that contradict each other", "implausible": "figures that chance hardly gives", "weak": "claims not shown"}
NOT_FOR = (
    "Calling anybody dishonest: a slip of typing, a mixed-up row or an unsaid step gives the same findings.",
    "Calling a table right: figures without a finding can still come from a split that leaks.",
)


def write(folder: Path, told: Mapping[str, Any], *, version: str = "") -> Path:
    """Write ``claims.html`` and ``claims.json`` from the answer of ``claims.check.answer``; returns the page's path."""
    write_json(folder / "claims.json", told)
    path = folder / "claims.html"
    write_text(path, blocks.page("claims.html", opening=_opening(told, version), parts=list(_parts(told))))
    return path


def verdict(told: Mapping[str, Any]) -> str:
    """How many figures were checked, and how many findings of each severity there are, in one sentence."""
    counts = _counts(told)
    said = [f"{n} {severity}" for severity, n in counts.items() if n and severity != "note"]
    notes = words.count(counts["note"], "note")
    found = f"{words.listed(said)}; {notes}" if said else f"nothing impossible, implausible or weak; {notes}"
    return f"{words.count(told['figures'], 'figure')} checked with {words.count(len(told['rules']), 'rule')}: {found}."


def _counts(told: Mapping[str, Any]) -> dict[str, int]:
    return {severity: sum(f["severity"] == severity for f in told["findings"]) for severity in MEANING}


def _opening(told: Mapping[str, Any], version: str) -> Opening:
    worst = next((f for f in told["findings"] if f["severity"] != "note"), None)
    counts = _counts(told)
    checked = f"{words.count(told['figures'], 'printed figure')} checked with {words.count(len(told['rules']), 'rule')}"
    source = f"Source: {told['source'].rstrip('.')}." if told["source"] else ""
    cards = [Card(TITLE[s], Markup("<b>{}</b> · {}").format(counts[s] or "none", label)) for s, label in LABELS.items()]
    cards.append(
        Card("Not checkable", f"{words.count(len(told['unchecked']), 'thing')} not given" if told["unchecked"] else "nothing is missing")
    )
    return Opening(
        title=told["title"] or "A published table",
        kicker="what in this published result cannot be so",
        data=" ".join(filter(None, [f"{checked}.", source])),
        verdict=f"{TITLE[worst['severity']]}: {worst['sentence']}"
        if worst
        else "No figure contradicts another, and none is weaker than it claims.",
        more=[f"{worst['where']}: {worst['arithmetic']}.", MEANING[worst["severity"]]] if worst else [],
        made=f"Made by Cutis {version}." if version else "",
        not_for=list(NOT_FOR),
        cards=cards,
    )


def _parts(told: Mapping[str, Any]) -> Iterator[tuple[str, Part]]:
    for severity, meaning in MEANING.items():
        found = [f for f in told["findings"] if f["severity"] == severity]
        if found:
            yield severity, Part(TITLE[severity], meaning, [block for _, group in groupby(found, _alike) for block in _shown(list(group))])
    if told["unchecked"]:
        yield (
            "unchecked",
            Part("Not checkable", "What the table leaves out, and what therefore nobody can check.", [blocks.items(told["unchecked"])]),
        )
    how = [
        blocks.facts({"rules": ", ".join(told["rules"]), "as data": "claims.json"}),
        blocks.items([f"{TITLE[severity]}: {meaning}" for severity, meaning in MEANING.items()]),
    ]
    sentence = "Every rule is arithmetic on the printed figures; each finding names the calculation and its source."
    yield "how", Part("How it was checked", sentence, how)


def _alike(finding: Mapping[str, Any]) -> tuple[str, ...]:
    """Findings that say the same of several rows stand together."""
    return finding["rule"], finding["sentence"], finding["source"], finding["settle"]


def _shown(found: Sequence[Mapping[str, Any]]) -> list[Markup]:
    first = found[0]
    facts: dict[str, Any] = {} if len(found) > 1 else {"where": first["where"], "arithmetic": first["arithmetic"]}
    if first["settle"]:
        facts["would settle it"] = first["settle"]
    facts["rests on"] = Markup('<span class="quiet">{} ({})</span>').format(first["source"], first["rule"])
    body = [blocks.heading(first["sentence"])]
    if len(found) > 1:
        columns = (blocks.Column("where"), blocks.Column("arithmetic", text=True))
        body.append(blocks.table(first["rule"], columns, [[f["where"], f["arithmetic"]] for f in found], hidden=True))
    return [*body, blocks.facts(facts)]

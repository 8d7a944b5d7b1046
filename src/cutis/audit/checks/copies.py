"""Copies of one photograph within the collection: which they are, and where their labels, lesions or patients contradict each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from cutis.audit import copies
from cutis.audit.findings import Finding, Item, Section, Severity, counted
from cutis.audit.subject import Subject, check
from cutis.tabular import Table

MANY: Final = 0.01
"""Share of the images from which contradicting labels are serious: as much as many published improvements."""
LOOKED: Final = "correlation of fine details when one is laid over the other; 1 is the same picture"


@dataclass(frozen=True)
class _Kind:
    """What findings are called and said of copies, exact or near, that contradict each other in one way, or in none."""

    name: str
    are: str
    advice: str
    rule: str
    severity: Severity


@check("20 copies", cheap=True)
def section(subject: Subject) -> Section:
    """Pictures with equal pixels; and, unless the audit is quick, those that are one photograph changed a little."""
    found = subject.once(copies.exact_only if subject.quick else copies.found)
    findings = [*_findings(subject, found.exact, None, "exact"), *_findings(subject, [(p.a, p.b) for p in found.near], found, "near")]
    findings += _alike(subject, found)
    limits = ["Near copies are looked for in the full audit only."] if subject.quick else _limits(subject)
    return Section(
        "Copies", _sentence(subject, found), tuple(findings), _numbers(subject, found, findings), [_table(findings)], tuple(limits)
    )


def kind_of_group(table: pd.DataFrame) -> str:
    """What a group is in these data: patient, lesion, group, or an image where nothing is known."""
    known = [kind for kind in ("patient", "lesion") if table[kind].notna().any()]
    return known[0] if known else "group" if (table["group"] != table["image"]).any() else "image"


def _kinds(how: str, group: str) -> tuple[_Kind, _Kind, _Kind]:
    """Copies with different labels, else under different groups, else the others."""
    what = {"exact": "have equal pixels", "near": "are nearly the same photograph"}[how]
    known = group != "image"
    torn = _Kind(
        f"{how}-copies-different-labels",
        f"{what} but different labels",
        "Correct the label of each, or leave them out (--leave-out conflicting).",
        "conflicting",
        "warning",
    )
    apart = _Kind(
        f"{how}-copies-different-groups" if known else f"{how}-copies",
        f"{what} under different {f'{group}s' if known else 'names'}, so a split may put one in training and one in the test",
        "Join their groups (--merge copies), or keep one of each (--leave-out copies).",
        "copies",
        "warning",
    )
    advice = "A split by groups does not part them; they only count more than once."
    within = _Kind(f"{how}-copies", f"{what} within one {group}", advice, "copies" if how == "exact" else "", "note")
    return torn, apart, within


def _findings(subject: Subject, sets: Sequence[tuple[int, ...]], found: copies.Copies | None, how: str) -> Iterator[Finding]:
    """One finding for each kind; sets that share a picture are one item of it."""
    table = subject.readable
    labels, groups = pd.factorize(table["label"])[0], pd.factorize(table["group"])[0]
    by_kind: list[list[tuple[int, ...]]] = [[], [], []]
    for members in sets:
        contradicts = len(set(labels[list(members)]) - {-1}) > 1, len(set(groups[list(members)])) > 1, True
        by_kind[contradicts.index(True)].append(members)
    for kind, ours in zip(_kinds(how, kind_of_group(table)), by_kind, strict=True):
        if not ours:
            continue
        items = sorted((_item(table, members, found) for members in _joined(len(table), ours)), key=lambda item: -(item.score or 0))
        images = sum(len(item.images) for item in items)
        serious = kind.rule == "conflicting" and images > MANY * len(table)
        sentence = f"{counted(images)} in {counted(len(items), 'set')} {kind.are}."
        yield Finding(
            kind.name, "serious" if serious else kind.severity, sentence, kind.advice, tuple(items), LOOKED if found else "", kind.rule
        )


def _alike(subject: Subject, found: copies.Copies) -> Iterator[Finding]:
    """Pairs that are no copies and yet look like one lesion, where the data say that they are of two."""
    table = subject.readable
    kind = kind_of_group(table)
    if not found.alike or kind == "image":
        return
    items = [
        Item(
            tuple(table["image"].iloc[list(ends)]),
            " · ".join(f"{each.label}, {each.group}" for each in table.iloc[list(ends)].itertuples()),
            pair.correlation,
        )
        for pair in found.alike
        if (ends := (pair.a, pair.b))
    ]
    yield Finding(
        f"alike-under-different-{kind}s",
        "note",
        f"{counted(len(items), 'pair')} of images under different {kind}s look so alike that they may show one lesion photographed twice.",
        "Look at them: about a third were, on the data this was tried on. Give those that are one lesion the same group in the table.",
        tuple(items),
        LOOKED,
    )


def _joined(count: int, sets: Sequence[tuple[int, ...]]) -> copies.Sets:
    return copies.clusters(count, [(members[0], other) for members in sets for other in members[1:]])


def _item(table: pd.DataFrame, members: tuple[int, ...], found: copies.Copies | None) -> Item:
    rows = table.iloc[list(members)]
    told = [", ".join(map(str, rows[column].dropna().unique()[:4])) for column in ("label", "group")]
    own = (rows["group"] == rows["image"]).all()
    inside = set(members)
    scores = [pair.correlation for pair in found.near if pair.a in inside and pair.b in inside] if found else []
    return Item(tuple(rows["image"]), " · ".join(filter(None, told[:1] if own else told)), max(scores, default=None))


def _sentence(subject: Subject, found: copies.Copies) -> str:
    images = len({i for members in found.clusters for i in members})
    looked = "equal pixels" if subject.quick else "equal pixels, and near copies"
    if not images:
        return f"No picture is a copy of another ({looked} were looked for)."
    return (
        f"{counted(images)} of {len(subject.rows):,} {'is' if images == 1 else 'are'} one of several copies of the same picture ({looked})."
    )


def _numbers(subject: Subject, found: copies.Copies, findings: Sequence[Finding]) -> dict[str, object]:
    turned = np.bincount([pair.symmetry for pair in found.near], minlength=8)
    return {
        "exact_sets": len(found.exact),
        "exact_images": sum(map(len, found.exact)),
        "near_pairs": None if subject.quick else len(found.near),
        "near_images": None if subject.quick else len({i for pair in found.near for i in (pair.a, pair.b)}),
        "alike_pairs": None if subject.quick else len(found.alike),
        "clusters": len(found.clusters),
        "largest_cluster": max(map(len, found.clusters), default=0),
        "mirrored_or_turned": int(turned[1:].sum()),
        "with_features": not subject.quick and subject.features is not None,
        "images_by_kind": {finding.kind: finding.images for finding in findings},
    }


def _table(findings: Sequence[Finding]) -> Table:
    rows = [(finding.kind.replace("-", " "), f"{len(finding.items):,}", f"{finding.images:,}") for finding in findings]
    return Table("Copies", ("kind", "sets", "images"), rows)


def _limits(subject: Subject) -> list[str]:
    told = [
        "A near copy is the same photograph mirrored, turned by a quarter, cropped by a twentieth, brightened or compressed anew, "
        "and laid over the other its fine details agree. Another photograph of the same lesion is none, "
        "but one taken almost alike may be taken for one. "
        "A copy that was turned by another angle, or of which less is left, may be missed."
    ]
    return told if subject.features is not None else [*told, f"Copies were looked for by their hashes alone. {subject.lacking}"]

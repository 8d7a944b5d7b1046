"""Leakage: what of the test images is known from training, in the split that came with the data and in a random one."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import gammaln

from cutis.audit import copies
from cutis.audit.checks.copies import kind_of_group
from cutis.audit.findings import Finding, Item, Section, counted
from cutis.audit.subject import Subject, check
from cutis.data.proof import Proof, prove
from cutis.data.table import connected
from cutis.recipe import Split
from cutis.tabular import Table

SHORT: Final = 3
"""Characters that names must share to be related."""
FAMILY: Final = 0.5
"""Share of the images with that text in their name that must be copies of one another."""


@check("30 leakage", cheap=True)
def section(subject: Subject) -> Section:
    """Groups and copies on both sides of the split; what a random split would leak; patients with several lesions; augmented copies."""
    table, kind = subject.readable, kind_of_group(subject.readable)
    found = subject.once(copies.exact_only if subject.quick else copies.found)
    joined = _joined(table, found)
    proof = prove(joined) if table["split"].nunique() > 1 else None
    random, families = _random(joined, subject.spec.split), _families(table, found.clusters)
    findings = [
        *(_crossing(table, found, kind) if proof else ()),
        *_augmented(table, families),
        *_random_finding(random, kind),
        *_patients(table),
    ]
    numbers = {
        "parts": proof.parts if proof else {},
        "images_across": {finding.kind: finding.images for finding in findings if finding.kind.endswith("across-splits")},
        "classes": proof.classes if proof else {},
        "random_split": random,
        "augmented_sets": len(families),
        "near_copies": not subject.quick,
    }
    tables = [_table(random, proof)] if proof or random["images"] else []
    return Section("Leakage", _sentence(proof, random["images"]), tuple(findings), numbers, tables, tuple(_limits(subject)))


def expected(groups: pd.Series, train: float) -> pd.Series:
    """For each image, how likely a random split by image puts another of its group into training, given that it is in the test itself.

    Hypergeometric: of the N - 1 other images, n = round(train N) are drawn for training, and the g - 1 others of its group are not drawn
    with C(N - g, n) / C(N - 1, n).
    """
    total = len(groups)
    drawn = min(round(train * total), total - 1)
    size = groups.groupby(groups).transform("size").to_numpy(np.float64)
    free = np.maximum(total - size - drawn, 0)  # where fewer are left than the group has, one is drawn for certain
    log = gammaln(total - size + 1) - gammaln(free + 1) - gammaln(total) + gammaln(total - drawn)
    return pd.Series(np.where(size + drawn > total, 1.0, 1 - np.exp(log)), groups.index).clip(lower=0)


def _joined(table: pd.DataFrame, found: copies.Copies) -> pd.DataFrame:
    """The table with one group for all that groups and copies connect."""
    cluster = pd.Series(np.nan, table.index)
    for number, members in enumerate(found.clusters):
        cluster[list(members)] = number
    links = table.assign(copies=cluster)
    return table.assign(group=connected(links, ("group", "copies")).astype(str))


def _crossing(table: pd.DataFrame, found: copies.Copies, kind: str) -> Iterator[Finding]:
    """A finding each for groups, exact and near copies that are in several parts; copies within a group cross with it."""
    advice = "Figures from this split are too good. Leave it out and let Cutis split, or move all that belongs together to one part."
    parted = table[table["split"].notna()]
    cut = parted[parted.groupby("group")["split"].transform("nunique") > 1]
    if len(cut):
        items = tuple(Item(tuple(same["image"]), f"{name}: {_parts(same)}") for name, same in cut.groupby("group"))
        sentence = f"{counted(len(items), kind)} ({counted(len(cut))}) {_are(len(items))} in more than one part of the split."
        yield Finding("groups-across-splits", "serious", sentence, advice, items)
    where = f"under different {kind}s" if kind != "image" else "under different names"
    for name, what, sets in (
        ("exact-copies-across-splits", "identical pictures", found.exact),
        ("near-copies-across-splits", "near copies", tuple((pair.a, pair.b) for pair in found.near)),
    ):
        torn = [rows for rows in (table.iloc[list(members)] for members in sets) if rows["split"].nunique() > 1 < rows["group"].nunique()]
        if torn:
            items = tuple(Item(tuple(rows["image"]), _parts(rows)) for rows in torn)
            images = len({image for item in items for image in item.images})
            sentence = f"{counted(images)} {_are(images)} {what} of others {where} in another part of the split."
            yield Finding(name, "serious", sentence, advice, items, rule="copies")


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _parts(rows: pd.DataFrame) -> str:
    return ", ".join(f"{part} {n}" for part, n in rows["split"].value_counts(sort=False).items())


def _augmented(table: pd.DataFrame, families: Sequence[tuple[tuple[int, ...], str]]) -> Iterator[Finding]:
    if not families:
        return
    rows = [table.iloc[list(members)] for members, _ in families]
    items = tuple(Item(tuple(own["image"]), f"all have {text!r} in their name") for own, (_, text) in zip(rows, families, strict=True))
    across, images = sum(own["split"].nunique() > 1 for own in rows), sum(map(len, rows))
    more = f"; {across:,} of these sets {_are(across)} in more than one part of the split" if across else ""
    yield Finding(
        "augmented-copies",
        "serious" if across else "warning",
        f"{counted(images)} in {counted(len(families), 'set')} are copies under related names, as augmentation before the split "
        f"leaves them{more}.",
        "Keep the original of each (--leave-out copies) and let training augment; no copy of a test image may be trained on.",
        items,
        rule="copies",
    )


def _families(table: pd.DataFrame, clusters: copies.Sets) -> list[tuple[tuple[int, ...], str]]:
    """Clusters whose names share a text that few other names have, and that text: what an original and its variants are called.

    Numbered names of a collection share their beginning too, but with all the others.
    """
    stems = [Path(name.rpartition("::")[2]).stem for name in table["image"]]
    every = "\n".join(stems)
    shared = [(members, _common([stems[i] for i in members])) for members in clusters]
    return [(m, text) for m, text in shared if len(text) >= SHORT and len(m) >= FAMILY * every.count(text)]


def _common(names: Sequence[str]) -> str:
    """The longest text that all have, found by shortening that of the first two."""
    text = names[0]
    for name in names[1:]:
        match = SequenceMatcher(None, text, name, autojunk=False).find_longest_match()
        text = text[match.a : match.a + match.size]
    return text


def _random(joined: pd.DataFrame, split: Split) -> dict[str, Any]:
    """What a random split by image, with the recipe's shares, is expected to leak: share of all test images, and of each class."""
    train = 1 - split.test - split.val
    leak = expected(joined["group"], train)
    classes = leak.groupby(joined["label"]).mean()
    return {"train": round(train, 6), "images": float(leak.mean()), "classes": {str(name): float(share) for name, share in classes.items()}}


def _random_finding(random: Mapping[str, Any], kind: str) -> Iterator[Finding]:
    if not random["images"]:
        return
    worst = max(random["classes"], key=random["classes"].__getitem__, default="")
    most = f" ({random['classes'][worst]:.0%} of those of {worst})" if worst else ""
    like = "a copy" if kind == "image" else f"a picture of the same {kind}, or a copy,"
    yield Finding(
        "random-split",
        "note",
        f"In a random split by image, {random['images']:.0%} of the test images{most} would have {like} in training.",
        "Figures published from a random split of these data are too good. Cutis splits by groups.",
    )


def _patients(table: pd.DataFrame) -> Iterator[Finding]:
    known = table.dropna(subset=["patient", "lesion"])
    several = known.groupby("patient")["lesion"].nunique().loc[lambda lesions: lesions > 1].index
    if len(several):
        rows = known[known["patient"].isin(several)]
        items = tuple(
            Item(tuple(own["image"]), f"{name}: {counted(own['lesion'].nunique(), 'lesion')}") for name, own in rows.groupby("patient")
        )
        yield Finding(
            "patients-with-several-lesions",
            "note",
            f"{counted(len(several), 'patient')} ({counted(len(rows))}) {'has' if len(several) == 1 else 'have'} several lesions.",
            "A split by lesion would put one patient's skin on both sides; Cutis splits by patient.",
            items,
        )


def _table(random: Mapping[str, Any], proof: Proof | None) -> Table:
    """A row a class: how many images of each part have their like in another, and how many would in a random split."""
    directions = {"test in train": "test_in_train", "test in val": "test_in_val", "val in train": "val_in_train"} if proof else {}
    counts = proof.classes if proof else {}
    total = {key: sum(one[key] for one in counts.values()) for key in next(iter(counts.values()), {})}
    rows = [
        [name, *(_share(of, key) for key in directions.values()), f"{share:.0%}"]
        for name, of, share in [*((c, counts.get(c, {}), s) for c, s in random["classes"].items()), ("all", total, random["images"])]
    ]
    columns = ("class", *directions, "expected of a random split")
    return Table("Images that have their like (of the same group, or a copy) in another part", columns, rows)


def _share(counts: Mapping[str, int], key: str) -> str:
    whole = counts.get(key.partition("_")[0], 0)
    return f"{counts[key]:,} of {whole:,} ({counts[key] / whole:.0%})" if whole else "-"


def _sentence(proof: Proof | None, random: float) -> str:
    if proof is None:
        would = (
            f"a random one by image would leak for {random:.0%} of the test images" if random else "no image has its like among the others"
        )
        return f"The data come without a split; {would}."
    leaked, tested = (sum(one[key] for one in proof.classes.values()) for key in ("test_in_train", "test"))
    if leaked:
        share = f"{leaked:,} of {tested:,} test images ({leaked / tested:.0%})"
        return f"In the split that came with the data, {share} have their like in training."
    clean = "is clean" if proof.ok else "is clean between training and test, but not between all of its parts"
    return f"The split that came with the data {clean}."


def _limits(subject: Subject) -> Iterator[str]:
    if subject.quick:
        yield "Near copies are looked for in the full audit only."
    if subject.table["patient"].isna().all():
        yield "Patients are not known: two lesions of one patient may be on both sides of any split."

"""People: whose skin it is, by tone, sex, age and body site, by class and part of the split, and who is hardly there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.audit import tone, traits
from cutis.audit.findings import SEVERITIES, Finding, Item, Section
from cutis.audit.subject import Subject, check
from cutis.audit.traits import Trait
from cutis.data.groupings import TYPES
from cutis.tabular import Table

FEW: Final = 30  # of them a share of one half has a 95 % interval of plus or minus 0.17 (Wilson): too wide to compare groups
EXAMPLES: Final = 4
LIMITS: Final = (
    "Estimated skin tone is the colour of the skin in the picture; light, camera, white balance and a tan move it. On 579 smartphone "
    "photographs of people with a given Fitzpatrick type (PAD-UFES-20) it cannot be told apart from chance (Spearman 0.06, 95 % interval "
    "from -0.03 to 0.15; docs/results/skin_tone.md). Read it as a hint about the collection, never as an attribute of a person.",
    "Fitzpatrick types say how skin answers to sun and were made for light skin; two people of one type may look unlike.",
)


@dataclass(frozen=True)
class Estimate:
    """What ITA says of each readable picture: degrees, and the place of the category (-1: cannot be told)."""

    angles: NDArray[np.float64]
    categories: NDArray[np.int64]


@check("60 people")
def people(subject: Subject) -> Section:
    """Skin tone, sex, age and site: who is there, and who is hardly there; skin tone is estimated from the pictures too."""
    table = subject.table
    told = traits.traits(table)
    known = [trait for trait in told if trait.of.notna().any()]
    angles = tone.of(subject)
    estimate = Estimate(angles, tone.category(angles))
    findings = [finding for trait in known for finding in _sparse(trait, table)]
    findings += _silent([trait for trait in told if trait not in known])
    findings += _estimated(estimate, subject.readable)
    numbers: dict[str, Any] = {trait.name: traits.numbers(trait, table) for trait in known}
    agreement = _agreement(estimate, subject.readable)
    numbers["skin_tone_estimated"] = _estimate_numbers(estimate, subject) | ({"agreement": agreement} if agreement else {})
    tables = [made for trait in known for made in traits.tables(trait, table)]
    shown = _categories(estimate)
    tables += traits.tables(shown, subject.readable) if shown.of.notna().any() else []
    tables += [_crossed(estimate, subject.readable)] if agreement else []
    return Section(
        title="People",
        sentence=_sentence(known, table, estimate),
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        numbers=numbers,
        tables=tables,
        limits=(*_own_limits(estimate, subject, agreement), *LIMITS),
    )


def _categories(estimate: Estimate) -> Trait:
    names = tuple(name for name, _ in tone.CATEGORIES)
    values = pd.Series([names[c] if c >= 0 else None for c in estimate.categories], dtype="object")
    return Trait("skin_tone_estimated", "estimated skin tone", values, names, "note")


def _sparse(trait: Trait, table: pd.DataFrame) -> list[Finding]:
    """Groups of whom there are fewer than ``FEW`` in all, and those of whom there are fewer in test."""
    column, noun = traits.unit(table)
    rows = table.assign(group_of=trait.of)
    rows = rows[rows["group_of"].notna()]
    count = rows.groupby("group_of")[column].nunique().reindex(list(trait.groups), fill_value=0)
    held = rows[rows["split"] == "test"].groupby("group_of")[column].nunique().reindex(list(trait.groups), fill_value=0)
    found = []
    rare = [g for g in trait.groups if count[g] < FEW]
    if rare:
        listed = ", ".join(f"{g} ({traits.counted(int(count[g]), noun) if count[g] else 'none'})" for g in rare)
        found.append(
            Finding(
                kind=f"hardly-there-{trait.name.replace('_', '-')}",
                severity=trait.severity,
                sentence=f"Hardly there by {trait.title}: {listed}.",
                advice="Make no claim about them; a figure for them needs more images, gathered for that purpose.",
                items=tuple(
                    Item(tuple(rows.loc[rows["group_of"] == g, "image"]), f"{g}: {traits.counted(int(count[g]), noun)}")
                    for g in sorted(rare, key=lambda g: int(count[g]))
                    if count[g]
                ),
            )
        )
    thin = [g for g in trait.groups if g not in rare and held[g] < FEW] if (rows["split"] == "test").any() else []
    if thin:
        listed = ", ".join(f"{g} ({traits.counted(int(held[g]), noun)})" for g in thin)
        found.append(
            Finding(
                kind=f"hardly-tested-{trait.name.replace('_', '-')}",
                severity="note",
                sentence=f"In the data, but hardly in test, by {trait.title}: {listed}.",
                advice="Do not compare test figures of these groups; the intervals are too wide. Folds (--folds 5) test everybody once.",
            )
        )
    return found


def _silent(unknown: Sequence[Trait]) -> list[Finding]:
    if not unknown:
        return []
    names = [trait.title for trait in unknown]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return [
        Finding(
            kind="not-told",
            severity="note",
            sentence=f"The data say nothing about {listed}.",
            advice="Ask whoever made the images; without it nobody can say for whom a model works and for whom it does not.",
        )
    ]


def _estimated(estimate: Estimate, rows: pd.DataFrame) -> list[Finding]:
    """Examples of each estimated category, lightest first, so that eyes can judge the estimate."""
    items = []
    for i, (name, limit) in enumerate(tone.CATEGORIES):
        own = np.flatnonzero(estimate.categories == i)
        if not len(own):
            continue
        own = own[estimate.angles[own].argsort(kind="stable")[::-1]]
        chosen = own[np.unique(np.linspace(0, len(own) - 1, EXAMPLES + 2)[1:-1].round().astype(int))]
        range_ = f"above {limit:.0f}°" if np.isfinite(limit) else f"{tone.CATEGORIES[i - 1][1]:.0f}° or less"
        items.append(Item(tuple(rows["image"].iloc[chosen]), f"{name} (ITA {range_}): {traits.counted(len(own), 'image')}"))
    told = int((estimate.categories >= 0).sum())
    if not told:
        return []
    dark = int((estimate.categories >= 3).sum())
    return [
        Finding(
            kind="skin-tone-estimated",
            severity="note",
            sentence=f"The skin looks tan or darker in {traits.per_cent(dark, told)} of the {traits.counted(told, 'image')} where it could "
            "be measured.",
            advice="Look at the examples: they show how far the estimate can be trusted on these pictures.",
            items=tuple(items),
        )
    ]


def _estimate_numbers(estimate: Estimate, subject: Subject) -> dict[str, Any]:
    rows = subject.readable
    masked = subject.masks.known(rows["image"].tolist()) if subject.masks else 0
    return traits.numbers(_categories(estimate), rows) | {"images": len(rows), "with_mask": masked}


def _agreement(estimate: Estimate, rows: pd.DataFrame) -> dict[str, Any]:
    """Of given types and estimates; empty where fewer than ``FEW`` images have both."""
    given = rows["skin_tone"].notna().to_numpy() & (estimate.categories >= 0)
    if given.sum() < FEW:
        return {}
    grades = rows["skin_tone"][given].astype(int).to_numpy(np.int64)
    return tone.agreement(estimate.angles[given], grades, rows["group"][given].to_numpy(np.str_))


def _crossed(estimate: Estimate, rows: pd.DataFrame) -> Table:
    names = [name for name, _ in tone.CATEGORIES]
    lines = []
    for number, type_ in enumerate(TYPES, 1):
        own = estimate.categories[(rows["skin_tone"] == str(number)).to_numpy()]
        lines.append([type_, *(f"{(own == i).sum():,}" for i in range(len(names))), f"{(own < 0).sum():,}"])
    return Table("Estimated (columns) beside given (rows), images", ("given", *names, "not told"), lines)


def _own_limits(estimate: Estimate, subject: Subject, agreement: dict[str, Any]) -> list[str]:
    lost = int((estimate.categories < 0).sum())
    masked = subject.masks.known(subject.readable["image"].tolist()) if subject.masks else 0
    where = "around the lesion masks" if masked else "at the border of the picture, because no lesion masks were given (--masks)"
    lines = [f"Skin tone was estimated from the skin {where}; in {traits.counted(lost, 'image')} it could not be told."]
    torn = subject.masks.unreadable if subject.masks else {}
    if torn:
        first, reason = next(iter(torn.items()))
        lines.append(f"{traits.counted(len(torn), 'mask')} cannot be read, such as that of {first} ({reason}).")
    for name, words in (("spearman", "Spearman's correlation"), ("kappa_quadratic", "quadratic-weighted kappa")):
        figure = agreement.get(name, {})
        if figure.get("value") is not None:
            limits = f", 95 % interval from {figure['low']:.2f} to {figure['high']:.2f}" if figure["low"] is not None else ""
            lines.append(
                f"On these {figure['n']:,} images with a given type, {words} of estimate and type is {figure['value']:.2f}{limits}."
            )
    return lines


def _sentence(known: Sequence[Trait], table: pd.DataFrame, estimate: Estimate) -> str:
    of = {trait.name: trait.of.dropna() for trait in known}
    said = []
    if "sex" in of:
        said.append(f"{traits.per_cent((of['sex'] == 'female').sum(), len(of['sex']))} of the images with a known sex are of women")
    if "age" in of:
        low, high = table["age"].quantile([0.25, 0.75])
        said.append(f"the middle half of the ages is {low:.0f} to {high:.0f} years")
    if "skin_tone" in of:
        light = of["skin_tone"].isin(TYPES[:3]).sum()
        said.append(f"{traits.per_cent(light, len(of['skin_tone']))} of the known skin types are Fitzpatrick 1 to 3")
    elif (estimate.categories >= 0).any():
        light = (estimate.categories[estimate.categories >= 0] <= 1).mean()
        said.append(f"skin looks light or very light in {traits.per_cent(float(light), 1)} of the images")
    if not said:
        return "The data say nothing about the people in the images."
    listed = said[0] if len(said) == 1 else f"{', '.join(said[:-1])}, and {said[-1]}"
    return f"{listed[0].upper()}{listed[1:]}. A model is known to work only for people like them."

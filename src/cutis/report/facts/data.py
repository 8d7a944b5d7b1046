"""Facts about the data: where they came from, what is in them, who, how labels were confirmed, what is missing."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.report.parts.data import METADATA, collection, size

CONFIRMED = ("dx_type", "diagnosis_confirm_type", "biopsed", "biopsied", "biopsy_confirmed", "histopathology")
"""Columns by which public collections say how a diagnosis was made, by the names they give them."""
DEVICE = ("camera", "device", "dermatoscope", "manufacturer", "scanner")
PARTS = {"train": "training", "val": "validation", "test": "test"}
SHOWN = 6  # values of a column that a sentence names


@facts.register("sources")
def sources(context: Context) -> str:
    """The files the rows came from, and the collections they name."""
    about = context.provenance.get("data", {})
    if not about:
        return ""
    read = f", read as {about['reader']}" if about.get("reader") else ""
    by_source = _shares(context, "source")
    return f"Images came from {collection(context)}{read}." + (f" Sources named in the data: {by_source}." if by_source else "")


@facts.register("size")
def how_many(context: Context) -> str:
    """Images, lesions, patients."""
    summary = _summary(context)
    return f"There were {size(summary)}." if summary else ""


@facts.register("class_sizes")
def class_sizes(context: Context) -> str:
    """Images of each class, the largest first."""
    counts = _summary(context).get("classes", {})
    told = [f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: -item[1])]
    return f"Images of each class: {words.listed(told)}." if told else ""


@facts.register("partitions")
def partitions(context: Context) -> str:
    """How rows were assigned, and the size of each part."""
    how, parts = context.provenance.get("split", {}).get("how", ""), _summary(context).get("splits", {})
    if not how or not parts:
        return ""
    kinds = [kind for kind in ("patients", "lesions") if _summary(context).get(kind)][:1]
    counts = {name: [words.count(part["images"], "image"), *(words.count(part[k], k[:-1]) for k in kinds)] for name, part in parts.items()}
    sizes = [f"{PARTS.get(name, name)} ({' of '.join(told)})" for name, told in counts.items()]
    return f"The images were divided ({how}) into {words.listed(sizes)}."


@facts.register("disjoint")
def disjoint(context: Context) -> str:
    """The level at which partitions are disjoint, as proved."""
    proof = context.provenance.get("split", {}).get("proof")
    if not proof:
        return ""
    if not proof["ok"]:
        return f"The partitions are not disjoint: {' '.join(proof['leaks'])} The figures are too good to be believed."
    compared = sum(proof["parts"].values()) - proof["unhashed"]
    return (
        f"The partitions are disjoint by {proof['kind']}: none is in more than one of them, and neither is any identical picture "
        f"(decoded pixels of {words.count(compared, 'image')} compared by SHA-256)."
    )


@facts.register("exclusions")
def exclusions(context: Context) -> str:
    """What was left out, and why."""
    about = context.provenance.get("data", {})
    if not about:
        return ""
    lost, unlabelled = about.get("unreadable", 0), _summary(context).get("unlabelled", 0)
    told = [f"{words.count(lost, 'file')} could not be read and {'was' if lost == 1 else 'were'} left out"] if lost else []
    told += [f"{words.count(unlabelled, 'image')} without a label {'was' if unlabelled == 1 else 'were'} not used"] if unlabelled else []
    left = f"{words.listed(told)}." if told else "Every file could be read and every image had a label; none was left out."
    return left[0].upper() + left[1:]


@facts.register("missing")
def missing(context: Context) -> str:
    """How much metadata is missing, and what was done about it."""
    table = context.table
    if table is None:
        return ""
    shares = {title: 1 - float(table[c].notna().mean()) if c in table else 1.0 for c, title in METADATA.items()}
    some = [f"{title} for {words.per_cent(share)}" for title, share in shares.items() if 0 < share < 1]
    none = [title for title, share in shares.items() if share == 1]
    told = [f"Metadata were missing: {words.listed(some)} of the images; nothing was filled in."] if some else []
    told += [f"The data do not name {words.listed(none, 'or')}."] if none else []
    return " ".join([*told, "The network sees the picture alone."])


@facts.register("demographics")
def demographics(context: Context) -> str:
    """Age and sex in each partition; nothing where no row tells them."""
    table = context.table
    if table is None or table[[c for c in ("age", "sex") if c in table]].notna().to_numpy().sum() == 0:
        return ""
    told = []
    for part, title in PARTS.items():
        rows = table[table["split"] == part]
        lines = [_ages(rows), *(f"{value} {words.per_cent(share)}" for value, share in _counts(rows, "sex").items())]
        told += [f"{title}: {words.listed(known)}"] if (known := list(filter(None, lines))) else []
    return f"Of the images in each partition, where known: {'; '.join(told)}."


@facts.register("sites")
def sites(context: Context) -> str:
    """Body sites, the most frequent first."""
    shares = _shares(context, "site")
    return f"Body sites, where known: {shares}." if shares else ""


@facts.register("skin_tone")
def skin_tone(context: Context) -> str:
    """Fitzpatrick types, where the data name them."""
    shares = _shares(context, "skin_tone")
    return f"Skin tone (Fitzpatrick type), where known: {shares}." if shares else ""


@facts.register("devices")
def devices(context: Context) -> str:
    """Sources and cameras, where a column names them."""
    columns = [] if context.table is None else [c for c in context.table if c == "source" or any(d in str(c).casefold() for d in DEVICE)]
    told = [f"by {column}, {shares}" for column in columns if (shares := _shares(context, str(column)))]
    return f"Images {'; '.join(told)}." if told else ""


@facts.register("confirmation")
def confirmation(context: Context) -> str:
    """How diagnoses were confirmed, where a column says it: of all images and of the malignant ones."""
    column = next((c for c in CONFIRMED if context.table is not None and c in context.table), None)
    if column is None or not (shares := _shares(context, column)):
        return ""
    assert context.table is not None
    kinds = context.table["label"].str.lower().map(words.malignant())
    malignant = _joined(_counts(context.table[kinds.eq(True)], column))
    return f"How the label was confirmed, by the column {column}: {shares}" + (f"; of malignant images, {malignant}." if malignant else ".")


@facts.register("audit")
def audit(context: Context) -> str:
    """What the audit found before training."""
    if context.audit is None:
        return ""
    told = context.audit[1]
    depth = "Files, exact copies and groups were audited" if told["quick"] else "Files, copies, labels, shortcuts and people were audited"
    return f"{depth} before training, with {words.found(told['counts'])} found."


def _summary(context: Context) -> dict[str, Any]:
    found: dict[str, Any] = context.provenance.get("data", {}).get("summary") or {}
    return found


def _counts(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Shares of a column's values among the rows that have one, the largest first."""
    if column not in rows:
        return {}
    return {str(value): float(share) for value, share in rows[column].value_counts(normalize=True).items()}


def _joined(shares: Mapping[str, float]) -> str:
    """``torso 33 %, face 20 % and 4 others``."""
    told = [f"{value} {words.per_cent(share)}" for value, share in list(shares.items())[:SHOWN]]
    return words.listed([*told, f"{len(shares) - SHOWN} others"] if len(shares) > SHOWN else told)


def _shares(context: Context, column: str) -> str:
    return "" if context.table is None else _joined(_counts(context.table, column))


def _ages(rows: pd.DataFrame) -> str:
    if "age" not in rows or rows["age"].isna().all():
        return ""
    low, median, high = rows["age"].quantile([0.25, 0.5, 0.75])
    return f"median age {median:.0f} (quartiles {low:.0f} and {high:.0f})"

"""Which data: how many images, lesions and patients, of which class, in which part of the split; what could not be read."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts

SHOWN = 200  # unreadable files listed on the page; unreadable.csv has them all
METADATA = {"sex": "sex", "age": "age", "site": "body site", "skin_tone": "skin tone", "source": "source"}


@parts.register("10 data")
def data(context: Context) -> Part | None:
    """Counts by class and split, who is in the data, files and their checksums."""
    about = context.provenance.get("data", {})
    summary = about.get("summary")
    if not summary:
        return None
    body = [_classes(context, summary)]
    if known := _known(context):
        body.append(known)
    body += [blocks.items(about["notes"])] if about.get("notes") else []
    body += _unreadable(context)
    body += _audit(context)
    files = [(f["path"], f["sha256"]) for f in about.get("files", [])]
    if files:
        columns: list[str | blocks.Column] = ["file", blocks.Column("SHA-256", text=True)]
        facts = blocks.facts({"folder": about.get("root", ""), "read as": about.get("reader", "")})
        body.append(blocks.fold("Where the data came from", facts, blocks.table("Files the rows were read from", columns, files)))
    biggest, n = max(summary["classes"].items(), key=lambda item: item[1])
    sentence = f"{size(summary)}; {biggest} alone is {words.per_cent(n / max(summary['images'], 1))} of the images."
    return Part("The data", sentence, body)


def size(summary: dict[str, Any]) -> str:
    """``10,015 images of 7,470 lesions in 7 classes``, with the patients where they are known."""
    of = [words.count(summary[k], k[:-1]) for k in ("lesions", "patients") if summary.get(k)]
    return (
        f"{words.count(summary['images'], 'image')}{' of ' * bool(of)}{words.listed(of)} in {words.count(len(summary['classes']), 'class')}"
    )


def collection(context: Context) -> str:
    """What the data are called: the files the rows came from, else their folder."""
    about = context.provenance.get("data", {})
    names = [file["path"] for file in about.get("files", [])]
    more = [words.count(len(names) - 3, "other file")] if len(names) > 4 else []
    return words.listed([*names[:3], *more] if more else names) or Path(about.get("root", "")).name


def _classes(context: Context, summary: dict[str, Any]) -> Any:
    splits = summary.get("splits", {})
    names = [*context.classes, *sorted(set(summary["classes"]) - set(context.classes))]
    rows = []
    for name in names:
        n = summary["classes"].get(name, 0)
        each = [f"{part['classes'].get(name, 0):,}" for part in splits.values()]
        share = n / max(summary["images"], 1)
        rows.append([context.chip(name), words.CLASSES.get(name.lower(), ""), *each, f"{n:,}", blocks.bar(share, words.per_cent(share))])
    rows.append(["images", "", *(f"{part['images']:,}" for part in splits.values()), f"{summary['images']:,}", ""])
    for kind in ("lesions", "patients"):
        if summary.get(kind):
            rows.append([kind, "", *(f"{part[kind]:,}" for part in splits.values()), f"{summary[kind]:,}", ""])
    columns: list[str | blocks.Column] = ["class", blocks.Column("", text=True), *splits, "all", "share"]
    if not any(row[1] for row in rows):
        columns, rows = [columns[0], *columns[2:]], [[row[0], *row[2:]] for row in rows]
    return blocks.table("Images by class and part of the split", columns, rows)


def _known(context: Context) -> Any:
    if context.table is None:
        return None
    shares = {title: float(context.table[c].notna().mean()) if c in context.table else 0.0 for c, title in METADATA.items()}
    told = [f"{title} for {words.per_cent(share)}" for title, share in shares.items() if share]
    missing = [title for title, share in shares.items() if not share]
    sentence = f"The data tell {words.listed(told)} of the images" if told else "The data tell nothing about the people in the images"
    silent = f"; nothing about {words.listed(missing, 'or')}" if told and missing else ""
    return blocks.text(f"{sentence}{silent}.")


def _unreadable(context: Context) -> list[Any]:
    lost = context.run.unreadable
    if lost.empty:
        return [blocks.text("Every file could be read.")] if context.table is not None else []
    rows = lost.head(SHOWN)[["image", "reason"]].astype(str).to_numpy().tolist()
    more = [blocks.text(f"The other {len(lost) - SHOWN:,} are in unreadable.csv.")] if len(lost) > SHOWN else []
    columns: list[str | blocks.Column] = ["file", blocks.Column("reason", text=True)]
    title = f"{words.count(len(lost), 'file')} could not be read and {'is' if len(lost) == 1 else 'are'} left out"
    return [blocks.fold(title, blocks.table("Files left out", columns, rows), *more)]


def _audit(context: Context) -> list[Markup]:
    """What the audit found that the run began with, and where its page lies."""
    if context.audit is None:
        return []
    page, told = context.audit
    depth = "A quick audit of files, exact copies and groups" if told["quick"] else "An audit"
    serious = [f["sentence"] for section in told["sections"].values() for f in section["findings"] if f["severity"] == "serious"]
    found = words.found(told["counts"])
    line = Markup('<p>{} before training found {}: <a href="{}">what is wrong with these data</a>.</p>').format(depth, found, page)
    return [line, blocks.items(serious)] if serious else [line]

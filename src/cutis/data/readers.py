"""``read``: any source of labelled images as one table, recognised by itself; ``summary`` says what was recognised."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from cutis.data import (
    archives,  # noqa: F401 - its readers are registered before any plugin's
    labels,
)
from cutis.data.delimited import SUFFIXES, header
from cutis.data.formats import Reader, readers
from cutis.data.lookup import IMAGES, allowing, locate
from cutis.data.table import PARTS, describe, finish, mapped, merge, noted
from cutis.errors import DataError

__all__ = ["Reader", "read", "readers", "summary"]

_KINDS = (
    "a folder with one folder of images for each class (also below train, val, test), a CSV with columns such as image,label, "
    "HAM10000, PAD-UFES-20 or ISIC tables, Hugging Face's metadata.csv, or a MedMNIST npz"
)


def read(
    *sources: str | Path,
    map: Mapping[str, str] | str | Sequence[str] | None = None,
    allow_outside: bool | str | Path | Sequence[str | Path] = False,
) -> pd.DataFrame:
    """One table (docs/formats.md) from one or more sources.

    A source is a folder or file that a reader recognises, or ``train=PATH``, ``val=PATH``, ``test=PATH``, which puts all its
    rows in that part. ``map`` renames labels (``labels.chosen``). ``allow_outside`` names folders that tables and links may
    lead to outside their own (True: any). Raises DataError saying what was looked for, where, and what to do.
    """
    if not sources:
        raise DataError(f"No data are named. Give {_KINDS}.")
    with allowing(_folders(allow_outside)):
        tables = [_read(source) for source in sources]
    table = merge(_one_spelling(tables))
    return table if map is None else mapped(table, labels.chosen(map, table["label"].dropna().unique()))


def summary(table: pd.DataFrame) -> list[str]:
    """What was read, in a few lines to print: reader, counts, classes, parts, and each note."""
    counts = describe(table)
    files = [Path(f).name or f for f in table.attrs["files"]]
    known = [f"{counts[kind]:,} {kind}" for kind in ("images", "lesions", "patients") if counts[kind]]
    lines = [f"Read {', '.join(files)} as {table.attrs['reader']}: {', '.join(known)}, {counts['groups']:,} groups."]
    lines.append(f"{len(counts['classes'])} classes: " + ", ".join(f"{name} {n:,}" for name, n in counts["classes"].items()) + ".")
    if counts["unlabelled"]:
        lines.append(f"{counts['unlabelled']:,} images have no label.")
    if counts["splits"]:
        parts = [f"{name} {part['images']:,}" for name, part in counts["splits"].items()]
        lines.append(
            f"The data are split: {', '.join(parts)}" + (f", in no part {counts['unassigned']:,}." if counts["unassigned"] else ".")
        )
    if counts["groups"] == counts["images"] and not counts["lesions"] and not counts["patients"]:
        lines.append("Lesions and patients are not known: photos of one lesion may fall on both sides of a split.")
    return lines + list(table.attrs.get("notes", []))


def _read(source: str | Path) -> pd.DataFrame:
    path, part = _source(source)
    name, path, rows = _recognised(path)
    notes = list(rows.attrs.get("notes", []))
    root = Path(rows.attrs.get("root", path if path.is_dir() else path.parent))
    files = rows.attrs.get("files", [path])
    if not rows.attrs.get("found"):
        named = rows["image"].notna()
        if not named.all():
            notes.append(f"{int((~named).sum())} rows name no image and are left out.")
        images, more = locate([str(image) for image in rows.loc[named, "image"]], root)
        rows = rows[named].assign(image=pd.Series(images, index=rows.index[named], dtype="str"))
        rows, notes = rows[rows["image"].notna()], notes + more
        root, rows = with_common_root(root, rows)
    rows.attrs = {"notes": notes}
    table = finish(rows, root, name, files)
    return table if part is None else noted(table.assign(split=part), f"All {len(table):,} images of {path.name} are put in {part}.")


def _source(source: str | Path) -> tuple[Path, str | None]:
    before, equals, after = str(source).partition("=")
    part = before if equals and before in PARTS and not Path(source).exists() else None
    path = Path(after if part else source).expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {path}. Correct the path.")
    return path, part


def _recognised(path: Path) -> tuple[str, Path, pd.DataFrame]:
    """Reader, path and rows of what a path holds: itself, or the one table in the folder."""
    if not path.is_dir():
        for name, rows in _readings(path):
            return name, path, rows
        columns = ", ".join(header(path))
        raise DataError(f"{path} is nothing that a reader knows{f'; its columns are {columns}' if columns else ''}. Give {_KINDS}.")
    files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".") and p.suffix.lower() not in IMAGES]
    tables = [(name, file, rows) for file in files for name, rows in _readings(file)]
    tables = [t for t in tables if "label" in t[2] and t[2]["label"].notna().any()] or tables
    if len(tables) > 1:
        named = "; ".join(f"{file.name} ({name})" for name, file, _ in tables)
        raise DataError(f"{path} holds {len(tables)} tables: {named}. Name the one you mean, for example {tables[0][1]}")
    if tables:
        return tables[0]
    for name, rows in _readings(path):
        return name, path, rows
    others = [file.name for file in files if file.suffix.lower() in SUFFIXES]
    raise DataError(f"{path} holds nothing that a reader knows{f' (seen: {chr(44).join(others[:5])})' if others else ''}. Give {_KINDS}.")


def _readings(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of the reader that recognises the path, at most one: the last registered that does."""
    for name, reader in readers.newest_first():
        if (rows := reader(path)) is not None:
            yield name, rows
            return


def with_common_root(root: Path, rows: pd.DataFrame) -> tuple[Path, pd.DataFrame]:
    """The same images, and where allowed ones lie outside the root, the root that holds all of them."""
    if not rows["image"].str.startswith("../").any():
        return root, rows
    paths = [os.path.normpath(root.absolute() / image) for image in rows["image"]]
    common = os.path.commonpath([os.path.dirname(p) for p in paths])  # noqa: PTH120
    return Path(common), rows.assign(image=[os.path.relpath(p, common) for p in paths])


def _one_spelling(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Labels that differ by case between tables take the spelling of the first table."""
    spelling: dict[str, str] = {}
    result = []
    for table in tables:
        own = table["label"].dropna().unique()
        changed = {label: spelling[label.casefold()] for label in own if spelling.get(label.casefold(), label) != label}
        if changed:
            told = ", ".join(f"{old} as {new}" for old, new in changed.items())
            table = noted(mapped(table, changed), f"Labels are spelt as in the first table: {told}.")
        for label in own:
            spelling.setdefault(label.casefold(), label)
        result.append(table)
    return result


def _folders(allowed: bool | str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(allowed, bool):
        return [Path(Path.cwd().anchor)] if allowed else []
    folders = [Path(f) for f in ([allowed] if isinstance(allowed, (str, Path)) else allowed)]
    for f in folders:
        if not f.is_dir():
            raise DataError(f"There is no folder {f} to allow. Correct the path after --allow-outside.")
    return folders

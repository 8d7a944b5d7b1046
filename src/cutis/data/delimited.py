"""Delimited text as people have it: any usual separator, byte order marks, UTF-8 or the Windows and Latin code pages."""

import codecs
import csv
import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cutis.errors import DataError
from cutis.files import FORMULA, unguarded

SUFFIXES = (".csv", ".tsv", ".txt")
_SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 16
_GUARDED = tuple("'" + mark for mark in FORMULA)


def header(path: Path) -> tuple[str, ...]:
    """Column names of a delimited file; empty for anything else."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return ()
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if len(head) == _HEAD:
        head = head[: head.rfind(b"\n") + 1]  # a character is not cut in two
    return _header(_decoded(head)[0])[0]


def rows(path: Path, text: Iterable[str] = ()) -> pd.DataFrame:
    """All rows; the columns named in ``text`` stay text (ids keep their zeros), others are numbers where all their values are.

    An empty field is missing; "NA" and the like are text. ``attrs["notes"]`` tells of an assumed encoding.
    Raises DataError naming the line that does not fit.
    """
    content, encoding = _decoded(path.read_bytes())
    names, separator = _header(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(content),
                sep=separator,
                header=0,
                names=list(names),
                dtype=dict.fromkeys(text, "str"),
                keep_default_na=False,
                na_values=[""],
                index_col=False,
                low_memory=False,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path} cannot be read as a table with the columns {', '.join(names)}: {error} Correct the file.") from error
    unnamed = [c for c in names if not c]
    if encoding not in ("utf-8", "utf-16"):
        frame.attrs["notes"] = [f"{path.name} is not UTF-8; it is read as {encoding}. Save it as UTF-8 if names look wrong."]
    words: list[str] = list(frame.select_dtypes("str"))
    told = frame.attrs
    frame = frame.assign(**{c: frame[c].map(_plain, na_action="ignore") for c in words})
    frame.attrs = told
    return frame.drop(columns=unnamed)


def _plain(text: str) -> str:
    """A text as it was before ``files.guarded`` made it safe for spreadsheets."""
    return unguarded(text) if text.startswith(_GUARDED) else text


def _decoded(data: bytes) -> tuple[str, str]:
    """Text and the encoding it was in. Windows' Turkish page agrees with Latin-1 and cp1252 except for six Icelandic letters."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "utf-16"
    for encoding in ("utf-8-sig", "cp1254"):
        try:
            return data.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1"


def _header(content: str) -> tuple[tuple[str, ...], str]:
    """Column names and the separator: the one that makes the most columns."""
    best: tuple[tuple[str, ...], str] = ((), ",")
    for separator in _SEPARATORS:
        try:
            names = tuple(name.strip() for name in next(csv.reader(io.StringIO(content), delimiter=separator), []))
        except csv.Error:
            continue
        if len(names) > len(best[0]):
            best = names, separator
    return best

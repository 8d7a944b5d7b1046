"""Answers kept while many pictures are answered, a line each, so that a stop loses none; and the table that is made of them."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, TextIO

from cutis.errors import ArtifactError, CutisError, LockedError, TrainingError
from cutis.files import guarded, replacing
from cutis.serve.answers import Answer

FORMAT: Final = "cutis-answers-1"
ROWS: Final = 5000  # of a Parquet file that are written at once
JOINT: Final = "; "
UNREADABLE: Final = "unreadable"  # the verdict on a picture that has no answer


def record(image: str, answer: Answer | str, *, mark: str = "", label: str = "", group: str = "", drawn: str = "") -> dict[str, Any]:
    """One line: what is known of a picture, and its answer, or the reason why it cannot be read. ``drawn``: the file of its heat map."""
    told: dict[str, Any] = {"image": image, "mark": mark, "label": label, "group": group}
    if isinstance(answer, str):
        return told | {"reason": answer}
    met = [f"{'+'.join(m.classes)} ({m.rule})" for m in answer.met if m.met]
    return told | {
        "predicted": answer.predicted,
        "probabilities": [float(f"{p:.9g}") for p in answer.probabilities],
        "raw": [float(f"{p:.9g}") for p in answer.raw],
        "confidence": float(f"{answer.confidence:.9g}"),
        "possible": JOINT.join(answer.possible),
        "verdict": answer.verdict,
        "strangeness": None if answer.strangeness is None else float(f"{answer.strangeness:.9g}"),
        "met": JOINT.join(met),
        "notes": JOINT.join(answer.notes),
        "map": drawn,
    }


class Journal:
    """The answers so far, beside the table that is to be made: JSON lines, the first of which says what answers."""

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file, self.path = file, path
        self.marks: list[str] = []
        """``image mark`` of each picture that is answered, in order."""

    @classmethod
    def open(cls, out: Path, head: dict[str, Any], *, resume: bool) -> "Journal":
        """The journal of a table; with ``resume`` what an earlier process left is gone on with.

        Raises LockedError where another process writes it, CutisError where it is there and is not to be gone on with, or was written by
        another model or in another way, ArtifactError where it is damaged.
        """
        path = out.with_name(f"{out.name}.part")
        out.parent.mkdir(parents=True, exist_ok=True)
        made = cls(path.open("ab", buffering=0), path)
        try:
            fcntl.flock(made._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made._begin(head, resume=resume)
        except BlockingIOError:
            made.close()
            raise LockedError(f"Another process writes {out}. Wait for it, or give another --out.") from None
        except BaseException:
            made.close()
            raise
        return made

    def _begin(self, head: dict[str, Any], *, resume: bool) -> None:
        """Take up what is there; a line that a kill cut short is dropped."""
        with self.path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                os.ftruncate(self._file.fileno(), 0)
                return self._write([head])
            if not resume:
                raise CutisError(f"{self.path} holds the answers of a run that was stopped. Go on with --resume, or delete it.")
            try:
                _same(json.loads(first), head, self.path)
                end = len(first)
                for line in takewhile(lambda line: line.endswith(b"\n"), file):
                    told, end = json.loads(line), end + len(line)
                    self.marks.append(f"{told['image']} {told['mark']}")
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ArtifactError(
                    f"{self.path} is damaged ({type(error).__name__}). Delete it and begin anew, without --resume."
                ) from error
        return os.ftruncate(self._file.fileno(), end)

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        """Keep some more, on the disk."""
        self._write(records)
        self.marks += [f"{told['image']} {told['mark']}" for told in records]

    def records(self) -> Iterator[dict[str, Any]]:
        """All, in order, one at a time."""
        with self.path.open("rb") as file:
            file.readline()
            for line in file:
                yield json.loads(line)

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def remove(self) -> None:
        """Close it and take it away: the table holds all."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _write(self, records: Sequence[dict[str, Any]]) -> None:
        """Unbuffered, so that nothing is left to be written when the disk is full. Raises TrainingError then."""
        lines = b"".join(json.dumps(told, ensure_ascii=True, allow_nan=False).encode() + b"\n" for told in records)
        try:
            while lines:
                lines = lines[self._file.write(lines) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainingError(
                f"The answers cannot be written to {self.path} ({error.strerror}). Make room, then use --resume."
            ) from error


def _same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        told = ", ".join(f"{key} ({before.get(key)} before, {now[key]} now)" for key in changed)
        raise CutisError(f"{path} was begun in another way: {told}. Go on as it was begun, or delete it and begin anew.")


@dataclass(frozen=True)
class Table:
    """The answers as a table for people, CSV or Parquet: what ``cutis predict`` writes, and what the page hands out."""

    classes: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """As docs/formats.md lists them; the first are those of predictions."""
        stated, raw = [f"p_{c}" for c in self.classes], [f"raw_{c}" for c in self.classes]
        more = ["confidence", "verdict", "possible", "strangeness", "met", "notes", "map"]
        return ["image", "group", "label", "predicted", *stated, *more, *raw]

    def row(self, told: dict[str, Any]) -> list[Any]:
        """The cells of one picture; empty where something is not known."""
        named = told | {"group": told["group"] or told["image"]}
        if "reason" in told:
            named["verdict"] = UNREADABLE
        else:
            named |= {f"p_{c}": p for c, p in zip(self.classes, told["probabilities"], strict=True)}
            named |= {f"raw_{c}": p for c, p in zip(self.classes, told["raw"], strict=True)}
        return [named.get(column) for column in self.columns]

    def csv(self, records: Iterable[dict[str, Any]], **stated: str) -> bytes:
        """The table as one file with every picture: one that cannot be read has its row and, in the column ``reason``, why.

        ``stated``: columns that say the same in each row. UTF-8 with the mark by which spreadsheets know it.
        """
        out = io.StringIO(newline="")
        rows = ([*self.row(told), told.get("reason"), *stated.values()] for told in records)
        _write_csv([*self.columns, "reason", *stated], rows, out)
        return out.getvalue().encode("utf-8-sig")

    def write(self, records: Iterator[dict[str, Any]], out: Path) -> None:
        """Write a row for each picture that could be read, whole or not at all; memory does not grow with the table.

        CSV, or Parquet where ``out`` ends so.
        """
        with replacing(out) as aside:
            rows = (self.row(told) for told in records if "reason" not in told)
            if out.suffix == ".parquet":
                self._write_parquet(rows, aside)
            else:
                write_csv(self.columns, rows, aside)

    def _write_parquet(self, rows: Iterator[list[Any]], path: Path) -> None:
        arrow, parquet = parquet_library()
        words = {"image", "group", "label", "predicted", "verdict", "possible", "met", "notes", "map"}
        schema = arrow.schema([(name, arrow.string() if name in words else arrow.float64()) for name in self.columns])
        with parquet.ParquetWriter(path, schema) as file:
            for some in _blocks(rows):
                columns = [list(values) for values in zip(*some, strict=True)]
                arrays = [[v or None for v in c] if n in words else c for n, c in zip(self.columns, columns, strict=True)]
                file.write_table(arrow.table(dict(zip(self.columns, arrays, strict=True)), schema=schema))


def write_csv(columns: Sequence[str], rows: Iterable[list[Any]], path: Path) -> None:
    """Rows as CSV with texts guarded, so that no spreadsheet runs them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        _write_csv(columns, rows, file)


def _write_csv(columns: Sequence[str], rows: Iterable[list[Any]], file: TextIO) -> None:
    out = csv.writer(file)
    out.writerow(columns)
    for row in rows:
        out.writerow([guarded(cell) if isinstance(cell, str) else "" if cell is None else f"{cell:.9g}" for cell in row])


def parquet_library() -> tuple[Any, Any]:
    """pyarrow and its Parquet module. Raises CutisError where it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise CutisError("Parquet needs the package pyarrow: pip install 'cutis[parquet]'. Or give --out FILE.csv") from None
    return pyarrow, parquet


def _blocks(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    some: list[list[Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS:
            yield some
            some = []
    if some:
        yield some

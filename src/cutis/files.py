"""How files are written: aside, flushed to the disk, then renamed, so that a reader sees the old or the new one, never half."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutis.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")  # first characters that a spreadsheet runs or swallows


def cache_folder() -> Path:
    """Where Cutis keeps what it can compute again: ``CUTIS_CACHE``, else ``~/.cache/cutis``."""
    return Path(os.environ.get("CUTIS_CACHE") or Path.home() / ".cache" / "cutis")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; at the end it takes the place of ``path``. On an error nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text (UTF-8) whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, "utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON whole or not at all; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, whole or not at all, with its texts ``guarded``."""
    words = table.select_dtypes(["object", "str"]).columns
    safe = table.assign(**{c: table[c].map(lambda cell: guarded(cell) if isinstance(cell, str) else cell) for c in words})
    write_text(path, safe.to_csv(index=False, lineterminator="\r\n"))  # so that a return in a name is quoted


def read_json(path: Path) -> Any:
    """Read JSON. Raises ArtifactError naming the file where it is absent or broken."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"There is no file {path}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}.") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def guarded(text: str) -> str:
    """Text for a CSV cell that no spreadsheet runs: an apostrophe goes before a leading =, +, -, @, tab, return or apostrophe."""
    return "'" + text if text.startswith(FORMULA) else text


def unguarded(text: str) -> str:
    """The text that ``guarded`` was given."""
    return text.removeprefix("'")

"""What a caller gives, made into what the verbs work on: tables, splits, runs, masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from cutis.data.masks import Masks
    from cutis.runs import Run

    Data = pd.DataFrame | str | Path | Sequence[str | Path]
    Map = Mapping[str, str] | str | Sequence[str] | None


def run(run: Run | str | Path) -> Run:
    """A run, opened where a folder is given. Raises ArtifactError where there is none."""
    from cutis.runs import Run

    return run if isinstance(run, Run) else Run.open(run)


def table(data: Data, map: Map) -> pd.DataFrame:
    """A table, read where files or folders are given, with labels renamed by ``map``."""
    import pandas as pd

    from cutis.data import labels, readers
    from cutis.data import table as tables

    if not isinstance(data, pd.DataFrame):
        return readers.read(*several(data), map=map)
    return data if map is None else tables.mapped(data, labels.chosen(map, data["label"].dropna().unique()))


def divided(data: Data, map: Map, split: str | None) -> tuple[pd.DataFrame, str]:
    """The table, divided by ``FILE:COLUMN`` where that is given, and in words where the split comes from."""
    from cutis.data import splits

    rows = table(data, map)
    return (splits.from_file(rows, split), splits.named(split)) if split else (rows, "")


def masks(masks: Masks | str | Path | None) -> Masks | None:
    """Where lesions are, read where a file or folder is given."""
    from cutis.data import masks as lesions

    return masks if masks is None or isinstance(masks, lesions.Masks) else lesions.read(masks)


def several(files: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """One path or several as a list."""
    return [files] if isinstance(files, str) or not hasattr(files, "__iter__") else list(files)

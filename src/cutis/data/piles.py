"""Pictures of which nothing need be known: whatever a reader recognises, else every image below a folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cutis.data import delimited, readers
from cutis.data.formats import by_synonyms, renamed
from cutis.data.lookup import allowing, locate, scan
from cutis.data.table import finish, merge, noted
from cutis.errors import DataError


def read(*sources: str | Path, allow_outside: Sequence[str | Path] = ()) -> pd.DataFrame:
    """One table from sources as ``readers.read`` takes them; a folder that no reader knows is a pile of pictures without labels,
    and so is a table that names images only.

    Raises DataError as that does, and for a folder without any image.
    """
    return merge([_read(source, allow_outside) for source in sources])


def _read(source: str | Path, allow_outside: Sequence[str | Path]) -> pd.DataFrame:
    try:
        return readers.read(source, allow_outside=allow_outside)
    except DataError:
        folder = Path(source).expanduser()
        with allowing([Path(f) for f in allow_outside]):
            if (named := _named(folder)) is not None:
                return named
            found = scan(folder) if folder.is_dir() else None
        if found is None or not found.images:
            raise
    rows = pd.DataFrame({"image": pd.Series(found.images, dtype="str")})
    rows.attrs = {"notes": found.notes}
    return noted(
        finish(rows, folder, "pictures", [folder]), f"{folder} holds no labels that a reader knows: all its images are taken as they are."
    )


def _named(path: Path) -> pd.DataFrame | None:
    """The images that a delimited file names where it has no labels, as its readers want."""
    columns = by_synonyms(delimited.header(path))
    if "image" not in columns or "label" in columns:
        return None
    rows = renamed(path, (), **columns)
    assert rows is not None
    rows = rows[rows["image"].notna()]
    images, notes = locate([str(image) for image in rows["image"]], path.parent)
    rows = rows.assign(image=pd.Series(images, index=rows.index, dtype="str"))
    root, rows = readers.with_common_root(path.parent, rows[rows["image"].notna()])
    rows.attrs = {"notes": notes}
    return finish(rows, root, "images", [path])

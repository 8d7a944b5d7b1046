"""Pictures of which nothing need be known: whatever a reader recognises, else every image below a folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cutis.data import readers
from cutis.data.lookup import allowing, scan
from cutis.data.table import finish, merge, noted
from cutis.errors import DataError


def read(*sources: str | Path, allow_outside: Sequence[str | Path] = ()) -> pd.DataFrame:
    """One table from sources as ``readers.read`` takes them; a folder that no reader knows is a pile of pictures without labels.

    Raises DataError as that does, and for a folder without any image.
    """
    return merge([_read(source, allow_outside) for source in sources])


def _read(source: str | Path, allow_outside: Sequence[str | Path]) -> pd.DataFrame:
    try:
        return readers.read(source, allow_outside=allow_outside)
    except DataError:
        folder = Path(source).expanduser()
        with allowing([Path(f) for f in allow_outside]):
            found = scan(folder) if folder.is_dir() else None
        if found is None or not found.images:
            raise
    rows = pd.DataFrame({"image": pd.Series(found.images, dtype="str")})
    rows.attrs = {"notes": found.notes}
    return noted(
        finish(rows, folder, "pictures", [folder]), f"{folder} holds no labels that a reader knows: all its images are taken as they are."
    )

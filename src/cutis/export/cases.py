"""Training cases that a bundle carries: thumbnails, their labels, and what allows them to be given away."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from cutis.data.arrays import Arrays, array_row
from cutis.data.images import decode
from cutis.errors import ArtifactError
from cutis.export.about import About, Name, PartPath
from cutis.recipe import Part

FILE: Final = "cases.json"
MOST: Final = 4000
"""At most; some 20 MB, each with a SHA-256 to compare at a start."""
SIDE: Final = 160
"""Pixels of a thumbnail's longer side."""


class Listed(Part):
    """What the file says."""

    licence: str
    """What allows these pictures to be given away."""
    cases: dict[PartPath, str]
    """Label of each case, by its part of the bundle."""
    rows: dict[Name, tuple[str, ...]]
    """Of members with a reference: for each of its rows the case, or empty."""


def read(folder: Path, about: About) -> Listed | None:
    """The cases of a bundle, whose parts were compared; None where it carries none.

    Raises ArtifactError where the list names a picture that is no part, so that nothing else on the disk is ever shown.
    """
    if about.cases is None:
        return None
    path = folder / about.cases
    try:
        found = Listed.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtifactError(f"{path} cannot be used: {error.errors()[0]['msg'][:200]}. Export the run anew.") from None
    named = {name for names in found.rows.values() for name in names if name}
    if not found.cases.keys() <= about.files.keys() or not named <= found.cases.keys() or not set(found.cases.values()) <= {*about.classes}:
        raise ArtifactError(f"{path} names pictures or classes that the bundle does not have. Export the run anew.")
    return found


def chosen(count: int) -> NDArray[np.int64]:
    """Which of so many training rows are carried, spread evenly over them."""
    return np.unique(np.linspace(0, count - 1, min(MOST, count)).round().astype(np.int64))


def gathered(
    root: Path,
    rows: pd.DataFrame,
    chosen: NDArray[np.int64],
    member: str,
    licence: str,
    max_pixels: int,
    on_step: Callable[[int, int], None],
) -> dict[str, Path | bytes]:
    """The parts of a bundle: a thumbnail of each ``chosen`` one of a member's training ``rows``, and the file that lists them.

    A case is named by its number: no name of an image is given away. Raises Unreadable.
    """
    names, labels, parts = [""] * len(rows), {}, {}
    with closing(Arrays(max_pixels)) as arrays:
        for number, row in enumerate(chosen, 1):
            names[row] = f"cases/{number:04d}.jpg"
            labels[names[row]] = str(rows["label"].iloc[row])
            parts[names[row]] = _thumbnail(root, rows["image"].iloc[row], arrays)
            on_step(number, len(chosen))
    listed = Listed(licence=licence, cases=labels, rows={member: tuple(names)})
    return {**parts, FILE: listed.model_dump_json().encode()}


def _thumbnail(root: Path, image: str, arrays: Arrays) -> bytes:
    """A picture of a table as a small JPEG made from its pixels, so that nothing of the file's metadata comes along; the aspect is kept."""
    row, side = array_row(root, image), (SIDE, SIDE)
    small = Image.fromarray(arrays.read(row) if row else decode(root / image, at_least=side, max_pixels=arrays.max_pixels).pixels)
    small.thumbnail(side)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()

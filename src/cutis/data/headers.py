"""What the headers of picture files say: format, colour mode, size, orientation, camera; no pixel is decoded."""

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
from PIL import Image

from cutis.data.arrays import ArrayRow, array_row, open_image
from cutis.data.opening import recognised

HEAD: Final = 1024  # bytes by which a format is recognised
BLOCK: Final = 256  # files a task
ORIENTATION: Final = 0x0112  # EXIF 2.32
MODEL: Final = 0x0110  # of the camera
TURNED: Final = (5, 6, 7, 8)  # orientations that make a lying picture an upright one


class Header(NamedTuple):
    """What is known of a picture before it is decoded; ``width`` and ``height`` in pixels as it is seen, upright."""

    format: str
    """JPEG, PNG, ... or array; empty where the header cannot be read."""
    mode: str
    """Pillow's name of the stored colours: RGB, L (grey), CMYK, P (palette), RGBA, ..."""
    width: int
    height: int
    orientation: int
    """EXIF orientation, 1 to 8; 1 is upright."""
    bytes: int
    """Size of the file; 0 for a row of an array."""
    camera: str = ""
    """Model of the camera as EXIF names it; empty where it does not."""


def read(root: Path, keys: Sequence[str]) -> pd.DataFrame:
    """A row for each picture, given by its key below the folder ``root``, with the columns of ``Header``; ``format`` is empty and
    ``width`` and ``height`` are 0 where there is no header to read."""
    arrays: dict[tuple[Path, str], Header] = {}
    for key in keys:  # the rows of an array are alike, so one of them is read
        if (row := array_row(root, key)) and row[:2] not in arrays:
            height, width = open_image(root, key).pixels.shape[:2]
            arrays[row[:2]] = Header("array", "RGB", width, height, 1, 0)

    def task(start: int) -> list[Header]:
        return [_header(array_row(root, key) or root / key, arrays) for key in keys[start : start + BLOCK]]

    # Pillow warns of broken EXIF, which costs nothing here
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(thread_name_prefix="cutis-headers") as pool:
        parts = list(pool.map(task, range(0, len(keys), BLOCK)))
    return pd.DataFrame([header for part in parts for header in part], columns=Header._fields)


def _header(source: Path | ArrayRow, arrays: dict[tuple[Path, str], Header]) -> Header:
    if isinstance(source, ArrayRow):
        return arrays[source[:2]]
    try:
        with source.open("rb") as file:
            name, opener = recognised(file.read(HEAD))
            file.seek(0)
            image = opener(file)
            exif = _exif(image)
            turn = exif.get(ORIENTATION, 1)
            turn = int(turn) if turn in range(1, 9) else 1
            lying = turn in TURNED and name != "TIFF"  # whose size Pillow gives as it is seen
            width, height = image.size[::-1] if lying else image.size
            return Header(name, image.mode, width, height, turn, source.stat().st_size, _text(exif.get(MODEL)))
    except Exception:  # Pillow's parsers raise whatever they trip over; that the picture can be decoded is known already
        return Header("", "", 0, 0, 1, 0)


def _exif(image: Image.Image) -> Mapping[int, Any]:
    """EXIF where the header has it; a PNG may keep it behind the pixels, which are not read for that."""
    return {} if image.format not in ("JPEG", "TIFF") and "exif" not in image.info else image.getexif()


def _text(value: object) -> str:
    """Text of an EXIF field, which cameras pad with blanks and zeros."""
    return str(value or "").strip("\0 ")

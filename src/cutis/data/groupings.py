"""Who and what is in the images, as groups: people by skin tone, sex, age and body site; pictures by source, camera, size, other facts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from cutis.data.columns import AFTERWARDS, PERSON, sorted_out

AGES: Final[Sequence[tuple[int, str]]] = ((0, "under 18"), (18, "18 to 39"), (40, "40 to 59"), (60, "60 to 79"), (80, "80 and over"))
"""First year of each age band, and its name."""
TYPES: Final = tuple(f"Fitzpatrick {n}" for n in range(1, 7))
SIDES: Final[Sequence[tuple[int, str]]] = (
    (1, "under 256 pixels"), (256, "256 to 511 pixels"), (512, "512 to 1,023 pixels"), (1024, "1,024 to 2,047 pixels"),
    (2048, "2,048 pixels and more"),
)  # fmt: skip
"""Least short side of a picture as it came, in pixels, of each band, and its name."""
COMMONEST: Final = 20  # values of a body site, source or camera that are groups of their own; the others are one, ELSEWHERE
ELSEWHERE: Final = "elsewhere"
MOST: Final = 12
"""Distinct values, at most, of another column that divides images: with more, hardly any has enough images to be looked at."""
_ANSWERS = {"true": "yes", "false": "no"}


@dataclass(frozen=True)
class Grouping:
    """A way to divide images: ``of`` the group of each table row (missing where unknown), ``groups`` all groups, empty ones too."""

    name: str
    title: str
    of: pd.Series
    groups: tuple[str, ...]


def people(table: pd.DataFrame) -> list[Grouping]:
    """By skin tone as given, sex, age and body site; what a table does not tell is missing in every row."""
    tones = table["skin_tone"].map(lambda n: f"Fitzpatrick {n}", na_action="ignore")
    return [
        Grouping("skin_tone", "skin tone", tones, TYPES),
        Grouping("sex", "sex", table["sex"], ("female", "male")),
        _banded("age", "age", table["age"], AGES),
        _commonest("site", "body site", table["site"]),
    ]


def groupings(table: pd.DataFrame, files: pd.DataFrame | None = None) -> tuple[list[Grouping], dict[str, str]]:
    """All ways to divide the images of a table that put some in each of two groups, and the columns that are none, with the reason.

    ``files``: what headers say of the pictures (headers.read), a row for each table row. People come first, then where and how pictures
    were made, then the other columns with few values. A column that identifies, or that says the label, divides nothing.
    """
    known = table[table["label"].notna()]
    labels, groups = (pd.factorize(known[column])[0] for column in ("label", "group"))
    kinds = sorted_out(known, labels, groups)
    why = dict.fromkeys(kinds.identifiers, "it names a picture, a visit or a person")
    why |= {column.name: "it says the label in other words" for column in kinds.labels}
    others: list[Grouping] = []
    for name in kinds.facts:
        if name in AFTERWARDS:
            why[name] = "it is filled in with the diagnosis, or because of it"
        elif name not in (*PERSON, "source"):
            values = _named(table[name])
            if values.nunique() > MOST:
                why[name] = f"it has {values.nunique():,} different values"
            else:
                others.append(Grouping(name, name.replace("_", " "), values, tuple(sorted(values.dropna().unique(), key=_by_number))))
    ways = [*people(table), _commonest("source", "source", table["source"]), *_pictures(table, files), *others]
    return [way for way in ways if way.of.nunique() > 1], why


def _pictures(table: pd.DataFrame, files: pd.DataFrame | None) -> Iterator[Grouping]:
    """By camera, where the table has no such column, and by size."""
    if files is None:
        return
    told = files.set_index(table.index)
    if "camera" not in table:
        yield _commonest("camera", "camera", told["camera"].mask(told["camera"] == ""))
    side = told[["width", "height"]].min(axis=1)
    yield _banded("image_size", "image size (short side)", side.mask(side == 0), SIDES)


def _banded(name: str, title: str, values: pd.Series, bands: Sequence[tuple[int, str]]) -> Grouping:
    names = tuple(name for _, name in bands)
    of = pd.cut(values, [*(start for start, _ in bands), np.inf], right=False, labels=list(names))
    return Grouping(name, title, of.astype("object"), names)


def _commonest(name: str, title: str, values: pd.Series) -> Grouping:
    common = values.value_counts().index[:COMMONEST]
    rare = values.notna() & ~values.isin(common)
    of = values.astype("object").mask(rare, ELSEWHERE)
    return Grouping(name, title, of, (*common, *([ELSEWHERE] if rare.any() and ELSEWHERE not in common else [])))


def _named(values: pd.Series) -> pd.Series:
    """Values as text: whole numbers without decimals, true and false as yes and no."""

    def text(value: object) -> str:
        plain = f"{value:g}" if isinstance(value, float) else str(value).strip()
        return _ANSWERS.get(plain.casefold(), plain)

    return values.astype("object").map(text, na_action="ignore")


def _by_number(value: str) -> tuple[float, str]:
    """Numbers by size, before words."""
    try:
        return float(value), value
    except ValueError:
        return np.inf, value

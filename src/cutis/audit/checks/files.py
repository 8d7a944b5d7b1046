"""The files: which cannot be read, which are stored oddly, and which look tiny, stretched, empty, dark, bright or blurred."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.audit import headers, looks
from cutis.audit.findings import Finding, Item, Section, counted
from cutis.audit.subject import Subject, check
from cutis.tabular import Table

TINY: Final = 64
"""Short side, in pixels, under which a lesion's structures are lost; or under a quarter of the collection's median."""
LONG: Final = 2.5
"""Times as long as wide: a centre crop then keeps less than half of the picture."""
FLAT: Final = 12
"""Grey levels between the 1st and the 99th percentile; the flattest of 1,000 real photographs of skin has 23."""
DARK: Final = 60
"""Grey level of the 95th percentile; in photographs of dark skin it is above 70."""
BRIGHT: Final = 240
"""Grey level of the median: more than half of the picture is nearly white."""
SOFT: Final = 2.2, 0.4
"""Most detail (grey levels; or a fifth of the collection's median), and least reblur, of a blurred picture: a sharp picture of an even skin
has little detail too, but a second blur changes it. On 300 photographs at 224 px a Gaussian blur of 2 px is found nearly always, one of 1.5
px half of the time."""
PLAIN: Final = ("RGB", "L")
MODES: Final = {"CMYK": "CMYK", "P": "palette", "RGBA": "transparent", "LA": "transparent", "PA": "transparent", "1": "black and white"}


@dataclass(frozen=True)
class Fault:
    """A way in which a picture can be of no use: which pictures have it, and how badly, worse ones lower in ``score``."""

    kind: str
    are: str
    here: NDArray[np.bool_]
    score: NDArray[np.float64]
    measure: str
    advice: str = "Look at them, and leave out those on which nobody could see the lesion."


@check("10 files", cheap=True)
def files(subject: Subject) -> Section:
    """Whether each file can be read, how it is stored, and whether it shows anything."""
    told, seen = subject.once(headers.read), subject.once(looks.measure)
    found = [*_unreadable(subject), *_stored(subject, told)]
    found += [finding for fault in _faults(told, seen) if (finding := _finding(fault, subject.readable["image"]))]
    useless = [finding for finding in found if finding.rule and finding.kind != "unreadable"]
    lost, odd = len(subject.cache.failures), len({image for finding in useless for item in finding.items for image in item.images})
    total = counted(len(subject.table), "file")
    read = f"{lost:,} of {total} cannot be read" if lost else f"All {total} can be read"
    return Section(
        "Files",
        f"{read}; {f'{odd:,} of the pictures should be looked at' if odd else 'none of the pictures looks unusable'}.",
        tuple(found),
        _numbers(subject, told),
        [_table(subject, told)],
        (
            "Darkness, brightness and blur are judged by fixed limits in the middle of the picture, so black corners do not count. "
            "A sharp photo on which only the lesion is out of focus is not noticed.",
        ),
    )


def _unreadable(subject: Subject) -> Iterator[Finding]:
    lost = subject.cache.failures
    if lost.empty:
        return
    share, allowed = len(lost) / len(subject.table), subject.spec.images.max_unreadable
    yield Finding(
        "unreadable",
        "serious" if share > allowed else "warning",
        f"{counted(len(lost), 'file')} cannot be read ({share:.1%}).",
        "Fetch them again or mend them; left as they are, they are no part of any result.",
        tuple(Item((image,), reason) for image, reason in zip(lost["image"], lost["reason"], strict=True)),
        rule="unreadable",
    )


def _stored(subject: Subject, told: pd.DataFrame) -> Iterator[Finding]:
    """What is unusual in how files are stored; all of it is dealt with by the rules of decoding."""
    images = subject.readable["image"]
    plain = told["mode"].isin([*PLAIN, ""]).to_numpy()
    if not plain.all():
        modes = told.loc[~plain, "mode"].map(lambda mode: MODES.get(mode, f"{mode}"))
        listed = ", ".join(f"{name} {n:,}" for name, n in modes.value_counts().items())
        yield Finding(
            "modes",
            "note",
            f"{counted(len(modes))} {_be(len(modes))} not stored as plain colour or grey ({listed}).",
            "They are converted by fixed rules (docs/formats.md); other programs may show other colours.",
            tuple(Item((image,), mode) for image, mode in zip(images[~plain], modes, strict=True)),
        )
    turned = told.index[told["orientation"] != 1]
    if len(turned):
        yield Finding(
            "turned",
            "note",
            f"{counted(len(turned))} {_be(len(turned))} stored lying or mirrored, with a note in the file that says so.",
            "They are turned upright here; a program that does not read the note sees them otherwise.",
            tuple(Item((images[i],), f"EXIF orientation {told['orientation'][i]}") for i in turned),
        )
    notes = subject.cache.notes
    if len(notes):
        n = notes["image"].nunique()
        items = tuple(Item((image,), note) for image, note in zip(notes["image"], notes["note"], strict=True))
        yield Finding("left-aside", "note", f"Something in {counted(n, 'file')} is left aside when they are read.", "", items)


def _faults(told: pd.DataFrame, seen: pd.DataFrame) -> Iterator[Fault]:
    """Each picture has at most one of the faults of looks: empty, else dark, else bright, else blurred."""
    sides = told[["width", "height"]].to_numpy(np.float64)
    short, long, known = sides.min(1), sides.max(1), sides.all(1)
    smallest = max(TINY, np.median(short[known]) / 4) if known.any() else TINY
    yield Fault("small", f"smaller than {smallest:.0f} pixels", known & (short < smallest), short, "short side, pixels")
    shape = long / np.maximum(short, 1)
    yield Fault(
        "odd-shape", f"more than {LONG:g} times as long as wide", known & (shape > LONG), -shape, "short side over long side",
        "Look whether they show one lesion, and cut out what belongs to it.",
    )  # fmt: skip
    detail, again = seen["detail"].to_numpy(), seen["reblur"].to_numpy()
    softest = max(SOFT[0], float(np.median(detail)) / 5)
    empty = (seen["range"] < FLAT).to_numpy()
    dark = (seen["high"] < DARK).to_numpy() & ~empty
    bright = (seen["middle"] > BRIGHT).to_numpy() & ~empty
    blurred = (detail < softest) & (again > SOFT[1]) & ~(empty | dark | bright)
    yield Fault("empty", "one even area", empty, seen["range"].to_numpy(), "grey levels between darkest and brightest, of 255")
    yield Fault("dark", "very dark", dark, seen["high"].to_numpy(), "grey level of their brightest parts, of 255")
    yield Fault("bright", "nearly white over more than half of the area", bright, -seen["middle"].to_numpy(), "median grey level, of 255")
    yield Fault("blurred", "blurred", blurred, detail, "fine detail, grey levels")


def _finding(fault: Fault, images: pd.Series) -> Finding | None:
    n = int(fault.here.sum())
    if not n:
        return None
    if 2 * n > len(images) > 1:
        sentence = f"{n:,} of {counted(len(images))} are {fault.are}: so this collection is, and no file is singled out."
        return Finding(fault.kind, "warning", sentence, "Ask whether what decides the diagnosis can be seen on such pictures.")
    worst = np.flatnonzero(fault.here)[np.argsort(fault.score[fault.here], kind="stable")]
    items = tuple(Item((images[i],), score=round(abs(float(fault.score[i])), 2)) for i in worst)
    sentence = f"{counted(n)} {_be(n)} {fault.are}."
    return Finding(fault.kind, "warning", sentence, fault.advice, items, fault.measure, rule=fault.kind)


def _numbers(subject: Subject, told: pd.DataFrame) -> dict[str, Any]:
    size = told["width"].astype(str) + "x" + told["height"].astype(str)
    return {
        "files": len(subject.table),
        "unreadable": len(subject.cache.failures),
        "formats": _counts(told["format"]),
        "modes": _counts(told["mode"]),
        "sizes": _counts(size),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(k) or "unknown": int(n) for k, n in values.value_counts().items()}


def _table(subject: Subject, told: pd.DataFrame) -> Table:
    """Formats and sizes by class: what differs between classes is a shortcut in waiting."""
    every = subject.table["label"].fillna("no label")
    label = every.iloc[subject.rows].to_numpy()
    rows = []
    for name, n in every.value_counts().sort_index().items():
        own = told[label == name]
        if own.empty:
            rows.append([str(name), f"{n:,}", f"{n:,}", "", "", ""])
            continue
        formats = ", ".join(f"{kind} {k:,}" for kind, k in _counts(own["format"]).items())
        sizes = own.sort_values(["width", "height"])[["width", "height"]].to_numpy()
        ends = [f"{w:,} x {h:,}" for w, h in (sizes[0], sizes[len(sizes) // 2], sizes[-1])]
        spread = ends[1] if ends[0] == ends[2] else f"{ends[1]} ({ends[0]} to {ends[2]})"
        weight = own["bytes"].median() / 1000
        rows.append([str(name), f"{n:,}", f"{n - len(own):,}", formats, spread, f"{weight:,.0f}" if weight else ""])
    columns = ("class", "images", "unreadable", "formats", "width x height, pixels: median (least to most)", "median kB")
    return Table("Files by class", columns, rows, words=("formats", columns[4]))


def _be(n: int) -> str:
    return "is" if n == 1 else "are"

"""Makes labelled skin pictures out of nothing but a seed, for the demo and for tests that ask whether something learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import simplejpeg
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from cutis.data import drawing_acne, drawing_dermoscopy
from cutis.data.drawing import TONES, Look, Picture, photograph
from cutis.errors import CutisError
from cutis.files import replacing
from cutis.registry import unknown

KindName = Literal["dermoscopy", "acne", "acne-severity"]
COLUMNS = ("image", "label", "lesion", "patient", "sex", "age", "site", "skin_tone", "source")

PERSON, LABEL, PICTURE, VIEW, COUNT = range(5)  # purposes of a generator, so that no two share their numbers
TONE_SHARES = (0.16, 0.30, 0.25, 0.15, 0.09, 0.05)
BLOCK = (1, 3, 2)  # lesions of three patients in turn: who owns lesion i does not depend on how many are drawn


@dataclass(frozen=True)
class Leaning:
    """How the logarithm of a class's odds changes with age (per standard deviation), for men, per step of skin tone, and per source."""

    age: float = 0.0
    male: float = 0.0
    tone: float = 0.0
    source: tuple[float, float, float] = (0.0, 0.0, 0.0)
    site: str = ""
    """The site where the class is seen three times as often as elsewhere."""


@dataclass(frozen=True)
class Kind:
    """One kind of collection: classes with their shares, who has them, where, and through which cameras."""

    shares: Mapping[str, float]
    leaning: Mapping[str, Leaning]
    age: tuple[float, float]
    sites: Mapping[str, float]
    looks: Mapping[str, Look]
    turn: float
    hairs: float = 0.0


_FACE = {"forehead": 0.22, "cheek": 0.45, "chin": 0.18, "nose": 0.15}
_PHONES = {"phone_a": Look((1.0, 1.0, 1.0)), "phone_b": Look((1.03, 0.98, 0.92), 1.1), "studio": Look((0.97, 1.0, 1.04), 0.95)}
KINDS: Mapping[str, Kind] = {
    "dermoscopy": Kind(
        shares={"nv": 0.50, "mel": 0.20, "bkl": 0.18, "bcc": 0.12},
        leaning={
            "nv": Leaning(-0.7, 0.0, 0.05, (-0.2, 0.2, 0.1), "abdomen"),
            "mel": Leaning(0.3, 0.15, -0.15, (0.3, -0.3, 0.0), "back"),
            "bkl": Leaning(0.5, 0.1, 0.05, (0.0, 0.0, -0.1), "face"),
            "bcc": Leaning(0.6, 0.2, -0.2, (0.3, -0.2, -0.2), "face"),
        },
        age=(50, 17),
        sites={"back": 0.27, "abdomen": 0.17, "lower extremity": 0.24, "upper extremity": 0.18, "face": 0.14},
        looks={
            "clinic": Look((0.98, 0.84, 0.86), 1.05, vignette=0.08, bubbles=0.10),
            "practice": Look((0.94, 0.93, 1.02), 1.0, vignette=0.35, ruler=0.30, bubbles=0.12),
            "archive": Look((1.0, 0.96, 0.84), 0.9, vignette=0.12, bubbles=0.05),
        },
        turn=180,
        hairs=0.4,
    ),
    "acne": Kind(
        shares=dict(zip(drawing_acne.TYPES, (0.20, 0.08, 0.17, 0.10, 0.45), strict=True)),  # 5.6 : 1
        leaning={
            "Blackheads": Leaning(-0.3, site="nose"),
            "Cysts": Leaning(0.2, 0.4, site="chin"),
            "Papules": Leaning(0.1, site="cheek"),
            "Pustules": Leaning(0.0, 0.1, site="cheek"),
            "Whiteheads": Leaning(-0.1, -0.1, site="forehead"),
        },
        age=(21, 5),
        sites=_FACE,
        looks=_PHONES,
        turn=15,
    ),
    "acne-severity": Kind(
        shares=dict(zip(drawing_acne.GRADES, (0.36, 0.40, 0.15, 0.09), strict=True)),
        leaning={g: Leaning(-0.2 * i, 0.15 * i) for i, g in enumerate(drawing_acne.GRADES)},
        age=(21, 5),
        sites=_FACE,
        looks=_PHONES,
        turn=15,
    ),
}


def write(
    folder: Path,
    *,
    kind: KindName = "dermoscopy",
    lesions: int = 400,
    views: tuple[int, int] = (1, 3),
    size: int = 128,
    difficulty: float = 0.3,
    seed: int = 0,
    classes: Mapping[str, float] | None = None,
) -> Path:
    """Draw a collection into ``folder``: ``images/*.jpg`` (quality 90) and ``labels.csv``, whose path is returned.

    ``lesions``: how many, each with ``views`` (fewest, most) pictures of ``size`` x ``size`` pixels; ``difficulty``: 0, the classes are
    clearly apart, to 1, the label is independent of everything that is drawn or told; ``classes``: share of each class where the
    kind's own are not wanted. Lesion i is the same whatever the number of lesions. Columns: see ``COLUMNS``.
    """
    if not 1 <= views[0] <= views[1] or lesions < 1:
        raise CutisError(
            f"Cannot draw {lesions} lesions with {views[0]} to {views[1]} views each. Give at least one of each, fewest first."
        )
    spec, shares = _checked(kind, size, difficulty, classes)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for lesion in range(lesions):
        row = _row(lesion, spec, shares, difficulty, seed)
        canvas = _canvas(lesion, row, kind, shares, size, difficulty, seed)
        for view in range(int(default_rng([seed, COUNT, lesion]).integers(views[0], views[1] + 1))):
            rows.append(row | {"image": _name(lesion, view)})
            picture = _view(lesion, view, row, canvas, spec, size, seed)
            (folder / rows[-1]["image"]).write_bytes(simplejpeg.encode_jpeg(picture, quality=90, colorspace="RGB"))
    with replacing(folder / "labels.csv") as aside:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(aside, index=False)
    return folder / "labels.csv"


def draw(
    lesion: int,
    view: int = 0,
    *,
    kind: KindName = "dermoscopy",
    size: int = 128,
    difficulty: float = 0.3,
    seed: int = 0,
    classes: Mapping[str, float] | None = None,
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """One picture (size x size x 3, RGB) and its row, the same as ``write`` makes of that lesion and view, before JPEG."""
    spec, shares = _checked(kind, size, difficulty, classes)
    row = _row(lesion, spec, shares, difficulty, seed)
    canvas = _canvas(lesion, row, kind, shares, size, difficulty, seed)
    return _view(lesion, view, row, canvas, spec, size, seed), row | {"image": _name(lesion, view)}


def _checked(kind: str, size: int, difficulty: float, classes: Mapping[str, float] | None) -> tuple[Kind, Mapping[str, float]]:
    """The kind and the shares of its classes, which sum to 1."""
    if kind not in KINDS:
        raise CutisError(unknown("kind of picture", kind, KINDS))
    if not 0 <= difficulty <= 1 or size < 16:
        raise CutisError(f"Cannot draw at difficulty {difficulty} and size {size}. Difficulty is 0 to 1, size at least 16 pixels.")
    shares = KINDS[kind].shares if classes is None else classes
    for name, share in shares.items():
        if name not in KINDS[kind].shares:
            raise CutisError(unknown(f"{kind} class", name, KINDS[kind].shares))
        if not share > 0:
            raise CutisError(f"The share of class {name} is {share}. Give a share above 0, or leave the class out.")
    total = sum(shares.values())
    return KINDS[kind], {name: share / total for name, share in shares.items()}


def _row(lesion: int, spec: Kind, shares: Mapping[str, float], difficulty: float, seed: int) -> dict[str, Any]:
    """Who has the lesion, where, and what it is; all of a row but the image."""
    block, within = divmod(lesion, sum(BLOCK))
    patient = block * len(BLOCK) + int(np.searchsorted(np.cumsum(BLOCK), within, "right"))
    person = _person(default_rng([seed, PERSON, patient]), spec)
    rng = default_rng([seed, LABEL, lesion])
    label = _pick(rng, {name: share * _odds(spec, name, person) ** (1 - difficulty) for name, share in shares.items()})
    favoured = spec.leaning[label].site
    site = _pick(rng, {name: share * (3 ** (1 - difficulty) if name == favoured else 1) for name, share in spec.sites.items()})
    return {"label": label, "lesion": f"L{lesion:05d}", "patient": f"P{patient:05d}", "site": site, **person}


def _canvas(
    lesion: int, row: Mapping[str, Any], kind: str, shares: Mapping[str, float], size: int, difficulty: float, seed: int
) -> Picture:
    """What the pictures of a lesion are taken of: a quarter larger than they are."""
    rng, n, tone = default_rng([seed, PICTURE, lesion]), round(size * 1.25), row["skin_tone"]
    if kind == "dermoscopy":
        return drawing_dermoscopy.scene(rng, n, tone, drawing_dermoscopy.traits(rng, row["label"], shares, difficulty))
    spots = drawing_acne.spots_by_type if kind == "acne" else drawing_acne.spots_by_grade
    return drawing_acne.scene(rng, n, tone, spots(rng, row["label"], shares, difficulty))


def _view(lesion: int, view: int, row: Mapping[str, Any], canvas: Picture, spec: Kind, size: int, seed: int) -> NDArray[np.uint8]:
    hair_melanin = 0.4 + 0.2 * row["skin_tone"]
    rng = default_rng([seed, VIEW, lesion, view])
    return photograph(rng, canvas, size, spec.looks[row["source"]], turn=spec.turn, hairs=spec.hairs, hair_melanin=hair_melanin)


def _person(rng: Generator, spec: Kind) -> dict[str, Any]:
    age = float(np.clip(rng.normal(*spec.age), 12, 90))
    return {
        "sex": "male" if rng.random() < 0.5 else "female",
        "age": round(age / 5) * 5,
        "skin_tone": 1 + int(rng.choice(len(TONES), p=TONE_SHARES)),
        "source": str(rng.choice(list(spec.looks))),
    }


def _odds(spec: Kind, label: str, person: Mapping[str, Any]) -> float:
    """How much likelier a class is in this person than in anybody."""
    lean = spec.leaning[label]
    total = lean.age * (person["age"] - spec.age[0]) / spec.age[1] + lean.male * (person["sex"] == "male")
    total += lean.tone * (person["skin_tone"] - 2.5) + lean.source[list(spec.looks).index(person["source"])]
    return float(np.exp(total))


def _pick(rng: Generator, weights: Mapping[str, float]) -> str:
    p = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=p / p.sum()))


def _name(lesion: int, view: int) -> str:
    return f"images/{lesion:05d}_{view}.jpg"

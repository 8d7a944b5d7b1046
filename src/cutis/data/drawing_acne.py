"""Draws a patch of facial skin with acne: comedones, papules, pustules and cysts, each as a small shape with colour and relief."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cutis.data.drawing import TONES, Picture, Plane, blend, noise, relief, skin, step, texture


@dataclass(frozen=True)
class Spot:
    """One kind of spot: how many, how large (half the picture's side is 1), how red, how far red reaches, how high, and its head."""

    count: tuple[int, int]
    radius: tuple[float, float]
    redness: float
    reach: float
    height: float
    head: float = 0.0
    head_size: float = 0.5
    head_colour: tuple[float, float, float] = (0.96, 0.90, 0.66)


SPOTS: Mapping[str, Spot] = {
    "Blackheads": Spot((10, 30), (0.022, 0.045), 0.06, 1.8, 0.15, 0.85, 0.75, (0.20, 0.14, 0.11)),
    "Cysts": Spot((1, 3), (0.20, 0.34), 0.60, 1.25, 0.8, 0.35, 0.22, (0.55, 0.30, 0.24)),
    "Papules": Spot((4, 11), (0.07, 0.125), 0.50, 1.5, 0.7),
    "Pustules": Spot((3, 9), (0.075, 0.125), 0.50, 1.6, 0.8, 0.85, 0.55),
    "Whiteheads": Spot((8, 22), (0.035, 0.062), 0.10, 1.5, 0.8, 0.62, 0.85, (0.96, 0.91, 0.84)),
}
TYPES = tuple(SPOTS)
GRADES = ("grade0", "grade1", "grade2", "grade3")
INFLAMED = (0.28, 0.08, 0.34, 0.12, 0.18)  # share of each type where the grade, not the type, is asked


def spots_by_type(rng: Generator, label: str, shares: Mapping[str, float], difficulty: float) -> list[str]:
    """Types of the spots of one patch: the number is that of the label's type or, with probability ``difficulty``, of another's;
    so is each spot, so that at 1 neither knows of the label.
    """
    names, weights = list(shares), list(shares.values())
    shown = str(rng.choice(names, p=weights)) if rng.random() < difficulty else label
    low, high = SPOTS[shown].count
    count = int(rng.integers(low, high + 1))
    other = rng.choice(len(names), count, p=weights)
    return [names[other[i]] if strange else label for i, strange in enumerate(rng.random(count) < difficulty)]


def spots_by_grade(rng: Generator, label: str, shares: Mapping[str, float], difficulty: float) -> list[str]:
    """Types of the spots of one patch of a grade: none to 3 spots, to 9, to 20, to 42. Severity is a weighted mean of the grade's own
    and of a grade drawn from the shares, with weight ``difficulty``: neighbouring grades are confused first.
    """
    own, other = GRADES.index(label), GRADES.index(str(rng.choice(list(shares), p=list(shares.values()))))
    severity = (1 - difficulty) * (own + rng.random()) + difficulty * (other + rng.random())
    count = round(float(np.interp(severity, [0, 1, 2, 3, 4], [0, 3.5, 9.5, 20.5, 42])))
    return [TYPES[i] for i in rng.choice(len(TYPES), count, p=INFLAMED)]


def scene(rng: Generator, n: int, tone: int, spots: Sequence[str]) -> Picture:
    """The patch of skin, n x n, before camera and light. ``tone``: Fitzpatrick 1..6."""
    melanin, blood = texture(rng, n, TONES[tone - 1])
    blood = blood + rng.uniform(0.0, 0.14) * step(noise(rng, n, 3, 2), -0.5, 1.2)
    pores = step(noise(rng, n, 44), 1.0, 2.0)
    melanin, inflamed = melanin + 0.12 * pores, np.zeros_like(blood)
    height = 0.0010 * noise(rng, n, 30, 2) - 0.002 * pores
    heads: list[tuple[Spot, tuple[slice, slice], Plane]] = []
    for kind in sorted(spots, key=lambda s: -SPOTS[s].radius[1]):  # large ones lie below small ones
        spot, radius = SPOTS[kind], rng.uniform(*SPOTS[kind].radius)
        where, r = _place(rng, n, radius, spot.reach)
        red = np.exp(-((r / spot.reach) ** 3))
        inflamed[where] = np.maximum(inflamed[where], spot.redness * rng.uniform(0.7, 1.25) * red)
        height[where] += spot.height * radius * 0.35 * np.exp(-((r / 0.9) ** 2) * 1.5)
        if spot.head:
            heads.append((spot, where, step(-r, -spot.head_size * 1.25, -spot.head_size * 0.6)))
    picture = skin(melanin + 0.10 * inflamed, np.maximum(blood, 0) + inflamed)
    for spot, where, weight in heads:
        blend(picture[:, *where], spot.head * weight, spot.head_colour)
    angle = rng.uniform(0, 2 * np.pi)
    shade = relief(height.astype(np.float32), angle, 0.55)
    picture *= shade
    blend(picture, rng.uniform(0.2, 0.6) * step(shade, 1.10, 1.35), (1.0, 0.97, 0.94))  # sebum shines on slopes that face the light
    return picture


def _place(rng: Generator, n: int, radius: float, reach: float) -> tuple[tuple[slice, slice], Plane]:
    """A window around a random point and, in it, the distance from that point in radii, a little out of round."""
    x, y = rng.uniform(-0.8, 0.8, 2)
    squeeze, angle = rng.uniform(0.85, 1.18), rng.uniform(0, np.pi)
    bumps = rng.uniform(0, 0.10), rng.uniform(0, 2 * np.pi)
    extent = 1.9 * radius * reach
    spans = []
    for centre in (y, x):
        low, high = (int((centre + side * extent + 1) * n / 2) for side in (-1, 1))
        spans.append(slice(max(low, 0), min(high + 1, n)))
    v, u = (((np.arange(s.start, s.stop) + 0.5) * 2 / n - 1 - c) / radius for s, c in zip(spans, (y, x), strict=True))
    along = (u * np.cos(angle) + v[:, None] * np.sin(angle)) * squeeze
    across = (v[:, None] * np.cos(angle) - u * np.sin(angle)) / squeeze
    r = np.hypot(along, across) * (1 + bumps[0] * np.sin(3 * np.arctan2(across, along) + bumps[1]))
    return (spans[0], spans[1]), np.asarray(r, np.float32)

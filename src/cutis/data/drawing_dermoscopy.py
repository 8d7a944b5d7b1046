"""Draws one pigmented lesion as a dermatoscope would show it; what is seen is decided by traits, and traits by the class."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from cutis.data.drawing import TONES, Picture, Plane, blend, curve, dots, grid, noise, relief, ridges, skin, step, strokes, texture

# Range of each trait in a nevus, a melanoma, a keratosis and a basal cell carcinoma. Sizes are shares of half the picture's side;
# what is seen in which lesion follows the usual dermoscopic criteria (Argenziano et al. 2003).
CLASSES = ("nv", "mel", "bkl", "bcc")
TRAITS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "radius": ((0.24, 0.46), (0.36, 0.66), (0.30, 0.60), (0.26, 0.52)),
    "elongation": ((1.0, 1.35), (1.0, 1.5), (1.0, 1.4), (1.0, 1.4)),
    "asymmetry": ((0.02, 0.14), (0.22, 0.45), (0.05, 0.20), (0.10, 0.28)),
    "irregularity": ((0.02, 0.06), (0.07, 0.15), (0.02, 0.06), (0.04, 0.10)),
    "softness": ((0.35, 0.80), (0.20, 0.55), (0.10, 0.18), (0.50, 0.95)),
    "pigment": ((0.55, 1.25), (0.85, 1.80), (0.30, 0.80), (0.02, 0.22)),
    "redness": ((0.05, 0.40), (0.05, 0.40), (0.00, 0.20), (0.30, 0.75)),
    "variegation": ((0.03, 0.18), (0.45, 1.00), (0.12, 0.35), (0.05, 0.20)),
    "network": ((0.20, 0.70), (0.20, 0.70), (0.00, 0.15), (0.00, 0.05)),
    "globules": ((0.00, 0.50), (0.20, 0.80), (0.00, 0.10), (0.00, 0.05)),
    "veil": ((0.00, 0.02), (0.20, 0.80), (0.00, 0.03), (0.00, 0.10)),
    "nests": ((0.00, 0.02), (0.00, 0.20), (0.00, 0.02), (0.35, 1.00)),
    "vessels": ((0.00, 0.05), (0.00, 0.20), (0.00, 0.10), (0.50, 1.00)),
    "cysts": ((0.00, 0.05), (0.00, 0.05), (0.45, 1.00), (0.00, 0.05)),
    "scale": ((0.00, 0.03), (0.00, 0.10), (0.25, 0.90), (0.00, 0.20)),
}


def traits(rng: Generator, label: str, shares: Mapping[str, float], difficulty: float) -> dict[str, float]:
    """Traits of one lesion. Each is of its own class with probability 1 - difficulty, else of a class drawn from the shares:
    at 1 the traits know nothing of the label; in between a lesion shows some criteria of its class and lacks others, as real ones do.
    """
    names = list(shares)
    strange = rng.random(len(TRAITS)) < difficulty
    other = rng.choice(len(names), len(TRAITS), p=list(shares.values()))
    share = rng.random(len(TRAITS))
    values = {}
    for i, (name, ranges) in enumerate(TRAITS.items()):
        low, high = ranges[CLASSES.index(names[other[i]] if strange[i] else label)]
        values[name] = float(low + (high - low) * share[i])
    return values


def scene(rng: Generator, n: int, tone: int, t: Mapping[str, float]) -> Picture:
    """The lesion and the skin around it, n x n, before camera and light. ``tone``: Fitzpatrick 1..6."""
    melanin, blood = texture(rng, n, TONES[tone - 1])
    depth = _depth(rng, n, t)  # 1 in the middle, 0 at the border, below 0 outside
    inside = step(depth, -t["softness"] / 2, t["softness"] / 2)
    blotch, fine = noise(rng, n, 6, 3), noise(rng, n, 26, 2)
    x, y = grid(n)
    slope = rng.uniform(0, 2 * np.pi)
    uneven = 1 + t["asymmetry"] * 1.2 * (x * math.cos(slope) + y * math.sin(slope)) / t["radius"]
    pigment = t["pigment"] * (0.75 + 0.35 * np.clip(depth, 0, 1)) * uneven * np.exp(0.16 * blotch + 0.10 * fine)
    pigment += t["variegation"] * step(noise(rng, n, 5, 3), 0.2, 1.8)
    pigment *= 1 + t["network"] * 1.2 * (ridges(noise(rng, n, 24), 0.3) - 0.35) * step(-depth, -0.9, -0.1)
    pigment += t["globules"] * 0.8 * _scattered(rng, n, t["radius"], int(6 + 30 * t["globules"]), (0.012, 0.03))
    melanin += np.maximum(pigment, 0) * inside
    blood += t["redness"] * inside * (1 + 0.3 * noise(rng, n, 8, 2))
    blood += 0.35 * t["variegation"] * inside * step(noise(rng, n, 5, 2), 0.3, 1.8)
    blood += 0.12 * (0.3 + t["redness"]) * step(depth, -0.9, 0.1) * (1 - inside)  # a flush around the lesion
    if t["vessels"] > 0.15:
        blood += 0.9 * t["vessels"] * _vessels(rng, n, t["radius"], int(2 + 5 * t["vessels"])) * step(depth, -0.4, 0.1)
    picture = skin(melanin, np.maximum(blood, 0))
    _cover(rng, n, picture, t, inside, step(depth, 0.0, 0.35))
    return picture


def _depth(rng: Generator, n: int, t: Mapping[str, float]) -> Plane:
    """1 - r / radius of an ellipse, bent by coarse noise (asymmetry) and by fine noise (irregular border)."""
    x, y = grid(n)
    angle, (left, top) = rng.uniform(0, np.pi), rng.normal(0, 0.05, 2).tolist()
    along = ((x - left) * math.cos(angle) + (y - top) * math.sin(angle)) / t["elongation"] ** 0.5
    across = ((y - top) * math.cos(angle) - (x - left) * math.sin(angle)) * t["elongation"] ** 0.5
    bend = (0.05 + 0.40 * t["asymmetry"]) * noise(rng, n, 4) + t["irregularity"] * noise(rng, n, 9, 2)
    return np.asarray(1 - np.hypot(along, across) / t["radius"] + bend, np.float32)


def _cover(rng: Generator, n: int, picture: Picture, t: Mapping[str, float], inside: Plane, core: Plane) -> None:
    """What lies over the pigment or scatters light before it: veil, nests, scars, cysts, keratin."""
    if t["veil"] > 0.05:
        blend(picture, 0.70 * t["veil"] * core * step(noise(rng, n, 4, 3), -0.3, 1.6), (0.46, 0.48, 0.54))
    if t["variegation"] > 0.4:
        blend(picture, 0.5 * t["variegation"] * inside * step(noise(rng, n, 4, 3), 0.7, 2.2), (0.88, 0.72, 0.72))
    if t["nests"] > 0.1:
        count = int(2 + 9 * t["nests"])
        ovals = _scattered(rng, n, t["radius"], count, (0.015, 0.075), 0.5) * step(noise(rng, n, 12, 2), -1.2, 0.4)
        blend(picture, 0.65 * ovals * inside, (0.37, 0.35, 0.42))
    if t["scale"] > 0.05:
        flakes = step(noise(rng, n, 34, 2) + 0.6 * noise(rng, n, 5), 1.4 - t["scale"], 3.0 - t["scale"])
        blend(picture, 0.40 * flakes * inside, (0.90, 0.80, 0.68))
        picture *= relief(noise(rng, n, 13, 2) * inside, rng.uniform(0, 2 * np.pi), 0.004 * (0.5 + t["scale"]))
    if t["cysts"] > 0.1:
        count = int(3 + 10 * t["cysts"])
        blend(picture, 0.65 * _scattered(rng, n, t["radius"], count, (0.010, 0.024), 0.5) * inside, (0.97, 0.92, 0.80))
        blend(picture, 0.7 * _scattered(rng, n, t["radius"], count // 2, (0.012, 0.030), 0.5) * inside, (0.25, 0.15, 0.10))


def _scattered(rng: Generator, n: int, radius: float, count: int, sizes: tuple[float, float], soft: float = 0.35) -> Plane:
    """Dots all over a disc."""
    angle, away = rng.uniform(0, 2 * np.pi, count), 0.95 * radius * np.sqrt(rng.random(count))
    return dots(n, np.stack([np.cos(angle), np.sin(angle)], 1) * away[:, None], rng.uniform(*sizes, count), soft)


def _vessels(rng: Generator, n: int, radius: float, count: int) -> Plane:
    """Arborising vessels: a stem from the rim, thinner branches off it."""
    lines, widths = [], []
    for _ in range(count):
        at = rng.uniform(0, 2 * np.pi)
        stem = curve(
            rng, 0.9 * radius * np.array([math.cos(at), math.sin(at)]), at + np.pi + rng.normal(0, 0.5), radius * rng.uniform(0.7, 1.4), 0.9
        )
        width = rng.uniform(0.009, 0.018)
        lines.append(stem)
        widths.append(width)
        for knot in rng.integers(3, 11, 3):
            heading = np.arctan2(*(stem[knot] - stem[knot - 1])[::-1]) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)
            lines.append(curve(rng, stem[knot], heading, radius * rng.uniform(0.25, 0.6), 0.8))
            widths.append(width * 0.55)
    return strokes(n, lines, widths, 0.005)

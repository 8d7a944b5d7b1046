"""The painter's tools: noise, smooth shapes, the colour of skin, and the camera; arrays in, arrays out."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # N x N
Picture = NDArray[np.float32]  # 3 x N x N, RGB in 0..1; planes first, because NumPy is slow over an inner axis of three

# How much a unit of melanin and of blood darkens red, green and blue (Beer-Lambert, on display values; fitted by eye to dermoscopy):
# melanin takes blue most, blood takes green and blue and leaves red.
MELANIN = np.array([0.55, 0.86, 1.00], np.float32).reshape(3, 1, 1)
BLOOD = np.array([0.12, 0.75, 0.62], np.float32).reshape(3, 1, 1)
BARE = np.array([0.98, 0.88, 0.83], np.float32).reshape(3, 1, 1)  # skin without either
TONES = (0.06, 0.14, 0.25, 0.42, 0.72, 1.10)  # melanin of the six Fitzpatrick types


@dataclass(frozen=True)
class Look:
    """How the pictures of one source look: gain of red, green, blue; contrast; how often there is a dark vignette, a ruler, gel bubbles."""

    gain: tuple[float, float, float]
    contrast: float = 1.0
    vignette: float = 0.0
    ruler: float = 0.0
    bubbles: float = 0.0


def grid(n: int) -> tuple[Plane, Plane]:
    """x and y of each pixel, -1..1, y down."""
    line = (np.arange(n, dtype=np.float32) + 0.5) * (2 / n) - 1
    return np.broadcast_to(line, (n, n)), np.broadcast_to(line[:, None], (n, n))


def noise(rng: Generator, n: int, cells: int, octaves: int = 1) -> Plane:
    """Smooth Gaussian noise, about unit variance, with ``cells`` waves a side; each octave twice as fine and half as strong.

    The coarse grid is drawn, then enlarged: the same generator gives the same pattern at every n.
    """
    total = 1.25 * rng.standard_normal((cells, cells), np.float32)
    for octave in range(1, octaves):
        finer = (cells << octave,) * 2
        total = cv2.resize(total, finer, interpolation=cv2.INTER_CUBIC) + 1.25 * 0.5**octave * rng.standard_normal(finer, np.float32)
    return np.asarray(cv2.resize(total, (n, n), interpolation=cv2.INTER_CUBIC))


def step(values: Plane, low: float, high: float) -> Plane:
    """0 below ``low``, 1 above ``high``, smooth between (Hermite)."""
    t = np.clip((values - low) * (1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ridges(values: Plane, width: float) -> Plane:
    """1 along the zero lines of smooth noise, falling off to 0: a net."""
    return np.asarray(1 / (1 + (values / width) ** 2), np.float32)


def skin(melanin: Plane, blood: Plane) -> Picture:
    """Colour of skin with so much of both pigments."""
    return np.asarray(BARE * np.exp(-(melanin * MELANIN + blood * BLOOD)), np.float32)


def blend(picture: Picture, weight: Plane, colour: tuple[float, float, float]) -> None:
    """Cover the picture, in place, with a colour, by weight 0..1."""
    picture += (np.array(colour, np.float32).reshape(3, 1, 1) - picture) * weight


def dots(n: int, centres: NDArray[np.float64], radii: NDArray[np.float64], soft: float = 0.35) -> Plane:
    """Round dots, 0..1; centres (K x 2) and radii (K) where the picture is -1..1; ``soft`` is the blur as a share of the mean radius."""
    plane = np.zeros((n, n), np.uint8)
    fixed = np.round((centres + 1) * (n / 2 * 16) - 8).astype(int)  # 4 fractional bits
    for (x, y), r in zip(fixed.tolist(), np.maximum(np.round(radii * (n / 2 * 16)), 8).astype(int).tolist(), strict=True):
        cv2.circle(plane, (x, y), r, 255, -1, cv2.LINE_AA, 4)
    return _soft(plane, soft * float(radii.mean()) * n / 2 if len(radii) else 0)


def strokes(n: int, lines: list[NDArray[np.float64]], widths: list[float], blur: float = 0.0) -> Plane:
    """Polylines, 0..1; points in units where the picture is -1..1, widths and blur in the same."""
    plane = np.zeros((n, n), np.uint8)
    for points, width in zip(lines, widths, strict=True):
        pixels = width * n / 2
        fixed = np.round((points + 1) * (n / 2 * 16) - 8).astype(np.int32)
        value = int(255 * min(1.0, max(pixels, 0.25)))  # a line thinner than a pixel is a faint one
        cv2.polylines(plane, [fixed], False, value, max(1, round(pixels)), cv2.LINE_AA, 4)
    return _soft(plane, blur * n / 2)


def curve(rng: Generator, start: NDArray[np.float64], angle: float, length: float, bend: float, points: int = 12) -> NDArray[np.float64]:
    """A line that wanders: ``points`` x 2."""
    angles = angle + np.linspace(0, rng.normal(0, bend), points) + np.cumsum(rng.normal(0, bend / 6, points))
    return np.asarray(start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), axis=0) * (length / points))


def relief(height: Plane, angle: float, strength: float) -> Plane:
    """Light on a height field from one side: a factor around 1. Heights are in units of half the picture's side."""
    scale = len(height) / 2
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, a, 1 - a, ksize=3, scale=scale / 8) for a in (1, 0))
    return np.asarray(np.clip(1 + strength * (dx * math.cos(angle) + dy * math.sin(angle)), 0.6, 1.4), np.float32)


def texture(rng: Generator, n: int, tone: float) -> tuple[Plane, Plane]:
    """Melanin and blood of plain skin: mottling, furrows and pores over the tone."""
    furrows = ridges(noise(rng, n, 26), 0.3) - 0.2
    melanin = tone * (1 + 0.08 * noise(rng, n, 5, 3) + 0.10 * furrows) + 0.012 * noise(rng, n, 48) + 0.012 * furrows
    blood = 0.16 + 0.045 * noise(rng, n, 5, 4) + 0.02 * furrows
    return np.maximum(melanin, 0.01).astype(np.float32), np.maximum(blood, 0).astype(np.float32)


def photograph(
    rng: Generator, canvas: Picture, size: int, look: Look, *, turn: float, hairs: float = 0.0, hair_melanin: float = 1.0
) -> NDArray[np.uint8]:
    """One picture of a canvas: frame, hairs, light, lens and sensor. ``turn``: the largest rotation, degrees. Returns size x size x 3."""
    picture = _framed(rng, canvas, size, turn)
    x, y = grid(size)
    if rng.random() < hairs:
        shade = _hairs(rng, size) * 0.85
        picture *= 1 - shade * (1 - np.exp(-2.2 * hair_melanin * MELANIN))
    if rng.random() < look.bubbles:
        _bubbles(rng, picture)
    if rng.random() < look.ruler:
        picture *= 1 - 0.75 * _ruler(rng, size)
    direction, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.12)
    light = 1 + tilt * (x * math.cos(direction) + y * math.sin(direction)) - rng.uniform(0.0, 0.12) * (x * x + y * y)
    if rng.random() < look.vignette:
        edge = rng.uniform(1.0, 1.25)
        left, top = rng.normal(0, 0.06, 2).tolist()
        light = light * (1 - 0.93 * step(np.hypot(x - left, y - top), edge - 0.12, edge + 0.14))
    gain = np.array(look.gain) * rng.normal(1, 0.02, 3) * rng.normal(1, 0.05)
    picture += (picture - 0.6) * (look.contrast * float(rng.normal(1, 0.04)) - 1)
    picture *= light * gain.astype(np.float32).reshape(3, 1, 1)
    pixels = cv2.GaussianBlur(cv2.merge(list(picture)), (0, 0), max(0.3, abs(rng.normal(0, 0.006)) * size / 2))
    pixels += rng.standard_normal((size, size, 1), np.float32) * np.float32(rng.uniform(0.004, 0.014))
    return np.asarray(np.clip(pixels * 255 + 0.5, 0, 255), np.uint8)


def _framed(rng: Generator, canvas: Picture, size: int, turn: float) -> Picture:
    """Turn, zoom and shift of the canvas, whose middle 80 % is the picture at zoom 1."""
    n, scale = canvas.shape[1], rng.uniform(0.9, 1.15)
    matrix = cv2.getRotationMatrix2D((n / 2 - 0.5, n / 2 - 0.5), rng.uniform(-turn, turn), scale * 1.25 * size / n)
    matrix[:, 2] += size / 2 - n / 2 + rng.normal(0, 0.03 * size, 2)
    return np.stack([cv2.warpAffine(plane, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101) for plane in canvas])


def _hairs(rng: Generator, size: int) -> Plane:
    """Long thin lines, mostly one way."""
    way, count = rng.uniform(0, np.pi), int(rng.integers(2, 14))
    lines = [curve(rng, rng.uniform(-1.3, 1.1, 2), way + rng.normal(0, 0.5), rng.uniform(0.6, 2.4), 0.9, 16) for _ in range(count)]
    return strokes(size, lines, [float(w) for w in rng.uniform(0.004, 0.011, count)])


def _ruler(rng: Generator, size: int) -> Plane:
    """Millimetre ticks along one edge, every fifth longer."""
    gap, depth = rng.uniform(0.09, 0.16), rng.uniform(0.8, 0.95)
    ticks = []
    for i, at in enumerate(np.arange(-0.95, 0.95, gap)):
        ticks.append(np.array([[at, depth], [at, depth - (0.12 if i % 5 == 0 else 0.07)]]))
    quarter = int(rng.integers(4))
    return np.rot90(strokes(size, ticks, [0.014] * len(ticks)), quarter).copy()


def _bubbles(rng: Generator, picture: Picture) -> None:
    """Rings of bright rim in the contact gel."""
    size, count = picture.shape[1], int(rng.integers(1, 8))
    centres, radii = rng.uniform(-1, 1, (count, 2)), rng.uniform(0.02, 0.10, count)
    rim = dots(size, centres, radii, 0.1) - dots(size, centres, radii * 0.8, 0.1)
    spot = dots(size, centres - 0.4 * radii[:, None], radii * 0.2, 0.3)
    blend(picture, np.clip(0.45 * rim + 0.8 * spot, 0, 1), (1.0, 0.98, 0.96))


def _soft(plane: NDArray[np.uint8], pixels: float) -> Plane:
    smooth = cv2.GaussianBlur(plane, (0, 0), pixels) if pixels > 0.3 else plane
    return np.asarray(smooth, np.float32) * np.float32(1 / 255)

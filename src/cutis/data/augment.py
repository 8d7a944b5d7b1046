"""Random changes of whole batches on their device: one resampling for all geometry, one 3x3 matrix a picture for all colour."""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cutis.data.turns import turned
from cutis.recipe import Augment

ALIASING = 2 / 3
"""Below this many output pixels an input pixel, a bilinear sample skips pixels, so the batch is shrunk by an antialiased resize first."""

GREY = (0.299, 0.587, 0.114)  # luma weights of ITU-R BT.601
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # RGB to YIQ (NTSC 1953)
# One uniform number a picture for each; all are drawn whatever is on, so switching one change on leaves the others as they were.
DRAWS = (
    *("hflip", "vflip", "turn", "rotation", "zoom", "stretch", "shift_x", "shift_y"),
    *("brightness", "contrast", "saturation", "hue", "erase", "area", "aspect", "left", "top"),
)


def augmented(batch: Tensor, spec: Augment, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A batch changed at random, each picture on its own; ``changed`` says how.

    ``generator``: a CPU generator, so that every device and any number of threads sees the same changes.
    """
    return changed(batch, spec, size, torch.rand(len(batch), len(DRAWS), generator=generator))


def only_moves(spec: Augment) -> bool:
    """Whether no more is done than to move pixels, so that bytes can be moved as well as floats."""
    off = Augment().model_dump()
    free = ("hflip", "vflip", "quarter_turns", "mixup", "cutmix")
    return all(value == off[name] for name, value in spec.model_dump().items() if name not in free)


def draws(names: Iterable[str]) -> Tensor:
    """Draws for ``changed`` that depend on nothing but each picture's name: B x len(DRAWS), uniform in [0, 1), from its SHAKE-128."""
    hashed = b"".join(hashlib.shake_128(name.encode()).digest(4 * len(DRAWS)) for name in names)
    words = np.frombuffer(hashed, "<u4").reshape(-1, len(DRAWS))
    return torch.from_numpy((words >> 8).astype(np.float32) / 2**24)  # 24 bits, what a float32 below 1 holds


def changed(batch: Tensor, spec: Augment, size: tuple[int, int], draws: Tensor) -> Tensor:
    """A batch changed as B x len(DRAWS) uniform numbers (on the CPU) say.

    ``batch``: B x 3 x H x W, float32 in 0..1; ``size``: height and width of the result (another aspect ratio stretches).
    Returns B x 3 x h x w in 0..1, the batch itself where nothing is to be done. Flips and quarter turns alone only move pixels;
    quarter turns of a picture that is not square are half turns, which keep its shape.
    """
    uniform = dict(zip(DRAWS, draws.to(batch.device, non_blocking=True).unbind(1), strict=True))
    if spec.rotation or spec.stretch or spec.shift or tuple(spec.zoom) != (1.0, 1.0):
        batch = _warped(batch, _sampling_matrices(batch, spec, uniform), size, spec.zoom)
    elif spec.hflip or spec.vflip or spec.quarter_turns:
        batch = _turned(resized(batch, size), spec, dict(zip(DRAWS, draws.unbind(1), strict=True)))
    else:
        batch = resized(batch, size)
    if spec.brightness or spec.contrast or spec.saturation or spec.hue:
        batch = _recoloured(batch, spec, uniform)
    return _erased(batch, spec.erase, uniform) if spec.erase else batch


def resized(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """The batch (B x 3 x H x W) at another height and width, bilinear and antialiased; the batch itself where the size is the same."""
    if tuple(batch.shape[-2:]) == tuple(size):
        return batch
    return F.interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)


def mixed(batch: Tensor, targets: Tensor, spec: Augment, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) of a batch with a shuffle of itself; with both on, a fair coin decides.

    ``batch``: B x 3 x H x W; ``targets``: B x C shares of each class, rows sum to 1 and still do afterwards.
    CutMix weighs the targets by the area that is really kept, after the rectangle was cut off at the border.
    """
    if not spec.mixup and not spec.cutmix:
        return batch, targets
    coin = float(torch.rand((), generator=generator))
    cut = bool(spec.cutmix) and (not spec.mixup or coin < 0.5)
    keep = _beta(spec.cutmix if cut else spec.mixup, generator)
    order = torch.randperm(len(batch), generator=generator).to(batch.device)
    if cut:
        height, width = batch.shape[-2:]
        top, bottom, left, right = _rectangle(height, width, 1 - keep, generator)
        batch = batch.clone()
        batch[:, :, top:bottom, left:right] = batch[order, :, top:bottom, left:right]
        keep = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        batch = torch.lerp(batch[order], batch, keep)
    return batch, torch.lerp(targets[order], targets, keep)


def symmetry(batch: Tensor, k: int) -> Tensor:
    """The k-th symmetry of the square, 0..7: mirrored left-right first where k >= 4, then turned k % 4 quarters counter-clockwise.

    The 0th is the batch itself.
    """
    assert 0 <= k < 8
    mirrored = batch.flip(-1) if k >= 4 else batch
    return torch.rot90(mirrored, k % 4, (-2, -1)) if k % 4 else mirrored  # a turn by nothing would be a copy


def inverse(k: int) -> int:
    """The symmetry that undoes symmetry k: a turn is undone by the opposite turn, a reflection by itself."""
    return -k % 4 if k < 4 else k


def symmetries(height: int, width: int, count: int) -> tuple[int, ...]:
    """The symmetries to average over for ``count`` views (1, 2, 4 or 8), identity first.

    Two views add the left-right mirror, four the half turn and the top-bottom mirror, eight the quarter turns; pictures that are
    not square have no quarter turns that keep their shape, and get four.
    """
    assert count in (1, 2, 4, 8)
    order = (0, 4, 2, 6, 1, 3, 5, 7)
    return order[: count if height == width else min(count, 4)]


def _quarters(batch: Tensor, uniform: Tensor) -> Tensor:
    """Number of quarter turns, 0..3; on pictures that are not square 0 or 2."""
    return (uniform * 4).long() if batch.shape[-1] == batch.shape[-2] else (uniform * 2).long() * 2


def _turned(batch: Tensor, spec: Augment, uniform: dict[str, Tensor]) -> Tensor:
    """Flips and quarter turns by moving pixels. A top-bottom mirror is a left-right mirror and a half turn."""
    zero = torch.zeros(len(batch), dtype=torch.long)
    hflip = (uniform["hflip"] < 0.5).long() if spec.hflip else zero
    vflip = (uniform["vflip"] < 0.5).long() if spec.vflip else zero
    turn = _quarters(batch, uniform["turn"]) if spec.quarter_turns else zero
    which = 4 * (hflip ^ vflip) + (turn + 2 * vflip) % 4
    if batch.device.type == "cpu" and batch.is_contiguous(memory_format=torch.channels_last):
        return torch.from_numpy(turned(batch.permute(0, 2, 3, 1).numpy(), which.tolist())).permute(0, 3, 1, 2)
    result = torch.empty_like(batch)
    for k in which.unique().tolist():
        rows = (which == k).nonzero().squeeze(1).to(batch.device)
        result[rows] = symmetry(batch[rows], k)
    return result


def _sampling_matrices(batch: Tensor, spec: Augment, uniform: dict[str, Tensor]) -> Tensor:
    """B x 2 x 3: where each output pixel is taken from, both sides in -1..1 from edge to edge.

    The picture is mirrored, turned by `angle` counter-clockwise, scaled, then moved by t: q = S R M p + t, in pixels from the centre
    (y down). An output pixel at q is therefore read at p = M R' S^-1 (q - t).
    """

    def within(name: str, limit: float) -> Tensor:
        return (2 * uniform[name] - 1) * limit

    half = batch.new_tensor([batch.shape[-1] / 2, batch.shape[-2] / 2])
    angle = within("rotation", math.radians(spec.rotation))
    if spec.quarter_turns:
        angle = angle + _quarters(batch, uniform["turn"]) * (math.pi / 2)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)  # R': y points down, so this undoes a counter-clockwise turn
    mirror = torch.ones(len(batch), 2, device=batch.device)
    if spec.hflip:
        mirror[:, 0] -= 2 * (uniform["hflip"] < 0.5).float()
    if spec.vflip:
        mirror[:, 1] -= 2 * (uniform["vflip"] < 0.5).float()
    zoom = spec.zoom[0] + (spec.zoom[1] - spec.zoom[0]) * uniform["zoom"]
    ratio = torch.exp(within("stretch", math.log1p(spec.stretch)) / 2)  # width : height becomes ratio^2, from 1 / (1 + s) to 1 + s
    matrix = mirror.unsqueeze(2) * matrix / torch.stack([zoom * ratio, zoom / ratio], 1).unsqueeze(1)
    matrix = matrix * (half / half.unsqueeze(1))  # from pixels to -1..1: D^-1 A D with D = diag(half)
    shift = 2 * torch.stack([within("shift_x", spec.shift), within("shift_y", spec.shift)], 1)  # a whole side is 2
    return torch.cat([matrix, -matrix @ shift.unsqueeze(2)], 2)


def _warped(batch: Tensor, matrices: Tensor, size: tuple[int, int], zoom: tuple[float, float]) -> Tensor:
    """One bilinear resampling with mirrored borders, after an antialiased shrink where the typical scale asks for one."""
    height, width = batch.shape[-2:]
    typical = math.sqrt(zoom[0] * zoom[1])
    inner = (min(height, math.ceil(size[0] * typical)), min(width, math.ceil(size[1] * typical)))
    if min(inner[0] / height, inner[1] / width) < ALIASING:
        batch = resized(batch, inner)
    return F.grid_sample(batch, _grid(matrices, size), mode="bilinear", padding_mode="reflection", align_corners=False)


def _grid(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """B x h x w x 2: F.affine_grid (align_corners=False) as a sum of a row and a column, which costs a fifth of its matrix product."""
    y, x = (torch.arange(1 - n, n, 2, device=matrices.device) / n for n in size)
    rows = matrices[:, :, 0, None] * x
    columns = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]
    grid = matrices.new_empty(len(matrices), *size, 2)
    for axis in (0, 1):
        torch.add(rows[:, axis, None, :], columns[:, axis, :, None], out=grid[..., axis])
    return grid


def _recoloured(batch: Tensor, spec: Augment, uniform: dict[str, Tensor]) -> Tensor:
    """Brightness, contrast, saturation, hue, in this order, as one affine map of RGB a picture; clipped to 0..1 once, at the end.

    Brightness b and contrast c: x -> c b x + (1 - c) b m, with m the picture's mean grey. Saturation s: (s I + (1 - s) 1 w') x with
    w the grey weights. Hue: a rotation of the plane (I, Q) of YIQ. The last two leave greys alone, so the offset passes through.
    """

    def factor(name: str) -> Tensor:
        limit: float = getattr(spec, name)
        return 1 + (2 * uniform[name] - 1) * limit

    grey = batch.new_tensor(GREY)
    scale, contrast = factor("brightness"), factor("contrast")
    offset = (1 - contrast) * scale * (batch.mean((2, 3)) @ grey)
    saturation = factor("saturation").view(-1, 1, 1)
    matrix = saturation * torch.eye(3, device=batch.device) + (1 - saturation) * grey
    if spec.hue:
        angle = (2 * uniform["hue"] - 1) * (2 * math.pi * spec.hue)
        turn = torch.eye(3, device=batch.device).repeat(len(batch), 1, 1)
        turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
        yiq = torch.tensor(YIQ, dtype=torch.float64)
        matrix = yiq.inverse().to(batch) @ turn @ yiq.to(batch) @ matrix
    matrix = matrix * (scale * contrast).view(-1, 1, 1)
    return torch.bmm(matrix, batch.flatten(2)).add_(offset.view(-1, 1, 1)).clamp_(0, 1).view(batch.shape)


def _erased(batch: Tensor, probability: float, uniform: dict[str, Tensor]) -> Tensor:
    """In a share of the pictures a rectangle (2 to 20 % of the area, sides 1:3 to 3:1) takes the picture's mean colour."""
    height, width = batch.shape[-2:]
    area = 0.02 + 0.18 * uniform["area"]
    aspect = torch.exp((2 * uniform["aspect"] - 1) * math.log(3.0))
    inside = (uniform["erase"] < probability).view(-1, 1, 1)
    for axis, side, start, share in ((2, width, "left", (area * aspect).sqrt()), (1, height, "top", (area / aspect).sqrt())):
        extent = (share * side).round().clamp(1, side)
        first = (uniform[start] * (side - extent + 1)).floor()
        index = torch.arange(side, device=batch.device)
        line = (index >= first.unsqueeze(1)) & (index < (first + extent).unsqueeze(1))
        inside = inside & line.unsqueeze(3 - axis)
    return torch.where(inside.unsqueeze(1), batch.mean((2, 3), keepdim=True), batch)


def _beta(a: float, generator: torch.Generator) -> float:
    """One draw from Beta(a, a): X / (X + Y) for X and Y from Gamma(a). torch.distributions would use the global generator."""
    pair = torch._standard_gamma(torch.full((2,), a, dtype=torch.float64), generator=generator)
    pair = pair.clamp_min(torch.finfo(torch.float64).tiny)  # for a below 0.01 both may underflow
    return float(pair[0] / pair.sum())


def _rectangle(height: int, width: int, area: float, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a rectangle with that share of the area and the picture's shape, around a random pixel, cut off at
    the border (Yun et al. 2019, appendix A).
    """
    sides = [round(side * math.sqrt(area)) for side in (height, width)]
    middles = [int(torch.randint(side, (), generator=generator)) for side in (height, width)]
    edges = []
    for side, extent, middle in zip((height, width), sides, middles, strict=True):
        first = middle - extent // 2
        edges += [max(first, 0), min(first + extent, side)]
    return edges[0], edges[1], edges[2], edges[3]

"""Writes small HEIC files with known pixels: HEVC intra pictures whose blocks are stored as they are (PCM), in a HEIF container.

Nothing that the project may use encodes HEVC. ITU-T H.265 lets a block of 32 x 32 be plain samples, so a picture of one such block needs
only the parameter sets, a slice header, and three bins of its arithmetic coder.
"""

import struct
from collections.abc import Sequence

import numpy as np

SIDE = 32


class Bits:
    """Bits in the order in which a bit stream has them."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, count: int, value: int) -> "Bits":
        self.bits += [value >> i & 1 for i in reversed(range(count))]
        return self

    def ue(self, *values: int) -> "Bits":
        """Exponential Golomb codes (9.2)."""
        for value in values:
            size = (value + 1).bit_length()
            self.u(2 * size - 1, value + 1)
        return self

    def aligned(self, stop: bool) -> bytes:
        """Bytes, after a stop bit where asked, filled up with zeros."""
        bits = self.bits + [1] * stop
        bits += [0] * (-len(bits) % 8)
        return np.packbits(bits).tobytes()


class Coder:
    """The arithmetic encoder of 9.3.4.4 in H.264's wording, for the few bins that are needed here."""

    def __init__(self, out: Bits) -> None:
        self.out, self.low, self.range, self.first, self.waiting = out, 0, 510, True, 0

    def likely(self) -> None:
        """A bin that is the most probable one, in a context of state 0 (part_mode at QP 26): Table 9-52 gives its rare side 240 of 510."""
        self.range -= (128, 176, 208, 240)[self.range >> 6 & 3]
        self.renormalise()

    def ending(self) -> None:
        """A terminating bin of 1, then what is left in the coder; its last bit is 1."""
        self.low += self.range - 2
        self.range = 2
        self.renormalise()
        self.put(self.low >> 9 & 1)
        self.out.u(2, self.low >> 7 & 3 | 1)

    def renormalise(self) -> None:
        while self.range < 256:
            if self.low < 256:
                self.put(0)
            elif self.low >= 512:
                self.low -= 512
                self.put(1)
            else:
                self.low -= 256
                self.waiting += 1
            self.range, self.low = self.range << 1, self.low << 1

    def put(self, bit: int) -> None:
        if self.first:
            self.first = False
        else:
            self.out.u(1, bit)
        self.out.bits += [1 - bit] * self.waiting
        self.waiting = 0


PROFILE = Bits().u(8, 3).u(32, 0x70000000).u(4, 0b1001).u(44, 0).u(8, 30)  # main still picture, level 1


def nal(kind: int, payload: bytes) -> bytes:
    """A unit with its header and emulation prevention (7.3.1)."""
    out, zeros = bytearray([kind << 1, 1]), 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def parameter_sets(height: int, width: int) -> list[tuple[int, bytes]]:
    """VPS, SPS and PPS (7.3.2): 8 bits, 4:2:0, blocks of 32 that may be PCM, no filter; the picture is cut to height x width."""
    vps = Bits().u(4, 0).u(2, 3).u(6, 0).u(3, 0).u(1, 1).u(16, 0xFFFF)
    vps.bits += PROFILE.bits
    vps.u(1, 1).ue(0, 0, 0).u(6, 0).ue(0).u(2, 0)
    sps = Bits().u(4, 0).u(3, 0).u(1, 1)
    sps.bits += PROFILE.bits
    sps.ue(0, 1, SIDE, SIDE).u(1, 1).ue(0, (SIDE - width) // 2, 0, (SIDE - height) // 2)
    sps.ue(0, 0, 4).u(1, 1).ue(0, 0, 0)
    sps.ue(2, 0, 0, 3, 0, 0).u(3, 0)
    sps.u(1, 1).u(8, 0x77).ue(2, 0).u(1, 1)
    sps.ue(0).u(5, 0)
    pps = Bits().ue(0, 0).u(7, 0).ue(0, 0, 0).u(3, 0).ue(0, 0).u(7, 0).u(3, 0b101).u(2, 0).ue(0).u(2, 0)
    return [(32, vps.aligned(stop=True)), (33, sps.aligned(stop=True)), (34, pps.aligned(stop=True))]


def picture(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> bytes:
    """An IDR slice (7.3.6) of one PCM block: luma 32 x 32, chroma 16 x 16 each, uint8."""
    out = Bits().u(2, 0b10).ue(0, 2, 0).u(1, 1)
    out.bits += [0] * (-len(out.bits) % 8)
    coder = Coder(out)
    coder.likely()  # part_mode: one block
    coder.ending()  # pcm_flag
    out.bits += [0] * (-len(out.bits) % 8)
    out.bits += np.unpackbits(np.concatenate([luma.ravel(), blue.ravel(), red.ravel()])).tolist()
    Coder(out).ending()  # end of the slice, whose last bit is the stop bit too
    return nal(19, out.aligned(stop=False))


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, *parts: bytes, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def write(pictures: Sequence[np.ndarray], *, turn: int = 0, said: tuple[int, int] | None = None, profile: bytes = b"") -> bytes:
    """A HEIC file of pictures h x w x 3 in YCbCr (BT.601, full range; h and w even, at most 32), the first one primary.

    ``turn``: quarter turns anticlockwise that a reader must make; ``said``: another height and width in the container; ``profile``: ICC.
    """
    height, width = pictures[0].shape[:2]
    sets = parameter_sets(height, width)
    slices = []
    for pixels in pictures:
        whole = np.pad(pixels, ((0, SIDE - height), (0, SIDE - width), (0, 0)), mode="edge")
        chroma = whole[::2, ::2]
        unit = picture(whole[..., 0], chroma[..., 1], chroma[..., 2])
        slices.append(struct.pack(">I", len(unit)) + unit)
    arrays = b"".join(struct.pack(">BHH", 0x80 | kind, 1, len(unit := nal(kind, data))) + unit for kind, data in sets)
    general = struct.pack(">BI6sB", 3, 0x70000000, b"\x90" + bytes(5), 30)
    hvcc = box(b"hvcC", b"\1", general, struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F, 3), arrays)
    colour = box(b"colr", b"prof", profile) if profile else box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80))
    shown = said or (height, width)
    properties = [hvcc, full(b"ispe", 0, struct.pack(">II", shown[1], shown[0])), colour, *([box(b"irot", bytes([turn]))] if turn else [])]
    essential = [0x81, 2, 3, *([0x84] if turn else [])]
    count = len(slices)
    entries = b"".join(struct.pack(">HB", i, len(essential)) + bytes(essential) for i in range(1, count + 1))
    iprp = box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, struct.pack(">I", count), entries))
    infos = b"".join(full(b"infe", 2, struct.pack(">HH4s", i, 0, b"hvc1"), b"\0") for i in range(1, count + 1))
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(start: int) -> bytes:
        places, at = b"", start
        for i, data in enumerate(slices, 1):
            places += struct.pack(">HHHII", i, 0, 1, at, len(data))
            at += len(data)
        iloc = full(b"iloc", 0, struct.pack(">BBH", 0x44, 0, count), places)
        hdlr = full(b"hdlr", 0, bytes(4), b"pict", bytes(13))
        iinf = full(b"iinf", 0, struct.pack(">H", count), infos)
        return full(b"meta", 0, hdlr, full(b"pitm", 0, struct.pack(">H", 1)), iloc, iinf, iprp)

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", *slices)

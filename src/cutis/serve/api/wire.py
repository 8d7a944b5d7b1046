"""Frames between the server and its worker: a little JSON and any number of blobs; nothing is pickled, and sizes are bounded."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

HEAD: Final = struct.Struct(">II")  # bytes of the JSON, blobs
MOST: Final = 1 << 30  # bytes of a frame: more can only be a fault


class Source(Protocol):
    """A buffered file."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer only at its end."""


class Frame(NamedTuple):
    """What one side says to the other."""

    told: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


def packed(told: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> list[bytes]:
    """The parts to be written, one after the other."""
    text = json.dumps({**told, "sizes": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    return [HEAD.pack(len(text), sum(map(len, blobs))), text, *blobs]


def _unpacked(text: bytes, body: bytes) -> Frame:
    told, blobs, start = json.loads(text), [], 0
    for size in told.pop("sizes"):
        blobs.append(body[start : start + size])
        start += size
    return Frame(told, tuple(blobs))


def _sizes(head: bytes) -> tuple[int, int]:
    text, body = HEAD.unpack(head)
    if text + body > MOST:
        raise EOFError("an absurd frame")
    return text, body


async def received(stream: asyncio.StreamReader) -> Frame:
    """The next frame. Raises EOFError where the other side has ended."""
    text, body = _sizes(await stream.readexactly(HEAD.size))
    return _unpacked(await stream.readexactly(text), await stream.readexactly(body))


def read(stream: Source) -> Frame | None:
    """The next frame; None where the other side has ended."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    text, body = _sizes(head)
    return _unpacked(stream.read(text), stream.read(body))


def write(end: socket.socket, told: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Send a frame."""
    end.sendall(b"".join(packed(told, blobs)))

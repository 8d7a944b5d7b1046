"""Uploads, from the wire to bytes in memory: counted while they arrive, taken apart by python-multipart, never on a disk.

Starlette's own form parser is not used: it writes what is larger than a megabyte to a temporary file.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from cutis.serve.api.gate import Gate
from cutis.serve.api.limits import Limits, Refused

FIELD: Final = "files"
DRAINED: Final = 2.0  # seconds for which a refused upload is still read, so that its sender gets to read the refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Upload:
    """The body of one request; its bytes count in the gate until ``release``."""

    def __init__(self, headers: "dict[bytes, bytes]", receive: Receive, gate: Gate, limits: Limits) -> None:
        self._headers, self._receive, self._gate, self._limits = headers, receive, gate, limits
        self.size, self._over = 0, False

    async def pictures(self) -> list[bytes]:
        """The parts named ``files``, in their order. Raises Refused."""
        boundary = self._boundary()
        try:
            body = await self._read()
        except Refused:
            await self._drain()
            raise
        return parts(body, boundary, self._limits.files)

    def release(self) -> None:
        """Its bytes are no longer in memory."""
        self._gate.hold(-self.size)
        self.size = 0

    def _boundary(self) -> bytes:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get(b"content-type", b""))
        if kind != b"multipart/form-data" or not 0 < len(options.get(b"boundary", b"")) <= 70:  # RFC 2046, 5.1.1
            raise Refused(415, "not-multipart", f"Send pictures as multipart/form-data, in the field {FIELD}.")
        return options[b"boundary"]

    async def _read(self) -> bytes:
        most = self._limits.body
        if int(self._headers.get(b"content-length", b"0")) > most:
            raise self._too_large()
        chunks = []
        while not self._over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "gone", "The client went away.")
            chunk, self._over = message.get("body", b""), not message.get("more_body")
            self._gate.hold(len(chunk))
            self.size += len(chunk)
            if self.size > most:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    async def _drain(self) -> None:
        """Read a refused upload to its end and forget it, for a moment; a client that waits for leave to send need not be read."""
        if b"expect" in self._headers:
            return
        try:
            async with asyncio.timeout(DRAINED):
                while not self._over:
                    message = await self._receive()
                    self._over = not message.get("more_body")
        except TimeoutError:
            pass

    def _too_large(self) -> Refused:
        return Refused(413, "too-large", f"A request may have {self._limits.body:,} bytes. Send fewer or smaller pictures.")


@contextmanager
def _sense() -> Iterator[None]:
    """What the parser raises, as a refusal."""
    from python_multipart.exceptions import FormParserError

    try:
        yield
    except FormParserError:
        raise Refused(400, "bad-form", "The form is damaged: it does not follow multipart/form-data.") from None


def parts(body: bytes, boundary: bytes, most: int) -> list[bytes]:
    """The contents of the parts, which are all named ``files``; names of files are not looked at. Raises Refused at the first fault."""
    from python_multipart.multipart import MultipartParser, parse_options_header

    found: list[list[bytes]] = []
    header: dict[str, bytes] = {"field": b"", "value": b"", "disposition": b""}
    ended = False

    def begin() -> None:
        if len(found) == most:
            raise Refused(413, "too-many-pictures", f"A request may have {most} pictures. Send them in several requests.")
        found.append([])
        header["disposition"] = b""

    def field(data: bytes, start: int, end: int) -> None:
        header["field"] += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        header["value"] += data[start:end]

    def header_end() -> None:
        if header["field"].lower() == b"content-disposition":
            header["disposition"] = header["value"]
        header["field"] = header["value"] = b""

    def headers_finished() -> None:
        kind, options = parse_options_header(header["disposition"])
        if kind != b"form-data" or options.get(b"name") != FIELD.encode():
            raise Refused(422, "unknown-field", f"The form has a field that is not known. Send pictures in the field {FIELD}.")

    def content(data: bytes, start: int, end: int) -> None:
        found[-1].append(data[start:end])

    def over() -> None:
        nonlocal ended
        ended = True

    with _sense():
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": field,
                "on_header_value": value,
                "on_header_end": header_end,
                "on_headers_finished": headers_finished,
                "on_part_data": content,
                "on_end": over,
            },
        )
        parser.write(body)
    if not ended:
        raise Refused(400, "bad-form", "The form ends too early.")
    if not found:
        raise Refused(422, "no-pictures", f"There is no picture. Send one or several in the field {FIELD}.")
    return [b"".join(pieces) for pieces in found]

"""What one request, and all of them together, may cost the server; and how a request is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024**2


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before anything is decoded.

    ``body``: bytes of one request; ``files``: pictures in one; ``pixels``: of one picture, by its header; ``maps``: heat maps in one
    (pictures x classes); ``queue``: pictures that wait or are being answered, of all requests; ``held``: bytes of uploads in memory, of
    all requests; ``connections``: open at once; ``timeout``: seconds from a request's first line to its answer, the upload included, and
    as many again for the client to take it; ``header``: seconds for that first part; ``header_bytes``: its size.
    """

    body: int = 64 * MIB
    files: int = 32
    pixels: int = 60_000_000
    maps: int = 32
    queue: int = 128
    held: int = 512 * MIB
    connections: int = 1000
    timeout: float = 30.0
    header: float = 10.0
    header_bytes: int = 16 * 1024


class Refused(Exception):  # noqa: N818  (what happened to the request)
    """A request that is not answered: HTTP ``status``, a ``code`` for machines, a ``message`` for people that quotes nothing of theirs."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    @property
    def problem(self) -> dict[str, str]:
        """As answers carry it."""
        return {"code": self.code, "message": self.message}

"""The door that the API and the page share: by which names a server may be called, and that pages of other sites may not call it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

LOCAL: Final = ("localhost", "127.0.0.1", "::1")
ANY: Final = "*"
HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/@\[\]]+))(?::\d{1,5})?", re.IGNORECASE)
"""A Host header: an IPv6 address in brackets or a name, and perhaps a port (RFC 9110, 7.2)."""


class Shut(NamedTuple):
    """Why a request is not let in: HTTP ``status``, a ``code`` for machines, a ``message`` for people."""

    status: int
    code: str
    message: str


UNKNOWN: Final = Shut(421, "unknown-host", "This server does not go by that name. Start it with --allow-host NAME.")
FOREIGN: Final = Shut(403, "foreign-page", "Pages of other sites may not ask this server.")


class Door:
    """Lets in who calls the server by one of its names, and no page but its own.

    ``names``: host names or addresses besides those of this machine itself; ``*``: any.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {name.lower().strip("[]") for name in (*LOCAL, *names)}

    def shut(self, scope: Mapping[str, Any]) -> Shut | None:
        """Why an ASGI request or websocket is not let in; None: it is.

        A name that is not ours is how DNS rebinding looks. Another site's page tells itself by ``Origin`` or ``Sec-Fetch-Site``; the one
        thing it may do is to lead here by a link, of whose answer it sees nothing.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        called = HOST.fullmatch(host)
        if called is None or (ANY not in self._names and (called[1] or called[2]).lower() not in self._names):
            return UNKNOWN
        if headers.get(b"origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            return FOREIGN
        led = scope.get("method") in ("GET", "HEAD") and headers.get(b"sec-fetch-mode") == "navigate"
        return None if led or headers.get(b"sec-fetch-site", "none") in ("none", "same-origin") else FOREIGN

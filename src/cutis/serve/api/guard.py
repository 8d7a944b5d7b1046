"""The server's door: who may ask, from where, for how long; what every answer carries; and one line in the log for each."""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cutis.report.words import NOTICE
from cutis.serve.api.limits import Limits, Refused
from cutis.serve.api.logs import Log
from cutis.serve.api.metrics import Metrics
from cutis.serve.api.replies import failure
from cutis.serve.api.uploads import Message, Receive
from cutis.serve.door import Door
from cutis.serve.faults import fault

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN: Final = ("/health", "/ready")  # what a container asks, which has no token
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"x-cutis-notice", NOTICE.encode()),
)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass
class Exchange:
    """One request and what is known of it, for the log; the app adds to it (``scope["cutis"]``)."""

    id: str
    began: float
    stage: str = "upload"
    status: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    fault: dict[str, Any] | None = None


class Guard:
    """An ASGI app around another.

    ``token``: what ``Authorization: Bearer`` must bring, except to ``OPEN``.
    """

    def __init__(self, app: App, *, limits: Limits, door: Door, token: str | None, metrics: Metrics, log: Log) -> None:
        self._app, self._limits, self._metrics, self._log = app, limits, metrics, log
        self._door, self._token = door, token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = scope["cutis"] = Exchange(secrets.token_hex(8), time.perf_counter())

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS, (b"x-request-id", exchange.id.encode())]
            await send(message)

        try:
            async with asyncio.timeout(self._limits.timeout):
                self._admit(scope)
                await self._app(scope, receive, sending)
        except Exception as error:
            await self._fail(error, exchange, sending)
        finally:
            self._note(scope, exchange)
        return None

    def _admit(self, scope: Scope) -> None:
        """Raises Refused for a name that is not ours, another site's page, or a missing token."""
        if shut := self._door.shut(scope):
            raise Refused(*shut)
        if self._token is not None and scope["path"] not in OPEN:
            scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Refused(401, "no-token", "Send the token: Authorization: Bearer TOKEN.", {"www-authenticate": "Bearer"})

    async def _fail(self, error: Exception, exchange: Exchange, send: Send) -> None:
        """Say what can be said. What the app did not foresee is named by the request's id only, here and in the log."""
        if isinstance(error, TimeoutError):
            upload = exchange.stage == "upload"
            error = Refused(*((408, "slow-upload", "The upload took too long.") if upload else (503, "slow", "The answer took too long.")))
        if not isinstance(error, Refused):
            exchange.fault = exchange.fault or fault(error)
            error = Refused(500, "fault", "A fault in the server. Its log has more under the request's id.")
        if exchange.status:
            return  # half an answer went out: the connection is closed
        exchange.told["refused"] = error.code
        body = json.dumps(failure(error.code, error.message, exchange.id)).encode()
        headers = [(k.encode(), v.encode()) for k, v in error.headers.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _note(self, scope: Scope, exchange: Exchange) -> None:
        """Count and log, by the route as it is written in the code: what was asked for may hold anything."""
        seconds = time.perf_counter() - exchange.began
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, exchange.status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        method = scope["method"] if scope["method"] in METHODS else "other"
        told = {"id": exchange.id, "method": method, "route": route, "status": exchange.status, "ms": round(1000 * seconds, 1)}
        self._log("request", **told, **exchange.told, **({"fault": exchange.fault} if exchange.fault else {}))

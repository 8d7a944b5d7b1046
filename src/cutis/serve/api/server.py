"""The server: a socket, uvicorn with deadlines of its own, the worker behind it, signals."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from cutis.errors import CutisError
from cutis.serve.api import logs, routes
from cutis.serve.api.gate import Gate
from cutis.serve.api.guard import Guard
from cutis.serve.api.limits import Limits
from cutis.serve.api.logs import Log
from cutis.serve.api.metrics import Metrics
from cutis.serve.api.patience import patient
from cutis.serve.api.process import Order
from cutis.serve.api.supervisor import Supervisor
from cutis.serve.door import ANY, LOCAL, Door


class Stopped(BaseException):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Settings:
    """How a bundle is served. ``hosts``: names besides those of this machine itself; ``token``: none is needed at 127.0.0.1."""

    order: Order
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


def serve(settings: Settings, *, announce: Callable[[str, dict[str, Any]], None] = lambda url, about: None, log: Log | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, after which requests in hand are still answered. SIGHUP: look at the bundle now.

    ``announce``: called with the address and what is known of the model when it answers. Raises CutisError.
    """
    _check(settings)
    log = log or logs.to()
    logs.adopt(log, "uvicorn.error", "uvicorn.access", "asyncio", "fastapi", "python_multipart")
    with _stopping(), _bound(settings) as listener:
        asyncio.run(_serve(settings, listener, announce, log))


async def _serve(settings: Settings, listener: socket.socket, announce: Callable[[str, dict[str, Any]], None], log: Log) -> None:
    import uvicorn

    limits = settings.limits
    gate = Gate(limits)
    metrics = Metrics(lambda: gate.pictures, lambda: gate.bytes)
    supervisor = Supervisor(settings.order, log, metrics)
    inner, door = routes.create(supervisor, gate, metrics, limits), Door(settings.hosts)
    app = Guard(inner, limits=limits, door=door, token=settings.token, metrics=metrics, log=log)
    config = uvicorn.Config(
        app,
        http=patient(limits.header, limits.timeout),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=round(limits.timeout),
        h11_max_incomplete_event_size=limits.header_bytes,
    )
    try:
        await supervisor.start()
        hang_up = getattr(signal, "SIGHUP", None)
        if hang_up:
            asyncio.get_running_loop().add_signal_handler(hang_up, supervisor.look_now)
        announce(_address(listener), supervisor.about)
        await uvicorn.Server(config).serve([listener])
        log("stopped")
    finally:
        await supervisor.stop()


def _check(settings: Settings) -> None:
    """Raises CutisError where the server would be open to others without a token."""
    if settings.host not in LOCAL and not settings.token:
        raise CutisError(
            f"Whoever reaches {settings.host} could use the model. Listening elsewhere than on this machine needs a token: put one into a "
            "file and add --token-file FILE, or set CUTIS_TOKEN."
        )
    if ANY in settings.hosts and not settings.token:
        raise CutisError("--allow-host '*' lets any page in a browser ask this server. It needs a token: --token-file FILE or CUTIS_TOKEN.")


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise CutisError(f"Cannot listen at {settings.host}:{settings.port}: {error.strerror}. Choose another --port or --host.") from None
    with listener:
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the program with code 0: while the model is loaded, and when uvicorn, which raises them again, has stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.suppress(Stopped):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How the page is started: models first, then Streamlit in this process, behind a list of allowed hosts and a content security policy."""

import base64
import hashlib
import ipaddress
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cutis.errors import CutisError
from cutis.serve.door import ANY, Door
from cutis.serve.predictor import Predictor

MEGABYTES: Final = 50
"""Of one uploaded file, at most."""
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
LIGHT: Final = {"primaryColor": "#0f6076", "backgroundColor": "#f5f7f8", "secondaryBackgroundColor": "#ffffff", "textColor": "#1b2430"}
DARK: Final = {"primaryColor": "#7cc7da", "backgroundColor": "#12171d", "secondaryBackgroundColor": "#1a2129", "textColor": "#e6eaee"}
LINES: Final = {"light": "#d5dbe1", "dark": "#37424d"}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_models: list[Predictor] = []


def models() -> Sequence[Predictor]:
    """The models of this process, in the order they were named."""
    return _models


def ready(host: str, port: int, allow: Sequence[str] = ()) -> None:
    """Raise CutisError where the page could not be served: Streamlit is absent, the port is taken, or others could reach it by any name."""
    if find_spec("streamlit") is None:
        raise CutisError("The page needs Streamlit. Install it with: pip install 'cutis[app]'")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not allow:
        raise CutisError(
            f"--host {host} lets other machines open the page, which has no password. Name by what address they may: --allow-host NAME. "
            "Put a proxy that asks who they are before it."
        )
    if ANY in allow:
        raise CutisError("--allow-host '*' lets any page in a browser ask this one, which has no password. Name the hosts one by one.")
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise CutisError(f"The page cannot listen on {host}, port {port}: {error.strerror}. Give another one: --port {port + 1}") from None


def serve(predictors: Sequence[Predictor], *, host: str, port: int, allow: Sequence[str] = (), announce: Callable[[str], None]) -> None:
    """Serve the page until the process is told to stop; ``announce`` gets its address once it can be opened.

    ``allow``: names by which the page may be asked for, beside ``host`` and this machine's own (localhost). Raises as ``ready`` does.
    """
    ready(host, port, allow)
    _models[:] = predictors
    os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"  # before Streamlit is imported and reads a user's own settings
    from starlette.middleware import Middleware
    from streamlit.web.server.starlette.starlette_app import App

    @asynccontextmanager
    async def announced(_: App) -> AsyncIterator[None]:
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        yield

    guard = Middleware(Guard, door=Door((host, *allow)), policy=policy())
    page = App(Path(__file__).with_name("page.py"), middleware=[guard], lifespan=announced, on_script_error=_told)
    page.run(config=settings(host, port))


def settings(host: str, port: int) -> dict[str, Any]:
    """Streamlit's options: nothing is phoned home, watched, or shown of an error but that there was one; colours of the reports."""
    themes = {"light": LIGHT, "dark": DARK}
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.maxUploadSize": MEGABYTES,
        "server.fileWatcherType": "none",
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.disableDataExport": True,  # the page has its own download, whose names no spreadsheet runs
        "client.showErrorLinks": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
        "logger.enableRich": False,
        "theme.font": FONT,
        "theme.headingFont": FONT,
        **{f"theme.{kind}.{name}": colour for kind, theme in themes.items() for name, colour in theme.items()},
        **{f"theme.{kind}.borderColor": colour for kind, colour in LINES.items()},
    }


def policy() -> str:
    """The content security policy: scripts are Streamlit's own files and the one that its page holds, named by its hash; nothing leaves.

    Styles may stand in the page, because Streamlit writes them there.
    """
    page = files("streamlit").joinpath("static", "index.html").read_text("utf-8")
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline]
    rules = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", *hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@dataclass
class Guard:
    """ASGI middleware: only who may come through the door is answered, and every answer carries the policy."""

    app: Application
    door: Door
    policy: str

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request or connection."""
        shut = self.door.shut(scope) if scope["type"] in ("http", "websocket") else None
        if shut is None:
            return await self.app(scope, receive, self.sealing(send) if scope["type"] == "http" else send)
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 1008})
        head = {"type": "http.response.start", "status": shut.status, "headers": [(b"content-type", b"text/plain; charset=utf-8")]}
        await self.sealing(send)(head)
        return await send({"type": "http.response.body", "body": f"{shut.message}\n".encode()})

    def sealing(self, send: Send) -> Send:
        """``send`` that adds the policy to the head of an answer."""
        more = {
            b"content-security-policy": self.policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"no-referrer",
            b"cross-origin-opener-policy": b"same-origin",
            b"cache-control": b"no-store",
        }

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                named = {name.lower() for name, _ in given}
                message = {**message, "headers": [*given, *((k, v) for k, v in more.items() if k not in named)]}
            await send(message)

        return sent


def _told(error: Exception) -> bool:
    """A mistake of ours: the visitor is told that there was one, and by which id the log knows it."""
    from cutis.serve.app import screen

    screen.fault(error)
    return True

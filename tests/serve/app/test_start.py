"""Who may open the page, what it may load, and what is refused before a model is opened."""

import asyncio
import base64
import hashlib
import re
import socket
from importlib.resources import files

import httpx
import pytest

from cutis.cli.page import windows
from cutis.errors import CutisError
from cutis.serve.app import start
from cutis.serve.door import Door

DOOR = Door(["ward.example"])


async def _page(scope: start.Message, receive: start.Receive, send: start.Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(headers: dict[str, str]) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(start.Guard(_page, DOOR, start.policy()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8501") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(asked())


def test_fault_s6_the_page_has_the_door() -> None:
    assert ask({"host": "ward.example:80", "origin": "http://ward.example:80"}).text == "the page"
    other = ask({"host": "evil.example"})
    assert other.status_code == 421
    assert "--allow-host" in other.text
    assert other.headers["content-security-policy"] == start.policy()
    assert ask({"host": "localhost:8501", "origin": "http://evil.example"}).status_code == 403


def test_a_websocket_from_elsewhere_is_closed() -> None:
    sent = []

    async def receive() -> start.Message:
        return {"type": "websocket.connect"}

    async def send(message: start.Message) -> None:
        sent.append(message)

    guard = start.Guard(_page, DOOR, start.policy())
    headers = [(b"host", b"localhost:8501"), (b"origin", b"http://evil.example")]
    asyncio.run(guard({"type": "websocket", "headers": headers}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_every_answer_carries_the_policy_and_it_knows_streamlits_own_script() -> None:
    policy = ask({"host": "localhost"}).headers["content-security-policy"]
    page = files("streamlit").joinpath("static", "index.html").read_text("utf-8")
    for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    scripts = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "http" not in policy
    assert "*" not in policy


@pytest.mark.parametrize(("host", "allow"), [("0.0.0.0", []), ("0.0.0.0", ["*"]), ("127.0.0.1", ["*"])])
def test_a_page_for_others_needs_a_list_of_names(host: str, allow: list[str]) -> None:
    with pytest.raises(CutisError, match="--allow-host"):
        start.ready(host, 8501, allow)


def test_a_taken_port_is_told_before_anything_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CutisError, match="--port"):
        start.ready("127.0.0.1", taken.getsockname()[1])


def test_a_missing_streamlit_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    with pytest.raises(CutisError, match=r"cutis\[app\]"):
        start.ready("127.0.0.1", 8501)


def test_nothing_is_phoned_home() -> None:
    settings = start.settings("127.0.0.1", 8501)
    assert settings["browser.gatherUsageStats"] is False
    assert settings["server.enableAgentApi"] is False
    assert settings["client.showErrorDetails"] == "none"


def test_a_browser_is_opened_only_where_there_are_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not windows()
    monkeypatch.setenv("DISPLAY", ":0")
    assert windows()

"""A real server on the tiny bundle, in a process of its own; and its app alone, with a worker that says what a test wants."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle

PATIENCE = 120  # seconds within which a server must have started, on a machine that does other things too


@dataclass
class Server:
    """A running ``cutis serve``; all that it writes lies in ``folder``."""

    process: "subprocess.Popen[str]"
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """The n-th event of that name."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = [told for told in self.said if told["event"] == event]
            if len(found) >= times:
                return found[times - 1]
            time.sleep(0.1)
        raise AssertionError(f"{event} was not said: {self.said[-5:]}")

    def post(self, *pictures: bytes, path: str = "/v1/predict", names: Sequence[str] = (), **options: Any) -> httpx.Response:
        files = [("files", (name, data)) for name, data in zip(names or ["a"] * len(pictures), pictures, strict=True)]
        return httpx.post(self.url + path, files=files, timeout=PATIENCE, **options)

    def memory(self) -> int:
        """Bytes that it and its children have in use."""
        server = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in [server, *server.children(recursive=True)])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Iterator[Callable[..., Server]]:
    """``serve(bundle, *options)``: a server, which ends with the session at the latest."""
    running: list[Server] = []

    def start(bundle: Path, *options: object, **environment: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        (folder / "tmp").mkdir()
        with (folder / "log").open("w") as log, (folder / "out").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "cutis", "serve", str(bundle), "--port", "0", *map(str, options)],
                stdout=out,
                stderr=log,
                env=os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"} | environment,
                text=True,
            )
        until = time.monotonic() + PATIENCE
        while not (told := (folder / "out").read_text()).endswith("diagnosis.\n"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        running.append(Server(process, folder, int(told.split("/v1/predict")[0].rsplit(":", 1)[1])))
        return running[-1]

    yield start
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def served(serve: Callable[..., Server], bundle: "Bundle") -> Server:
    """A server with small limits, shared by the tests that leave it as it is."""
    small = ["--queue", 24, "--max-files", 8, "--max-maps", 8, "--max-bytes", 2_000_000, "--timeout", 8, "--max-pixels", 4_000_000]
    return serve(bundle.folder, *small)


@pytest.fixture(scope="session")
def pictures(bundle: "Bundle") -> list[bytes]:
    """Pictures of many colours, each of which the bundle answers differently."""
    from cutis.serve.predictor import Predictor

    predictor, chosen, answers = Predictor.open(bundle, backend="eager", precision="fp32", maps=False), [], []
    for seed in range(300):
        data = _drawn(seed)
        answer = predictor.answers([predictor.picture(data, display=False)])[0].probabilities
        if all(np.abs(answer - other).max() > 0.01 for other in answers):
            chosen.append(data)
            answers.append(answer)
    assert len(chosen) >= 12
    return chosen


@pytest.fixture(scope="session")
def drawn() -> Callable[[int], bytes]:
    """A picture of one colour, with a second one in its middle; both follow from a number."""
    return _drawn


def _drawn(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = np.empty((24, 32, 3), np.uint8)
    pixels[:] = rng.integers(0, 256, 3)
    pixels[6:18, 8:24] = rng.integers(0, 256, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@dataclass
class App:
    """The API behind its door, without a network; ``says`` stands for the worker."""

    api: Any
    logged: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[dict[str, Any], list[bytes]]] = field(default_factory=list)
    says: Callable[..., Any] | None = None

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        import asyncio

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.api, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())


@pytest.fixture
def app() -> Callable[..., App]:
    """``app(limits=, token=, hosts=)``."""
    from cutis.serve.api import routes
    from cutis.serve.api.gate import Gate
    from cutis.serve.api.guard import Guard
    from cutis.serve.api.limits import Limits
    from cutis.serve.api.metrics import Metrics
    from cutis.serve.api.wire import Frame
    from cutis.serve.door import Door

    def make(limits: Limits = Limits(), token: str | None = None, hosts: Sequence[str] = ()) -> App:
        made = App(None)

        class Supervisor:
            ready: ClassVar = True
            about: ClassVar = {
                "model": {"name": "m", "version": "0" * 12},
                "classes": ["a", "b", "c"],
                "methods": ["gradcam"],
                "members": ["one"],
            }

            async def ask(self, told: dict[str, Any], blobs: list[bytes]) -> Frame:
                made.asked.append((told, blobs))
                if made.says:
                    return made.says(told, blobs)
                return Frame({"status": 200, "kind": "application/json", "verdicts": ["answer"] * len(blobs)}, (b"{}",))

        gate = Gate(limits)
        metrics = Metrics(lambda: gate.pictures, lambda: gate.bytes)
        inner = routes.create(Supervisor(), gate, metrics, limits)  # type: ignore[arg-type]
        log = lambda event, **told: made.logged.append({"event": event} | told)  # noqa: E731
        made.api = Guard(inner, limits=limits, door=Door(hosts), token=token, metrics=metrics, log=log)
        return made

    return make

"""The API under load: 16 clients that each send a photo and wait, MobileNetV2, against its parts in one process and plain FastAPI handlers.

``parts`` is the limit: the same photos decoded in threads and answered in full batches by the same engine, without HTTP, in one process.
The peers are what a tutorial writes: FastAPI's ``UploadFile``, Pillow, a thread for each request, and the network called for one photo at
a time; ``eager`` is PyTorch, ``backend`` the same engine as ours. Each server is a process of its own beside the clients, which are one
process of asyncio sockets and share the cores with it, as the harness counts them.
"""

import asyncio
import atexit
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

CLIENTS, SECONDS, WARM, PHOTOS, SIZE = 16, 60, 10, 128, (600, 450)
PARTS, EAGER, BACKEND = "decoding and bare backend, one process", "FastAPI, eager per request", "FastAPI, same backend per request"
NOTE = "JPEG of 600 x 450. Clients and server share two cores. Random weights."
ROW = harness.Row(
    "API under load, 16 clients",
    "image",
    (harness.Case("mobilenetv2_100", ("cutis", PARTS, EAGER, BACKEND), {PARTS: 0.75, EAGER: 3.0, BACKEND: 1.3}, 10_000, NOTE),),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """A repeat: the load for a while; the photos that were answered."""
    seconds, count, size = (2, 8, 64) if harness.quick() else (SECONDS, PHOTOS, 224)
    folder = Path(tempfile.mkdtemp())
    lengths: Iterator[float] = chain([min(WARM, seconds)], repeat(seconds))  # the first repeat only warms up
    bundle = made(case, size, folder)
    photos = jpegs(folder, count)
    if side == PARTS:
        return parts(bundle, photos, lengths)
    port = free_port()
    if side == "cutis":
        command = [sys.executable, "-m", "cutis", "serve", str(bundle), "--port", str(port), "--sample", str(folder / "photos")]
    else:
        command = [sys.executable, "-m", "benchmarks._plain_api", "eager" if side == EAGER else "backend", str(bundle), str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    atexit.register(server.kill)
    wait_for(server, port, folder / "log")
    requests = [request(port, photo) for photo in photos]

    def run() -> int:
        times = asyncio.run(load(port, requests, next(lengths)))
        cuts = statistics.quantiles(times, n=100)
        harness.remark(f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms")
        return len(times)

    return run


def made(backbone: str, size: int, folder: Path) -> Path:
    """A bundle of a network with random weights."""
    from benchmarks import _images as images
    from cutis.export import bundle as bundles
    from cutis.export.about import Draft
    from cutis.models import build
    from cutis.report.words import NOTICE

    model, spec = images.network(backbone, size)
    build.save(model, folder / "model.safetensors", spec)
    where, member = bundles.described("model", 1.0, folder / "model.safetensors")
    colours = {name: f"#{i:06x}" for i, name in enumerate(images.CLASSES)}
    draft = Draft(name="load", cutis="0", made="", classes=images.CLASSES, colours=colours, notice=NOTICE, members=(member,))
    return bundles.write(draft, {f"{where}/{bundles.MODEL}": folder / "model.safetensors"}, "", folder / "bundle")


def jpegs(folder: Path, count: int) -> list[bytes]:
    """Different photos, also as files in ``folder/photos``."""
    from benchmarks import _images as images

    images.jpegs(folder / "photos", count, *SIZE)
    return [path.read_bytes() for path in sorted((folder / "photos").iterdir())]


def parts(bundle: Path, photos: list[bytes], lengths: Iterator[float]) -> Callable[[], int]:
    """Decoding in a thread a core, ahead of full batches of the engine."""
    from cutis.serve.predictor import Predictor

    predictor = Predictor.open(bundle, sample=photos)
    harness.remark(predictor.backend)
    pool = ThreadPoolExecutor(os.cpu_count())

    def run() -> int:
        done, until = 0, time.monotonic() + next(lengths)
        ahead = decoded(0)
        while time.monotonic() < until:
            batch, ahead = [one.result() for one in ahead], decoded(done + 32)
            done += len(predictor.answers(batch))
        return done

    def decoded(start: int) -> list[Any]:
        return [pool.submit(predictor.picture, photos[(start + i) % len(photos)], display=False) for i in range(32)]

    return run


def request(port: int, photo: bytes) -> bytes:
    """A whole HTTP request with one photo."""
    edge = "photo-benchmark-edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'.encode()
    body = head + photo + f"\r\n--{edge}--\r\n".encode()
    lines = ["POST /v1/predict HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Type: multipart/form-data; boundary={edge}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def load(port: int, requests: list[bytes], seconds: float) -> list[float]:
    """Seconds that each answer took."""
    times: list[float] = []
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while (started := time.monotonic()) < until:
            writer.write(requests[turn % len(requests)])
            turn += CLIENTS + 1
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append(time.monotonic() - started)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return times


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until the server answers. Raises RuntimeError with its last words where it ends."""
    for _ in range(3000):
        if server.poll() is not None:
            raise RuntimeError(log.read_text()[-300:])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")


if __name__ == "__main__":
    harness.main(ROW, prepare)

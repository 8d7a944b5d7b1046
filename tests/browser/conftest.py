"""The page of a tiny bundle, started as a user starts it, and a real Chromium that looks at it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle
    from cutis.runs import Run

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
)
EVIL = "<img src=x onerror=alert(1)>.png"
START = 120  # seconds that a busy machine may need for a start


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium: the system's, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-browser")
    with playwright.sync_playwright() as started:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if found is None and not Path(started.chromium.executable_path).is_file():
            pytest.skip("There is no Chromium: install the system's, or run: python -m playwright install chromium")
        opened = started.chromium.launch(executable_path=found, args=FLAGS.split())
        yield opened
        opened.close()


def _served(*bundles: Path) -> Iterator[str]:
    """``cutis app`` with these bundles, by its address; what it wrote must name no picture."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cutis", "app", *map(str, bundles), "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    said, end = [], time.monotonic() + START
    for line in process.stdout:
        said.append(line)
        if "The page is open" in line or time.monotonic() > end:
            break
    found = re.search(r"http://\S+", "".join(said))
    assert found, f"the page did not start: {''.join(said)}"
    try:
        yield found[0]
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM, rest  # stopped as it was told, after it had closed what was open
        assert "onerror" not in rest
        assert "ISIC" not in rest
        assert "Traceback" not in rest, rest


@pytest.fixture(scope="session")
def address(bundle: "Bundle") -> Iterator[str]:
    """Where the tiny bundle's page is."""
    yield from _served(bundle.folder)


@pytest.fixture(scope="session")
def two(bundle: "Bundle") -> Iterator[str]:
    """Where two bundles stand beside each other."""
    yield from _served(bundle.folder, bundle.folder)


@pytest.fixture(scope="session")
def together(bundle_run: "Run", tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an ensemble is: the tiny run, and ``leaning``, which looks at other features and always answers the first class."""
    import torch

    from cutis.ensemble import make
    from cutis.jobs import exporting
    from cutis.models import build
    from cutis.runs import Run

    folder = tmp_path_factory.mktemp("together")
    model, spec = build.load(bundle_run.model_file)
    leaning = Run(folder / "leaning")
    leaning.folder.mkdir()
    for file in ("recipe.json", "provenance.json", "split.csv", "metrics.json", "predictions"):
        (leaning.folder / file).symlink_to(bundle_run.folder / file)
    last: Any = model.head[-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.flip(1))
        last.bias[0] += 1000
    build.save(model, leaning.model_file, spec)
    made = make.make(make.recipe([bundle_run.folder, leaning.folder], folder / "both"), folder / "both")
    yield from _served(exporting.export(made, folder / "bundle", exporting.Wish(scope=False)))


class Visitor:
    """A person before the page: ``page`` is Playwright's; what the console or the page complained of is in ``complaints``."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.complaints = page, list[str]()
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda r: (
                self.complaints.append(f"asks {r.url}")
                if not r.url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
                else None
            ),
        )
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector(".notice")

    def drop(self, *pictures: Path) -> None:
        """Drop pictures and wait for what is said of them."""
        self.page.set_input_files("input[type=file]", [str(picture) for picture in pictures])
        self.page.wait_for_selector(".verdict-card, .failure, [data-testid=stDataFrame]")
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run and half a second has brought no other run."""
        quiet = 0
        while quiet < 5:
            state = self.page.locator("[data-testid=stApp]").get_attribute("data-test-script-state")
            quiet = 0 if state == "running" else quiet + 1
            self.page.wait_for_timeout(100)

    def until(self, holds: str) -> None:
        """Wait until a JavaScript function gives true; Playwright's own way needs ``eval``, which the page's policy forbids."""
        for _ in range(600):
            if self.page.evaluate(holds):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never: {holds}")

    def choose(self, label: str, option: str) -> None:
        """Choose in a list."""
        field = self.page.get_by_role("combobox", name=re.compile(label))
        wanted = self.page.get_by_role("option", name=re.compile(option)).first
        for _ in range(5):
            field.scroll_into_view_if_needed()  # a list closes when the page moves under it, as while pictures arrive
            self.page.wait_for_timeout(500)
            field.click()
            self.page.wait_for_timeout(500)
            if wanted.is_visible():
                break
        wanted.click()
        self.settle()

    def looks_at(self, name: str) -> None:
        """Wait until the picture of that name is the one that is chosen."""
        chosen = "() => [...document.querySelectorAll('.st-key-steps [role=combobox]')].some(list => list.value.endsWith(%s))"
        self.until(chosen % json.dumps(name))

    def text(self, selector: str) -> str:
        """What stands there."""
        return str(self.page.locator(selector).first.inner_text())


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """``visit(address, width=..., height=..., ...)``: somebody opens the page; nothing may be complained of until the end."""
    visitors = []

    def opened(address: str, width: int = 1280, height: int = 900, **settings: Any) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, locale=settings.pop("locale", "en-GB"), **settings)
        visitors.append(Visitor(context.new_page(), address))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.page.context.close()
        assert not visitor.complaints


@pytest.fixture(scope="session")
def drawn(bundle_run: "Run") -> list[Path]:
    """Test pictures of the run."""
    table = bundle_run.table
    names = table.loc[table["split"] == "test", "image"]
    return [Path(bundle_run.provenance["data"]["root"]) / name for name in names]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Plain blue, which is no skin."""
    Image.new("RGB", (64, 64), (0, 0, 255)).save(tmp_path / "blue.png")
    return tmp_path / "blue.png"


@pytest.fixture
def truncated(drawn: list[Path], tmp_path: Path) -> Path:
    """Half a JPEG."""
    Image.open(drawn[0]).convert("RGB").resize((256, 256)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "half.jpg"


@pytest.fixture
def evil(drawn: list[Path], tmp_path: Path) -> Path:
    """A picture whose name is markup."""
    Image.open(drawn[0]).save(tmp_path / EVIL)
    return tmp_path / EVIL

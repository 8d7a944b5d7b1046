"""The verbs export and pull, as a shell runs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cutis.export import bundle as bundles
from cutis.export.bundle import Bundle
from cutis.report.words import NOTICE
from cutis.runs import Run

Command = Callable[..., Any]


def test_export_and_pull(cutis: Command, bundle_run: Run, bundle: Bundle, tmp_path: Path) -> None:
    out, shelf = tmp_path / "tiny.zip", tmp_path / "shelf"
    options = ("--cases", "--licence", "CC0-1.0: drawn by Cutis", "--push", shelf)
    done = cutis("export", bundle_run.folder, "--out", out, *options)
    assert done.code == 0, done.err
    *_, notice, last = done.out.splitlines()
    assert (notice, last) == (NOTICE, str(out))
    assert f"Version {bundle.version}: 1 network, 4 classes" in done.out
    assert "Out of scope: beyond the limit that lets 95 % of 84 validation images pass." in done.out
    pulled = cutis("pull", shelf / "tiny", "--out", tmp_path / "pulled", "--json")
    assert pulled.code == 0, pulled.err
    assert pulled.json["version"] == bundle.version == bundles.open(tmp_path / "pulled").version


def test_a_format_that_agrees_is_told(cutis: Command, bundle_run: Run, tmp_path: Path) -> None:
    done = cutis("export", bundle_run.folder, "--out", tmp_path / "b", "--openvino", "--no-scope", "--images", 30)
    assert done.code == 0, done.err
    assert "model as openvino: same class for 100 % of 30 images" in done.out
    assert "Out of scope: never said" in done.out


def test_what_is_no_run_or_no_bundle(cutis: Command, bundle_run: Run, tmp_path: Path) -> None:
    assert cutis("export", tmp_path, "--out", tmp_path / "b").code == 6
    assert cutis("export", bundle_run.folder, "--out", tmp_path / "b", "--cases").code == 2
    assert cutis("pull", bundle_run.folder, "--out", tmp_path / "b").code == 6
    assert not (tmp_path / "b").exists()

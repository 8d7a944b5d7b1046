"""doctor: quick without a backbone, shows what was measured; with one it measures every backend and remembers it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutis.models import backends
from cutis.models.backends import trial

RATES = {
    "eager fp32": 10.0,
    "eager bf16": 20.0,
    "onnxruntime fp32": 30.0,
    "openvino fp32": 40.0,
    "openvino bf16": 50.0,
    "openvino int8": 60.0,
}


@pytest.fixture(autouse=True)
def known_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path))
    monkeypatch.setenv("CUTIS_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(trial.Trial, "timed", lambda self, engines: [RATES.get(f"{e.backend} {e.precision}", 1.0) for e in engines])


def test_a_backbone_is_measured_and_then_remembered(cutis: Callable[..., Any]) -> None:
    assert cutis("doctor", "--json").json["measured"] == ["nothing yet: cutis doctor --backbone mobilenetv2_100"]
    measure = ("doctor", "--backbone", "plain_cnn", "--size", 32, "--weights", "none", "--int8")
    found = cutis(*measure, "--json").json
    assert {f"{r['backend']} {r['precision']}": r["rate"] for r in found["answers"] if r["rate"]} == RATES | {"onnxruntime int8": 1.0}
    assert found["chosen"].startswith("openvino bf16 for 1,000 images")  # int8 is never taken unasked
    assert any("does not compute in bf16 on a CPU" in note for note in found["note"])
    assert any("random weights" in note for note in found["note"])
    assert not any("agreement" in row for row in found["answers"])
    assert "training" in {row["backend"] for row in found["training"]}
    (line,) = cutis("doctor", "--json").json["measured"]
    assert line.startswith("plain_cnn-")
    assert "openvino int8 60, openvino bf16 50" in line
    assert "openvino           bf16      50.0 images/s" in cutis(*measure).out


def test_with_trained_weights_agreement_is_shown_and_decides(cutis: Callable[..., Any], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from cutis.models.backbones import create

    save_file(create("plain_cnn", {}).state_dict(), tmp_path / "plain_cnn.safetensors")
    found = cutis("doctor", "--backbone", "plain_cnn", "--size", 32, "--json").json
    assert "weights pretrained" in found["network"]
    rows = {f"{r['backend']} {r['precision']}": r for r in found["answers"]}
    assert rows["openvino fp32"]["agrees"]
    assert rows["openvino fp32"]["difference"] < 0.001
    best = max((name for name, row in rows.items() if row["agrees"]), key=lambda name: rows[name]["rate"])
    assert found["chosen"].startswith(best)
    assert "largest difference" in cutis("doctor", "--backbone", "plain_cnn", "--size", 32).out
    assert backends.rates()


def test_a_backbone_that_is_not_known_is_refused(cutis: Callable[..., Any]) -> None:
    answer = cutis("doctor", "--backbone", "mobilenetv2_1000")
    assert answer.code == 2
    assert "mobilenetv2_100" in answer.err

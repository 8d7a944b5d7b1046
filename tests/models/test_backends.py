"""Prediction backends: each agrees with eager fp32, conversions are kept, and the fastest that agrees is chosen and remembered."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis import measured
from cutis.errors import CutisError
from cutis.models import backends, build, example
from cutis.models.backends import Choice, Job, choice, eager, kept, openvino, trial
from cutis.recipe import Images, Model, Predict, Recipe

CPU = torch.device("cpu")
SIDE = 64
SPEC = Recipe(images=Images(size=SIDE), predict=Predict(batch_size=16))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def trained() -> tuple[build.Classifier, Tensor]:
    """A small network that answers drawn pictures, and 48 others."""
    torch.manual_seed(0)
    return example.fitted("plain_cnn", SIDE, held_out=48)


def run(
    model: build.Classifier,
    pictures: Tensor,
    backend: str = "eager",
    precision: str = "fp32",
    part: str = "logits",
    calibration: Tensor | None = None,
) -> NDArray[np.float32]:
    size = tuple(pictures.shape[1:3] if pictures.dtype == torch.uint8 else pictures.shape[2:])
    made = backends.engine(
        model, part, size, backend=backend, precision=precision, dtype=pictures.dtype, device=CPU, calibration=calibration
    )
    assert (made.backend, made.precision) == (backend, precision)
    return np.concatenate(list(made.stream(pictures.split(16))))


def as_float(pictures: Tensor) -> Tensor:
    return pictures.permute(0, 3, 1, 2).float() / 255


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("part", ["maps", "features", "logits"])
def test_a_passage_is_that_part_of_the_network(trained: tuple[build.Classifier, Tensor], part: str, dtype: torch.dtype) -> None:
    model, pictures = trained
    images = as_float(pictures[:4])
    with torch.inference_mode():
        maps = model.backbone.forward_features((images - model.mean) / model.std)
        features = maps.mean((2, 3))
        expected = {"maps": maps, "features": features, "logits": model.head(features)}[part]
    answers = run(model, pictures[:4] if dtype == torch.uint8 else images, part=part)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("backend", "precision", "largest", "same"),
    [
        ("eager", "bf16", 0.02, 0.97),
        ("openvino", "fp32", 1e-4, 1.0),
        ("openvino", "bf16", 0.02, 0.97),
        ("openvino", "int8", 0.25, 0.8),
        ("onnxruntime", "fp32", 1e-4, 1.0),
        ("onnxruntime", "int8", 0.25, 0.8),
    ],
)
def test_every_backend_agrees_with_eager_fp32(
    trained: tuple[build.Classifier, Tensor], backend: str, precision: str, largest: float, same: float
) -> None:
    model, pictures = trained
    held_out = pictures[24:]
    exact = softmax(run(model, held_out))
    rough = softmax(run(model, held_out, backend, precision, calibration=pictures[:24]))
    assert exact.max(1).mean() > 0.4  # it does answer
    assert np.abs(exact - rough).max() < largest
    assert (exact.argmax(1) == rough.argmax(1)).mean() >= same
    if precision != "fp32":
        assert not np.array_equal(exact, rough)


@pytest.mark.parametrize(
    ("name", "head", "size", "options", "part"),
    [
        ("vit_tiny_patch16_224", ("pool",), 64, {"depth": 2, "embed_dim": 32, "num_heads": 2}, "logits"),
        ("swin_tiny_patch4_window7_224", ("avgpool",), 224, {"depths": [1, 1, 1, 1], "embed_dim": 16, "num_heads": [1, 2, 4, 8]}, "maps"),
        ("convnext_tiny", ("avgpool", "dense:4"), 64, {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}, "features"),
        ("resnet10t", ("flatten", "batchnorm", "dropout:0.5"), 32, {}, "logits"),
    ],
)
def test_openvino_converts_transformers_and_other_families(
    name: str, head: tuple[str, ...], size: int, options: dict[str, Any], part: str
) -> None:
    torch.manual_seed(0)
    spec = Recipe(images=Images(size=size), model=Model(backbone=name, weights="none", head=head, options=options))
    model = build.build(spec, ("a", "b", "c"))[0]
    images = torch.rand(5, 3, size, size)
    np.testing.assert_allclose(run(model, images, "openvino", part=part), run(model, images, part=part), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_answers_come_in_the_order_and_sizes_of_the_batches(
    trained: tuple[build.Classifier, Tensor], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "PIXELS", 3 * SIDE**2)  # so that a batch is cut
    model, pictures = trained
    made = backends.engine(model, "logits", (SIDE, SIDE), backend=backend, precision="fp32", dtype=torch.uint8, device=CPU)
    sizes, again = [1, 17, 3, 3, 20, 4], [48]
    answers = list(made.stream(pictures.split(sizes)))
    assert [len(a) for a in answers] == sizes
    np.testing.assert_allclose(np.concatenate(answers), next(iter(made.stream(pictures.split(again)))), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(made(pictures[7:9]), np.concatenate(answers)[7:9], rtol=1e-4, atol=1e-4)
    assert list(made.stream([])) == []
    stopped = made.stream(pictures.split(2))
    next(stopped)
    stopped.close()  # with requests under way


def test_a_compiled_network_sees_one_batch_size() -> None:
    seen = []
    padded = eager.Padded(lambda batch: seen.append(len(batch)) or batch * 2)
    x = torch.arange(11.0).reshape(11, 1)
    assert torch.equal(torch.cat([padded(b) for b in x.split(4)]), x * 2)
    assert seen == [4, 4, 4]


def test_the_network_is_put_into_eval_mode_and_its_weights_are_left(trained: tuple[build.Classifier, Tensor]) -> None:
    model, pictures = trained
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    run(model, pictures[:3], "openvino", "bf16")
    assert not model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def converting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of conversions from now on."""
    made: list[str] = []
    real = kept.conversion

    def counted(key: str, make: Any) -> Path:
        return real(key, lambda folder: (made.append(key), make(folder))[1])

    monkeypatch.setattr(kept, "conversion", counted)
    return made


def test_a_conversion_is_kept_for_these_weights_and_shared_by_precisions(
    trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    model, pictures = trained
    made = converting(monkeypatch)
    first = run(model, pictures, "openvino")
    assert len(made) == 1
    assert np.array_equal(first, run(model, pictures, "openvino"))
    run(model, pictures, "openvino", "bf16")
    assert len(made) == 1
    run(model, pictures, "openvino", "int8", calibration=pictures[:8])
    run(model, pictures, "openvino", "int8", calibration=pictures[8:])
    assert len(made) == 2
    run(model, as_float(pictures), "openvino")
    assert len(made) == 3
    dense = model.head[-1]
    with torch.no_grad():
        dense.bias += 1
        try:
            assert np.abs(run(model, pictures, "openvino") - first - 1).max() < 1e-4
        finally:
            dense.bias -= 1
    assert len(made) == 4
    assert sorted(f.name for f in (own_cache / "engines").iterdir()) == sorted(made)  # and nothing beside them


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no sums"])
def test_a_broken_conversion_is_made_anew(
    trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch, own_cache: Path, damage: str
) -> None:
    model, pictures = trained
    first = run(model, pictures, "openvino")
    (folder,) = (own_cache / "engines").iterdir()
    data = (folder / "model.bin").read_bytes()
    if damage in ("gone", "no sums"):
        (folder / {"gone": "model.bin", "no sums": "sums.json"}[damage]).unlink()
    else:
        (folder / "model.bin").write_bytes(data[: len(data) // 2] if damage == "cut" else bytes(len(data)))
    made = converting(monkeypatch)
    np.testing.assert_allclose(run(model, pictures, "openvino"), first, rtol=1e-5, atol=1e-5)
    assert len(made) == 1


def test_of_two_processes_the_first_is_believed(own_cache: Path) -> None:
    def slow(folder: Path) -> None:
        (folder / "model").write_text("mine")
        kept.conversion("k", lambda other: (other / "model").write_text("theirs") and None)  # another one is faster

    folder = kept.conversion("k", slow)
    assert (folder / "model").read_text() == "theirs"
    assert [f.name for f in (own_cache / "engines").iterdir()] == ["k"]


def test_conversions_unused_for_longest_go_first(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    for time, key in enumerate("abc"):
        os.utime(kept.conversion(key, lambda folder: (folder / "model").write_text("x") and None), (time, time))
        if key == "b":
            os.utime(own_cache / "engines" / "a", (5, 5))
    assert sorted(f.name for f in (own_cache / "engines").iterdir()) == ["a", "c"]


def test_what_cannot_be_had_is_said(trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = trained
    for backend, precision, told in (
        ("opnvino", "fp32", "Unknown prediction backend 'opnvino'. Did you mean 'openvino'"),
        ("tvm", "fp32", "Known: compiled, eager, onnxruntime, openvino"),
        ("eager", "int8", "predict.backend=openvino"),
        ("compiled", "fp32", "for a GPU"),
        ("onnxruntime", "bf16", "does not compute in bf16 on a CPU"),
        ("openvino", "int8", "int8 needs calibration images"),
    ):
        with pytest.raises(CutisError, match=told):
            run(model, pictures, backend, precision)
    for module, backend, precision in (("nncf", "openvino", "int8"), ("onnxruntime", "onnxruntime", "fp32")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(CutisError, match=rf"needs the package {module}.*pip install 'cutis\[backends\]'"):
                run(model, pictures, backend, precision, calibration=pictures)


def test_a_network_that_cannot_be_converted_says_so(trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = trained
    monkeypatch.setattr(model, "maps", lambda images: torch.fft.fft2(torch.linalg.eigh(images @ images.mT)[1]).abs())
    with pytest.raises(CutisError, match=r"cannot be converted by OpenVINO: .* Set predict.backend=eager"):
        run(model, pictures, "openvino", part="maps")


@pytest.mark.parametrize(("first", "precision"), [("", "int8"), ("import openvino", "fp32")])
def test_nothing_is_sent_to_anybody(first: str, precision: str, tmp_path: Path) -> None:
    """In a process of its own: neither where Cutis imports OpenVINO and NNCF, nor where an application did before."""
    script = f"""
import os, socket, sys, threading, urllib.request, warnings
warnings.simplefilter("ignore")
os.environ["CI"] = "true"  # the application's own import sends nothing
{first}
del os.environ["CI"]
loaded = sys.modules.get("openvino_telemetry")
sent = []
if loaded:
    from openvino_telemetry.utils.sender import TelemetrySender
    TelemetrySender.send = lambda *a, **k: sent.append(a)
    loaded.Telemetry().consent = True
socket.socket.connect = lambda *a: sent.append(a)
import torch
from cutis.models import backends, build
from cutis.recipe import Images, Model, Recipe
spec = Recipe(images=Images(size=16), model=Model(backbone="plain_cnn", weights="none", head=("avgpool",)))
x = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
engine = backends.engine(build.build(spec, ("a", "b"))[0], "logits", (16, 16), backend="openvino", precision="{precision}",
                         dtype=torch.uint8, device=torch.device("cpu"), calibration=x)
assert engine(x).shape == (4, 2)
assert "openvino.tools.ovc" in sys.modules and ("nncf" in sys.modules) == ("{precision}" == "int8")
assert not sent, sent
if not loaded:
    assert not [m for m in sys.modules if m.startswith("openvino_telemetry.")]
    assert sys.modules["openvino.tools.ovc.convert_impl"].tm.__name__ == "openvino.tools.ovc.telemetry_stub"
"""
    own_home = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=own_home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Fake:
    """Fast, and off by so much."""

    def __init__(self, job: Job, off: float) -> None:
        self.backend, self.precision = "fake", job.precision
        self._eager, self._off = backends.backends["eager"](job), off

    def stream(self, batches: Iterable[Tensor]) -> Iterator[NDArray[np.float32]]:
        return map(self, batches)

    def __call__(self, batch: Tensor) -> NDArray[np.float32]:
        answers = self._eager(batch)
        answers[:, 0] += self._off
        return answers


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How far the backend "fake" is off in each precision; it is the fastest of all, then eager in bf16, eager in fp32, OpenVINO."""
    off = {"fp32": 0.0, "bf16": 0.0}
    list(backends.backends)
    monkeypatch.setitem(backends.backends._items, "fake", lambda job: Fake(job, off[job.precision]))
    order = ["openvino fp32", "openvino bf16", "eager fp32", "eager bf16", "fake fp32", "fake bf16"]
    monkeypatch.setattr(trial.Trial, "timed", lambda self, es: [1.0 + order.index(f"{e.backend} {e.precision}") for e in es])
    monkeypatch.setattr(choice, "resolved", lambda wanted, device: "bf16" if wanted == "auto" else wanted)
    return off


def choose(trained: tuple[build.Classifier, Tensor], part: str = "logits", work: int = 10_000, **fields: Any) -> Choice:
    model, pictures = trained
    spec = SPEC.changed(**{f"predict.{k}": v for k, v in fields.items()})
    return backends.chosen(model, part, spec, pictures, work=work, device=CPU, dtype=pictures.dtype)


@pytest.mark.parametrize("part", ["logits", "features"])
def test_the_fastest_that_agrees_is_chosen(trained: tuple[build.Classifier, Tensor], fake: dict[str, float], part: str) -> None:
    taken = choose(trained, part)
    assert taken.name == "fake bf16"
    assert taken.rates == {
        f"{b} {p}": r for r, (b, p) in enumerate(((b, p) for b in ("openvino", "eager", "fake") for p in ("fp32", "bf16")), 1)
    }
    assert taken.agreement == 1
    assert 0 < taken.difference < 0.02
    assert taken.checked == 48


@pytest.mark.parametrize("part", ["logits", "features"])
@pytest.mark.parametrize("off", [50.0, float("nan")])
def test_what_is_fast_but_wrong_is_not_chosen(
    trained: tuple[build.Classifier, Tensor], fake: dict[str, float], part: str, off: float
) -> None:
    fake["bf16"] = off
    assert choose(trained, part).name == "fake fp32"  # bf16 does not agree, so fp32
    fake["fp32"] = off
    measured.remember(None, "agreement", "fake", "fp32", f"{part} 64x64 uint8 cpu", backends.fingerprint(trained[0], part))
    assert choose(trained, part).name == "eager bf16"


def test_a_choice_is_remembered_and_not_measured_again(
    trained: tuple[build.Classifier, Tensor], fake: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose(trained)
    monkeypatch.setattr(trial, "engine", lambda *_, **__: pytest.fail("measured again"))
    assert choose(trained) == first
    monkeypatch.undo()


def test_other_weights_are_compared_anew_but_not_timed(
    trained: tuple[build.Classifier, Tensor], fake: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(trained)
    monkeypatch.setattr(trial.Trial, "timed", lambda *_: pytest.fail("timed again"))
    fake["bf16"] = 50.0
    assert choose(trained).name == "fake bf16"  # remembered for these weights
    dense = trained[0].head[-1]
    with torch.no_grad():
        dense.bias += 0.5
        try:
            assert choose(trained).name == "fake fp32"
        finally:
            dense.bias -= 0.5


def test_small_work_is_not_measured(trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "engine", lambda *_, **__: pytest.fail("made"))
    assert choose(trained, work=999) == Choice("eager", "fp32")
    assert choose(trained, work=999, precision="bf16") == Choice("eager", "bf16")
    assert choose(trained, work=999, backend="openvino") == Choice("openvino", "fp32")
    with pytest.raises(CutisError, match="Unknown prediction backend 'tvm'"):
        choose(trained, work=999, backend="tvm")


def choose_blindly(trained: tuple[build.Classifier, Tensor], part: str, **fields: Any) -> Choice:
    spec = SPEC.changed(**{f"predict.{k}": v for k, v in fields.items()})
    return backends.chosen(trained[0], part, spec, None, work=10_000, device=CPU, dtype=torch.uint8)


def test_before_the_first_picture_it_is_fp32_and_noise_is_not_taken_for_photos(
    trained: tuple[build.Classifier, Tensor], fake: dict[str, float]
) -> None:
    assert choose_blindly(trained, "features").name == "fake fp32"
    assert choose_blindly(trained, "features", precision="bf16").name == "fake bf16"
    with pytest.raises(CutisError, match="int8 learns from pictures"):
        choose_blindly(trained, "features", precision="int8")
    fake |= {"bf16": 50.0, "fp32": 50.0}
    assert choose(trained, "features").name == "eager bf16"  # the photos are compared, whatever the noise said
    assert choose_blindly(trained, "maps").name == "eager fp32"  # converted wrongly


def test_what_is_asked_for_is_taken_and_its_agreement_told(trained: tuple[build.Classifier, Tensor], fake: dict[str, float]) -> None:
    fake |= {"bf16": 50.0, "fp32": 50.0}
    taken = choose(trained, backend="fake", precision="bf16")
    assert taken.name == "fake bf16"
    assert taken.difference > 0.5
    assert choose(trained, backend="fake").name == "fake fp32"
    assert choose(trained, precision="bf16").name == "fake bf16"
    int8 = choose(trained, backend="openvino", precision="int8", work=10)
    assert int8.name == "openvino int8"
    assert 0 < int8.difference < 0.25
    assert int8.checked == 24  # the other half calibrates
    with pytest.raises(CutisError, match="eager computes in fp32 and bf16"):
        choose(trained, backend="eager", precision="int8")


def test_onnx_runtime_is_considered_once_doctor_has_timed_it(
    trained: tuple[build.Classifier, Tensor], fake: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pictures = trained
    assert not any("onnx" in name for name in choose(trained).rates)
    monkeypatch.setattr(trial.Trial, "timed", lambda self, es: [100.0 for _ in es])
    rows = backends.measure(model, "logits", (SIDE, SIDE), pictures, device=CPU, dtype=torch.uint8, batch_size=16, names=["onnxruntime"])
    assert [(row.precision, row.rate, row.agrees) for row in rows] == [("fp32", 100.0, True), ("bf16", None, False)]
    assert "does not compute in bf16" in rows[1].why
    assert choose(trained).name == "onnxruntime fp32"
    (name,) = backends.rates()
    assert name.startswith("plain_cnn-")
    assert name.endswith("logits 64x64 uint8 cpu batch 16")


def test_differences_by_hand() -> None:
    exact = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], np.float32)
    rough = np.array([[0.0, np.log(3)], [2.0, 1.0], [0.0, 2.0]], np.float32)
    difference, same = trial.compared(exact, rough)
    assert difference == pytest.approx(0.25)
    assert same == pytest.approx(2 / 3)
    far, within = trial.distance(np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[3.0, 4.5], [0.0, 1.0]]), 0.05)
    assert far == pytest.approx(0.05)
    assert within == 0.5


def test_rates_are_of_all_images_and_take_turns(trained: tuple[build.Classifier, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = trained
    clock = [0.0]
    order: list[str] = []

    class Clocked:
        def __init__(self, name: str, rate: float) -> None:
            self.backend, self.precision, self.rate = name, "fp32", rate

        def stream(self, batches: Iterable[Tensor]) -> Iterator[NDArray[np.float32]]:
            order.append(self.backend)
            return map(self, batches)

        def __call__(self, batch: Tensor) -> NDArray[np.float32]:
            clock[0] += len(batch) / self.rate
            return np.zeros((len(batch), 3), np.float32)

    monkeypatch.setattr(trial.time, "perf_counter", lambda: clock[0])
    turns = trial.Trial(model, "logits", (SIDE, SIDE), pictures, 16, CPU, torch.uint8)
    assert turns.timed([Clocked("a", 20.0), Clocked("b", 1234.5)]) == [20.0, 1230.0]
    assert order == ["a", "b"] * 3


def test_a_signal_is_survived_after_an_engine_was_thrown_away_in_a_thread() -> None:
    script = """
import gc, signal, threading, torch
from cutis.models import backends, build
from cutis.recipe import Images, Model, Recipe
spec = Recipe(images=Images(size=16), model=Model(backbone="plain_cnn", weights="none", head=("avgpool",)))
network = build.build(spec, ("a", "b"))[0]
held = [backends.engine(network, "logits", (16, 16), backend="openvino", precision="fp32", dtype=torch.uint8, device=torch.device("cpu"))]
def leave():
    held.clear()
    gc.collect()
thread = threading.Thread(target=leave)
thread.start()
thread.join()
signal.signal(signal.SIGTERM, lambda *_: print("survived"))
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr

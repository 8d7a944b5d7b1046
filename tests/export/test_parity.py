"""Networks in other formats: what is written answers as the original on real pictures, or is not written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from cutis.data import images
from cutis.errors import ArtifactError
from cutis.export import bundle as bundles
from cutis.export import parity
from cutis.jobs import exporting
from cutis.models import backends, build
from cutis.runs import Run


@pytest.fixture(scope="module")
def pictures(bundle_run: Run) -> np.ndarray:
    """The run's test pictures as they are stored, uint8 N x 16 x 16 x 3."""
    root, table = Path(bundle_run.provenance["data"]["root"]), bundle_run.table
    names = table.loc[table["split"] == "test", "image"]
    return np.stack([images.fitted(images.decode(root / name, at_least=(16, 16)).pixels, (16, 16), "crop") for name in names])


def eager(run: Run, pictures: np.ndarray) -> np.ndarray:
    model, _ = build.load(run.model_file)
    with torch.inference_mode():
        return model(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).softmax(1).numpy()


def test_onnx_answers_as_the_original_in_another_programme(bundle_run: Run, pictures: np.ndarray, tmp_path: Path) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    opened = bundles.open(exporting.export(bundle_run, tmp_path / "b", exporting.Wish(kinds=["onnx"], scope=False, images=20)))
    told, file = opened.about.members[0].parity["onnx"], opened.folder / "members/model/model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    answers = softmax(session.run(None, {session.get_inputs()[0].name: pictures})[0], axis=1)
    np.testing.assert_allclose(answers, eager(bundle_run, pictures), atol=1e-5)
    assert (told.images, told.from_set, told.same_class) == (20, "test", 1.0)
    assert told.largest_difference < 1e-5
    assert told.bytes == file.stat().st_size
    assert told.opset == onnx.load(file).opset_import[0].version
    assert set(told.latency_ms) == {"1", "32"}
    assert min(told.latency_ms.values()) > 0
    assert told.takes.startswith("uint8 N x 16 x 16 x 3")
    card = (opened.folder / "card.md").read_text()
    assert f"opset {told.opset}" in card
    assert "20 of test" in card


def test_openvino_answers_as_the_original(bundle_run: Run, pictures: np.ndarray, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    opened = bundles.open(exporting.export(bundle_run, tmp_path / "b.zip", exporting.Wish(kinds=["openvino"], scope=False)))
    told, folder = opened.about.members[0].parity["openvino"], opened.folder / "members/model/openvino"
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(softmax(compiled(pictures)[0], axis=1), eager(bundle_run, pictures), atol=1e-5)
    assert (told.images, told.opset) == (len(pictures), None)
    assert told.bytes == sum((folder / name).stat().st_size for name in ("model.xml", "model.bin"))


@pytest.mark.parametrize(("share", "shift", "refused"), [(0.0, 1.0, True), (0.02, 50.0, True), (0.01, 0.01, False)])
def test_a_network_that_answers_otherwise_is_not_written(
    bundle_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float, shift: float, refused: bool
) -> None:
    """All logits of one class moved a little, one image in fifty moved far, or one in a hundred hardly."""
    real = backends.engine

    class Wrong:
        def __init__(self, engine: backends.Converted) -> None:
            self.engine, self.folder = engine, engine.folder

        def __call__(self, batch: torch.Tensor) -> np.ndarray:
            return next(self.stream([batch]))

        def stream(self, batches: object) -> object:
            for out in self.engine.stream(batches):  # type: ignore[arg-type]
                moved = np.arange(len(out)) < max(1, round(share * 84)) if share else np.ones(len(out), bool)
                yield out + np.where(moved, shift, 0)[:, None] * np.eye(out.shape[1])[0]

    def engine(*args: object, backend: str, **kwargs: object) -> object:
        made = real(*args, backend=backend, **kwargs)  # type: ignore[arg-type]
        return Wrong(made) if backend == "openvino" else made  # type: ignore[arg-type]

    monkeypatch.setattr(backends, "engine", engine)
    wish = exporting.Wish(kinds=["openvino"], scope=False)
    if not refused:
        told = bundles.open(exporting.export(bundle_run, tmp_path / "b", wish)).about.members[0].parity["openvino"]
        assert 0 < told.largest_difference < parity.PROBABILITY
        return
    with pytest.raises(ArtifactError, match=r"does not answer as the original: on 84 images of the set test .* It is not written"):
        exporting.export(bundle_run, tmp_path / "b", wish)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenetv2_100.ra_in1k", "resnet50.a1_in1k"])
def test_study_backbones_convert_and_agree_on_real_images(backbone: str, data_root: Path, weights_root: Path, tmp_path: Path) -> None:
    from cutis.data import readers
    from cutis.jobs import pipeline
    from cutis.models import weights
    from cutis.recipe import Images, Model, Recipe, Stage

    if weights.find(backbone) is None:
        pytest.skip(f"{weights_root} has no weights of {backbone}")
    table = readers.read(data_root / "isic2018" / "HAM10000_metadata.csv")
    table = table.groupby("label", group_keys=False).head(40).reset_index(drop=True)
    spec = Recipe(images=Images(size=224), model=Model(backbone=backbone), stages=(Stage(epochs=3, train="head", lr=1e-3),))
    run = pipeline.train(table, spec, tmp_path / "run")
    opened = bundles.open(exporting.export(run, tmp_path / "bundle", exporting.Wish(kinds=["onnx", "openvino"])))
    for told in opened.about.members[0].parity.values():
        assert told.same_class >= 0.98
        assert told.largest_difference < 1e-3

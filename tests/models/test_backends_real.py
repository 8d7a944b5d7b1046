"""What is chosen answers real skin photos as eager fp32 does; how far each backend is off is stated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cutis.data import cache as caches
from cutis.data import readers
from cutis.models import backends, build
from cutis.recipe import Images, Model, Recipe

CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_chosen_backend_answers_real_photos_as_eager_fp32_does(
    tmp_path: Path, data_root: Path, weights_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path))
    table = readers.read(data_root / "isic2018" / "HAM10000_metadata.csv").sample(600, random_state=0).reset_index(drop=True)
    spec = Recipe(images=Images(size=224), model=Model(backbone="mobilenetv2_100", head=("pool",)))
    pictures = torch.from_numpy(caches.build(table, spec.images).pixels[:600].copy())
    classes, codes = np.unique(table["label"], return_inverse=True)
    model = build.placed(build.build(spec, list(classes))[0], CPU)

    def run(part: str, backend: str, precision: str, rows: slice) -> np.ndarray:
        made = backends.engine(
            model, part, (224, 224), backend=backend, precision=precision, dtype=torch.uint8, device=CPU, calibration=pictures[:200]
        )
        return np.concatenate(list(made.stream(pictures[rows].split(32))))

    learn, held_out = slice(0, 400), slice(400, 600)
    features = run("features", "openvino", "fp32", learn)
    scale = features.std()
    fit = LogisticRegression(C=0.01, max_iter=2000, tol=1e-3).fit(features / scale, codes[learn])
    seen = fit.classes_
    with torch.no_grad():
        dense = model.head[-1]
        dense.weight.zero_()[seen] = torch.from_numpy(fit.coef_ / scale).float()
        dense.bias.fill_(-20)[seen] = torch.from_numpy(fit.intercept_).float()

    def answers(backend: str, precision: str) -> np.ndarray:
        logits = run("logits", backend, precision, held_out).astype(float)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    exact = answers("eager", "fp32")
    assert (exact.argmax(1) == codes[held_out]).mean() > 0.6
    told = {}
    for backend, precision, largest, same in (
        ("openvino", "fp32", 1e-3, 1.0),
        ("onnxruntime", "fp32", 1e-3, 1.0),
        ("openvino", "bf16", 0.25, 0.96),
        ("eager", "bf16", 0.25, 0.96),
        ("openvino", "int8", 0.5, 0.85),
    ):
        rough = answers(backend, precision)
        told[f"{backend} {precision}"] = np.abs(rough - exact).max(), (rough.argmax(1) == exact.argmax(1)).mean()
        print(backend, precision, told[f"{backend} {precision}"])
        assert told[f"{backend} {precision}"][0] < largest
        assert told[f"{backend} {precision}"][1] >= same

    taken = backends.chosen(model, "logits", spec, pictures[held_out], work=10_000, device=CPU, dtype=torch.uint8)
    difference, agreement = told[taken.name]
    assert difference < 0.02
    assert agreement >= 0.995
    assert taken.difference == pytest.approx(difference, abs=1e-6)
    assert taken.agreement == agreement
    for name, (far, equal) in told.items():  # nothing faster agrees
        if name in taken.rates and far < 0.02 and equal >= 0.995:
            assert taken.rates[name] <= taken.rates[taken.name]

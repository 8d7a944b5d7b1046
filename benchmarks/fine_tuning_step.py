"""A step of fine-tuning a whole network: our loop with what it measured for itself, Keras, and timm's network in a plain fp32 step."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness
from benchmarks._harness import Case, Row

CLASSES = 7
SIDE = 224
QUICK = harness.quick()
BATCH = 4 if QUICK else 32
STEPS = {"resnet50": 1, "mobilenetv2_100": 2, "efficientnet_b1": 1}  # of a repeat: a few seconds each
JOB = 100 * BATCH  # a hundred steps

ROW = Row(
    "Fine-tuning step",
    "images",
    tuple(
        Case(f"{name}-{SIDE}", ("cutis", "keras", "timm"), {"keras": 2.5, "timm": 1.3}, JOB, note=f"batch {BATCH}, AdamW (Keras: Adam)")
        for name in STEPS
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """One repeat is ``STEPS`` steps on a batch of noise; weights are random, which changes no time."""
    network = case.removesuffix(f"-{SIDE}")
    repeat: Callable[[], int] = {"cutis": _cutis, "keras": _keras, "timm": _timm}[side](network, STEPS[network])
    return repeat


def _cutis(network: str, steps: int) -> Callable[[], int]:
    """An epoch of ``fit`` is a repeat: batches from packed pixels, light augmentation, every check that a run makes."""
    import numpy as np

    from benchmarks import _images
    from cutis import machine
    from cutis.models import build, precision
    from cutis.recipe import Recipe, Stage
    from cutis.recipes import light
    from cutis.train import loop, speed
    from cutis.train.state import Part

    machine.reuse_memory()  # as the command line does
    device, count = precision.device(), steps * BATCH
    spec = Recipe.model_validate(
        {
            "images": {"size": SIDE},
            "model": {"backbone": network, "weights": "none"},
            "augment": light(),
            "stages": [{"epochs": 1000, "lr": 1e-3, "weight_decay": 0.01}],
            "train": {"batch_size": BATCH},
        }
    )
    pixels = _images.cached(count, SIDE, spec.augment, device.type)
    train = Part(pixels, np.arange(count) % CLASSES, np.arange(count).astype(str))
    model = build.placed(build.build(spec, [str(c) for c in range(CLASSES)])[0], device)
    folder = tempfile.mkdtemp()
    if not speed.remembered(spec, Stage(epochs=1), (SIDE, SIDE)):  # as `cutis doctor --backbone` does
        speed.measure(spec, model, Stage(epochs=1), (SIDE, SIDE), device, compiled=device.type == "cuda", images=8)
    epochs = loop.fit(model, train, None, spec, cache=Path(folder))

    def repeat() -> int:
        next(epochs)
        return count

    return repeat


def _timm(network: str, steps: int) -> Callable[[], int]:
    """timm's network as it comes: fp32, NCHW, AdamW, a plain step; the batch is made beforehand."""
    import torch
    from torch.nn import functional as F

    from cutis.models.torchvision_guard import guard

    guard()  # timm imports torchvision, which may be of another build than torch
    import timm

    model = timm.create_model(network, pretrained=False, num_classes=CLASSES).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH) % CLASSES

    def repeat() -> int:
        for _ in range(steps):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        return steps * BATCH

    return repeat


def _keras(network: str, steps: int) -> Callable[[], int]:
    """Keras's network of the same name, Adam, its own compiled training step on one batch."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    makers: dict[str, Any] = {
        "resnet50": keras.applications.ResNet50,
        "mobilenetv2_100": keras.applications.MobileNetV2,
        "efficientnet_b1": keras.applications.EfficientNetB1,
    }
    body = makers[network](include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg")
    model = keras.Sequential([body, keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((BATCH, SIDE, SIDE, 3), np.float32)
    y = np.arange(BATCH) % CLASSES

    def repeat() -> int:
        for _ in range(steps):
            model.train_on_batch(x, y)
        return steps * BATCH

    return repeat


if __name__ == "__main__":
    harness.main(ROW, prepare)

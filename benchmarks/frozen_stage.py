"""A frozen stage, 40 epochs on 2,000 images at 224, one view: the whole of ours against Keras ``fit`` and a plain PyTorch loop over timm.

Random weights everywhere: speed does not depend on them.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

IMAGES, EPOCHS, BATCH, SIZE = 2000, 40, 32, 224
PEER_IMAGES = 192
KERAS = {"mobilenetv2_100": "MobileNetV2", "efficientnet_b1": "EfficientNetB1", "resnet50": "ResNet50"}
NOTE = (
    "Ours: every image through the backbone once, with no kept features to begin with, then 40 epochs of the head through the training "
    "loop; the network was converted and its backend chosen in the warm-up (once a machine). Peers: every image through the backbone in "
    "every epoch, fp32, batch 32, images in memory. Random weights."
)
ROW = harness.Row(
    "Frozen stage, one view",
    "image and epoch",
    tuple(
        harness.Case(
            name, ("cutis", "keras", "pytorch"), {"keras": 100, "pytorch": 30}, IMAGES * EPOCHS, NOTE if name == next(iter(KERAS)) else ""
        )
        for name in KERAS
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """Ours as one whole training; a peer's epoch over a few images."""
    return ours(case, 1, IMAGES) if side == "cutis" else {"keras": keras, "pytorch": pytorch}[side](case)


def ours(backbone: str, views: int, count: int) -> Callable[[], int]:
    """Features into an empty folder, then the head's epochs, by the training loop of every run."""
    from benchmarks import _images as images
    from cutis.train import loop
    from cutis.train.state import Part

    epochs, count, size = (2, 16, 64) if harness.quick() else (EPOCHS, count, SIZE)
    model, spec = images.network(backbone, size, epochs=epochs, **{"train.views": views, "train.batch_size": BATCH})
    pixels = images.cached(count, size)
    part = Part(pixels, images.labels(count), pixels.table_rows.astype(str))

    def train() -> int:
        with tempfile.TemporaryDirectory() as empty:
            return count * len(list(loop.fit(model, part, None, spec, cache=Path(empty))))

    return train


def keras(backbone: str) -> Callable[[], int]:
    """One epoch of ``fit``: the frozen network of keras.applications, global average pooling, one dense layer."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras

    x, y = memory()
    base = getattr(keras.applications, KERAS[backbone])(weights=None, include_top=False, input_shape=x.shape[1:])
    base.trainable = False
    # EfficientNet scales its pixels itself
    scaling = [] if backbone == "efficientnet_b1" else [keras.layers.Rescaling(1 / 127.5, offset=-1)]
    layers = [keras.Input(x.shape[1:]), *scaling, base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def fit() -> int:
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        return len(x)

    return fit


def pytorch(backbone: str) -> Callable[[], int]:
    """One epoch of the usual loop: timm's network, its backbone without gradient, Adam on the classifier."""
    import numpy as np
    import torch

    from cutis.models import torchvision_guard

    torchvision_guard.guard()
    import timm

    x, y = memory()
    model = timm.create_model(backbone, pretrained=False, num_classes=7).eval()
    head = model.get_classifier()
    optimizer = torch.optim.Adam(head.parameters())
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def epoch() -> int:
        for rows in np.split(np.random.default_rng(0).permutation(len(x)), range(BATCH, len(x), BATCH)):
            images = torch.from_numpy(x[rows]).permute(0, 3, 1, 2).contiguous().float() / 255
            with torch.no_grad():
                features = model.forward_head(model.forward_features((images - mean) / std), pre_logits=True)
            loss = torch.nn.functional.cross_entropy(head(features), torch.from_numpy(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return len(x)

    return epoch


def memory() -> tuple[Any, Any]:
    """A peer's images and labels, in memory."""
    import numpy as np

    count, size = (8, 64) if harness.quick() else (PEER_IMAGES, SIZE)
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8), rng.integers(0, 7, count)


if __name__ == "__main__":
    harness.main(ROW, prepare)

"""Prediction, batch 32: ``predict.probabilities`` through the backend that was chosen, against eager fp32 and ONNX Runtime's defaults."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

JOB, BATCH, SIZE = 2000, 32, 224
BACKBONES = {"mobilenetv2_100": 5, "resnet50": 5, "legacy_xception": 5, "efficientnet_b1": 3}  # name -> ratio wanted to eager fp32
BATCHES = {"cutis": 20, "eager fp32": 3, "onnxruntime": 6}  # of a repeat
NOTE = (
    "Ours reads uint8 pixels from the image cache, scales them and ends with softmax; the peers are given finished float tensors. The "
    "network was converted and its backend chosen in the warm-up (once a machine). Random weights."
)
ROW = harness.Row(
    "Prediction, batch 32",
    "image",
    tuple(
        harness.Case(name, ("cutis", "eager fp32", "onnxruntime"), {"eager fp32": eager, "onnxruntime": 1.5}, JOB, "" if i else NOTE)
        for i, (name, eager) in enumerate(BACKBONES.items())
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """A number of batches that takes a few seconds."""
    from benchmarks import _images as images

    batches, size = (1, 64) if harness.quick() else (BATCHES[side], SIZE)
    if side == "cutis":
        return ours(case, batches * BATCH, size)
    import timm
    import torch

    model = timm.create_model(case, pretrained=False, num_classes=len(images.CLASSES)).eval()
    batch = torch.rand(BATCH, 3, size, size)
    answer = eager(model, batch) if side == "eager fp32" else onnxruntime(model, batch)

    def run() -> int:
        for _ in range(batches):
            answer()
        return batches * BATCH

    return run


def ours(backbone: str, count: int, size: int) -> Callable[[], int]:
    """What every run does after training, with the backend that the whole job gets."""
    from benchmarks import _images as images
    from cutis.models import backends, predict

    model, spec = images.network(backbone, size)
    pixels = images.cached(count, size)
    pictures = predict.sample([pixels], spec.predict_size)
    work = count if harness.quick() else JOB
    choice = backends.chosen(model, "logits", spec, pictures, work=work, device=pixels.device, dtype=pictures.dtype)
    harness.remark(choice.name)

    def run() -> int:
        return len(predict.probabilities(model, pixels, spec, choice=choice))

    return run


def eager(model: Any, batch: Any) -> Callable[[], Any]:
    """The network as PyTorch runs it when nothing is asked for."""
    import torch

    def run() -> Any:
        with torch.inference_mode():
            return model(batch).softmax(1)

    return run


def onnxruntime(model: Any, batch: Any) -> Callable[[], Any]:
    """The exported network in a session with default options."""
    import onnxruntime as ort
    import torch

    file = Path(tempfile.mkdtemp()) / "model.onnx"
    torch.onnx.export(model, (batch,), file, dynamo=True, external_data=False, verbose=False)
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    name, images = session.get_inputs()[0].name, batch.numpy()
    return lambda: session.run(None, {name: images})


if __name__ == "__main__":
    harness.main(ROW, prepare)

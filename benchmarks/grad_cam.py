"""Grad-CAM of each image's predicted class at image size, batches of 8, ResNet-50 at 224: ``explain.cam`` against pytorch-grad-cam."""

from collections.abc import Callable

from benchmarks import _harness as harness

JOB, BATCH, SIZE = 40, 8, 224
TARGETS = {"fp32": 3.0, "bf16": 4.5}  # precision of ours -> ratio wanted to pytorch-grad-cam, which computes in fp32
NOTE = (
    "Ours: the last layer's maps from OpenVINO in the precision named, the head's gradient in torch; pytorch-grad-cam computes in fp32. "
    "limit: the forward pass alone, pixels to logits, in the same backend and precision; 0.83 is maps for a fifth more. Random weights."
)
ROW = harness.Row(
    "Grad-CAM, batch 8",
    "image",
    tuple(
        harness.Case(
            f"resnet50-{p}", ("cutis", "pytorch-grad-cam", "limit"), {"pytorch-grad-cam": t, "limit": 0.83}, JOB, "" if i else NOTE
        )
        for i, (p, t) in enumerate(TARGETS.items())
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """The whole job, batch by batch, from float pixels."""
    import torch

    from benchmarks import _images as images

    count, size = (BATCH, 64) if harness.quick() else (JOB, SIZE)
    name, _, precision = case.partition("-")
    model, _ = images.network(name, size)
    batches = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)).split(BATCH)
    answer = peer(name) if side == "pytorch-grad-cam" else ours(model, side, precision, size)

    def run() -> int:
        for batch in batches:
            answer(batch)
        return count

    return run


def ours(model: object, side: str, precision: str, size: int) -> Callable[[object], object]:
    """Maps at image size; for the limit the logits alone."""
    import torch

    from cutis.explain.cam import cam, resized
    from cutis.models import backends

    part = "logits" if side == "limit" else "maps"
    engine = backends.engine(
        model, part, (size, size), backend="openvino", precision=precision, dtype=torch.float32, device=torch.device("cpu")
    )
    return engine if side == "limit" else lambda batch: resized(cam(model, batch, engine=engine).maps, (size, size))


def peer(name: str) -> Callable[[object], object]:
    """As its documentation shows it."""
    import timm
    from pytorch_grad_cam import GradCAM

    from benchmarks import _images as images

    model = timm.create_model(name, pretrained=False, num_classes=len(images.CLASSES)).eval()
    explained = GradCAM(model=model, target_layers=[model.layer4[-1]])
    return lambda batch: explained(input_tensor=batch, targets=None)


if __name__ == "__main__":
    harness.main(ROW, prepare)

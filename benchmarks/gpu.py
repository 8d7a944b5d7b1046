"""A GPU: fine-tuning steps and the feature pass, with our loader attached, against eager fp32 and timm's compiled bf16.

``python -m benchmarks.gpu [--case NAME]``; a case takes a few minutes, most of them compilation. It needs what Cutis needs and no peer,
so it can be carried to a machine that has torch, torchvision, timm, NumPy and Pillow, with pandas, pydantic, psutil, SciPy, simplejpeg and
opencv-python-headless beside them. ``--quick`` tries it out on a tiny network, on the CPU where there is no GPU.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

BATCH, STEPS, SIZE = 64, 40, 224
PASSED, JOB = 8192, 100_000
NETWORKS = ("resnet50", "tf_efficientnetv2_l", "convnext_tiny")
NOTE = (
    "Ours is the training loop itself: uint8 images from the cache, augmented on the card (mirrors, quarter turns, rotation, zoom, "
    "colour), AdamW, bf16, compiled. Peers and the limit are given random tensors that lie on the card already; the limit takes our step. "
    "Batch 64."
)
ROW = harness.Row(
    "On a GPU",
    "image",
    (
        *(
            harness.Case(
                f"fine-tuning step, {name}",
                ("cutis", "eager fp32", "timm compiled bf16", "limit"),
                {"timm compiled bf16": 0.9, "limit": 1 / 1.05},
                BATCH * STEPS,
                "" if i else NOTE,
            )
            for i, name in enumerate(NETWORKS)
        ),
        harness.Case("feature pass, resnet50", ("cutis", "limit"), {}, JOB, "The limit is the compiled bf16 network on random tensors."),
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """An epoch of a few steps, or a pass of some thousand images."""
    import torch

    from cutis.models import torchvision_guard

    torchvision_guard.guard()
    if not (torch.cuda.is_available() or harness.quick()):
        raise harness.SkipError("no GPU here")
    kind, name = case.split(", ")
    if harness.quick():
        name, sizes = "resnet18", (4, 2, 64)
    else:
        sizes = (BATCH, STEPS, SIZE)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "feature pass":
        run = our_pass(name, sizes, device) if side == "cutis" else plain_pass(name, sizes, device)
    else:
        steps: dict[str, Callable[..., Callable[[], int]]] = {"cutis": ours, "limit": our_step}
        run = steps[side](name, sizes, device) if side in steps else timm_step(name, sizes, device, side == "timm compiled bf16")

    def finished() -> int:
        units = run()
        if device == "cuda":
            torch.cuda.synchronize()
        return units

    return finished


def ours(backbone: str, sizes: tuple[int, int, int], device: str) -> Callable[[], int]:
    """Epochs of the training loop on cached images."""
    from benchmarks import _images as images
    from cutis.recipe import Augment
    from cutis.train import loop
    from cutis.train.state import Part

    batch, steps, size = sizes
    model, spec = recipe(backbone, sizes, device)
    changes = Augment(
        hflip=True, vflip=True, quarter_turns=True, rotation=20, zoom=(0.8, 1.2), brightness=0.2, contrast=0.2, saturation=0.2
    )
    pixels = images.cached(batch * steps, size, changes, device)
    part = Part(pixels, images.labels(batch * steps), pixels.table_rows.astype(str))
    epochs = loop.fit(model, part, None, spec, cache=Path(tempfile.gettempdir()))

    def epoch() -> int:
        next(epochs)
        return batch * steps

    return epoch


def our_step(backbone: str, sizes: tuple[int, int, int], device: str) -> Callable[[], int]:
    """The loop's step on a random tensor: what is left when the loader costs nothing."""
    import torch

    from benchmarks import _images as images
    from cutis import recipe as recipes
    from cutis.models import build
    from cutis.train import losses, stages
    from cutis.train.update import Update

    batch, steps, size = sizes
    model, spec = recipe(backbone, sizes, device)
    stage, parameters = spec.stages[0], build.trainable(model, "all")
    build.train_mode(model)
    loss = losses.function(recipes.Loss(), torch.ones(len(images.CLASSES), device=device))
    update = Update(
        model,
        parameters,
        stages.optimizer(stage, parameters),
        loss,
        precision=spec.train.precision,
        compiled=spec.train.compile == "on",
        batch=batch,
    )
    x = torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.eye(len(images.CLASSES), device=device)[torch.arange(batch, device=device) % len(images.CLASSES)]

    def run() -> int:
        for step in range(steps):
            update(x, targets, step, stage.lr)
        return batch * steps

    return run


def timm_step(backbone: str, sizes: tuple[int, int, int], device: str, fast: bool) -> Callable[[], int]:
    """timm's network, AdamW, a random tensor: as it comes, or channels last, compiled, in bf16."""
    import timm
    import torch

    batch, steps, size = sizes
    model = timm.create_model(backbone, pretrained=False, num_classes=7).to(device).train()
    x, y = torch.rand(batch, 3, size, size, device=device), torch.arange(batch, device=device) % 7
    if fast:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    network = torch.compile(model) if fast and not harness.quick() else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def run() -> int:
        for _ in range(steps):
            with torch.autocast(device, dtype=torch.bfloat16, enabled=fast):
                loss = torch.nn.functional.cross_entropy(network(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return batch * steps

    return run


def our_pass(backbone: str, sizes: tuple[int, int, int], device: str) -> Callable[[], int]:
    """Features of cached images into an empty folder."""
    from benchmarks import _images as images
    from cutis.models import features

    model, spec = recipe(backbone, sizes, device, train="head")
    pixels = images.cached(8 if harness.quick() else PASSED, sizes[-1], device=device)

    def run() -> int:
        with tempfile.TemporaryDirectory() as empty:
            return len(features.extract(model, pixels, spec, 1, Path(empty), work=None if harness.quick() else JOB))

    return run


def plain_pass(backbone: str, sizes: tuple[int, int, int], device: str) -> Callable[[], int]:
    """The compiled bf16 network on a random tensor."""
    import timm
    import torch

    batch, count = (4, 8) if harness.quick() else (256, PASSED)
    model = timm.create_model(backbone, pretrained=False, num_classes=0).to(device, memory_format=torch.channels_last).eval()
    network = model if harness.quick() else torch.compile(model)
    x = torch.rand(batch, 3, sizes[-1], sizes[-1], device=device).contiguous(memory_format=torch.channels_last)

    def run() -> int:
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            for _ in range(count // batch):
                network(x)
        return count

    return run


def recipe(backbone: str, sizes: tuple[int, int, int], device: str, train: str = "all") -> tuple[Any, Any]:
    """Our network on the device and its recipe."""
    from benchmarks import _images as images
    from cutis.models import build

    fast = {"train.precision": "bf16", "train.compile": "on"} if device == "cuda" else {"train.precision": "fp32", "train.compile": "off"}
    options = {"train.batch_size": sizes[0], "predict.batch_size": 256 if device == "cuda" else 8, "stages.0.lr": 1e-4}
    model, spec = images.network(backbone, sizes[-1], epochs=1000, train=train, **fast, **options)
    return build.placed(model, images.torch.device(device)), spec


if __name__ == "__main__":
    harness.main(ROW, prepare)

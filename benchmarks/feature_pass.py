"""The pass of images through a frozen backbone, from the image cache and from JPEG files, against OpenVINO alone on random input."""

import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _harness as harness

JOB, SIZE = 2000, 224
COUNTS = {"mobilenetv2_100": JOB, "efficientnet_b1": 384, "resnet50": 384}
LIMIT_BATCHES = (1, 4, 8, 32)
NOTE = (
    "The limit is OpenVINO by itself: the same network, random input made beforehand and never copied, the number format that the "
    "processor is fastest in, many requests in flight, and the batch size of 1, 4, 8 and 32 that is fastest. From JPEG: 600 x 450 files, "
    "image cache and features empty in each repeat."
)
ROW = harness.Row(
    "Feature pass",
    "image",
    tuple(
        harness.Case(f"{name}, {source}", ("cutis", "limit"), {"limit": target}, JOB, NOTE if not i + j else "")
        for i, name in enumerate(COUNTS)
        for j, (source, target) in enumerate((("images cached", 0.85), ("from JPEG", 0.6)))
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """A whole pass into an empty folder; for the limit, as many inferences."""
    from benchmarks import _images as images

    backbone, source = case.split(", ")
    count, size = (8, 64) if harness.quick() else (COUNTS[backbone], SIZE)
    model, spec = images.network(backbone, size)
    if side == "limit":
        return limit(model, count, size)
    return from_jpeg(model, spec, count) if source == "from JPEG" else from_cache(model, spec, count)


def from_cache(model: Any, spec: Any, count: int) -> Callable[[], int]:
    """The images lie decoded in the cache."""
    from benchmarks import _images as images
    from cutis.models import features

    pixels = images.cached(count, spec.images.size[0])

    def run() -> int:
        with tempfile.TemporaryDirectory() as empty:
            return len(features.extract(model, pixels, spec, 1, Path(empty), work=JOB))

    return run


def from_jpeg(model: Any, spec: Any, count: int) -> Callable[[], int]:
    """The images are files."""
    import numpy as np
    import torch

    from benchmarks import _images as images
    from cutis.data import cache
    from cutis.data.loaders import Pixels
    from cutis.models import features

    scratch = Path(tempfile.mkdtemp())
    table = images.jpegs(scratch / "jpegs", count, 600, 450)

    def run() -> int:
        shutil.rmtree(scratch / "cache", ignore_errors=True)
        built = cache.build(table, spec.images, folder=scratch / "cache")
        pixels = Pixels(built, np.arange(count), spec.augment, torch.device("cpu"))
        return len(features.extract(model, pixels, spec, 1, scratch / "cache" / "features", work=JOB))

    return run


def limit(model: Any, count: int, size: int) -> Callable[[], int]:
    """OpenVINO's own throughput, at the batch size where it is highest."""
    import numpy as np
    import openvino as ov
    import torch

    from cutis.models.backends import Passage

    core = ov.Core()
    best = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, and is what OpenVINO does
        converted = ov.convert_model(Passage(model, "features").eval(), example_input=torch.rand(1, 3, size, size))

    def runner(batch: int, units: int) -> Callable[[], int]:
        network = converted.clone()
        network.reshape([batch, 3, size, size])
        compiled = core.compile_model(network, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": best})
        queue = ov.AsyncInferQueue(compiled)
        rng = np.random.default_rng(0)
        for request in queue:
            request.set_input_tensor(ov.Tensor(rng.random((batch, 3, size, size), dtype="float32")))

        def run() -> int:
            for _ in range(units // batch):
                queue.start_async()
            queue.wait_all()
            return units // batch * batch

        return run

    def rate(run: Callable[[], int]) -> float:
        run()
        started = time.perf_counter()
        return run() / (time.perf_counter() - started)

    batch = max(LIMIT_BATCHES, key=lambda batch: rate(runner(batch, max(count // 4, batch))))
    harness.remark(f"{best}, batch {batch}")
    return runner(batch, max(count, batch))


if __name__ == "__main__":
    harness.main(ROW, prepare)

"""The API as a tutorial writes it: one photo a request through Pillow and the network, in FastAPI's thread pool.

``python -m benchmarks._plain_api eager|backend BUNDLE PORT``: PyTorch as it is, or the engine that ``cutis serve`` uses.
"""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from cutis.export import bundle as bundles
from cutis.models import backends

PHOTOS = 128  # on which the backend is chosen, as ours is


def main(kind: str, bundle: str, port: str) -> None:
    """Serve until killed."""
    (member,) = bundles.open(bundle).members
    model, size, classes = member.load().eval(), member.spec.predict_size, member.classes
    app = FastAPI()
    engine = None
    if kind == "backend":
        sample = torch.from_numpy(np.stack([np.asarray(resized(p, size)) for p in photos(bundle)]))
        choice = backends.chosen(model, "logits", member.spec, sample, work=10_000, device=torch.device("cpu"), dtype=torch.uint8)
        how: dict[str, Any] = {"backend": choice.backend, "precision": choice.precision}
        engine = backends.engine(model, "logits", size, **how, dtype=torch.uint8, device=torch.device("cpu"))

    @app.post("/v1/predict")
    def predict(files: UploadFile) -> dict[str, float]:
        pixels = torch.from_numpy(np.asarray(resized(files.file, size)).copy())
        if engine is not None:
            logits = torch.from_numpy(engine(pixels[None]))
        else:
            with torch.inference_mode():
                logits = model(pixels.permute(2, 0, 1)[None].float() / 255)
        return dict(zip(classes, logits.softmax(1)[0].tolist(), strict=True))

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    uvicorn.run(app, port=int(port), log_level="warning")


def resized(source: Any, size: tuple[int, int]) -> Image.Image:
    """The photo as the network takes it."""
    return Image.open(source).convert("RGB").resize(size[::-1])


def photos(bundle: str) -> list[io.BytesIO]:
    """The photos beside the bundle."""
    return [io.BytesIO(path.read_bytes()) for path in sorted((Path(bundle).parent / "photos").iterdir())[:PHOTOS]]


if __name__ == "__main__":
    main(*sys.argv[1:])

"""doctor: what this machine has, what is missing, and what to do about it."""

import os
import shutil
import time
from typing import Any

import typer

from cutis import machine
from cutis.cli.app import Json, show_json
from cutis.files import cache_folder


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(as_json: Json = False) -> None:
    """What this machine has, how fast it is, what is missing."""
    found = inspect()
    if as_json:
        return show_json(found)
    for key, value in found.items():
        if isinstance(value, dict):
            typer.echo(f"{key}: " + ", ".join(f"{k} {'none' if v is None else v}" for k, v in value.items()))
        elif isinstance(value, list):
            for line in value:
                typer.echo(f"{key}: {line}")
        else:
            typer.echo(f"{key}: {value}")
    return None


def inspect() -> dict[str, Any]:
    """Everything doctor says, as data."""
    from cutis.models import weights

    folder = cache_folder()
    at = next(p for p in (folder, *folder.parents) if p.exists())
    local = sorted(weights.folder().glob("*.safetensors")) if weights.folder().is_dir() else []
    advice = []
    if not local:
        advice.append(f"no pretrained weights in {weights.folder()}: cutis weights get mobilenetv2_100.ra_in1k, or set CUTIS_WEIGHTS")
    if shutil.disk_usage(at).free < 5e9:
        advice.append(f"less than 5 GB free for the image cache at {at}: set CUTIS_CACHE to a larger disk")
    if not os.access(at, os.W_OK):
        advice.append(f"the image cache at {at} cannot be written: set CUTIS_CACHE to a folder of yours")
    return {
        "cutis": machine.version("cutis"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "cache": {"folder": str(folder), "free_gb": round(shutil.disk_usage(at).free / 1e9, 1)},
        "weights": {"folder": str(weights.folder()), "files": len(local)},
        "speed": speed(),
        "to do": advice or ["nothing: ready"],
    }


def speed(backbone: str = "mobilenetv2_100", batch: int = 16) -> dict[str, float]:
    """Images a second of one backbone with random weights at 224 pixels, predicting, in each number format."""
    import torch

    from cutis.models import backbones, predict

    device = predict.device()
    model = backbones.create(backbone, {}).eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(batch, 3, 224, 224, device=device).contiguous(memory_format=torch.channels_last)
    rates = {}
    for precision in ("fp32", "bf16"):
        with torch.inference_mode(), predict.autocast(device, precision):
            model(images)
            times = []
            for _ in range(3):
                started = time.perf_counter()
                model(images).sum().item()
                times.append(time.perf_counter() - started)
        rates[f"{backbone} {precision}, images/s"] = round(batch / sorted(times)[1], 1)
    return rates

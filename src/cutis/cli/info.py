"""doctor: what this machine has, what is missing, and what to do about it."""

import os
import shutil
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cutis import machine
from cutis.cli.app import Json, show_json
from cutis.files import cache_folder


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Time this backbone in every backend and number format, and remember it; minutes.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 224,
    weights: Annotated[
        str | None, typer.Option(help="pretrained or none; without it: pretrained where they are in the weights folder.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also int8; needs: pip install 'cutis[backends]'")] = False,
    as_json: Json = False,
) -> None:
    """What this machine has, how fast it is, what is missing; with --backbone, which backend is fastest."""
    found = inspect() if backbone is None else timed(backbone, size, weights, int8)
    if as_json:
        return show_json(found)
    for key, value in found.items():
        if isinstance(value, dict):
            typer.echo(f"{key}: " + ", ".join(f"{k} {'none' if v is None else v}" for k, v in value.items()))
        elif isinstance(value, list):
            for line in value:
                typer.echo(_line(line) if isinstance(line, dict) else f"{key}: {line}")
        else:
            typer.echo(f"{key}: {value}")
    return None


def timed(backbone: str, size: int, weights: str | None, int8: bool) -> dict[str, Any]:
    """Every backend and number format on drawn pictures, and training steps of the same network, as data; all is remembered."""
    from cutis.models import backends, example, predict
    from cutis.models.weights import find

    wanted = weights or ("pretrained" if find(backbone) else "none")
    device = predict.device()
    model, pictures = example.fitted(backbone, size, wanted)
    precisions = ("fp32", "bf16", *(["int8"] if int8 else []))
    rows = backends.measure(model, "logits", (size, size), pictures, device=device, dtype=pictures.dtype, precisions=precisions)
    trained = wanted != "none"
    answering = [{k: v for k, v in asdict(row).items() if trained or k not in ("difference", "agreement", "agrees")} for row in rows]
    taken = backends.settled(rows, trained)
    notes = [] if trained else ["random weights: rates hold, agreement with fp32 says nothing and is not shown; a run checks its own"]
    return {
        "network": f"{backbone}, {size} x {size} pixels, weights {wanted}",
        "answers": answering,
        "chosen": f"{taken.backend} {taken.precision} for {backends.SMALL:,} images or more",
        "training": _training(model, backbone, wanted, size, device),
        "note": [*notes, *(f"{row.backend} {row.precision}: {row.why}" for row in rows if row.why)],
    }


def _training(model: Any, backbone: str, weights: str, size: int, device: Any) -> list[dict[str, Any]]:
    """Training steps of a network, measured by ``cutis.train.speed``."""
    from cutis.recipe import Images, Model, Recipe, Stage
    from cutis.train import speed

    spec = Recipe(images=Images(size=(size, size)), model=Model(backbone=backbone, weights=weights))
    rows = speed.measure(spec, model, Stage(epochs=1), (size, size), device, compiled=device.type == "cuda", images=8)
    name = {False: "training", True: "training, compiled"}
    return [
        {"backend": name[row.compiled], "precision": row.precision, "rate": spec.train.batch_size / row.seconds}
        for row in rows
        if not row.why
    ]


def _line(row: dict[str, Any]) -> str:
    """A row of the table: name, rate, and how far from eager fp32."""
    if not row["rate"]:
        return f"  {row['backend']:<18} {row['precision']:<5}        -"
    near = ""
    if "agreement" in row:
        near = f"   same class {row['agreement']:6.1%}   largest difference {row['difference']:.4f}"
        near += "   agrees" if row["agrees"] else "   differs"
    return f"  {row['backend']:<18} {row['precision']:<5} {row['rate']:8.1f} images/s{near}"


def inspect() -> dict[str, Any]:
    """Everything doctor says, as data."""
    from cutis.models import backends, weights

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
        "measured": [f"{name}: {_rates(known)}" for name, known in sorted(backends.rates().items())]
        or ["nothing yet: cutis doctor --backbone mobilenetv2_100"],
        "to do": advice or ["nothing: ready"],
    }


def _rates(known: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate:g}" for name, rate in sorted(known.items(), key=lambda item: -item[1])) + " images/s"

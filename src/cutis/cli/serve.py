"""The verb serve: a bundle behind an API."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cutis.errors import CutisError
from cutis.report.words import NOTICE, count

SAMPLE = 256  # pictures on which backends are compared, at most


def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(serve)


def serve(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle: folder, .zip or hf://OWNER/NAME.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; for other machines a token is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Its first line is what clients must send; or set CUTIS_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name by which the server may be called; repeatable; '*': any.")
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that are answered together, at most.")] = 32,
    wait_ms: Annotated[float, typer.Option(metavar="MS", min=0, max=1000, help="How long a batch waits for pictures being read.")] = 2,
    queue: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in hand, of all clients; past it they get 503.")] = 128,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, help="Seconds for a request, its upload included.")] = 30,
    max_bytes: Annotated[int, typer.Option(metavar="N", min=1024, help="Bytes of a request.")] = 64 * 1024**2,
    max_files: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in a request.")] = 32,
    max_pixels: Annotated[int, typer.Option(metavar="N", min=1, help="Pixels of a picture, by its header.")] = 60_000_000,
    max_maps: Annotated[int, typer.Option(metavar="N", min=1, help="Heat maps in a request.")] = 32,
    sample: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, exists=True, help="Some of your pictures: the fastest backend that agrees on them."),
    ] = None,
    backend: Annotated[str, typer.Option(metavar="NAME", help="What computes: auto, eager, openvino, onnxruntime.")] = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32, bf16.")] = "auto",
) -> None:
    """Answer pictures over HTTP: /v1/predict, /v1/explain, /v1/model; described at /openapi.json."""
    from cutis.serve.api import server
    from cutis.serve.api.limits import Limits
    from cutis.serve.api.process import Order

    limits = Limits(
        body=max_bytes,
        files=min(max_files, queue),
        pixels=max_pixels,
        maps=max_maps,
        queue=queue,
        timeout=timeout,
        header=min(timeout, Limits.header),
    )
    pictures = tuple(str(path) for path in sorted(sample.iterdir()) if path.is_file())[:SAMPLE] if sample else ()
    order = Order(bundle, pictures, backend, precision, batch, wait_ms / 1000, max_pixels, patience=timeout / 2)
    settings = server.Settings(order, host, port, token(token_file), tuple(allow_host or ()), limits)
    server.serve(settings, announce=announce)


def announce(url: str, about: dict[str, Any]) -> None:
    """What is seen when it answers."""
    model = about["model"]
    typer.echo(f"{model['name']}, version {model['version']}, {count(len(about['classes']), 'class')}: {url}/v1/predict")
    typer.echo(f"Try it: curl -F files=@PHOTO.jpg {url}/v1/predict")
    typer.echo(NOTICE)


def token(file: Path | None) -> str | None:
    """What clients must send, if anything. Raises CutisError for an empty or short one."""
    if file is None and "CUTIS_TOKEN" not in os.environ:
        return None
    found = (file.read_text("utf-8").splitlines() or [""])[0].strip() if file else os.environ["CUTIS_TOKEN"].strip()
    if len(found) < 16:
        make = "python -c 'import secrets; print(secrets.token_urlsafe())'"
        raise CutisError(f"The token has fewer than 16 characters. Make one with: {make}")
    return found

"""The verbs that hand a model over and use it, for Python: export, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutis.verbs import given

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cutis.export.bundle import Bundle
    from cutis.jobs.predicting import Predicted
    from cutis.progress import Progress
    from cutis.runs import Run


def export(
    run: Run | str | Path,
    out: str | Path = "bundle",
    *,
    onnx: bool = False,
    openvino: bool = False,
    images: int = 256,
    cases: bool = False,
    licence: str = "",
    scope: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Make a bundle of a run, all that it takes to answer, as ``cutis export`` does; where it lies. ``cutis.Predictor.open`` opens it.

    ``out``: a folder, or one file where the name ends with ``.zip``. ``onnx``, ``openvino``: these formats too, each compared with the
    original on ``images`` real images. ``cases``: thumbnails of the training images, for the nearest known cases, and the ``licence``
    that allows that. ``scope``: what tells that a picture is unlike the training images. Raises CutisError (a ValueError) that says what
    to do.
    """
    from cutis.jobs import exporting

    kinds = [kind for kind, wanted in (("onnx", onnx), ("openvino", openvino)) if wanted]
    return exporting.export(given.run(run), out, exporting.Wish(kinds, cases, licence, scope, images), progress=progress)


def predict(
    bundle: Bundle | str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path = "answers.csv",
    *,
    maps: str | Path | None = None,
    resume: bool = False,
    backend: str = "auto",
    precision: str = "auto",
    allow_outside: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> Predicted:
    """Answer pictures with a bundle and write the table ``out`` (.csv or .parquet), as ``cutis predict`` does.

    ``bundle``: a folder, a ``.zip``, ``hf://OWNER/NAME``, or an open one. ``images``: folders, zips, tables that name images, wild cards,
    files. ``maps``: a folder for heat maps. ``resume``: go on with answers that were stopped. The answer counts what was answered and
    names the list of what could not be read. For a few pictures in memory: ``cutis.Predictor.open(bundle)`` with ``picture`` and
    ``answers``. Raises CutisError (a ValueError) that says what to do.
    """
    from pathlib import Path

    from cutis.jobs import predicting

    folder = None if maps is None else Path(maps)
    options: dict[str, Any] = {"maps": folder, "resume": resume, "backend": backend, "precision": precision, "progress": progress}
    return predicting.predict(bundle, given.several(images), out, allow_outside=allow_outside, **options)

"""A run of runs: the same recipe over folds or seeds, with pooled predictions, mean and spread."""

from pathlib import Path

import pandas as pd

from cutis.audit.findings import Depth
from cutis.data import splits
from cutis.data.table import describe
from cutis.errors import CutisError
from cutis.evaluate.summary import pooled, spread, summarise
from cutis.jobs import pipeline, provenance, slicing
from cutis.jobs import resume as resuming
from cutis.progress import Progress
from cutis.recipe import Recipe
from cutis.report import page
from cutis.runs import Run


def train(
    table: pd.DataFrame,
    spec: Recipe,
    out: str | Path,
    *,
    folds: int = 0,
    seeds: int = 0,
    how: str = "",
    allow_leaks: bool = False,
    resume: bool = False,
    command: str = "",
    progress: Progress | None = None,
    audit: Depth = "none",
) -> Run:
    """Train ``folds`` folds (each group is tested once) or ``seeds`` seeds (one split, other random starts) below ``out``.

    Finished parts are kept on a resume. The data are audited once, in the folder of the first part. Raises CutisError where both or
    neither are asked for, or where there is nothing to test on.
    """
    if bool(folds) == bool(seeds):
        raise CutisError("Give either --folds K or --seeds N.")
    run, progress = Run(out), progress or Progress()
    parts = variants(spec, folds, seeds)
    if not (splits.split(table, parts[0][1].split)["split"] == "test").any():
        raise CutisError("A run of runs pools test figures, and here is no test part. Set split.test above 0, or use --folds K.")
    with run.lock():
        resuming.begin(run, resume)
        run.recipe, run.provenance = spec, {"request": table.attrs.get("request", {})}
        for name, variant in parts:
            part = Run(run.folder / name)
            if part.finished:
                progress.say(f"{name} is finished already.")
                continue
            progress.say(f"{name} ({variant.name})")
            begun = (part.folder / "recipe.json").is_file()
            try:
                pipeline.train(
                    table,
                    variant,
                    part.folder,
                    how=how,
                    allow_leaks=allow_leaks,
                    resume=begun,
                    command=command,
                    progress=progress,
                    audit=audit if name == parts[0][0] else "none",
                )
            except BaseException:
                if not run.parts:  # refused or stopped before anything was trained
                    for file in ("recipe.json", "provenance.json"):
                        (run.folder / file).unlink()
                raise
            progress.seconds = {}  # each part tells its own
        _pool(run, [Run(run.folder / name) for name, _ in parts], spec, table, command)
    return run


def variants(spec: Recipe, folds: int, seeds: int) -> list[tuple[str, Recipe]]:
    """Folder name and recipe of each part."""
    if folds:
        return [(f"fold-{i}", spec.changed(**{"split.folds": folds, "split.fold": i})) for i in range(folds)]
    return [(f"seed-{spec.seed + i}", spec.changed(seed=spec.seed + i)) for i in range(seeds)]


def _pool(run: Run, parts: list[Run], spec: Recipe, table: pd.DataFrame, command: str) -> None:
    """Put the parts' test predictions together and write the page."""
    together = pooled([part.predictions("test") for part in parts])
    run.save_predictions("test", together)
    abouts = [part.provenance for part in parts]
    figures = summarise(
        together, replicates=spec.evaluate.replicates, level=spec.evaluate.level, seed=spec.seed, majority=abouts[0]["majority"]
    )
    run.metrics = {"test": figures | {"spread": spread([part.metrics["test"] for part in parts])}}
    run.provenance = abouts[0] | {
        "command": command,
        "finished": provenance.now(),
        "parts": [part.folder.name for part in parts],
        "data": abouts[0]["data"] | {"summary": describe(table)},
        "seconds": {k: round(sum(a["seconds"].get(k, 0) for a in abouts), 3) for k in abouts[0]["seconds"]},
    }
    slicing.own(run)
    page.write(run)

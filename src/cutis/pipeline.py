"""The main path: a table and a recipe become a run; a run and other data become another evaluated set."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis import machine
from cutis.data import cache as caches
from cutis.data import proof, splits
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.data.table import describe
from cutis.errors import ArtifactError, CutisError, DataError, LeakError
from cutis.evaluate.summary import summarise
from cutis.files import cache_folder, sha256
from cutis.models import build, predict
from cutis.models.build import Classifier
from cutis.predictions import Predictions
from cutis.progress import Progress
from cutis.randomness import stream
from cutis.recipe import Augment, Recipe
from cutis.report import page
from cutis.runs import Run
from cutis.train import loop
from cutis.train.checkpoint import Checkpoint, Interrupt, watching
from cutis.train.state import Epoch, Part


@dataclass(frozen=True)
class Prepared:
    """Checked data: the table with split and sha256 (readable rows only), its cache, and what was proved."""

    table: pd.DataFrame
    cache: Cache
    rows: NDArray[np.int64]  # of the cache, for each row of the table
    proof: proof.Proof
    unreadable: pd.DataFrame


def prepare(table: pd.DataFrame, spec: Recipe, progress: Progress) -> Prepared:
    """Decode, split and prove. Raises DataError for too many unreadable files or too little to split."""
    with progress.part("cache") as on_step:
        cache = caches.build(table, spec.images, progress=on_step)
    readable = cache.row >= 0
    rows = np.flatnonzero(readable)
    table = table.assign(sha256=cache.sha256)[readable].reset_index(drop=True)
    with progress.part("split"):
        table = splits.split(table, spec.split)
    with progress.part("proof"):
        proved = proof.prove(table)
    return Prepared(table, cache, rows, proved, cache.failures)


def train(
    table: pd.DataFrame,
    spec: Recipe,
    out: str | Path,
    *,
    how: str = "",
    allow_leaks: bool = False,
    resume: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Train a recipe on a table and leave a run folder with model, predictions, figures and report.

    ``how`` says in words where the split came from, when it was given. Raises LeakError where the split leaks and ``allow_leaks`` is
    not set; ArtifactError where ``out`` holds something already, or where the data changed before a resume.
    """
    run, progress = Run(out), progress or Progress()
    with run.lock(), watching() as interrupt:
        begin(run, resume)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if resume and (run.folder / "split.csv").is_file():
            table = _as_before(run, table)
        ready = prepare(table, spec, progress)
        if not ready.proof.ok and not allow_leaks:
            raise LeakError(ready.proof.message())
        classes = trained_classes(ready.table)
        if resume:
            _same_data(run, ready.table)
        run.recipe = spec
        run.save_table("split", ready.table)
        if len(ready.unreadable):
            run.save_table("unreadable", ready.unreadable)
        about = _about(ready, spec, classes, how, allow_leaks, command, started)
        run.provenance = about
        model = _fit(run, ready, spec, classes, about, interrupt, progress)
        for name in ("val", "test"):
            if (ready.table["split"] == name).any():
                _add_set(run, name, model, spec, ready, ready.table["split"].to_numpy() == name, about, progress)
        Checkpoint(run.folder).remove()
        _finish(run, about, progress)
    return run


def evaluate(run: Run, table: pd.DataFrame, name: str, *, ignore_unknown: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Answer other data with a run's model and add the figures under ``name``. Raises DataError where labels are not the model's."""
    progress = progress or Progress()
    if not name.replace("-", "").replace("_", "").isalnum():
        raise CutisError(f"--name {name!r}: use letters, digits, - and _ only.")
    with run.lock():
        model, spec = build.load(run.model_file)
        build.placed(model, predict.device())
        about = run.provenance
        table = _with_labels_of(model, table, ignore_unknown)
        with progress.part("cache") as on_step:
            cache = caches.build(table, spec.images, progress=on_step)
        readable = cache.row >= 0
        table = table.assign(sha256=cache.sha256)[readable].reset_index(drop=True)
        seen = run.table
        twins = table["sha256"].isin(seen.loc[seen["split"] == "train", "sha256"]).sum()
        if twins:
            progress.warn(f"{twins} of these images are identical to training images: the figures under {name!r} are too good for them.")
        ready = Prepared(table, cache, np.flatnonzero(readable), proof.prove(table), cache.failures)
        _add_set(run, name, model, spec, ready, np.ones(len(table), bool), about, progress)
        about["evaluated"][name] |= {"files": _files(table), "training_twins": int(twins), "unreadable": len(cache.failures)}
        _finish(run, about, progress)
    return dict(run.metrics[name])


def begin(run: Run, resume: bool) -> None:
    """Refuse to write over a run, or to resume one that is not there or is finished."""
    exists = (run.folder / "recipe.json").is_file()
    if resume and not exists:
        raise ArtifactError(f"There is nothing to resume in {run.folder}. Start it without --resume.")
    if resume and run.finished:
        raise ArtifactError(f"The run in {run.folder} is finished. Look at {run.folder / 'report.html'}, or train into another --out.")
    if exists and not resume:
        what = "is finished" if run.finished else "was interrupted; go on with --resume"
        raise ArtifactError(f"{run.folder} holds a run already, which {what}. Give another --out, or delete the folder.")


def trained_classes(table: pd.DataFrame) -> tuple[str, ...]:
    """The classes in alphabetical order. Raises DataError where training has fewer than two."""
    counts = table.loc[table["split"] == "train", "label"].value_counts()
    if len(counts) < 2:
        raise DataError(
            f"Training needs at least two classes with images; these data have {dict(counts) or 'none'}. Check the labels, or the split."
        )
    absent = sorted(set(table.loc[table["split"].isin(["val", "test"]), "label"].dropna()) - set(counts.index))
    if absent:
        raise DataError(f"Classes without a training image: {', '.join(absent)}. Add images, merge classes (--map), or leave them out.")
    return tuple(sorted(counts.index))


def _fit(
    run: Run, ready: Prepared, spec: Recipe, classes: tuple[str, ...], about: dict[str, Any], interrupt: Interrupt, progress: Progress
) -> Classifier:
    """Train, or take the finished model of an interrupted run."""
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(spec.seed, "weights").integers(2**63)))
        model, source = build.build(spec, classes)
    about["model"] |= {
        "weights": source.name,
        "weights_sha256": source.sha256,
        "weights_licence": source.licence,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": max(sum(p.numel() for p in build.trainable(model, s.train)) for s in spec.stages),
    }
    if run.model_file.is_file():
        return build.load(run.model_file)[0].to(predict.device())
    parts = {name: _part(ready, spec, classes, name) for name in ("train", "val")}
    train_part, val_part = parts["train"], parts["val"]
    assert train_part is not None
    history: list[dict[str, Any]] = []
    with progress.part("train") as on_step:
        epochs = loop.fit(
            model,
            train_part,
            val_part,
            spec,
            cache=cache_folder() / "features",
            checkpoint=Checkpoint(run.folder),
            interrupt=interrupt,
            on_step=on_step,
            say=progress.say,
        )
        for epoch in epochs:
            history.append(asdict(epoch))
            run.save_table("history", pd.DataFrame(history))
            progress.say(_line(epoch, spec))
    build.save(model, run.model_file, spec)
    return model


def _part(ready: Prepared, spec: Recipe, classes: tuple[str, ...], name: str) -> Part | None:
    chosen = ((ready.table["split"] == name) & ready.table["label"].notna()).to_numpy()
    if not chosen.any():
        return None
    labels = pd.Categorical(ready.table.loc[chosen, "label"], categories=list(classes)).codes.astype(np.int64)
    pixels = Pixels(ready.cache, ready.rows[chosen], spec.augment if name == "train" else Augment(), predict.device())
    return Part(pixels, labels, ready.table.loc[chosen, "image"].to_numpy(dtype=np.str_))


def _add_set(
    run: Run,
    name: str,
    model: Classifier,
    spec: Recipe,
    ready: Prepared,
    chosen: NDArray[np.bool_],
    about: dict[str, Any],
    progress: Progress,
) -> None:
    """Predict some rows, add predictions and figures to the run."""
    rows = ready.table[chosen]
    pixels = Pixels(ready.cache, ready.rows[chosen], Augment(), predict.device())
    with progress.part("predict") as on_step:
        answers = predict.probabilities(
            model, pixels, spec, precision=predict.resolved(spec.train.precision, pixels.device), progress=on_step
        )
    predictions = Predictions(
        images=rows["image"].to_numpy(dtype=np.str_),
        groups=rows["group"].to_numpy(dtype=np.str_),
        labels=pd.Categorical(rows["label"], categories=list(model.classes)).codes.astype(np.int64),
        probabilities=answers,
        classes=model.classes,
    )
    run.save_predictions(name, predictions)
    with progress.part("evaluate"):
        figures = summarise(
            predictions, replicates=spec.evaluate.replicates, level=spec.evaluate.level, seed=spec.seed, majority=about["majority"]
        )
    run.metrics = run.metrics | {name: figures}
    about.setdefault("evaluated", {})[name] = {
        "root": str(rows.attrs.get("root", ready.table.attrs.get("root", ""))),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _about(
    ready: Prepared, spec: Recipe, classes: Sequence[str], how: str, allow_leaks: bool, command: str, started: str
) -> dict[str, Any]:
    """The provenance known before training."""
    table = ready.table
    return {
        "cutis": machine.version("cutis"),
        "command": command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": started,
        "request": table.attrs.get("request", {}),
        "data": {
            "root": str(table.attrs.get("root", "")),
            "reader": table.attrs.get("reader", ""),
            "files": _files(table),
            "summary": describe(table),
            "notes": table.attrs.get("notes", []) + [f"{r.image}: {r.note}" for r in ready.cache.notes.itertuples()][:50],
            "unreadable": len(ready.unreadable),
        },
        "split": {"how": how or _how(table, spec), "proof": ready.proof.to_dict(), "leaks_allowed": allow_leaks and not ready.proof.ok},
        "classes": list(classes),
        "majority": str(table.loc[table["split"] == "train", "label"].value_counts().idxmax()),
        "model": {"backbone": spec.model.backbone},
        "evaluated": {},
        "machine": machine.describe(),
        "versions": machine.versions(),
        "overrides": ["--allow-leaks"] if allow_leaks else [],
    }


def _how(table: pd.DataFrame, spec: Recipe) -> str:
    unit = "patient" if table["patient"].notna().any() else "lesion" if table["lesion"].notna().any() else "image"
    if spec.split.folds:
        return f"fold {spec.split.fold + 1} of {spec.split.folds}, by {unit}, stratified by class, seed {spec.split.seed}"
    return f"by {unit}, stratified by class, {spec.split.test:.0%} test, {spec.split.val:.0%} validation, seed {spec.split.seed}"


def _files(table: pd.DataFrame) -> list[dict[str, str]]:
    return [{"path": Path(f).name, "sha256": sha256(Path(f))} for f in table.attrs.get("files", []) if Path(f).is_file()]


def _finish(run: Run, about: dict[str, Any], progress: Progress) -> None:
    about["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    about["seconds"] = about.get("seconds", {}) | progress.seconds
    run.provenance = about
    with progress.part("report"):
        page.write(run)


def _as_before(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the split that an interrupted run had. Raises ArtifactError where rows differ."""
    before = run.table.set_index("image")["split"]
    lost = before.index.difference(pd.Index(table["image"]))
    if len(lost):
        raise ArtifactError(
            f"The data changed since the run was interrupted: {len(lost)} images are gone, for example {lost[0]}. "
            "Restore them, or train anew."
        )
    return table.assign(split=table["image"].map(before))


def _same_data(run: Run, table: pd.DataFrame) -> None:
    """Refuse to resume on other pixels or labels than those training began with."""
    if not (run.folder / "split.csv").is_file():
        return
    before, now = (t.set_index("image")[["label", "sha256"]].fillna("") for t in (run.table, table))
    both = before.join(now, how="outer", lsuffix="_before", rsuffix="_now")
    changed = both.index[(both["sha256_before"] != both["sha256_now"]) | (both["label_before"] != both["label_now"])]
    if len(changed):
        raise ArtifactError(
            f"The data changed since the run was interrupted: {len(changed)} images differ in pixels or label, for example {changed[0]}. "
            "Restore them, or train anew into another --out."
        )


def _with_labels_of(model: Classifier, table: pd.DataFrame, ignore_unknown: bool) -> pd.DataFrame:
    """Labels spelled as the model's classes; other labels are refused by name."""
    spelling = {c.casefold(): c for c in model.classes}
    labels = table["label"].map(lambda v: spelling.get(str(v).casefold(), v), na_action="ignore")
    strange = labels[~labels.isin(model.classes) & labels.notna()].value_counts()
    if len(strange) and not ignore_unknown:
        listed = ", ".join(f"{name} ({n} images)" for name, n in strange.items())
        raise DataError(
            f"The model does not know: {listed}. It knows: {', '.join(model.classes)}. "
            "Rename with --map old=new, or leave them out with --ignore-unknown."
        )
    return table.assign(label=labels)[~labels.isin(strange.index)].reset_index(drop=True)


def _line(epoch: Epoch, spec: Recipe) -> str:
    total = sum(s.epochs for s in spec.stages)
    val = "" if np.isnan(epoch.val_loss) else f", validation {epoch.val_loss:.3f}, balanced accuracy {epoch.val_balanced_accuracy:.3f}"
    return (
        f"epoch {epoch.epoch + 1}/{total} (stage {epoch.stage + 1}, {epoch.size} px): loss {epoch.train_loss:.3f}{val}"
        f"{' *' if epoch.best else ''}  [{epoch.images_per_second:,.0f} images/s, {epoch.seconds:.0f} s]"
    )

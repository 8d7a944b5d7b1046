"""The main path: a table and a recipe become a run; a run and other data become another evaluated set."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis import answers, fitting, inspection, provenance, scoping, slicing
from cutis import resume as resuming
from cutis.audit.findings import Depth
from cutis.audit.subject import Subject
from cutis.data import balance, labels, proof, splits
from cutis.data import cache as caches
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.ensemble import answers as combined
from cutis.errors import ArtifactError, CutisError, DataError, LeakError
from cutis.evaluate.priors import Shares
from cutis.files import cache_folder
from cutis.models import build, predict
from cutis.models.build import Classifier
from cutis.progress import Heeding, Progress
from cutis.randomness import stream
from cutis.recipe import Augment, Recipe, augments
from cutis.report import page
from cutis.runs import Run, stage_of
from cutis.train import inputs, loop, losses
from cutis.train.checkpoint import Checkpoint, Interrupt, watching
from cutis.train.state import Epoch, Part


@dataclass(frozen=True)
class Prepared:
    """Checked data: the table with split and sha256 (readable rows only), its cache, and what was proved."""

    table: pd.DataFrame
    cache: Cache
    rows: NDArray[np.int64]  # of the cache, for each row of the table
    proof: proof.Proof


def prepare(table: pd.DataFrame, spec: Recipe, progress: Progress, interrupt: Interrupt, pictures: Cache | None = None) -> Prepared:
    """Decode (where ``pictures`` are not given), split and prove. Raises DataError for too many unreadable files or too little to split."""
    table, cache = _decoded(table, spec, progress, interrupt, pictures)
    told = len(table.attrs["notes"])
    with progress.part("split"):
        table = splits.split(table, spec.split)
    for note in table.attrs["notes"][told:]:
        progress.say(note)
    with progress.part("proof"):
        proved = proof.prove(table)
    return Prepared(table, cache, np.flatnonzero(cache.row >= 0), proved)


def _decoded(
    table: pd.DataFrame, spec: Recipe, progress: Progress, interrupt: Interrupt, pictures: Cache | None = None
) -> tuple[pd.DataFrame, Cache]:
    """The readable rows with their ``sha256``, and the cache of all rows."""

    def heed(done: int, total: int) -> None:
        interrupt.check()
        on_step(done, total)

    with progress.part("cache") as on_step:
        cache = pictures or caches.build(table, spec.images, progress=heed)
    if len(cache.failures):
        first = "; ".join(f"{row.image} ({row.reason})" for row in cache.failures.head(3).itertuples())
        progress.warn(f"{len(cache.failures):,} of {len(table):,} images cannot be read and are left out: {first}")
    return table.assign(sha256=cache.sha256)[cache.row >= 0].reset_index(drop=True), cache


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
    pictures: Cache | None = None,
    report: bool = True,
    audit: Depth = "none",
) -> Run:
    """Train a recipe on a table and leave a run folder with model, predictions, figures and report.

    ``how`` says in words where a given split came from; ``pictures`` are the table's images where they are in memory already; without
    ``report`` no page is written; ``audit`` is how much of an audit the run's folder begins with. Raises LeakError where the split leaks
    and ``allow_leaks`` is not set; ArtifactError where ``out`` holds something already, or where the data changed before a resume;
    Interrupted after SIGINT or SIGTERM, when all is saved.
    """
    run, progress = Run(out), progress or Progress()
    if spec.ensemble is not None:
        raise CutisError("This recipe combines finished runs and trains nothing. Use it with: cutis ensemble RUN RUN ... --out RUN")
    with run.lock(), watching() as interrupt:
        resuming.begin(run, resume)
        before = run.provenance if resume and (run.folder / "provenance.json").is_file() else {}
        how = before["split"]["how"] if before else provenance.how(table, spec, how)
        started = before.get("started") or provenance.now()
        if resume and (run.folder / "split.csv").is_file():
            table = resuming.as_before(run, table)
        model, facts = _checked(table, spec, allow_leaks)
        ready = prepare(table, spec, progress, interrupt, pictures)
        heed(ready.proof, allow_leaks)
        if ready.proof.ok:
            progress.say(ready.proof.message())
        else:
            progress.warn(f"The split leaks, which is allowed here: every page says so. {' '.join(ready.proof.leaks)}")
        classes = trained_classes(ready.table)
        if classes != model.classes:  # no image of one of them could be read
            model, facts = made(spec, classes)
        if resume:
            resuming.same_data(run, ready.table)
        run.recipe = spec
        run.save_table("split", ready.table)
        if len(ready.cache.failures):
            run.save_table("unreadable", ready.cache.failures)
        about = provenance.about(ready.table, ready.cache, ready.proof, classes) | {"command": command, "started": started}
        about["split"]["how"], about["model"] = how, facts
        run.provenance = about
        if audit != "none":
            whole = table.assign(split=table["image"].map(ready.table.set_index("image")["split"]))
            heeding = Heeding(progress, interrupt.check)
            inspection.of_run(run, Subject(whole, ready.cache, spec, quick=audit == "quick", progress=heeding), command)
        model = _fit(run, ready, spec, model, interrupt, progress)
        sets = {}
        for name in ("val", "test"):
            chosen = (ready.table["split"] == name).to_numpy()
            if chosen.any():
                sets[name] = ready.table[chosen], Pixels(ready.cache, ready.rows[chosen], Augment(), predict.device())
        if report and scoping.free(model, spec):
            heeding = Heeding(progress, interrupt.check)
            scoping.of_training(run, model, spec, ready.table, ready.cache, ready.rows, heeding)
        answers.of_training(run, model, spec, sets, about, progress)
        with progress.part("fit"):
            fitting.fit(run)
        if report:
            with progress.part("groups"):
                slicing.own(run)
        about |= {"finished": provenance.now(), "seconds": progress.seconds}
        run.provenance = about
        if report:
            page.write(run)
        Checkpoint(run.folder).remove()
    return run


def evaluate(
    run: Run,
    table: pd.DataFrame,
    name: str,
    *,
    ignore_unknown: bool = False,
    prior: Shares = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answer other data with a run's model and add the figures under ``name``, whose earlier ones they replace.

    ``prior``: how frequent the classes are where these data are from (priors.given); answers are then corrected for that, too. Raises
    DataError where labels are not the model's, or none is known.
    """
    progress = progress or Progress()
    if name in ("train", "val", "test") or stage_of(name) or not name.replace("-", "").replace("_", "").isalnum():
        raise CutisError(
            f"The name {name!r} cannot be used: letters, digits, - and _ only; train, val and test are the run's own parts, "
            "also after a stage (test-stage-1)."
        )
    if run.parts:
        raise ArtifactError(f"{run.folder} is a run of runs. Evaluate one of them: {', '.join(str(p.folder) for p in run.parts)}")
    if not run.finished:
        raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")
    with run.lock():
        if fitting.due(run):
            fitting.fit(run)
        if prior:
            fitting.shares(run, prior)
        if run.recipe.ensemble is not None:
            files = provenance.files(table)
            combined.evaluate(run, table, name, files=files, ignore_unknown=ignore_unknown, progress=progress)
            _concluded(run, name, table, prior)
            return dict(run.metrics[name])
        model, spec = build.load(run.model_file)
        build.placed(model, predict.device())
        about = run.provenance
        table, cache = _decoded(labels.matched(table, model.classes, ignore_unknown), spec, progress, Interrupt())
        if not table["label"].notna().any():
            raise DataError("No image that can be read has a label, so there is nothing to measure. Give data with labels.")
        seen = run.table
        twins = int(table["sha256"].isin(seen.loc[seen["split"] == "train", "sha256"]).sum())
        if twins:
            progress.warn(f"{twins:,} of these images are identical to training images: the figures under {name!r} are too good for them.")
        pixels = Pixels(cache, np.flatnonzero(cache.row >= 0), Augment(), predict.device())
        choice = answers.chosen(model, [pixels], spec, progress)
        answers.add(run, name, model, spec, table, pixels, choice, about, progress)
        about["evaluated"][name] |= {
            "files": provenance.files(table),
            "training_twins": twins,
            "unreadable": len(cache.failures),
            "seconds": progress.seconds,
        }
        run.provenance = about
        _concluded(run, name, table, prior)
    return dict(run.metrics[name])


def _concluded(run: Run, name: str, table: pd.DataFrame, prior: Shares) -> None:
    """Measure on an evaluated set what was fitted, and for whom the model works, and make the page."""
    fitting.measure(run, name)
    slicing.measure(run, name, table)
    if prior:
        fitting.correct(run, [name], prior)
    page.write(run)


def trained_classes(table: pd.DataFrame) -> tuple[str, ...]:
    """The classes, grades from the lowest up and all others in alphabetical order. Raises DataError where training has fewer than two."""
    counts = table.loc[table["split"] == "train", "label"].value_counts()
    if len(counts) < 2:
        found = ", ".join(f"{name} ({n:,})" for name, n in counts.items()) or "none"
        raise DataError(f"Training needs at least two classes with images; the training part has {found}. Check the labels, or the split.")
    absent = sorted(set(table.loc[table["split"].isin(["val", "test"]), "label"].dropna()) - set(counts.index))
    if absent:
        raise DataError(f"Classes without a training image: {', '.join(absent)}. Add images, merge classes (--map), or leave them out.")
    return labels.in_order(counts.index)


def _checked(table: pd.DataFrame, spec: Recipe, allow_leaks: bool) -> tuple[Classifier, dict[str, Any]]:
    """As ``made``. All that can be refused before minutes of decoding is: split, groups, classes, names, weights, stages."""
    table = splits.split(table, spec.split)
    heed(proof.prove(table), allow_leaks)
    classes = trained_classes(table)
    fitting.checked(spec.evaluate, classes)
    trained = answers.codes(table.loc[table["split"] == "train", "label"], classes)
    for within in map(spec.within, spec.stages):
        losses.function(within.loss, torch.ones(len(classes)), classes)
        balance.indices(trained, within.balance, spec.seed, 0)
        augments[within.balance.preset]()
    model, facts = made(spec, classes)
    for stage in spec.stages:
        inputs.worth_keeping(model, stage, spec.within(stage), lambda _: None)
    return model, facts


def heed(proved: proof.Proof, allow_leaks: bool) -> None:
    """Raise LeakError for a split that leaks, unless that is allowed."""
    if not proved.ok and not allow_leaks:
        raise LeakError(proved.message())


def made(spec: Recipe, classes: Sequence[str]) -> tuple[Classifier, dict[str, Any]]:
    """The network with its first weights, and what provenance says of it."""
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(spec.seed, "weights").integers(2**63)))
        model, source = build.build(spec, classes)
    return model, {
        "backbone": spec.model.backbone,
        "weights": source.name,
        "weights_sha256": source.sha256,
        "weights_licence": source.licence,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": max(sum(p.numel() for p in build.trainable(model, s.train)) for s in spec.stages),
    }


def _fit(run: Run, ready: Prepared, spec: Recipe, model: Classifier, interrupt: Interrupt, progress: Progress) -> Classifier:
    """Train, or take the finished model of an interrupted run."""
    if run.model_file.is_file():
        return build.placed(build.load(run.model_file)[0], predict.device())
    train_part, val_part = (_part(ready, spec, model.classes, name) for name in ("train", "val"))
    assert train_part is not None
    history: list[dict[str, Any]] = []
    total = sum(stage.epochs for stage in spec.stages)
    with progress.part("train") as on_step:
        epochs = loop.fit(
            model,
            train_part,
            val_part,
            spec,
            cache=cache_folder() / "features",
            checkpoint=Checkpoint(run.folder),
            interrupt=interrupt,
            on_step=lambda done, steps: on_step(len(history) * steps + done, total * steps),
            on_pass=lambda done, images: progress.step("features", done, images),
            say=progress.say,
        )
        for epoch in epochs:
            history.append(asdict(epoch))
            run.save_table("history", pd.DataFrame(history))
            progress.say(_line(epoch, total))
    build.save(model, run.model_file, spec)
    return model


def _part(ready: Prepared, spec: Recipe, classes: tuple[str, ...], name: str) -> Part | None:
    chosen = ((ready.table["split"] == name) & ready.table["label"].notna()).to_numpy()
    if not chosen.any():
        return None
    pixels = Pixels(ready.cache, ready.rows[chosen], spec.augment if name == "train" else Augment(), predict.device())
    rows = ready.table[chosen]
    return Part(pixels, answers.codes(rows["label"], classes), rows["image"].to_numpy(dtype=np.str_))


def _line(epoch: Epoch, total: int) -> str:
    val = "" if np.isnan(epoch.val_loss) else f", validation {epoch.val_loss:.3f}, balanced accuracy {epoch.val_balanced_accuracy:.3f}"
    best = ", the best so far" if val and epoch.best else ""
    return (
        f"Epoch {epoch.epoch + 1} of {total} (stage {epoch.stage + 1}, {epoch.size} px): loss {epoch.train_loss:.3f}{val}{best}"
        f"  [{epoch.images_per_second:,.0f} images/s, {epoch.seconds:.0f} s]"
    )

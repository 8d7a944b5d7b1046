"""The main path: a table and a recipe become a run; a run and other data become another evaluated set."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cutis.audit.findings import Depth
from cutis.audit.subject import Subject
from cutis.data import labels
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.data.proof import Proof
from cutis.ensemble import answers as combined
from cutis.errors import ArtifactError, CutisError, DataError
from cutis.evaluate.priors import Shares
from cutis.files import cache_folder
from cutis.jobs import answers, fitting, inspection, preparing, provenance, scoping, slicing
from cutis.jobs import resume as resuming
from cutis.models import build, predict
from cutis.models.build import Classifier
from cutis.progress import Heeding, Progress
from cutis.recipe import Augment, Recipe
from cutis.report import page
from cutis.runs import Run, stage_of
from cutis.train import loop
from cutis.train.checkpoint import Checkpoint, Interrupt, watching
from cutis.train.state import Epoch, Part


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
        model, facts = preparing.checked(table, spec, allow_leaks)
        ready = preparing.prepare(table, spec, progress, interrupt, pictures)
        _proved(ready.proof, allow_leaks, progress)
        classes = preparing.trained_classes(ready.table)
        if classes != model.classes:  # no image of one of them could be read
            model, facts = preparing.made(spec, classes)
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
        _answered(run, ready, spec, model, about, interrupt, progress, report=report)
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
        table, cache = preparing.decoded(labels.matched(table, model.classes, ignore_unknown), spec, progress, Interrupt())
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


def _proved(found: Proof, allow_leaks: bool, progress: Progress) -> None:
    """Say what the proof found. Raises LeakError for a split that leaks, unless that is allowed."""
    preparing.heed(found, allow_leaks)
    if found.ok:
        progress.say(found.message())
    else:
        progress.warn(f"The split leaks, which is allowed here: every page says so. {' '.join(found.leaks)}")


def _answered(
    run: Run,
    ready: preparing.Prepared,
    spec: Recipe,
    model: Classifier,
    about: dict[str, Any],
    interrupt: Interrupt,
    progress: Progress,
    *,
    report: bool,
) -> None:
    """All that follows training: reference and limits of scope, answers for validation and test, what is fitted on validation, groups."""
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


def _fit(run: Run, ready: preparing.Prepared, spec: Recipe, model: Classifier, interrupt: Interrupt, progress: Progress) -> Classifier:
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


def _part(ready: preparing.Prepared, spec: Recipe, classes: tuple[str, ...], name: str) -> Part | None:
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

"""A study at work: each arm becomes a run in a folder of its own, begun, taken up or kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cutis.data import cache as caches
from cutis.data import splits
from cutis.ensemble import make
from cutis.errors import ArtifactError, CutisError, DataError
from cutis.jobs import fitting, pipeline, provenance, repeats
from cutis.models import backbones, weights
from cutis.progress import Progress
from cutis.recipe import Recipe
from cutis.registry import unknown
from cutis.report import page, words
from cutis.runs import Run
from cutis.studies.catalog import Arm, Combined, Given, Scale, Study, Tables, Trained, one_table
from cutis.studies.scaling import fitted, reduced, shortened

__all__ = ["Work", "fitted", "one_table", "reduced"]


@dataclass
class Work:
    """What the arms of a study are made with.

    ``asked``: names of the arms to make, all where empty; others are shown where their runs are finished. ``backbone`` takes the place
    of every published one; ``from_scratch`` lets backbones whose weights are not at hand start from random ones. ``drawn``: the pictures
    are Cutis's own, so nothing is comparable.
    """

    study: Study
    given: Given
    scale: Scale
    out: Path
    asked: Sequence[str] = ()
    backbone: str = ""
    from_scratch: bool = False
    drawn: bool = False
    progress: Progress = field(default_factory=Progress)
    command: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    """Arms that are not made, and why."""

    # What an arm's own ``make`` may use

    @cached_property
    def tables(self) -> Tables:
        """The study's tables, whole."""
        return self.study.tables(replace(self.given, table=self._hashed()), self.study.split)

    def folder(self, arm: Arm) -> Path:
        """Where an arm's run lies."""
        return self.out / arm.name

    def scale_of(self, arm: Arm) -> Scale:
        """The limits that hold for an arm; what it is tested on is the study's."""
        if self.scale.name != "cpu" or arm.cpu is None:
            return self.scale
        return Scale(**{**vars(arm.cpu), "name": "cpu", "test": self.scale.test})

    def table(self, arm: Arm, name: str | None = None) -> pd.DataFrame:
        """The rows an arm is trained and tested on, or those of another table, at its scale."""
        key = (arm.data if name is None else name, self.scale_of(arm))
        if key not in self._reduced:
            rows = reduced(self.tables[key[0]], key[1], self._strata)
            self._reduced[key] = splits.split(rows, self.study.split) if rows["split"].notna().any() else rows
        return self._reduced[key]

    def recipe(self, arm: Arm, recipe: Recipe) -> Recipe:
        """One of an arm's recipes as it is run here."""
        return self._fitted(arm, recipe)[0]

    def changes(self, arm: Arm) -> list[str]:
        """All that an arm does otherwise than it was published or planned, a phrase each."""
        said = [line for recipe in arm.plan() for line in self._fitted(arm, recipe)[1]]
        if isinstance(arm, Trained) and self.seeds(arm) < arm.seeds:
            said.append(f"{words.count(self.seeds(arm), 'seed')} instead of {arm.seeds}")
        if not isinstance(arm, Combined):
            said += shortened(self.tables[arm.data], self.table(arm))
        return list(dict.fromkeys(said))

    def seeds(self, arm: Trained) -> int:
        """How many seeds an arm is trained with here."""
        return min(arm.seeds, self.scale_of(arm).seeds or arm.seeds)

    def train(self, arm: Trained) -> Run:
        """Train an arm's recipe, with each of its seeds, and answer its further tables."""
        recipe, table, run = self.recipe(arm, arm.recipe), self.table(arm), Run(self.folder(arm))
        seeds = self.seeds(arm)
        begun = self.begun(run, recipe, table)
        if not run.finished:
            self.progress.seconds = {}
            options: dict[str, Any] = {
                "how": table.attrs.get("how", ""),
                "allow_leaks": arm.leaks,
                "resume": begun,
                "command": self.command,
                "progress": self.progress,
            }
            if seeds > 1:
                repeats.train(table, recipe, run.folder, seeds=seeds, **options)
            else:
                pipeline.train(table, recipe, run.folder, **options)
        self.answer(arm, run, arm.also)
        return run

    def combine(self, arm: Combined) -> Run:
        """Combine the runs of the members, and answer the tables that all of them answered."""
        members = [self.study.arm(name) for name in arm.members]
        run, folders = Run(self.folder(arm)), [self.folder(member) for member in members]
        spec = make.recipe(folders, run.folder, method=arm.method, weights=arm.weights, options=dict(arm.options))
        self.begun(run, spec)
        if not run.finished:
            self.progress.seconds = {}
            leaks = any(getattr(member, "leaks", False) for member in members)
            make.make(spec, run.folder, allow_leaks=leaks, command=self.command, progress=self.progress)
            with run.lock():
                fitting.fit(run)
            page.write(run)
        shared = [set(getattr(member, "also", ())) for member in members]
        self.answer(arm, run, sorted(set.intersection(*shared)))
        return run

    def answer(self, arm: Arm, run: Run, names: Sequence[str]) -> None:
        """Let a run, and each run in it, answer the test part of further tables (all of a table without parts); what is answered stays."""
        for name in (n for n in names if n in self.tables):
            whole = self.table(arm, name)
            rows = whole[whole["split"] == "test"] if (whole["split"] == "test").any() else whole
            rows.attrs = whole.attrs
            for part in run.parts or [run]:
                if not _answered(part, name, rows):
                    self.progress.seconds = {}
                    pipeline.evaluate(part, rows, name, progress=self.progress)

    def begun(self, run: Run, recipe: Recipe, table: pd.DataFrame | None = None) -> bool:
        """Whether a folder holds this very run, finished or not. Raises ArtifactError where it holds another."""
        if not (run.folder / "recipe.json").is_file():
            return False
        other = "" if run.recipe == recipe else "recipe"
        for part in run.parts or [run]:
            if table is not None and (part.folder / "split.csv").is_file() and not _same(part.table, table):
                other = "data or split"
        if other:
            raise ArtifactError(f"{run.folder} holds a run with another {other}. Give another --out, or delete that folder.")
        return True

    # What carries a study out

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms that are made: those asked for with the members of their ensembles. Raises CutisError for an unknown name."""
        names = {arm.name: arm for arm in self.study.arms}
        wanted = list(self.asked or names)
        for name in wanted:  # grows while it is read
            if name not in names:
                raise CutisError(unknown("arm", name, names))
            wanted += [m for m in getattr(names[name], "members", ()) if m not in wanted]
        return [arm for arm in self.study.arms if arm.name in wanted or Run(self.folder(arm)).finished]

    def run(self) -> dict[str, Run]:
        """Make the arms in their order; an ensemble for which validation is too small is left out.

        Raises ArtifactError, before anything is trained, where weights are missing.
        """
        self.left_out = {arm.name: "not asked for" for arm in self.study.arms if arm not in self.arms}
        self.ready()
        runs: dict[str, Run] = {}
        for i, arm in enumerate(self.arms, 1):
            if twin := self.twin(arm):
                self.left_out[arm.name] = f"is the same as {twin} once every backbone is {self.backbone}"
                self.progress.say(f"{arm.name} is left out: it {self.left_out[arm.name]}.")
                continue
            lacking = [m for m in getattr(arm, "members", ()) if m not in runs]
            if lacking or (not getattr(arm, "members", ()) and arm.data not in self.tables):
                self.left_out[arm.name] = f"needs the arm {lacking[0]}" if lacking else f"needs the data {arm.data!r}, which were not given"
                self.progress.say(f"{arm.name} is left out: it {self.left_out[arm.name]}.")
                continue
            self.progress.say(f"{self.study.name}: {arm.name} ({i} of {len(self.arms)})")
            try:
                runs[arm.name] = arm.make(self)
            except DataError as error:
                if not isinstance(arm, Combined):
                    raise
                # validation is too small for this way to combine: the other arms stand
                self.left_out[arm.name] = str(error)
                self.progress.say(f"{arm.name} is left out. {error}")
        return runs

    def twin(self, arm: Arm) -> str:
        """The arm before this one that trains the very same, now that one backbone stands for all; empty where there is none."""
        if not self.backbone or not isinstance(arm, Trained):
            return ""
        before = self.arms[: self.arms.index(arm)]
        return next((other.name for other in before if isinstance(other, Trained) and self._training(other) == self._training(arm)), "")

    def _training(self, arm: Trained) -> tuple[Any, ...]:
        """All that tells one training here from another; what it is called does not."""
        told = self.recipe(arm, arm.recipe).changed(name="", description="", assumptions=())
        return told, arm.data, self.scale_of(arm).images, self.seeds(arm), arm.also

    def ready(self) -> None:
        """Raise ArtifactError where weights that are needed are neither here nor on the hub; fetches those that are there."""
        todo = [arm for arm in self.arms if not Run(self.folder(arm)).finished and arm.data in self.tables]
        specs = [self.recipe(arm, recipe).model for arm in todo for recipe in arm.plan()]
        missing = {m.backbone for m in specs if m.weights == "pretrained" and weights.find(m.backbone) is None}
        for name in sorted(missing):
            try:
                weights.get(name)
            except ArtifactError as error:
                raise ArtifactError(
                    f"Weights are missing for {words.listed(sorted(missing))}: neither in {weights.folder()} nor reachable on the hub. "
                    "Put NAME.safetensors there, take a backbone whose weights you have (--backbone NAME), "
                    "or start these from random weights (--from-scratch); the page says so."
                ) from error

    def _hashed(self) -> pd.DataFrame:
        """The table given, with the hash of each picture that can be read: a split drawn by it tears no copies apart."""
        sizes = [self.recipe(arm, recipe).images for arm in self.study.arms for recipe in arm.plan()]
        if not sizes:
            return self.given.table
        with self.progress.part("cache") as on_step:
            cache = caches.build(self.given.table, min(sizes, key=lambda images: images.size), progress=on_step)
        hashes = pd.Series(cache.sha256, index=self.given.table.index).where(cache.row >= 0)
        table = self.given.table.assign(sha256=hashes)
        table.attrs = self.given.table.attrs
        return table

    @cached_property
    def _reduced(self) -> dict[tuple[str, Scale], pd.DataFrame]:
        return {}

    @cached_property
    def _strata(self) -> dict[Any, str]:
        """Labels as given: tables of the same images under other labels are cut down to the same rows by them."""
        known = self.given.table.dropna(subset=["label"])
        return dict(zip(known["image"], known["label"], strict=True))

    def _fitted(self, arm: Arm, recipe: Recipe) -> tuple[Recipe, list[str]]:
        """The recipe with this study's split, backbone and weights, within the scale; and what that changed."""
        recipe, said = recipe.changed(split=self.study.split), []
        if self.backbone and recipe.model.backbone not in (self.backbone, *backbones.backbones):
            said.append(f"backbone {self.backbone} instead of {recipe.model.backbone}")
            recipe = recipe.changed(**{"model.backbone": self.backbone, "model.options": {}})
        model = recipe.model
        at_hand = model.backbone not in backbones.backbones and weights.find(model.backbone) is not None
        random = self.scale.name == "smoke" or model.backbone in backbones.backbones or (self.from_scratch and not at_hand)
        if model.weights == "pretrained" and random:
            frozen = any(stage.train == "head" for stage in recipe.stages)
            said.append(f"{model.backbone} from random weights" + (", frozen as they are in some stages" if frozen else ""))
            recipe = recipe.changed(**{"model.weights": "none"})
        smaller, told = fitted(recipe, self.scale_of(arm))
        return smaller, said + told


def _answered(run: Run, name: str, rows: pd.DataFrame) -> bool:
    """Whether a run has answered these very rows under a name."""
    if name not in run.metrics:
        return False
    told, answers = run.provenance["evaluated"].get(name, {}), run.predictions(name)
    same_files = told.get("files", []) == provenance.files(rows)
    return same_files and set(answers.images) <= set(rows["image"]) and len(answers.images) + told.get("unreadable", 0) == len(rows)


def _same(before: pd.DataFrame, now: pd.DataFrame) -> bool:
    """Whether a run's rows are these, but for unreadable images."""
    was = before[["image", "label", "split"]].fillna("").set_index("image")
    have = now[["image", "label", "split"]].astype(object).fillna("").set_index("image")
    return set(was.index) <= set(have.index) and bool((was == have.loc[was.index]).to_numpy().all())

"""An arm that searches: whole networks are trained one after another, the best one's recipe becomes the arm's run."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cutis.files import write_json
from cutis.recipe import Balance, Recipe, Stage
from cutis.runs import Run
from cutis.search import published
from cutis.search.published import Candidate, Tried, capped
from cutis.studies.catalog import Arm

if TYPE_CHECKING:
    from cutis.studies.work import Work


@dataclass(frozen=True, kw_only=True)
class Searched(Arm):
    """The genetic search over a network's classifying layers as published, then the best one trained on.

    Candidates are judged by their best accuracy on validation; the test images are answered by the last run alone.
    """

    recipe: Recipe
    population: int = 8
    generations: int = 5
    rate: float | None = None
    """Mutation rate given from outside; None: each individual's own."""
    then: tuple[Stage, ...] = ()
    """What follows the best one's own stages, at its rate."""
    balance: Balance | None = None
    """How training rows are drawn in the stages of ``then``."""

    def plan(self) -> tuple[Recipe, ...]:
        """The network that is searched over, with the stages that follow."""
        return (self._whole(self.recipe),)

    def make(self, work: "Work") -> Run:
        """Search, or go on with it, then train the best one's recipe; the folders of candidates keep figures and no weights."""
        from cutis.jobs import pipeline  # here and below, so that a study is told of without what trains it
        from cutis.report import page

        run, table = Run(work.folder(self)), work.table(self)
        population, generations = capped(self.population, self.generations, work.scale_of(self).candidates)
        base = work.recipe(self, self._whole(self.recipe))
        alone = base.changed(stages=[stage.model_dump(mode="json") for stage in base.stages[: len(self.recipe.stages)]])
        rows = table[table["split"].isin(["train", "val"])]
        rows.attrs = table.attrs

        def train(number: int, candidate: Candidate) -> float:
            work.progress.say(f"Candidate {number + 1} of {population * generations}: {_told(candidate)}")
            return _accuracy(work, rows, candidate.recipe(alone), Run(run.folder / "candidates" / f"{number:03d}"))

        tried = published.search(
            train,
            run.folder / "search-state.json",
            population=population,
            generations=generations,
            rate=self.rate,
            seed=alone.seed,
        )
        found = published.best(tried)[0]
        spec = found.candidate.recipe(base)
        begun = work.begun(run, spec, table)
        if not run.finished:
            how = table.attrs.get("how", "")
            pipeline.train(table, spec, run.folder, how=how, resume=begun, command=work.command, progress=work.progress, report=False)
        if not (run.folder / "report.html").is_file():
            _emptied(run.folder / "candidates")
            _tell(run, tried, self.rate)
            page.write(run)
        return run

    def _whole(self, spec: Recipe) -> Recipe:
        stages = [*spec.stages, *(stage.model_copy(update={"balance": self.balance}) for stage in self.then)]
        return spec.changed(stages=[stage.model_dump(mode="json") for stage in stages])


def _accuracy(work: "Work", rows: pd.DataFrame, spec: Recipe, run: Run) -> float:
    """Train a candidate, or take it up where it was begun; its best accuracy on validation."""
    from cutis.jobs import pipeline

    _emptied(run.folder.parent, but=run.folder.name)
    begun = work.begun(run, spec, rows)
    if not run.finished:
        how = rows.attrs.get("how", "")
        pipeline.train(rows, spec, run.folder, how=how, resume=begun, command=work.command, progress=work.progress, report=False)
    return float(run.history["val_accuracy"].max())


def _emptied(folder: Path, but: str = "") -> None:
    """Of each candidate that was counted, only its history stays, as NNN.csv."""
    for done in (p.parent for p in folder.glob("*/history.csv") if p.parent.name != but):
        (done / "history.csv").replace(folder / f"{done.name}.csv")
        shutil.rmtree(done)


def _tell(run: Run, tried: Sequence[Tried], rate: float | None) -> None:
    """Write what the report's part on the search reads."""
    found = published.best(tried)[0]
    run.save_table("search", pd.DataFrame([one.row for one in tried]))
    own = "each individual's own" if rate is None else f"{rate:g}"
    write_json(
        run.folder / "search.json",
        {
            "format": "cutis-search-1",
            "sampler": "mutation alone, as published",
            "metric": "accuracy",
            "how": f"Each individual trains the whole network; the better half have offspring, by mutation at a rate of {own}.",
            "best": {"number": found.number, "generation": found.generation, "value": found.value, "genes": asdict(found.candidate)},
        },
    )


def _told(candidate: Candidate) -> str:
    return f"{candidate.units} units, dropout {candidate.dropout:.2f}, rate {candidate.lr:.1e}, mutation rate {candidate.mutation:.2f}"

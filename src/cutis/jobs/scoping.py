"""What a run's network was made for: the reference of its training images, the limit of what is like them, and what it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data import cache as caches
from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.errors import ArtifactError, CutisError, DataError
from cutis.files import read_json, sha256, write_csv, write_json
from cutis.jobs import provenance
from cutis.models import build, features, predict, reference, scope
from cutis.models.build import Classifier
from cutis.models.reference import Reference, Seen
from cutis.models.scope import Scored
from cutis.progress import Progress
from cutis.recipe import Augment, Recipe
from cutis.runs import Run

FORMAT: Final = "cutis-scope-1"
FILE: Final = "scope.json"
FIRST: Final = "neighbours"
"""The score by which an image is refused; the others are told beside it. Of smartphone photos a linear head on a frozen MobileNetV2,
trained on 420 dermoscopy images, refused 85 in 100 by it, 48 by Mahalanobis, 17 by energy (and no noise); a fine-tuned network, trained on
8,208, refused 62, 68 and 0 (docs/results/trust.md)."""


@dataclass(frozen=True, eq=False)
class Looking:
    """A run's network, ready to look at pictures always in the same way."""

    run: Run
    model: Classifier
    spec: Recipe
    work: int
    progress: Progress

    @classmethod
    def at(cls, run: Run, model: Classifier, spec: Recipe, table: pd.DataFrame, progress: Progress) -> "Looking":
        """``table``: the run's rows after the split."""
        train, val = (int(((table["split"] == name) & table["label"].notna()).sum()) for name in ("train", "val"))
        return cls(run, model, spec, reference.work(train, val, spec), progress)

    def see(self, cache: Cache, rows: NDArray[np.int64]) -> Seen:
        """Features and logits of these rows of a cache."""
        pixels = Pixels(cache, rows, Augment(), predict.device())
        with self.progress.part("features") as on_step:
            return reference.see(self.model, pixels, self.spec, work=self.work, progress=on_step)


def free(model: Classifier, spec: Recipe) -> bool:
    """Whether training leaves the features of the final network behind, so that a reference costs no pass of the training images."""
    kept = spec.stages[-1].train == "head" and spec.train.views > 0 and not features.heavy(model, spec.train.views)
    return kept and not reference.streamed(model)


def of_training(
    run: Run, model: Classifier, spec: Recipe, table: pd.DataFrame, cache: Cache, rows: NDArray[np.int64], progress: Progress
) -> None:
    """The reference, the limits from validation, and what they refuse of validation and test. The caller holds the lock.

    ``table``: the readable rows after the split, at ``rows`` of ``cache``.
    """
    looking = Looking.at(run, model, spec, table, progress)
    made = _made(looking, table, cache, rows)
    if (table["split"] == "val").any():
        _settled(looking, made, table, cache, rows)


def known(run: Run, progress: Progress | None = None) -> tuple[Looking, Reference]:
    """A finished run's network and its reference, which is made where there is none. The caller holds the lock.

    Costs a pass of all training images where their features are not kept. Raises CutisError for a run without a network of its own,
    ArtifactError where its images are gone or changed.
    """
    progress = progress or Progress()
    _check(run)
    model, spec = build.load(run.model_file)
    build.placed(model, predict.device())
    table = run.table
    looking = Looking.at(run, model, spec, table, progress)
    kept = reference.load(run)
    if kept is not None:
        return looking, kept
    rows = table["split"] == "train"
    return looking, _made(looking, table[rows], *opened(looking, table[rows]))


def refuse(run: Run, table: pd.DataFrame | None = None, name: str = "", progress: Progress | None = None) -> dict[str, Any]:
    """What share of some pictures a run's limits refuse, added to scope.json and the page under ``name``; what scope.json then holds.

    Without a table only what a run has of itself: reference, limits, and what they refuse of validation and test. Labels of the table are
    not looked at. Raises as ``known`` does, and DataError where the run has no validation part, from which limits come.
    """
    from cutis.report import page

    progress = progress or Progress()
    _check(run)
    if table is not None and (name in ("train", "val", "test") or not name.replace("-", "").replace("_", "").isalnum()):
        raise CutisError(f"The name {name!r} cannot be used: letters, digits, - and _ only, and not train, val or test. Give --name NAME.")
    with run.lock():
        own = run.table
        if not (own["split"] == "val").any():
            raise DataError(f"{run.folder} has no validation images, from which the limit comes. Train with split.val above 0.")
        looking, seen = known(run, progress)
        told = read_json(run.folder / FILE) if (run.folder / FILE).is_file() else {}
        if told.get("model") != sha256(run.model_file):
            rest = own[own["split"].isin(["val", "test"])]
            told = _settled(looking, seen, rest, *opened(looking, rest))
        if table is not None:
            told = _added(looking, seen, told, table, name)
        page.write(run)
    return told


def _check(run: Run) -> None:
    if run.parts:
        raise ArtifactError(f"{run.folder} is a run of runs. Name one of them: {', '.join(str(p.folder) for p in run.parts)}")
    if run.recipe.ensemble is not None:
        members = ", ".join(str((run.folder / path).resolve()) for path in run.recipe.ensemble.members)
        raise ArtifactError(f"{run.folder} is an ensemble and has no network of its own. Name one of its members: {members}")
    if not run.finished:
        raise ArtifactError(f"The run in {run.folder} is unfinished. Go on with: cutis train --out {run.folder} --resume")


def opened(looking: Looking, table: pd.DataFrame) -> tuple[Cache, NDArray[np.int64]]:
    """The pictures of rows of split.csv, which must be those of then, and where they are in the cache."""
    about, table = looking.run.provenance["data"], table.reset_index(drop=True)
    table.attrs["root"] = about["root"]
    with looking.progress.part("cache") as on_step:
        cache = caches.build(table, looking.spec.images, progress=on_step)
    changed = np.flatnonzero(np.asarray(cache.sha256[np.arange(len(table))]) != table["sha256"].to_numpy(np.str_))
    if len(changed):
        raise ArtifactError(
            f"{len(changed):,} of the run's images are gone or changed since it was trained, for example {table['image'][changed[0]]}. "
            f"Restore them below {about['root']}."
        )
    return cache, np.arange(len(table))


def _made(looking: Looking, table: pd.DataFrame, cache: Cache, rows: NDArray[np.int64]) -> Reference:
    """The reference from the labelled training rows, kept in the run."""
    chosen = ((table["split"] == "train") & table["label"].notna()).to_numpy()
    if not free(looking.model, looking.spec):
        looking.progress.say(f"Passing {int(chosen.sum()):,} training images through the network once, to know what it was trained on")
    seen, images = looking.see(cache, rows[chosen]), table["image"].to_numpy(np.str_)[chosen]
    classes = list(looking.model.classes)
    labels = np.array([classes.index(label) for label in table["label"][chosen]], np.int64)
    made = reference.of(looking.model, seen, images, labels)
    reference.save(made, looking.run)
    return made


def _settled(looking: Looking, made: Reference, table: pd.DataFrame, cache: Cache, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Limits that let ``evaluate.in_scope`` of the validation images pass, and what they refuse of validation and test."""
    run, spec = looking.run, looking.spec
    parts = {name: (table["split"] == name).to_numpy() for name in ("val", "test")}
    scored = {}
    for name, chosen in parts.items():
        if chosen.any():
            strange = scope.strangeness(made, looking.see(cache, rows[chosen]))
            scored[name] = Scored(strange, table["group"].to_numpy(np.str_)[chosen])
            _keep(run, name, table["image"].to_numpy(np.str_)[chosen], scored[name])
    val = scored["val"]
    limits = {score: scope.limit(values, spec.evaluate.in_scope) for score, values in val.strange.items()}
    told: dict[str, Any] = {
        "format": FORMAT,
        "model": sha256(run.model_file),
        "by": FIRST,
        "in_scope": spec.evaluate.in_scope,
        "fitted": {"set": "val", "n": len(val.groups), "groups": len(np.unique(val.groups)), "limits": limits},
        "reference": {"images": len(made.images), "features": made.features.shape[1], "neighbours": scope.NEIGHBOURS},
        "interval": {"level": spec.evaluate.level, "replicates": spec.evaluate.replicates, "seed": spec.seed},
        "sets": {},
    }
    root = run.provenance["data"]["root"]
    for name, part in scored.items():
        told["sets"][name] = _told(part, val, limits, spec, root)
    write_json(run.folder / FILE, told)
    return told


def _added(looking: Looking, seen: Reference, told: dict[str, Any], table: pd.DataFrame, name: str) -> dict[str, Any]:
    """Another set, whose earlier figures it replaces."""
    run, spec = looking.run, looking.spec
    with looking.progress.part("cache") as on_step:
        cache = caches.build(table, spec.images, progress=on_step)
    if len(cache.failures):
        first = "; ".join(f"{row.image} ({row.reason})" for row in cache.failures.head(3).itertuples())
        looking.progress.warn(f"{len(cache.failures):,} of {len(table):,} images cannot be read and are left out: {first}")
    rows = np.flatnonzero(cache.row >= 0)
    images, groups = (table[column].to_numpy(np.str_)[rows] for column in ("image", "group"))
    part = Scored(scope.strangeness(seen, looking.see(cache, rows)), groups)
    _keep(run, name, images, part)
    limits, val = told["fitted"]["limits"], _kept(run, "val", list(told["fitted"]["limits"]))
    about = _told(part, val, limits, spec, table.attrs["root"]) | {"unreadable": len(cache.failures)}
    told = told | {"sets": told["sets"] | {name: about}}
    write_json(run.folder / FILE, told)
    return told


def _told(part: Scored, val: Scored, limits: dict[str, float], spec: Recipe, root: str) -> dict[str, Any]:
    """One set of scope.json."""
    found = scope.measured(part, val, limits, spec.evaluate, spec.seed)
    n, groups = len(part.groups), len(np.unique(part.groups))
    return {"n": n, "groups": groups, "root": root, "when": provenance.now(), "scores": found}


def _keep(run: Run, name: str, images: NDArray[np.str_], scored: Scored) -> None:
    """``scope/NAME.csv``: every image with its scores."""
    write_csv(run.folder / "scope" / f"{name}.csv", pd.DataFrame({"image": images, "group": scored.groups, **scored.strange}))


def _kept(run: Run, name: str, names: Sequence[str]) -> Scored:
    table = pd.read_csv(run.folder / "scope" / f"{name}.csv", dtype={"image": "str", "group": "str"}, keep_default_na=False)
    return Scored({score: table[score].to_numpy(np.float64) for score in names}, table["group"].to_numpy(np.str_))

"""The run folder: where everything about one trained model lies, and the lock that keeps two processes out of it."""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from cutis.errors import ArtifactError, LockedError
from cutis.files import read_json, unguarded, write_csv, write_json, write_text
from cutis.predictions import Predictions
from cutis.recipe import Recipe, validated

TEXT = ("image", "label", "lesion", "patient", "group", "split", "sex", "site", "skin_tone", "source", "sha256", "reason")

_STAGE_SET = re.compile(r"(?:val|test)-stage-(\d+)")

_locks: set[IO[str]] = set()


class Run:
    """A run folder; reading is lazy, writing is whole or not at all. The files are listed in docs/formats.md."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run. Raises ArtifactError where there is none."""
        run = cls(folder)
        if not (run.folder / "recipe.json").is_file():
            if (run.folder / "bundle.json").is_file():
                raise ArtifactError(
                    f"{folder} is a bundle, not a run. Name the run that it was made of, or copy it with: cutis pull {folder}"
                )
            raise ArtifactError(f"{folder} is not a run: it holds no recipe.json. Make one with: cutis train DATA --out {folder}")
        return run

    @property
    def recipe(self) -> Recipe:
        """The recipe the run was made with."""
        return validated(read_json(self.folder / "recipe.json"))

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        write_text(self.folder / "recipe.json", recipe.to_json())

    @property
    def provenance(self) -> dict[str, Any]:
        """What was run, on what, with what."""
        return dict(read_json(self.folder / "provenance.json"))

    @provenance.setter
    def provenance(self, data: dict[str, Any]) -> None:
        write_json(self.folder / "provenance.json", data)

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures of every evaluated set; empty before the first."""
        path = self.folder / "metrics.json"
        return dict(read_json(path)) if path.is_file() else {}

    @metrics.setter
    def metrics(self, data: dict[str, Any]) -> None:
        write_json(self.folder / "metrics.json", data)

    @property
    def fitted(self) -> dict[str, Any]:
        """What was fitted on validation after training; empty where nothing was."""
        path = self.folder / "fitted.json"
        return dict(read_json(path)) if path.is_file() else {}

    @fitted.setter
    def fitted(self, data: dict[str, Any]) -> None:
        write_json(self.folder / "fitted.json", data)

    @property
    def table(self) -> pd.DataFrame:
        """The rows after the split, as split.csv holds them."""
        return _read_csv(self.folder / "split.csv")

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch."""
        return _read_csv(self.folder / "history.csv")

    @property
    def unreadable(self) -> pd.DataFrame:
        """Files left out, with the reason; empty where there were none."""
        path = self.folder / "unreadable.csv"
        return _read_csv(path) if path.is_file() else pd.DataFrame(columns=["image", "reason"])

    @property
    def model_file(self) -> Path:
        """Where the weights lie."""
        return self.folder / "model.safetensors"

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        done = self.model_file.is_file() or (self.folder / "ensemble.json").is_file()
        done = done or (bool(self.parts) and (self.folder / "report.html").is_file())
        return done and not (self.folder / "checkpoint").is_dir()

    @property
    def parts(self) -> list["Run"]:
        """The runs inside a run of runs (folds, seeds), in order; empty for a single run."""
        inner = [p.parent for p in self.folder.glob("*/recipe.json") if p.parent.name.partition("-")[2].isdigit()]
        return [Run(p) for p in sorted(inner, key=lambda p: (p.name.partition("-")[0], int(p.name.partition("-")[2])))]

    @property
    def sets(self) -> list[str]:
        """Names of the evaluated sets."""
        return sorted(p.stem for p in (self.folder / "predictions").glob("*.csv"))

    def predictions(self, name: str = "test") -> Predictions:
        """Predictions for an evaluated set."""
        return Predictions.load(self.folder / "predictions" / f"{name}.csv")

    def save_predictions(self, name: str, predictions: Predictions) -> None:
        """Add or replace the predictions of a set."""
        predictions.save(self.folder / "predictions" / f"{name}.csv")

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table of the run (split, history, unreadable) as CSV."""
        write_csv(self.folder / f"{name}.csv", table)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder. Raises LockedError where one is at work; a dead one's lock does not count."""
        new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = os.path.samestat(os.fstat(file.fileno()), path.stat())  # else its last holder has just removed it
            except (BlockingIOError, FileNotFoundError):
                ours = False
            if not ours:
                raise LockedError(f"Another process works in {self.folder}. Wait for it, or give another --out.")
            _locks.add(file)
            try:
                for left in (p for inside in (".", "predictions", "checkpoint") for p in (self.folder / inside).glob(".*.part")):
                    left.unlink()  # begun by a process that was killed
                yield
            finally:
                _locks.discard(file)
                path.unlink(missing_ok=True)
                if new and not any(self.folder.iterdir()):
                    self.folder.rmdir()  # refused before anything was written


def distinct(folders: Sequence[Path]) -> list[str]:
    """Names of run folders: the last part of the path where that tells them apart, else the path below what they share."""
    short = [folder.resolve().name for folder in folders]
    if len(set(short)) == len(short):
        return short
    shared = os.path.commonpath([folder.resolve() for folder in folders])
    return [Path(os.path.relpath(folder.resolve(), shared)).as_posix() for folder in folders]


def stage_set(part: str, stage: int) -> str:
    """What the answers for validation or test after a stage, counted from 1, are called: ``test-stage-1``."""
    return f"{part}-stage-{stage}"


def stage_of(name: str) -> int | None:
    """After which stage the answers of that name were given; None for those of the finished model."""
    found = _STAGE_SET.fullmatch(name)
    return int(found[1]) if found else None


def _forget_locks() -> None:
    """A forked worker gives its copy of the lock up, so that it cannot outlive the process that took it."""
    for file in _locks:
        file.close()


os.register_at_fork(after_in_child=_forget_locks)


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ArtifactError(f"The run has no {path.name} ({path}). It is unfinished or damaged; go on with --resume or train anew.")
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"), keep_default_na=False, na_values=[""])
    words: list[str] = list(table.select_dtypes("str"))
    return table.assign(**{c: table[c].map(unguarded, na_action="ignore") for c in words})

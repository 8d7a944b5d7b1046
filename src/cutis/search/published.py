"""The search of the ISIC 2019 study as it was published: each individual trains a whole network, and offspring come by mutation alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cutis.errors import ArtifactError, CutisError
from cutis.files import read_json, write_json
from cutis.randomness import stream
from cutis.recipe import Recipe
from cutis.search.space import MUTATION, Gene, adapted, mutated, places, values

FORMAT = "cutis-published-search-1"
GENES = (
    Gene("units", 16, 256, log=True, whole=True),
    Gene("dropout", 0.0, 0.6),
    Gene("lr", 1e-5, 1e-2, log=True),
)
"""What an individual carries beside its mutation rate; the publication names the genes, the ranges are ours."""


@dataclass(frozen=True)
class Candidate:
    """An individual: dense units, dropout, learning rate, mutation rate."""

    units: int
    dropout: float
    lr: float
    mutation: float

    def recipe(self, spec: Recipe) -> Recipe:
        """``spec`` with these values: in the first dense layer, in every dropout layer (one after the dense layer where there is none),
        and as the rate of every stage. Raises CutisError where the head has no dense layer."""
        dense = next((i for i, word in enumerate(spec.model.head) if word.startswith("dense:")), None)
        if dense is None:
            raise CutisError(f"The head {list(spec.model.head)} has no dense layer to search over; add one, such as dense:128.")
        words = list(spec.model.head)
        words[dense] = f"dense:{self.units}"
        dropouts = [i for i, word in enumerate(words) if word.startswith("dropout:")]
        for i in dropouts:
            words[i] = f"dropout:{self.dropout}"
        if not dropouts:
            words.append(f"dropout:{self.dropout}")
        return spec.changed(**{"model.head": words, **{f"stages.{i}.lr": self.lr for i in range(len(spec.stages))}})


@dataclass(frozen=True)
class Tried:
    """A candidate that was trained."""

    number: int
    generation: int
    parent: int | None
    candidate: Candidate
    value: float
    """Its best accuracy on validation."""

    @property
    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        own = {"number": self.number, "generation": self.generation, "parent": self.parent}
        return {**own, **asdict(self.candidate), "value": self.value}


def search(
    train: Callable[[int, Candidate], float],
    file: Path,
    *,
    population: int = 8,
    generations: int = 5,
    rate: float | None = None,
    seed: int = 0,
) -> list[Tried]:
    """All that were tried: ``population`` drawn, then in each generation as many offspring of the better half of all so far.

    ``train`` is given a number and a candidate and returns its validation accuracy; ``rate`` is the mutation rate given from outside
    (None: each individual's own, which its offspring inherit changed). ``file`` keeps what was trained, so that a search that was stopped
    goes on. Raises ArtifactError where the file is of another search.
    """
    if population < 1 or generations < 1 or (rate is not None and not 0 < rate <= 1):
        raise CutisError(f"population={population}, generations={generations}, rate={rate}: give at least 1, 1, and a rate from 0 to 1.")
    asked = {"population": population, "generations": generations, "rate": rate, "seed": seed}
    tried = _kept(file, asked)
    while len(tried) < population * generations:
        number = len(tried)
        generation, place = divmod(number, population)
        before = [one for one in tried if one.generation < generation]
        parent = best(before, max(1, population // 2))[place % max(1, population // 2)] if before else None
        rng = stream(seed, "published search", number)
        candidate = _drawn(rng) if parent is None else _offspring(parent.candidate, rate, rng)
        value = train(number, candidate)
        tried.append(Tried(number, generation, parent.number if parent else None, candidate, value))
        write_json(file, {"format": FORMAT, "asked": asked, "tried": [one.row for one in tried]})
    return tried


def best(tried: Sequence[Tried], count: int = 1) -> list[Tried]:
    """The best so many, of equals the first."""
    return sorted(tried, key=lambda one: (-one.value, one.number))[:count]


def capped(population: int, generations: int, most: int | None) -> tuple[int, int]:
    """Population and generations in about the same proportion with at most ``most`` individuals in all."""
    if most is None or population * generations <= most:
        return population, generations
    fewer = max(1, min(population, int((most * population / generations) ** 0.5)))
    return fewer, max(1, min(generations, most // fewer))


def _kept(file: Path, asked: dict[str, Any]) -> list[Tried]:
    if not file.is_file():
        return []
    held = read_json(file)
    if held.get("asked") != asked:
        raise ArtifactError(f"{file} holds another search ({held.get('asked')}, now {asked}). Give another --out, or delete it.")
    genes = Candidate.__dataclass_fields__
    return [
        Tried(row["number"], row["generation"], row["parent"], Candidate(**{name: row[name] for name in genes}), row["value"])
        for row in held["tried"]
    ]


def _drawn(rng: np.random.Generator) -> Candidate:
    genes = (*GENES, MUTATION)
    return Candidate(**values(genes, rng.random(len(genes))))  # type: ignore[arg-type]


def _offspring(parent: Candidate, rate: float | None, rng: np.random.Generator) -> Candidate:
    own = adapted(parent.mutation, rng)
    changed = mutated(places(GENES, asdict(parent)), own if rate is None else rate, rng)
    return Candidate(**values(GENES, changed), mutation=own)  # type: ignore[arg-type]

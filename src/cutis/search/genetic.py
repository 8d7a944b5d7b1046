"""The search: whole generations of heads trained at once on kept features, told to a study that any number of processes share."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from cutis.errors import ArtifactError, CutisError
from cutis.evaluate.metrics import figures
from cutis.evaluate.sample import Rows
from cutis.machine import version
from cutis.recipe import Stage
from cutis.search import shared
from cutis.search.population import Epoch, Population
from cutis.search.samplers import Generations, fitness, samplers
from cutis.search.space import GENES, Individual

METRICS = {"balanced_accuracy": "balanced_accuracy", "accuracy": "loss", "auroc_macro": "loss", "f1_macro": "balanced_accuracy"}
"""What a search can maximise, and what early stopping then looks at."""

POLL = 1.0  # seconds between two looks at whether others are done


@dataclass(frozen=True)
class Labelled:
    """Kept features of some rows, N x V x F (V versions of an image) or N x F, and their class indices, N."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """How a search goes: how many, by what, and how each candidate trains. Raises CutisError for what cannot be."""

    population: int = 64
    generations: int = 10
    sampler: str = "genetic"
    metric: str = "balanced_accuracy"
    seed: int = 0
    epochs: int = 60
    patience: int = 8
    batch_size: int = 128

    def __post_init__(self) -> None:
        _ = samplers[self.sampler]  # an unknown one is refused before anything is computed
        if self.population < 2 or self.generations < 1:
            raise CutisError(f"population={self.population}, generations={self.generations}: give at least 2 and 1.")
        if self.metric not in METRICS:
            raise CutisError(f"A search maximises {', '.join(METRICS)}; {self.metric!r} is none of them.")

    @property
    def stage(self) -> Stage:
        """How a candidate trains, as a stage of a recipe; rate and decay are its own."""
        return Stage(
            epochs=self.epochs,
            train="head",
            optimizer="adam",
            schedule="cosine",
            patience=self.patience,
            monitor="loss" if METRICS[self.metric] == "loss" else "balanced_accuracy",
        )


@dataclass(frozen=True)
class Generation:
    """What is known after some candidates of a generation were trained."""

    number: int
    """Counted from 0."""
    trained: int
    """Candidates that were trained now, here."""
    best: float
    """Of this generation so far."""
    best_ever: float
    seconds: float


def opened(where: BaseStorage, name: str, plan: Plan, data: str) -> Study:
    """The study of that name, begun or joined. ``data`` names the rows and what their features are.

    Raises ArtifactError where it was begun on other data or by another plan.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = samplers[plan.sampler](plan.population, plan.seed)
    study = optuna.create_study(storage=where, study_name=name, sampler=sampler, direction="maximize", load_if_exists=True)
    about = {"plan": repr(plan), "data": data, "genes": repr(sampler.genes), "cutis": version("cutis")}
    for key, value in about.items():
        before = study.user_attrs.get(key)
        if before is None:
            study.set_user_attr(key, value)
        elif before != value:
            raise ArtifactError(
                f"The study {name!r} was begun with another {key} ({before}, now {value}). Search as it was begun, or give another --study."
            )
    return study


def evolve(
    study: Study,
    plan: Plan,
    train: Labelled,
    val: Labelled,
    classes: int,
    *,
    at_once: int | None = None,
    on_epoch: Callable[[int, Epoch], None] = lambda generation, epoch: None,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Generation]:
    """Train candidates until the study has all its generations; one result for each lot of candidates trained here.

    ``at_once``: how many are trained together (None: a whole generation); several processes on one study take a share each. A process
    waits where others still train the rest of a generation. What was begun by a process that died, or stopped, is begun again by the next
    that looks. ``on_epoch``, and ``waiting`` between two looks, may raise to stop: the candidates under way are given back.
    """
    sampler, me = study.sampler, shared.me()
    assert isinstance(sampler, Generations)
    while True:
        shared.take_back(study)
        generation, lacking = _standing(study, plan)
        if generation >= plan.generations:
            return
        if lacking <= 0:
            waiting()
            time.sleep(POLL)
            continue
        started = time.perf_counter()
        shared.sign(study, me)
        trials = []
        for _ in range(min(lacking, at_once or lacking)):
            trials.append(study.ask(sampler.distributions))
            trials[-1].set_user_attr("worker", me)
        with shared.given_back(study, trials):
            for held in shared.running(study, trials):
                sampler.get_trial_generation(study, held)  # which Optuna does not ask for where a candidate is begun again
            population = Population(
                [individual(t).member for t in trials], train.x.shape[-1], classes, plan.seed, keys=list(map(shared.key, trials))
            )
            for epoch in trained(population, plan, train, val):
                on_epoch(generation, epoch)
                shared.sign(study, me)
            values = scores(population, plan.metric, val)
            for i, trial in enumerate(trials):
                trial.set_user_attr("epochs", int(population.best_epoch[i]) + 1)
                study.tell(trial, float(values[i]))
        done = [fitness(t) for t in sampler.get_population(study, generation)]
        yield Generation(generation, len(trials), max(done), study.best_value, time.perf_counter() - started)


def trained(population: Population, plan: Plan, train: Labelled, val: Labelled) -> Iterator[Epoch]:
    """Train a population as the plan says, with early stopping."""
    return population.fit(
        train.x,
        train.y,
        val.x,
        val.y,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        patience=plan.patience,
        monitor="loss" if METRICS[plan.metric] == "loss" else "balanced_accuracy",
        optimizer="adam",
        schedule="cosine",
    )


def scores(population: Population, metric: str, rows: Labelled) -> NDArray[np.float64]:
    """The figure of each member's best weights on these rows, P."""
    name = metric.removesuffix("_macro")
    answers = population.logits(rows.x).double().softmax(2).numpy()
    return np.array([figures(Rows(rows.y, own).weighted(), [name])[metric][0] for own in answers])


def individual(trial: Trial | FrozenTrial) -> Individual:
    """Whom a trial tries."""
    return Individual.of(trial.params)


@dataclass(frozen=True)
class Candidate:
    """A candidate that was trained: its number (by which its start is drawn), generation, who it is, and what it reached."""

    number: int
    generation: int
    individual: Individual
    value: float
    epochs: int
    """At which its weights were best."""

    @property
    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        return {
            "number": self.number,
            "generation": self.generation,
            **self.individual.genes,
            "value": self.value,
            "epochs": self.epochs,
        }


def candidates(study: Study, plan: Plan) -> list[Candidate]:
    """All that were trained, generation by generation."""
    sampler = study.sampler
    assert isinstance(sampler, Generations)
    return [
        Candidate(shared.key(t), g, individual(t), fitness(t), t.user_attrs["epochs"])
        for g in range(plan.generations)
        for t in sorted(sampler.get_population(study, g), key=shared.key)
    ]


def importance(study: Study) -> dict[str, float]:
    """How much of the spread of the value each gene explains (fANOVA, Hutter et al. 2014: a random forest over all candidates); they sum
    to 1. Empty where all reached the same, or they are too few to tell."""
    values = {t.value for t in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])}
    if len(values) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # here, because it imports scikit-learn

    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=[gene.name for gene in GENES])


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front of (cost, value) pairs, by rising cost: those that no other beats in one without losing in the other."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] > points[kept[-1]][1]:
            kept.append(i)
    return kept


def _standing(study: Study, plan: Plan) -> tuple[int, int]:
    """The generation that is under way, and how many of it nobody has begun."""
    sampler = study.sampler
    assert isinstance(sampler, Generations)
    generation = 0
    while len(done := sampler.get_population(study, generation)) >= plan.population:
        generation += 1
    return generation, plan.population - len(done) - len(study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

"""Who is tried next: a genetic algorithm on Optuna's base, and its alternatives, all in generations."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from cutis.randomness import stream
from cutis.registry import Registry
from cutis.search.space import GENES, MUTATION, Gene, adapted, crossed, mutated, places, values

Genes = Mapping[str, float | int]

TOURNAMENT = 3
"""How many compete to become a parent."""


class Generations(BaseGASampler):
    """Individuals in generations; the base knows them by what the storage holds, so that any process can go on.

    What a trial is given depends on the seed, its number and the finished generations alone. A study that is maximised is assumed.
    """

    genes: tuple[Gene, ...] = GENES

    def __init__(self, population: int, seed: int) -> None:
        super().__init__(population_size=population)
        self.population, self.seed = population, seed

    def offspring(self, study: Study, trial: FrozenTrial, generation: int) -> Genes:
        """The genes of a trial of this generation."""
        raise NotImplementedError

    def drawn(self, trial: FrozenTrial) -> Genes:
        """Genes drawn evenly over their ranges."""
        return values(self.genes, self.rng(trial).random(len(self.genes)))

    def rng(self, trial: FrozenTrial) -> np.random.Generator:
        """The randomness of a trial."""
        return stream(self.seed, "offspring", trial.number)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Nobody has parents unless a sampler says so."""
        return []

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna is told of the genes."""
        return {gene.name: gene.distribution for gene in self.genes}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All genes, always."""
        return self.distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """All genes of a trial at once; its generation is kept with it."""
        return dict(self.offspring(study, trial, self.get_trial_generation(study, trial)))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Never asked: all genes are drawn together."""
        raise AssertionError(f"{param_name} is no gene")


samplers: Registry[Callable[[int, int], Generations]] = Registry("sampler", "cutis.search.samplers")
"""A sampler takes the size of a generation and a seed."""


@samplers.register("genetic")
class Genetic(Generations):
    """Tournament selection, crossover, mutation at the individual's own rate, elitism."""

    genes = (*GENES, MUTATION)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The generation before, and of the parents that it had itself the best eighth: what was good once is not lost."""
        last = self.get_population(study, generation - 1)
        elite = sorted(self.get_parent_population(study, generation - 1), key=fitness)[-max(1, self.population // 8) :]
        return [*last, *elite]

    def offspring(self, study: Study, trial: FrozenTrial, generation: int) -> Genes:
        """A child of two winners of tournaments; its mutation rate is their geometric mean, changed, and then its own.

        The first generation is drawn evenly.
        """
        if generation == 0:
            return self.drawn(trial)
        parents, rng = sorted(self.get_parent_population(study, generation), key=lambda parent: parent.number), self.rng(trial)

        def winner() -> FrozenTrial:
            return max([parents[int(i)] for i in rng.integers(len(parents), size=TOURNAMENT)], key=fitness)

        mother, father = winner(), winner()
        rate = adapted(math.sqrt(mother.params[MUTATION.name] * father.params[MUTATION.name]), rng)
        child = crossed(places(GENES, mother.params), places(GENES, father.params), rng)
        return {**values(GENES, mutated(child, rate, rng)), MUTATION.name: rate}


@samplers.register("random")
class Random(Generations):
    """Everyone is drawn evenly over the ranges."""

    def offspring(self, study: Study, trial: FrozenTrial, generation: int) -> Genes:
        """Drawn."""
        return self.drawn(trial)


@samplers.register("tpe")
class Tpe(Generations):
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), after a first generation that is drawn."""

    def offspring(self, study: Study, trial: FrozenTrial, generation: int) -> Genes:
        """What the estimator proposes; one is made for each trial, because all that it would remember is in the storage."""
        estimator = TPESampler(seed=int(self.rng(trial).integers(2**31)), n_startup_trials=self.population)
        return estimator.sample_relative(study, trial, self.distributions) or self.drawn(trial)


def fitness(trial: FrozenTrial) -> float:
    """What a finished trial reached."""
    assert trial.value is not None
    return trial.value

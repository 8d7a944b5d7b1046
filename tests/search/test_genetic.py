"""The search over an Optuna study: samplers, whole generations, several processes, and going on after a kill."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import optuna
import pytest
from hypothesis import given
from optuna.storages import InMemoryStorage
from optuna.study import Study
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from cutis.errors import ArtifactError, CutisError
from cutis.search import genetic
from cutis.search.genetic import Candidate, Labelled, Plan, candidates, evolve, front, importance, opened
from cutis.search.population import Population
from cutis.search.samplers import Generations, samplers
from cutis.search.shared import storage

PLAN = Plan(population=6, generations=3, epochs=3, batch_size=64)
CLASSES = 3


def drawn(rows: int, seed: int) -> Labelled:
    """Unbalanced classes around centres that overlap."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, 12))
    labels = rng.choice(CLASSES, rows, p=[0.6, 0.3, 0.1])
    labels[:CLASSES] = np.arange(CLASSES)
    return Labelled((centres[labels] + 1.5 * rng.normal(size=(rows, 12))).astype(np.float32), labels)


TRAIN, VAL = drawn(150, 1), drawn(90, 2)


def searched(study: Study, plan: Plan = PLAN, **options: Any) -> list[Candidate]:
    for _ in evolve(study, plan, TRAIN, VAL, CLASSES, **options):
        pass
    return candidates(study, plan)


def fresh(plan: Plan = PLAN, where: Any = None, data: str = "data") -> Study:
    return opened(where or InMemoryStorage(), "study", plan, data)


def climbed(sampler: str, value: Callable[[dict[str, Any]], float], population: int = 12, generations: int = 8, seed: int = 0) -> Study:
    """A study on a function, without training."""
    study = optuna.create_study(sampler=samplers[sampler](population, seed), direction="maximize")
    assert isinstance(study.sampler, Generations)
    for _ in range(generations):
        trials = [study.ask(study.sampler.distributions) for _ in range(population)]
        for trial in trials:
            study.tell(trial, value(trial.params))
    return study


def hill(genes: dict[str, Any]) -> float:
    """Highest at rate 1e-3, weighting .5 and 64 units."""
    return -float(np.log10(genes["lr"] / 1e-3) ** 2 + 4 * (genes["class_weighting"] - 0.5) ** 2 + np.log2(genes["units_1"] / 64) ** 2)


def test_selection_beats_drawing_on_as_many_candidates() -> None:
    reached = {name: np.mean([climbed(name, hill, seed=seed).best_value for seed in range(4)]) for name in ("genetic", "random")}
    assert reached["genetic"] > reached["random"] / 2  # both are below 0, the top


def test_what_was_best_stays_a_parent_and_children_inherit_changed_rates() -> None:
    study = climbed("genetic", hill, population=8, generations=6)
    sampler = study.sampler
    assert isinstance(sampler, Generations)
    for generation in range(1, 6):
        before = [t for g in range(generation) for t in sampler.get_population(study, g)]
        parents = sampler.get_parent_population(study, generation)
        assert max(before, key=lambda t: t.value).number in {p.number for p in parents}
        assert {t.number for t in sampler.get_population(study, generation - 1)} <= {p.number for p in parents}
    rates = [{t.params["mutation"] for t in sampler.get_population(study, g)} for g in range(6)]
    assert all(len(own) > 4 and 0.02 <= min(own) <= max(own) <= 0.5 for own in rates)
    assert len({tuple(sorted(t.params.items())) for t in study.trials}) == 48  # nobody is tried twice


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_alternatives_have_generations_and_no_mutation_rate(name: str) -> None:
    plan = Plan(population=6, generations=3, epochs=2, batch_size=64, sampler=name)
    rows = searched(fresh(plan), plan)
    assert [one.generation for one in rows] == [g for g in range(3) for _ in range(6)]
    assert all(one.individual.mutation is None for one in rows)
    assert len({one.individual for one in rows}) == 18


def test_a_value_is_scikit_learn_s_of_that_head_trained_alone() -> None:
    rows = searched(fresh())
    assert len(rows) == 18
    for one in rows[::5]:
        alone = Population([one.individual.member], 12, CLASSES, PLAN.seed, keys=[one.number])
        for _ in alone.fit(
            TRAIN.x, TRAIN.y, VAL.x, VAL.y, epochs=3, batch_size=64, patience=8, monitor="balanced_accuracy", schedule="cosine"
        ):
            pass
        answered = alone.logits(VAL.x)[0].argmax(1).numpy()
        assert one.value == pytest.approx(balanced_accuracy_score(VAL.y, answered), abs=1e-6)
        assert one.epochs == alone.best_epoch[0] + 1


def test_auroc_is_scikit_learn_s() -> None:
    population = Population([genetic.Individual(1, 16, 16, 0, 1e-2, 0, 0, 0).member], 12, CLASSES, 0)
    list(population.fit(TRAIN.x, TRAIN.y, VAL.x, VAL.y, epochs=2))
    chances = population.logits(VAL.x)[0].double().softmax(1).numpy()
    wanted = roc_auc_score(VAL.y, chances, multi_class="ovr", average="macro")
    assert genetic.scores(population, "auroc_macro", VAL)[0] == pytest.approx(wanted)


def test_one_study_gives_the_same_whatever_the_number_trained_at_once() -> None:
    plan = Plan(population=6, generations=1, epochs=2, batch_size=64)
    assert searched(fresh(plan), plan) == pytest.approx(searched(fresh(plan), plan, at_once=4))


def test_a_stopped_search_gives_its_candidates_back_and_ends_as_if_it_had_not() -> None:
    whole, study = searched(fresh()), fresh()

    def stop(generation: int, epoch: Any) -> None:
        if (generation, epoch.epoch) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(study, on_epoch=stop)
    assert len(study.get_trials(states=[optuna.trial.TrialState.FAIL])) == 6
    again = searched(study)
    assert [(one.number, one.generation) for one in again][:12] == [(one.number, one.generation) for one in whole][:12]
    assert again[:12] == whole[:12]
    assert len(again) == 18


def _killed(url: str) -> None:
    def die(generation: int, epoch: Any) -> None:
        if generation == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    searched(fresh(where=storage(url)), on_epoch=die)


def _helps(url: str) -> None:
    searched(fresh(where=storage(url)), at_once=3)


def test_a_killed_process_s_candidates_are_begun_again(tmp_path: Path) -> None:
    url = f"journal:{tmp_path / 'search.journal'}"
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert searched(fresh(where=storage(url)))[:12] == searched(fresh())[:12]


def test_several_processes_share_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genetic, "POLL", 0.05)
    url = f"journal:{tmp_path / 'search.journal'}"
    fresh(where=storage(url))  # so that both find it
    helpers = [multiprocessing.get_context("fork").Process(target=_helps, args=(url,)) for _ in range(2)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
    assert [helper.exitcode for helper in helpers] == [0, 0]
    study = fresh(where=storage(url))
    rows = candidates(study, PLAN)
    assert all(sum(one.generation == g for one in rows) >= PLAN.population for g in range(3))
    assert len({one.number for one in rows}) == len(rows)
    assert len({t.user_attrs["worker"] for t in study.trials}) == 2


def test_a_database_serves_as_well(tmp_path: Path) -> None:
    plan = Plan(population=2, generations=1, epochs=1)
    url = f"sqlite:///{tmp_path / 'search.db'}"
    rows = searched(fresh(plan, storage(url)), plan)
    assert candidates(fresh(plan, storage(url)), plan) == rows


def test_a_study_is_joined_on_the_same_data_by_the_same_plan_alone() -> None:
    where = InMemoryStorage()
    fresh(where=where)
    with pytest.raises(ArtifactError, match="another data"):
        fresh(where=where, data="other")
    with pytest.raises(ArtifactError, match="another plan"):
        fresh(Plan(population=6, generations=4), where)


@pytest.mark.parametrize("wrong", [{"population": 1}, {"generations": 0}, {"metric": "brier"}])
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CutisError):
        Plan(**wrong)


def test_a_storage_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(CutisError, match="Give journal:FILE"):
        storage(f"journal:{tmp_path}/no/such/folder/file")
    with pytest.raises(CutisError, match="Unknown sampler"):
        fresh(Plan(sampler="annealing"))


def test_what_alone_decides_is_what_mattered() -> None:
    shares = importance(climbed("random", lambda genes: float(np.log(genes["lr"])), population=40, generations=2))
    assert max(shares, key=lambda name: shares[name]) == "lr"
    assert shares["lr"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(climbed("random", lambda _: 0.5, generations=1)) == {}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    kept = [points[i] for i in front([(float(a), float(b)) for a, b in points])]
    beaten = {p for p, q in product(points, points) if q != p and q[0] <= p[0] and q[1] >= p[1]}
    assert sorted(kept) == sorted(set(points) - beaten)

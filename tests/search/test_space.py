"""Genes: ranges that Optuna agrees with, operators that do what their names say, and the recipe that trains the same head."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cutis.models import heads
from cutis.recipe import Model, Recipe, Stage
from cutis.search.population import Population
from cutis.search.space import GENES, MUTATION, PUBLISHED, Gene, Individual, adapted, crossed, inside, mutated, places, values
from cutis.train import losses

TWO = Individual(2, 20, 18, dropout=0.25, lr=3e-3, weight_decay=1e-4, class_weighting=0.5, label_smoothing=0.1, mutation=0.2)
STAGE = Stage(epochs=7, optimizer="adam", patience=3)
shares = st.floats(0, 1)


@given(gene=st.sampled_from((*GENES, MUTATION)), share=shares)
def test_every_place_is_a_value_that_optuna_takes_and_leads_back(gene: Gene, share: float) -> None:
    value = gene.value(share)
    assert gene.distribution._contains(gene.distribution.to_internal_repr(value))
    assert gene.value(gene.share(value)) == pytest.approx(value, rel=1e-9)
    if not gene.whole:
        assert gene.share(value) == pytest.approx(share, abs=1e-9)


def test_a_number_of_layers_has_half_the_room_each_and_units_are_even_in_their_logarithm() -> None:
    layers, units = GENES[0], GENES[1]
    drawn = np.linspace(0.0005, 0.9995, 1000)
    assert sum(layers.value(s) == 1 for s in drawn) == 500
    below = np.mean([units.value(s) < 64 for s in drawn])
    assert below == pytest.approx(np.log(63.5 / 15.5) / np.log(256.5 / 15.5), abs=0.002)


@given(st.lists(st.floats(-1.9, 2.9), min_size=1, max_size=5))
def test_places_are_reflected_at_the_ends(raw: list[float]) -> None:
    found = inside(np.array(raw))
    expected = [-x if -1 <= x < 0 else x if 0 <= x <= 1 else 2 - x if 1 < x <= 2 else x + 2 if x < -1 else x - 2 for x in raw]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(seed=st.integers(0, 1000), mother=st.lists(shares, min_size=8, max_size=8), father=st.lists(shares, min_size=8, max_size=8))
def test_a_child_lies_between_its_parents_or_half_as_far_beyond(seed: int, mother: list[float], father: list[float]) -> None:
    a, b = np.array(mother), np.array(father)
    child = crossed(a, b, np.random.default_rng(seed))
    low, high, span = np.minimum(a, b), np.maximum(a, b), np.abs(a - b)
    reflected = (child <= 0.5 * span - low + 1e-12) | (2 - child <= high + 0.5 * span + 1e-12)
    assert (((child >= low - 0.5 * span - 1e-12) & (child <= high + 0.5 * span + 1e-12)) | reflected).all()
    assert ((child >= 0) & (child <= 1)).all()


def test_both_kinds_of_crossover_happen() -> None:
    a, b = np.full(6, 0.2), np.full(6, 0.6)
    children = np.array([crossed(a, b, np.random.default_rng(i)) for i in range(400)])
    uniform = np.isin(children, [0.2, 0.6]).all(1)
    assert 0.4 < uniform.mean() < 0.6
    assert (children[uniform] == 0.2).mean() == pytest.approx(0.5, abs=0.05)


def test_genes_change_at_the_rate_and_at_least_one_does() -> None:
    start = np.full(200, 0.5)
    changed = [np.mean(mutated(start, 0.3, np.random.default_rng(i)) != 0.5) for i in range(50)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.02)
    assert all((mutated(np.full(8, 0.5), 1e-9, np.random.default_rng(i)) != 0.5).sum() == 1 for i in range(20))


def test_an_inherited_rate_is_log_normal_within_its_range() -> None:
    rng = np.random.default_rng(0)
    logs = np.log([adapted(0.1, rng) / 0.1 for _ in range(2000)])
    assert stats.kstest(logs, "norm", args=(0, 0.35)).pvalue > 0.01
    assert all(0.02 <= adapted(rate, rng) <= 0.5 for rate in (0.02, 0.5) for _ in range(100))


def test_values_and_places_are_each_other_s_reverse() -> None:
    assert values(GENES, places(GENES, TWO.genes)) == pytest.approx({g.name: TWO.genes[g.name] for g in GENES})
    assert Individual.of(TWO.genes) == TWO


def test_the_recipe_builds_the_head_that_the_population_trains_and_minimises_the_same_loss() -> None:
    recipe = TWO.recipe(Recipe(model=Model(head=("pool", "dense:5"))), STAGE)
    assert recipe.model.head == ("pool", "dense:20", "relu", "dropout:0.25", "dense:18", "relu", "dropout:0.25")
    assert [(s.train, s.epochs, s.lr, s.weight_decay, s.optimizer, s.patience) for s in recipe.stages] == [
        ("head", 7, 3e-3, 1e-4, "adam", 3)
    ]
    _, head = heads.build(recipe.model.head[1:], (24,), 3)
    assert repr(head) == repr(Population([TWO.member], 24, 3, 0).head(0).train())
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    weights = compute_class_weight("balanced", classes=np.arange(3), y=labels) ** 0.5
    logits, y = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), torch.from_numpy(labels)
    ours = losses.function(recipe.loss, torch.tensor([60.0, 30.0, 10.0]))(logits, F.one_hot(y, 3).float())
    each = F.cross_entropy(logits, y, label_smoothing=0.1, reduction="none").numpy()
    assert float(ours) == pytest.approx(np.average(each, weights=weights[labels]), rel=1e-5)


def test_the_published_choice_is_trained_plainly() -> None:
    recipe = PUBLISHED.recipe(Recipe(model=Model(head=("avgpool",))), STAGE)
    assert recipe.model.head == ("avgpool", "dense:112", "relu", "dropout:0.3")
    assert (recipe.stages[0].lr, recipe.loss.class_weights, recipe.loss.options) == (1e-4, "none", {})


@pytest.mark.parametrize("individual", [TWO, PUBLISHED])
def test_multiply_adds_are_those_that_pytorch_counts(individual: Individual) -> None:
    head: nn.Module = Population([individual.member], 24, 3, 0).head(0)
    with FlopCounterMode(display=False) as counted:
        head(torch.zeros(1, 24))
    assert individual.multiply_adds(24, 3) == counted.get_total_flops() / 2

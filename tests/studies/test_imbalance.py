"""Imbalance: the arms differ in their remedy alone, and each is paired with plain cross-entropy and with each other."""

from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cutis.recipe import Recipe
from cutis.studies.catalog import studies
from cutis.train import losses

PLAIN = "cross-entropy"
REMEDY = {"name", "description", "loss", "balance", "stages"}
COUNTS = np.array([8, 160, 32])


def recipes() -> dict[str, Recipe]:
    return {arm.name: arm.plan()[0] for arm in studies["imbalance"]().arms}


@pytest.mark.parametrize("name", sorted(set(recipes()) - {PLAIN}))
def test_an_arm_differs_from_plain_cross_entropy_in_its_remedy_alone(name: str) -> None:
    plain, other = recipes()[PLAIN].model_dump(), recipes()[name].model_dump()
    different = {key for key in plain if plain[key] != other[key]}
    if name == "ldam-cosine":  # whose remedy includes the last layer
        assert other["model"] | {"head": plain["model"]["head"]} == plain["model"]
        different -= {"model"}
    assert {"name"} < different <= REMEDY
    epochs = [sum(stage["epochs"] for stage in spec["stages"]) for spec in (plain, other)]
    assert epochs[0] == epochs[1]
    assert all(stage["train"] == "head" for stage in other["stages"])


def test_every_arm_is_paired_with_plain_cross_entropy_here_and_elsewhere_and_with_every_other_once() -> None:
    pairs, names = studies["imbalance"]().pairs, sorted(set(recipes()) - {PLAIN})
    for at in ("test", "external"):
        assert sorted(p.first for p in pairs if p.second == PLAIN and p.at == at) == names
    others = [frozenset((p.first, p.second)) for p in pairs if p.second != PLAIN]
    assert sorted(map(sorted, others)) == sorted(map(sorted, combinations(names, 2)))


def test_balanced_weights_are_scikit_learns() -> None:
    found = losses.class_weights(recipes()["balanced"].loss, torch.tensor(COUNTS, dtype=torch.float32))
    assert found is not None
    labels = np.repeat(np.arange(3), COUNTS)
    np.testing.assert_allclose(found.numpy(), compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6)


@pytest.mark.parametrize("name", ["ldam-cosine", "ldam-dense"])
def test_ldam_defers_effective_number_weights_to_the_last_fifth_of_the_epochs(name: str) -> None:
    spec = recipes()[name]
    first, last = spec.stages
    assert last.epochs / (first.epochs + last.epochs) == pytest.approx(0.2)  # from epoch 160 of 200 in Cao et al. 2019
    assert first.class_weights is None
    assert spec.loss.class_weights == "none"
    weights = losses.class_weights(
        spec.loss.model_copy(update={"class_weights": last.class_weights}), torch.tensor(COUNTS, dtype=torch.float32)
    )
    assert weights is not None
    expected = (1 - 0.9999) / (1 - 0.9999**COUNTS)  # per_cls_weights of the authors' cifar_train.py
    np.testing.assert_allclose(weights.numpy(), expected / expected.sum() * len(COUNTS), rtol=1e-4)


def test_ldams_cosine_head_has_the_scale_of_its_loss() -> None:
    spec = recipes()["ldam-cosine"]
    assert spec.model.head[-1] == f"cosine:{spec.loss.options['scale']:g}"

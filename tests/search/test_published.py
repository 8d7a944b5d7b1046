"""The search as published: who has offspring, whose rate counts, and that it goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest

from cutis.errors import ArtifactError, CutisError
from cutis.files import read_json
from cutis.recipe import Model, Recipe, Stage
from cutis.search.published import Candidate, best, capped, search


def peak(number: int, candidate: Candidate) -> float:
    """A hill over the genes, highest at 112 units, dropout .3, rate 1e-4."""
    far = np.log(candidate.units / 112) ** 2 + (candidate.dropout - 0.3) ** 2 + np.log10(candidate.lr / 1e-4) ** 2
    return float(1 / (1 + far))


def test_every_individual_is_trained_once_and_the_better_half_have_the_offspring(tmp_path: Path) -> None:
    seen: list[int] = []
    tried = search(lambda n, c: seen.append(n) or peak(n, c), tmp_path / "s.json", population=6, generations=4)  # type: ignore[func-returns-value]
    assert seen == list(range(24))
    assert [t.parent for t in tried[:6]] == [None] * 6
    for generation in range(1, 4):
        before = sorted((t for t in tried if t.generation < generation), key=lambda t: (-t.value, t.number))[:3]
        own = [t for t in tried if t.generation == generation]
        assert [t.parent for t in own] == [before[i % 3].number for i in range(6)]
    firsts = max(t.value for t in tried[:6])
    assert best(tried)[0].value > firsts


def test_a_rate_from_outside_changes_more_genes_than_a_low_own_one(tmp_path: Path) -> None:
    def changes(rate: float | None) -> float:
        tried = search(peak, tmp_path / f"{rate}.json", population=10, generations=4, rate=rate)
        pairs = [(t.candidate, tried[t.parent].candidate) for t in tried if t.parent is not None]
        return float(np.mean([[getattr(a, g) != getattr(b, g) for g in ("units", "dropout", "lr")] for a, b in pairs]))

    assert changes(1.0) > 0.95
    assert changes(1e-6) == pytest.approx(1 / 3, abs=0.02)  # one gene at least
    assert 1 / 3 < changes(None) < 0.8


def test_a_stopped_search_goes_on_and_ends_as_if_it_had_not(tmp_path: Path) -> None:
    whole = search(peak, tmp_path / "a.json", population=4, generations=3, seed=2)

    def dies(number: int, candidate: Candidate) -> float:
        if number == 6:
            raise KeyboardInterrupt
        return peak(number, candidate)

    with pytest.raises(KeyboardInterrupt):
        search(dies, tmp_path / "b.json", population=4, generations=3, seed=2)
    assert len(read_json(tmp_path / "b.json")["tried"]) == 6
    again: list[int] = []
    rest = search(lambda n, c: again.append(n) or peak(n, c), tmp_path / "b.json", population=4, generations=3, seed=2)  # type: ignore[func-returns-value]
    assert again == list(range(6, 12))
    assert rest == whole
    with pytest.raises(ArtifactError, match="holds another search"):
        search(peak, tmp_path / "b.json", population=4, generations=3, seed=3)


def test_genes_go_into_the_recipe_s_own_layers() -> None:
    one = Candidate(units=112, dropout=0.3, lr=1e-4, mutation=0.11)
    stages = (Stage(epochs=2), Stage(epochs=30))
    augmented = Recipe(model=Model(head=("dropout:0.2", "flatten", "dense:128", "relu")), stages=stages)
    assert one.recipe(augmented).model.head == ("dropout:0.3", "flatten", "dense:112", "relu")
    assert [s.lr for s in one.recipe(augmented).stages] == [1e-4, 1e-4]
    plain = Recipe(model=Model(head=("flatten", "dense:128", "relu")))
    assert one.recipe(plain).model.head == ("flatten", "dense:112", "relu", "dropout:0.3")
    with pytest.raises(CutisError, match="no dense layer"):
        one.recipe(Recipe())


@pytest.mark.parametrize(("most", "sizes"), [(None, (8, 5)), (40, (8, 5)), (4, (2, 2)), (10, (4, 2)), (1, (1, 1)), (3, (2, 1))])
def test_a_smaller_search_keeps_its_proportions(most: int | None, sizes: tuple[int, int]) -> None:
    assert capped(8, 5, most) == sizes
    assert most is None or sizes[0] * sizes[1] <= most


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CutisError, match="rate=2"):
        search(peak, tmp_path / "s.json", rate=2)

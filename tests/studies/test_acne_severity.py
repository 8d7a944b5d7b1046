"""S0: the arms differ in what they are about and in nothing else, grades have an order, and skin tones stand apart."""

import pandas as pd
import pytest

from cutis.errors import DataError
from cutis.recipe import Recipe, Split
from cutis.studies.book.acne_severity import acne_severity
from cutis.studies.catalog import Given, Trained


def changed(arm: str) -> dict[str, object]:
    """What an arm's recipe has otherwise than A's, apart from its name."""
    study = acne_severity()
    ours, a = (flat(study.arm(name).plan()[0]) for name in (arm, "a"))
    return {key: value for key, value in ours.items() if value != a[key] and key not in ("name", "description")}


def flat(recipe: Recipe) -> dict[str, object]:
    parts = recipe.model_dump(mode="json")
    nested = {f"{part}.{key}": value for part, told in parts.items() if isinstance(told, dict) for key, value in told.items()}
    return {key: value for key, value in parts.items() if not isinstance(value, dict)} | nested


def test_each_arm_changes_one_thing_of_a() -> None:
    assert changed("a") == {}
    assert set(changed("b")) == {"model.head"}
    assert set(changed("c")) == {"model.backbone", "stages"}
    assert changed("a-448") == {"images.size": [448, 448]}
    assert set(changed("a-jitter")) == {
        *("augment.hflip", "augment.brightness", "augment.contrast", "augment.saturation", "augment.hue"),
        *("train.views", "train.view_kind"),
    }
    assert changed("d-cumulative") == {"loss.name": "cumulative"}
    assert changed("d-distribution") == {"loss.name": "label_distribution"}


def test_what_is_not_of_the_publication_is_ours() -> None:
    arms = {arm.name: arm for arm in acne_severity().arms}
    assert [name for name, arm in arms.items() if not arm.ours] == ["a", "b", "c"]
    assert all(isinstance(arm, Trained) and "external" in arm.also for arm in arms.values())


def test_the_four_variants_are_compared_with_one_another_by_figures_of_ordered_grades() -> None:
    pairs = {frozenset((pair.first, pair.second)): pair.figures for pair in acne_severity().pairs}
    four = ("a", "b", "c", "d-cumulative")
    wanted = {frozenset((x, y)) for x in four for y in four if x != y} | {frozenset(("a", arm.name)) for arm in acne_severity().arms[1:]}
    assert wanted <= set(pairs)
    assert all({"kappa_quadratic", "mean_absolute_error"} <= set(figures) for figures in pairs.values())


def given(labels: list[str]) -> Given:
    names = [f"{i}.jpg" for i in range(len(labels) * 20)]
    table = pd.DataFrame({"image": names, "label": labels * 20, "lesion": None, "patient": None, "group": names, "split": None})
    table.attrs = {"root": "", "reader": "", "files": [], "notes": []}
    return Given(table)


def test_grades_without_an_order_are_refused_before_anything_is_trained() -> None:
    make = acne_severity().tables
    assert make is not None
    with pytest.raises(DataError, match="--map 'bad=0 bad'"):
        make(given(["bad", "worse"]), Split())
    for names in (["grade 0", "grade 1"], ["moderate", "mild"]):
        tables = make(given(names), Split(test=0.25, val=0.25))
        assert set(tables) == {""}
        assert tables[""]["split"].value_counts().to_dict() == {"train": 20, "val": 10, "test": 10}


def test_subsets_are_fitzpatrick_types() -> None:
    table = pd.DataFrame({"skin_tone": ["1", "6", None, "1"]})
    rows = {subset.name: subset.rows(table).tolist() for subset in acne_severity().subsets}
    assert list(rows) == [f"tone-{k}" for k in range(1, 7)]
    assert rows["tone-1"] == [True, False, False, True]
    assert rows["tone-6"] == [False, True, False, False]
    assert not any(rows["tone-3"])

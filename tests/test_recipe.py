"""Recipes: JSON keeps them exactly, --set reaches every field, and what is wrong is named."""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cutis.errors import CutisError
from cutis.recipe import Augment, Recipe, Split, Stage, augments, load, recipes, validated, with_settings
from cutis.settings import fields

NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4
)


def bounded(kind: type, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Numbers that the constraints of a field allow."""
    bound = {name: getattr(m, name) for m in metadata for name in ("gt", "ge", "lt", "le") if hasattr(m, name)}
    low, high = bound.get("ge", bound.get("gt")), bound.get("le", bound.get("lt"))
    if kind is int:
        return st.integers(low + ("gt" in bound), high if high is not None else 10**6)
    return st.floats(low, high, exclude_min="gt" in bound, exclude_max="lt" in bound, allow_nan=False, allow_infinity=False)


def of_type(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Values of an annotated type, from the model's own description of it."""
    arguments = get_args(kind)
    if hasattr(kind, "__metadata__"):
        inner = [m for outer in kind.__metadata__ for m in getattr(outer, "metadata", [outer])]
        return of_type(kind.__origin__, metadata + inner)
    if get_origin(kind) is Literal:
        return st.sampled_from(arguments)
    if get_origin(kind) is tuple:
        item = of_type(arguments[0], metadata)
        return st.lists(item, max_size=3).map(tuple) if arguments[-1] is Ellipsis else st.tuples(item, item).map(lambda t: tuple(sorted(t)))
    if get_origin(kind) is dict:
        return st.dictionaries(st.text(), JSON, max_size=3)
    if arguments:
        return st.one_of([of_type(a, metadata) for a in arguments])
    if kind in (int, float):
        return bounded(kind, metadata)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return parts(kind)
    return {bool: st.booleans(), str: st.text(st.characters(exclude_categories=["Cs"])), type(None): st.none()}[kind]


def field(owner: type[BaseModel], name: str, info: FieldInfo) -> st.SearchStrategy[Any]:
    """Values of one field; the two that a pattern or a count binds are written out."""
    if owner is Stage and name == "train":
        return st.sampled_from(["head", "all"]) | st.integers(1, 99).map(lambda k: f"last:{k}")
    if owner is Recipe and name == "stages":
        return st.lists(parts(Stage), min_size=1, max_size=3).map(tuple)
    return of_type(info.annotation, info.metadata)


def parts(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Parts of a recipe with any values that are allowed."""
    if kind is Split:
        folded = st.integers(2, 20).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, k - 1)))
        return st.builds(
            lambda share, cut, fold, seed: Split(test=share * cut, val=share * (1 - cut), folds=fold[0], fold=fold[1], seed=seed),
            st.floats(0, 0.99),
            st.floats(0, 1),
            st.just((0, 0)) | folded,
            st.integers(0, 10**6),
        )
    return st.fixed_dictionaries({name: field(kind, name, info) for name, info in kind.model_fields.items()}).map(
        lambda values: kind(**values)
    )


@given(parts(Recipe))
def test_json_keeps_a_recipe_exactly(recipe: Recipe) -> None:
    assert validated(json.loads(recipe.to_json())) == recipe


@given(parts(Recipe), parts(Recipe))
@settings(max_examples=25)
def test_set_reaches_every_field(recipe: Recipe, wanted: Recipe) -> None:
    recipe, wanted = (r.model_copy(update={"stages": r.stages[:1]}) for r in (recipe, wanted))
    data = wanted.model_dump(mode="json")
    changes = []
    for path in fields(Recipe):
        value: Any = data
        for step in path.split("."):
            value = value[int(step)] if step.isdigit() else value[step]
        changes.append(f"{path}={json.dumps(value)}")
    assert with_settings(recipe, changes) == wanted


def test_fields_are_the_leaves_of_the_recipe() -> None:
    names = fields(Recipe)
    assert {"name", "seed", "images.size", "split.folds", "augment.zoom", "model.head", "loss.options", "stages.0.lr", "train.size"} < set(
        names
    )
    assert len(names) == len(set(names)) > 60


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("stages.0.lr=1e-4", "stages.0.lr", 1e-4),
        ("images.size=160", "images.size", [160, 160]),
        ("images.size=450,600", "images.size", [450, 600]),
        ("train.size=128,160,224", "train.size", [128, 160, 224]),
        ("train.size=96", "train.size", [96]),
        ("train.size=", "train.size", []),
        ("loss.class_weights=balanced", "loss.class_weights", "balanced"),
        ("loss.class_weights=1,2.5", "loss.class_weights", [1.0, 2.5]),
        ("model.head=pool,dense:128,relu", "model.head", ["pool", "dense:128", "relu"]),
        ("model.weights=a=b.safetensors", "model.weights", "a=b.safetensors"),
        ("loss.options.label_smoothing=0.1", "loss.options", {"label_smoothing": 0.1}),
        ("model.options.a.b=1", "model.options", {"a": {"b": 1}}),
        ("augment.hflip=true", "augment.hflip", True),
        (" predict.size = null ", "predict.size", None),
    ],
)
def test_set_reads_values_as_people_type_them(setting: str, path: str, value: Any) -> None:
    got: Any = with_settings(Recipe(), [setting]).model_dump(mode="json")
    for step in path.split("."):
        got = got[int(step)] if step.isdigit() else got[step]
    assert got == value


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("stages.0.lrr=1", "'stages.0.lr'"),
        ("sed=1", "'seed'"),
        ("images.sise=1", "'images.size'"),
        ("trian.ema=0.9", "'train.ema'"),
        ("seed.x=1", "'seed'"),
    ],
)
def test_unknown_settings_are_answered_with_the_nearest(setting: str, nearest: str) -> None:
    with pytest.raises(CutisError, match="Unknown recipe field") as error:
        with_settings(Recipe(), [setting])
    assert nearest in str(error.value).partition("Known:")[0]


def test_unknown_fields_of_a_file_are_answered_with_the_nearest_all_at_once() -> None:
    with pytest.raises(CutisError) as error:
        validated({"images": {"sise": 3}, "stages": [{"epochs": 1, "lrr": 1}], "descriptoin": ""})
    for name, nearest in {"images.sise": "images.size", "stages.0.lrr": "stages.0.lr", "descriptoin": "description"}.items():
        assert f"Unknown recipe field '{name}'. Did you mean '{nearest}'" in str(error.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=-1", "seed: Input should be greater than or equal to 0 (given: -1)"),
        ("images.size=0", "images.size.0: Input should be greater than 0"),
        ("stages.0.lr=1e999", "stages.0.lr: Input should be a finite number"),
        ("stages.0.train=last:0", "stages.0.train: String should match pattern"),
        ("stages=[]", "stages: Tuple should have at least 1 item"),
        ("train.precision=fp16", "train.precision: Input should be 'auto', 'fp32' or 'bf16'"),
        ("split.folds=1", "use folds >= 2 and 0 <= fold < folds"),
        ("split.test=0.95", "leave nothing to train on"),
        ("augment.zoom=1.2,0.8", "give the lower factor first"),
        ("stages.1.lr=1", "stages.1.lr: there is no item '1'; the recipe has 1, counted from 0."),
        ("stages.x.lr=1", "there is no item 'x'"),
        ("seed", "--set takes key=value; 'seed' has no '='"),
    ],
)
def test_what_cannot_be_used_is_named(setting: str, said: str) -> None:
    with pytest.raises(CutisError) as error:
        with_settings(Recipe(), [setting])
    assert said in str(error.value)


def test_options_are_held_as_json_holds_them() -> None:
    recipe = validated({"loss": {"options": {"weights": (1, 2)}}})
    assert recipe.loss.options == {"weights": [1, 2]}
    for value in (float("nan"), object()):
        with pytest.raises(CutisError, match=r"loss\.options"):
            validated({"loss": {"options": {"x": value}}})


def test_a_recipe_is_frozen_and_its_defaults_are_not_shared() -> None:
    recipe = Recipe()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        recipe.stages[0].lr = 3  # type: ignore[misc]
    recipe.changed(**{"model.options.x": 1})
    assert Recipe().model.options == recipe.model.options == {}


def test_load_takes_a_file_or_a_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(Recipe(name="mine", seed=7).to_json())
    assert load(file) == load(str(file)) == Recipe(name="mine", seed=7)
    with pytest.raises(CutisError, match=r"no recipe file .*absent\.json"):
        load(tmp_path / "absent.json")
    with pytest.raises(CutisError, match="Unknown recipe 'no-such-recipe'"):
        load("no-such-recipe")
    for broken in (b"{", b"\xff"):
        file.write_bytes(broken)
        with pytest.raises(CutisError, match=r"mine\.json is not valid JSON"):
            load(file)
    file.write_text("[]")
    with pytest.raises(CutisError, match="recipe: Input should be a valid dictionary"):
        load(file)


def test_every_named_recipe_and_preset_is_whole() -> None:
    assert {"none", "light", "strong"} <= set(augments)
    for name in recipes:
        recipe = load(name)
        assert recipe.name == name
        assert recipe.description
        assert validated(json.loads(recipe.to_json())) == recipe
    for name, preset in augments.items():
        assert isinstance(preset(), Augment)
        assert validated({"augment": name}).augment == preset()
    with pytest.raises(CutisError, match=r"Unknown augmentation preset 'lihgt'\. Did you mean 'light'"):
        validated({"augment": "lihgt"})

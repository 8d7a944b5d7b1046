"""The scikit-learn interface: it passes scikit-learn's own checks, works in its searches, and trains as the command line does."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from cutis import CutisClassifier, Recipe, Run
from cutis.errors import DataError
from cutis.recipe import Evaluation, Images, Model, Split, Stage, Train

TINY = Recipe(
    images=Images(size=8),
    split=Split(val=0.1),
    model=Model(backbone="plain_cnn", weights="none", head=("flatten",), options={"channels": [8]}),
    stages=(Stage(epochs=5, lr=2e-2),),
    train=Train(batch_size=16),
    evaluate=Evaluation(replicates=100),
)


class Drawing(CutisClassifier):
    """Takes the tables of numbers that scikit-learn's checks give, and draws each row as an image: a column of pixels a feature."""

    def fit(self, X: Any, y: Any) -> "Drawing":  # type: ignore[override]
        X, y = validate_data(self, X, y)
        return super().fit(drawn(X), y)

    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return super().predict_proba(drawn(validate_data(self, X, reset=False)))

    def __repr__(self, N_CHAR_MAX: int = 0) -> str:
        return "Drawing()"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def drawn(table: Any) -> Any:
    """N x F numbers as N x 8 x 8 x 3 images; the three channels hold a value coarsely, finer, and finest."""
    values = np.asarray(table, float)[:, :8]
    colours = np.stack([(128 + 40 * values).clip(0, 255), 8 * values % 256, 64 * values % 256], -1)
    images = np.zeros((len(values), 8, 8, 3), np.uint8)
    images[:, :, : values.shape[1]] = colours[:, None]
    return images


def two_colours(n: int = 40, size: int = 8) -> tuple[Any, Any]:
    """Reddish images labelled red, bluish ones labelled blue."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (n, size, size, 3), dtype=np.uint8)
    y = np.array(["red", "blue"])[np.arange(n) % 2]
    images[y == "red", ..., 0] += 100
    images[y == "blue", ..., 2] += 100
    return images, y


@parametrize_with_checks([Drawing(TINY)], expected_failed_checks=lambda _: {})
def test_scikit_learns_checks_pass_where_tables_are_drawn_as_images(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_scikit_learns_checks_on_the_classifier_itself_leave_out_what_needs_a_table() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator CutisClassifier"):
        results = check_estimator(CutisClassifier(TINY))
    assert {r["status"] for r in results} == {"passed"}


def test_it_learns_and_says_it_with_the_labels_it_was_given() -> None:
    X, y = two_colours()
    model = CutisClassifier(TINY).fit(X[:30], y[:30])
    assert model.classes_.tolist() == ["blue", "red"]
    assert model.score(X[30:], y[30:]) == 1
    probabilities = model.predict_proba(list(X[30:]))
    assert probabilities.shape == (10, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (model.classes_[probabilities.argmax(1)] == y[30:]).all()
    assert len(model.history_) == 5
    assert model.predict(X[:1]).shape == (1,)


@pytest.mark.parametrize("labels", [np.array([2, 10]), np.array([False, True]), np.array([1.0, -1.0])], ids=str)
def test_labels_keep_type_and_order_of_scikit_learn(labels: Any) -> None:
    X, y = two_colours()
    mine = labels[(y == "red").astype(int)]
    model = CutisClassifier(TINY).fit(X, mine)
    np.testing.assert_array_equal(model.classes_, np.sort(labels))
    assert model.predict(X).dtype == labels.dtype
    assert model.score(X, mine) == 1


def test_files_arrays_and_validation_rows_give_the_same_network(tmp_path: Path) -> None:
    X, y = two_colours()
    paths = [str(tmp_path / f"{i % 2}" / f"{i}.png") for i in range(len(X))]
    for folder in ("0", "1"):
        (tmp_path / folder).mkdir()
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    of_arrays = CutisClassifier(TINY).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    of_files = CutisClassifier(TINY).fit(paths[:30], y[:30], X_val=pd.Series(paths[30:]), y_val=y[30:])
    pd.testing.assert_frame_equal(
        of_arrays.history_.drop(columns=["seconds", "images_per_second"]), of_files.history_.drop(columns=["seconds", "images_per_second"])
    )
    twice = [paths[3], paths[0], paths[3]]
    np.testing.assert_array_equal(of_files.predict_proba(twice), of_arrays.predict_proba(X[[3, 0, 3]]))
    with pytest.raises(DataError, match="there is no such file"):
        of_files.predict([*paths[:5], str(tmp_path / "none.png")])


def test_groups_are_not_cut_and_a_run_is_kept_where_asked(tmp_path: Path) -> None:
    X, y = two_colours(60)
    groups = np.repeat(np.arange(15), 4)
    model = CutisClassifier(TINY, settings=("split.val=0.3",), random_state=3, out=tmp_path / "run").fit(X, y, groups=groups)
    run = Run.open(tmp_path / "run")
    assert run.finished
    assert (run.folder / "report.html").is_file()
    assert run.recipe.seed == model.recipe_.seed != TINY.seed
    assert run.table["image"].tolist() == [f"X[{i}]" for i in range(60)]
    parts = run.table.assign(mine=groups).groupby("mine")["split"].agg(set)
    assert parts.map(len).eq(1).all()
    assert set.union(*parts) == {"train", "val"}
    assert run.metrics["val"]["n"] == (run.table["split"] == "val").sum()


def test_cross_validation_pipelines_and_searches_work() -> None:
    X, y = two_colours()
    groups = np.arange(40) // 2
    scores = cross_val_score(CutisClassifier(TINY), X, y, groups=groups, cv=GroupKFold(2))
    assert scores.tolist() == [1, 1]
    pipe = make_pipeline(FunctionTransformer(np.flip, kw_args={"axis": 2}), CutisClassifier(TINY))
    search = GridSearchCV(pipe, {"cutisclassifier__settings": [("stages.0.lr=1e-9",), ("stages.0.lr=2e-2",)]}, cv=2).fit(X, y)
    assert search.best_params_ == {"cutisclassifier__settings": ("stages.0.lr=2e-2",)}
    assert search.best_estimator_[-1].recipe_.stages[0].lr == 2e-2
    assert search.score(X, y) == 1


def test_the_seed_alone_decides() -> None:
    X, y = two_colours()
    model = CutisClassifier(TINY, random_state=0).fit(X, y)
    other = CutisClassifier(TINY, random_state=1).fit(X, y)
    answers = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), answers)
    assert not np.array_equal(other.predict_proba(X), answers)


def test_identical_images_do_not_stop_a_fit() -> None:
    X, y = two_colours()
    copies = np.concatenate([X, X])
    assert CutisClassifier(TINY, settings=("split.val=0.3",)).fit(copies, np.tile(y, 2)).score(X, y) == 1


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 8, 8, 3)), "number 0 is float64 of shape"),
        (np.zeros((4, 192), np.uint8), r"number 0 is uint8 of shape \(192,\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "give at least one image"),
        ("images/", "this is one str"),
        (np.zeros((3, 8, 8, 3), np.uint8), "3 images, 4 labels"),
    ],
)
def test_what_is_no_image_is_refused_by_number(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CutisClassifier(TINY).fit(X, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "message"),
    [([0, 0, 0, 0], "one class"), (["a", "a ", "a", "b"], "differ by more than blanks"), ([0.5, 1.2, 3.3, 2], "continuous")],
)
def test_labels_that_a_table_cannot_hold_are_refused(y: Any, message: str) -> None:
    X, _ = two_colours(4)
    with pytest.raises(ValueError, match=message):
        CutisClassifier(TINY).fit(X, y)
    with pytest.raises(NotFittedError):
        CutisClassifier(TINY).predict(X)


def test_ctrl_c_ends_a_search_and_not_only_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = two_colours()
    from cutis.models import build

    real = build.build

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(build, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        CutisClassifier(TINY).fit(X, y)

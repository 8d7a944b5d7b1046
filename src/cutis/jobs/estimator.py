"""A scikit-learn classifier of images: fit, predict, predict_proba, score, over the same training loop as ``cutis train``."""

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from cutis import recipe as recipes
from cutis.data import cache as caches
from cutis.data.cache import Cache
from cutis.data.hashes import Hashes
from cutis.data.images import fitted
from cutis.data.loaders import Pixels
from cutis.data.store import digest
from cutis.data.table import finish
from cutis.jobs import pipeline
from cutis.models import build, predict
from cutis.recipe import Augment, Recipe
from cutis.train.checkpoint import Interrupted

Picture = NDArray[np.uint8]  # H x W x 3, RGB
Images = Sequence[str | Path] | Sequence[Picture] | NDArray[Any]


class CutisClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Image classifier with scikit-learn's interface.

    Parameters
    ----------
    recipe: a recipe's name, a JSON file, or a Recipe.
    settings: changes of the recipe, such as ``("stages.0.lr=1e-3", "split.val=0")``; what a grid search varies.
    random_state: seed of weights, order and augmentation; None takes the recipe's, so that a fit can be repeated.
    out: a new folder in which ``fit`` leaves a run with its page; None leaves nothing on the disk.

    Attributes
    ----------
    classes_: the C labels, sorted. model_: the network. recipe_: the recipe as it was used. history_: a row an epoch.

    Images are N paths, a uint8 array N x H x W x 3 (RGB), or N uint8 arrays H x W x 3 of any size. Validation rows, for best weights
    and early stopping, are ``X_val, y_val`` where given, else the recipe's share ``split.val`` of the rows, groups and identical
    images uncut. The recipe's test share is not used: what is tested is scikit-learn's matter.

    Of scikit-learn's own estimator checks nearly all train on a table of numbers, which is refused here; the tags say so, and scikit-learn
    leaves them out. tests/test_estimator.py runs all of them on a subclass that draws each row of such a table as an image, and all pass
    but ``check_array_api_input``, which is skipped: arrays of other libraries are not taken.
    """

    classes_: NDArray[Any]
    model_: build.Classifier
    recipe_: Recipe
    history_: pd.DataFrame

    def __init__(
        self,
        recipe: str | Path | Recipe = "probe",
        *,
        settings: Sequence[str] = (),
        random_state: int | np.random.RandomState | None = None,
        out: str | Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.random_state = random_state
        self.out = out

    def fit(
        self,
        X: Images,  # noqa: N803  (scikit-learn's name)
        y: ArrayLike,
        groups: ArrayLike | None = None,
        X_val: Images | None = None,  # noqa: N803
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train on N images with N labels; ``groups`` (N lesions or patients) are not cut by the validation share.

        An image file that is named several times counts once. Raises ValueError for what is no image, for fewer than two classes and
        for what ``cutis train`` refuses.
        """
        images, labels, parts = _images(X), _labels(y), {"train": len(X)}
        if X_val is not None:
            images, labels, parts["val"] = [*images, *_images(X_val)], np.concatenate([labels, _labels(y_val)]), len(X_val)
        if len(images) != len(labels):
            raise ValueError(f"Found input variables with inconsistent numbers of samples: {len(images)} images, {len(labels)} labels.")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The labels hold one class, {self.classes_[0]!r}. Give images of two classes or more.")
        rows = pd.DataFrame({"label": np.array(_names(self.classes_))[codes], "split": np.repeat(list(parts), list(parts.values()))})
        if groups is not None:
            rows["group"] = pd.Series(column_or_1d(groups)).map(str, na_action="ignore").reindex(rows.index)
        spec = recipes.with_settings(self.recipe if isinstance(self.recipe, Recipe) else recipes.load(self.recipe), self.settings)
        if self.random_state is not None:
            spec = spec.changed(seed=int(check_random_state(self.random_state).randint(2**31 - 1)))
        self.recipe_ = spec.changed(**{"split.test": 0.0, "split.folds": 0, "split.fold": 0})
        table, pictures = _table(images, rows, self.recipe_)
        with tempfile.TemporaryDirectory() as aside, _as_keyboard_interrupt():
            run = pipeline.train(
                table,
                self.recipe_,
                self.out or Path(aside) / "run",
                command="cutis.CutisClassifier.fit",
                pictures=pictures,
                report=self.out is not None,
            )
            self.model_, _ = build.load(run.model_file)
            self.history_ = run.history
        return self

    def predict_proba(self, X: Images) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities, N x C, columns in the order of ``classes_``. Raises ValueError naming an image that cannot be read."""
        check_is_fitted(self)
        images, device = _images(X), predict.device()
        spec = self.recipe_.changed(**{"images.max_unreadable": 0.0})
        keys = _keys(images)
        first = pd.Series(keys).drop_duplicates().index  # a file named several times is answered once
        table, pictures = _table([images[i] for i in first], pd.DataFrame(index=range(len(first))), spec)
        pixels = Pixels(pictures or caches.build(table, spec.images), np.arange(len(table)), Augment(), device)
        model = build.placed(self.model_, device)
        answers: NDArray[np.float64] = predict.probabilities(model, pixels, spec, choice=predict.chosen(model, [pixels], spec))
        columns = np.array([model.classes.index(name) for name in _names(self.classes_)])
        rows = pd.factorize(np.array(keys))[0]
        return answers[rows][:, columns]

    def predict(self, X: Images) -> NDArray[Any]:  # noqa: N803
        """The most probable class of each of N images."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _images(X: Images) -> list[Path] | list[Picture]:  # noqa: N803
    """Absolute paths, or uint8 arrays H x W x 3. Raises ValueError for anything else."""
    if isinstance(X, str | Path) or not hasattr(X, "__len__") or issparse(X):
        raise ValueError(f"Images are several paths, or uint8 arrays H x W x 3 (RGB); this is one {type(X).__name__}.")
    items: list[Any] = list(X)
    if not items:
        raise ValueError("Found 0 sample(s): give at least one image.")
    if all(isinstance(item, str | Path) for item in items):
        return [Path(os.path.abspath(item)) for item in items]  # noqa: PTH100 - links in it stay as the user gave them
    arrays = [np.asarray(item) for item in items]
    for i, array in enumerate(arrays):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ValueError(f"Images are paths, or uint8 arrays H x W x 3 (RGB); number {i} is {array.dtype} of shape {array.shape}.")
    return arrays


def _labels(y: ArrayLike | None) -> NDArray[Any]:
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    return np.asarray(labels)


def _names(classes: NDArray[Any]) -> list[str]:
    """Classes as a table holds them: composed text without surrounding blanks. Raises ValueError where that makes two the same."""
    names = [unicodedata.normalize("NFC", str(c)).strip() for c in classes]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"Classes must differ by more than blanks, and none be empty: {', '.join(map(repr, classes.tolist()))}.")
    return names


def _keys(images: list[Path] | list[Picture]) -> list[str]:
    return [str(image) if isinstance(image, Path) else f"X[{i}]" for i, image in enumerate(images)]


def _table(images: list[Path] | list[Picture], rows: pd.DataFrame, spec: Recipe) -> tuple[pd.DataFrame, Cache | None]:
    """The images as a table with the columns of ``rows``, and the cache where they are arrays."""
    if isinstance(images[0], Path):
        root = os.path.commonpath([image.parent for image in images])
        names = [os.path.relpath(image, root) for image in images]
        return finish(rows.assign(image=names), Path(root), "paths", []), None
    pixels = np.stack([fitted(image, spec.images.size, spec.images.fit) for image in images])
    empty = pd.DataFrame(columns=["image", "reason", "note"], dtype="str")
    cache = Cache(pixels, np.arange(len(images)), Hashes.of(digest(i) for i in images), empty, empty, len(images), 0.0)
    return finish(rows.assign(image=_keys(images)), Path(), "arrays", []), cache


@contextmanager
def _as_keyboard_interrupt() -> Iterator[None]:
    """So that Ctrl-C ends a search over many fits, and not only the fit at work."""
    try:
        yield
    except Interrupted as stopped:
        raise KeyboardInterrupt from stopped

"""Cutis: from labelled skin images to a classifier that can be believed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cutis.verbs.handing import export, predict
from cutis.verbs.judging import audit, compare, evaluate, explain, scope
from cutis.verbs.making import ensemble, search, study, train

if TYPE_CHECKING:
    from cutis.data.readers import read
    from cutis.jobs.estimator import CutisClassifier
    from cutis.predictions import Predictions
    from cutis.recipe import Recipe
    from cutis.runs import Run
    from cutis.serve.predictor import Predictor

    __version__: str

__all__ = [
    "CutisClassifier",
    "Predictions",
    "Predictor",
    "Recipe",
    "Run",
    "audit",
    "compare",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "predict",
    "read",
    "scope",
    "search",
    "study",
    "train",
]

_HOMES = {
    "CutisClassifier": "cutis.jobs.estimator",
    "Predictions": "cutis.predictions",
    "Predictor": "cutis.serve.predictor",
    "Recipe": "cutis.recipe",
    "Run": "cutis.runs",
    "read": "cutis.data.readers",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("cutis.machine").version("cutis")
    if name not in _HOMES:
        raise AttributeError(f"module 'cutis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Some rooms, such as ``cutis/train``, bear the names of functions, and Python puts a room in the place of the function when it is
    first imported. So these rooms are made callable: ``cutis.train(...)`` and ``cutis.train.losses`` both work, always."""

    def __setattr__(self, name: str, value: object) -> None:
        function = self.__dict__.get(name)
        if isinstance(value, ModuleType) and callable(function):
            value.__class__ = type("Room", (ModuleType,), {"__call__": lambda _, *args, **kwargs: function(*args, **kwargs)})
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

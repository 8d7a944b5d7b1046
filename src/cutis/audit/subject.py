"""What the checks look at: the table, its decoded pictures, their features, and what earlier checks found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.audit.findings import Section
from cutis.data.cache import Cache
from cutis.data.masks import Masks
from cutis.progress import Progress
from cutis.recipe import Recipe
from cutis.registry import Registry

T = TypeVar("T")


@dataclass
class Subject:
    """A collection under audit.

    ``table``: all rows, those of unreadable images too; ``cache``: their pictures, ``spec.images`` in size; ``spec``: the recipe whose
    frozen backbone gives the features; ``masks``: where lesions are, if that is known.
    """

    table: pd.DataFrame
    cache: Cache
    spec: Recipe
    masks: Masks | None = None
    quick: bool = False
    """Only what is cheap is wanted: a check that has a cheap part leaves the rest."""
    progress: Progress = field(default_factory=Progress)
    sections: dict[str, Section] = field(default_factory=dict)
    """What earlier checks found, by their short names: ``copies`` of ``20 copies``."""

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The table rows with a picture: int64 M, rising. Pixels, features and results of checks are in this order."""
        return np.flatnonzero(self.cache.row >= 0)

    @cached_property
    def readable(self) -> pd.DataFrame:
        """Those rows, numbered anew from 0, with the ``sha256`` of their pixels."""
        return self.table.assign(sha256=self.cache.sha256).iloc[self.rows].reset_index(drop=True)

    @cached_property
    def features(self) -> NDArray[np.float32] | None:
        """Float32 M x F of the frozen backbone on each readable picture; None where there are no weights (``lacking`` says so)."""
        from cutis.audit import features

        return features.of(self)

    @property
    def lacking(self) -> str:
        """Why there are no features, and what to do; empty where there are."""
        from cutis.audit import features

        return "" if self.features is not None else features.advice(self.spec)

    def once(self, make: Callable[["Subject"], T]) -> T:
        """What ``make`` gives for this subject; several checks that need it compute it once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    @cached_property
    def _made(self) -> dict[Callable[["Subject"], Any], Any]:
        return {}


@dataclass(frozen=True)
class Check:
    """A part of an audit. ``cheap``: needs neither features nor minutes, so ``cutis train`` runs it by itself."""

    run: Callable[[Subject], Section | None]
    cheap: bool


checks: Registry[Check] = Registry("check", "cutis.audit.checks")
"""A file in ``audit/checks`` each; names begin with a number that orders them: ``20 copies``."""


def check(name: str, *, cheap: bool = False) -> Callable[[Callable[[Subject], Section | None]], Callable[[Subject], Section | None]]:
    """Decorator that registers a function as a check; it gives None where the data have nothing for it to look at."""

    def decorate(run: Callable[[Subject], Section | None]) -> Callable[[Subject], Section | None]:
        checks.register(name)(Check(run, cheap))
        return run

    return decorate

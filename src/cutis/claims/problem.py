"""The question whether some confusion matrix gives a set of printed figures.

A matrix enters its figures only through, for each class, the images t told rightly and the images q told to be of it; the rest can be
filled in just where sum q = n and no class has more wrong answers of it and for it than there are in all, (m - t) + (q - t) <= n - sum t,
with m its size (a transport with a forbidden diagonal: two or more rows together reach every column, a single row all but its own). So the
search is over two numbers a class, not over a matrix.
"""

from dataclasses import dataclass
from functools import cached_property

from cutis.claims.printed import Range


@dataclass(frozen=True)
class Constraint:
    """A figure lies in a range: of one class (its number), or (None) of all."""

    figure: str
    """precision, recall, f1, specificity of a class; accuracy, or a figure with _macro or _weighted, of all."""
    range: Range
    of: int | None = None


@dataclass(frozen=True)
class Problem:
    """A confusion matrix to be found."""

    classes: int
    constraints: tuple[Constraint, ...]
    n: int | None = None
    """Images; None: any number."""
    sizes: tuple[int, ...] | None = None
    """Images of each class; None: any."""
    equal: bool = False
    """Whether all classes have equally many, where sizes are not known."""

    @cached_property
    def overall(self) -> tuple[Constraint, ...]:
        """The constraints that are not about one class."""
        return tuple(one for one in self.constraints if one.of is None)

    def about(self, c: int) -> list[Constraint]:
        """The constraints on one class."""
        return [one for one in self.constraints if one.of == c]

    @cached_property
    def right(self) -> range:
        """The numbers of right answers that the accuracy allows; only with n."""
        assert self.n is not None
        allowed = [one.range.counts(self.n) for one in self.overall if one.figure == "accuracy"]
        return range(max([r.start for r in allowed], default=0), min([r.stop for r in allowed], default=self.n + 1))

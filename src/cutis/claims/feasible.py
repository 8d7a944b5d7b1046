"""The rule that some confusion matrix gives the printed figures, and which of them stand against one another where none does."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cutis.claims import exhaustive
from cutis.claims.arithmetic import ONE, accuracy_attainable, averages, equal_by_definition, f1_above_mean, named, outside_range
from cutis.claims.averages import of_classes
from cutis.claims.finding import Finding, rules
from cutis.claims.printed import Printed
from cutis.claims.problem import Constraint, Problem
from cutis.claims.programme import LINEAR, programmed
from cutis.claims.seen import where
from cutis.claims.table import Claim, Model

SECONDS = 20.0  # for one model; what is not settled by then is not spoken of
FEW = 3  # candidate numbers of images that are searched one by one; more of them: shares of images
MOST_CLASSES, MOST_IMAGES = 200, 1_000_000  # beyond which neither search is exact, or done in time
EASY = ("f1", "specificity", "precision", "recall_macro", "recall", "accuracy")  # to follow for a reader, the easiest last
BEFORE = (outside_range, accuracy_attainable, f1_above_mean, equal_by_definition)  # what these refute is not refuted again
SOURCE = "Search over whole numbers for a matrix that has these figures, as in Fazekas and Kovács 2023, arXiv:2310.12527"


@dataclass(frozen=True)
class Stated:
    """A printed figure, and the constraint it is in each reading of its label ("" where the label is clear)."""

    label: str
    printed: Printed
    readings: dict[str, Constraint]

    @property
    def figure(self) -> str:
        """What is constrained, where the label is clear."""
        return self.readings[""].figure if "" in self.readings else ""


@dataclass(frozen=True)
class Search:
    """A model's figures and what is known of the images they were measured on."""

    classes: tuple[str, ...]
    counts: tuple[int | None, ...]
    sizes: tuple[int, ...] | None
    equal: bool
    until: float

    def impossible(self, stated: Sequence[Stated]) -> bool:
        """Whether it is certain that no matrix gives these figures, in any reading, for any number of images."""
        readings = sorted({reading for one in stated for reading in one.readings if reading}) or [""]
        return all(self._settled(stated, reading, n) is False for reading in readings for n in self.counts)

    def _settled(self, stated: Sequence[Stated], reading: str, n: int | None) -> bool | None:
        chosen = (one.readings.get(reading) or one.readings.get("") for one in stated)
        problem = Problem(len(self.classes), tuple(filter(None, chosen)), n, self.sizes, self.equal)
        return possible(problem, self.until - time.monotonic())

    def of_one_class(self, stated: Sequence[Stated]) -> bool:
        """Whether figures of one class, whose size is known, are those of no whole numbers of right and of predicted images."""
        constraints = tuple(one.readings[""] for one in stated)
        (of,) = {one.of for one in constraints}
        assert of is not None
        pairs = exhaustive.pairs(Problem(len(self.classes), constraints, self.counts[0], self.sizes), of) if self.sizes else None
        return pairs is not None and not len(pairs[0])


def spared(stated: Sequence[Stated], impossible: Callable[[Sequence[Stated]], bool]) -> list[Stated]:
    """Figures that cannot be together, none of which can be spared: each is left out in turn, those that are hardest to follow first."""
    kept = list(stated)
    for one in sorted(stated, key=lambda one: EASY.index(figure) if (figure := one.figure) in EASY else -1):
        rest = [other for other in kept if other is not one]
        if rest and impossible(rest):
            kept = rest
    return kept


def possible(problem: Problem, seconds: float) -> bool | None:
    """Whether some matrix gives the figures; None where that was not settled within the time.

    A programme answers first; where it says no, and where averages that it leaves out are to be looked at, an exact search has the last
    word, if it is small.
    """
    if seconds <= 0:
        return None
    found = programmed(problem, seconds)
    if not problem.sizes or (found and all(one.figure in LINEAR for one in problem.overall)):
        return found
    exact = exhaustive.exact(problem)
    return found if exact is None else exact


@rules.register("no-such-matrix")
def no_such_matrix(claim: Claim) -> Iterator[Finding]:
    """The figures of the classes, their averages and the accuracy together are those of some confusion matrix of whole numbers."""
    refuted = [finding.where for rule in BEFORE for finding in rule(claim) if finding.severity == "impossible"]
    for model in map(claim.complete, claim.models):
        classes = claim.classes_of(model)
        if not 2 <= len(classes) <= MOST_CLASSES or (model.folds or 1) > 1:
            continue  # of folds, each has a matrix of its own
        known = [one for one in stated(model, classes) if one.label not in _labels(refuted, model)]
        search = _search(claim, model, classes)
        if max(n or 0 for n in search.counts) > MOST_IMAGES:
            continue
        for core in _conflicts(search, known) if search.sizes or model.per_class else ():
            yield Finding(
                "impossible",
                "no-such-matrix",
                where(model, *(one.label for one in core)),
                f"No confusion matrix gives {'this figure' if len(core) == 1 else 'these figures together'}, rounded or cut off.",
                _arithmetic(search, core),
                SOURCE,
            )


def _labels(wheres: Sequence[str], model: Model) -> set[str]:
    start = f"{where(model)}, "
    return {called for where in wheres if where.startswith(start) for called in where.removeprefix(start).split(", ")}


def _conflicts(search: Search, known: Sequence[Stated]) -> Iterator[list[Stated]]:
    """Figures that do not fit together: within each class first, then, of what is left, all together."""
    left = list(known)
    for c in range(len(search.classes)):
        of_class = [one for one in left if "" in one.readings and one.readings[""].of == c]
        while of_class and search.of_one_class(of_class):
            core = spared(of_class, search.of_one_class)
            yield core
            of_class, left = ([one for one in kept if one not in core] for kept in (of_class, left))
    if left and search.impossible(left):
        yield spared(left, search.impossible)


def _search(claim: Claim, model: Model, classes: tuple[str, ...]) -> Search:
    """Over seeds that share their images, the counts of all of them are searched at once."""
    seeds, of_each, n = model.seeds or 1, claim.sizes_of(model), claim.n_of(model)
    sizes = tuple(of_each[name] * seeds for name in classes) if of_each else None
    counts: tuple[int | None, ...] = (
        (sum(sizes),) if sizes else n if 0 < len(n) <= FEW and seeds == 1 and min(n) >= len(classes) else (None,)
    )
    equal = bool(claim.balanced if model.balanced is None and claim.shares(model) else model.balanced)
    return Search(classes, counts, sizes, equal, time.monotonic() + SECONDS)


def stated(model: Model, classes: tuple[str, ...]) -> list[Stated]:
    """The figures that bind a confusion matrix; of means over seeds only those whose denominator is the same in each."""
    allowed = ("recall", "specificity") if model.averaged else ("precision", "recall", "f1", "specificity")
    found = []
    for name, given in model.per_class.items():
        for figure, printed in given.items():
            if figure in allowed and not (printed.possible() & ONE).empty:
                constraint = Constraint(figure, printed.possible(), classes.index(name))
                found.append(Stated(named(figure, f"class {name}"), printed, {"": constraint}))
    for label, whole, figure in (("accuracy", model.accuracy, "accuracy"), ("balanced accuracy", model.balanced_accuracy, "recall_macro")):
        if whole:
            found.append(Stated(label, whole, {"": Constraint(figure, whole.possible())}))
    for average, given_ in averages(model).items():
        for base, printed in given_.items():
            if base in allowed and base != "specificity" and not of_classes(model, base, classes):  # else: average-of-classes
                readings = _readings(model, classes, base, average, printed)
                if readings:
                    found.append(Stated(named(base, average), printed, readings))
    return found


def _readings(model: Model, classes: tuple[str, ...], base: str, average: str, printed: Printed) -> dict[str, Constraint]:
    """What an average asks of a matrix, by reading of its label; weighted recall and micro figures are the accuracy."""
    by_average = {
        "macro": f"{base}_macro",
        "weighted": "accuracy" if base == "recall" else f"{base}_weighted",
        "micro": "accuracy",
    }
    if average in by_average:
        return {"": Constraint(by_average[average], printed.possible())}
    about = [model.positive] if model.positive else classes if average or len(classes) == 2 else []
    found = {f"of {name}": Constraint(base, printed.possible(), classes.index(name)) for name in about}
    return found if average else found | {kind: Constraint(figure, printed.possible()) for kind, figure in by_average.items()}


def _arithmetic(search: Search, core: Sequence[Stated]) -> str:
    """Why the figures of a conflict do not fit, in one line."""
    sizes, told = search.sizes, ", ".join(f"{one.label} {one.printed}" for one in core)
    constraints = [one.readings[""] for one in core if "" in one.readings]
    recalls = [one for one in constraints if one.figure == "recall"]
    about = {one.of for one in constraints}
    if sizes and len(about) == 1 and len(constraints) == len(core) and (c := constraints[0].of) is not None:
        return _of_one_class(core, sizes[c], recalls[0].range.counts(sizes[c]) if recalls else range(sizes[c] + 1))
    totals = [one.printed for one in core if one.figure == "accuracy"]
    if len(totals) == 1 and len(recalls) == len(core) - 1 and (sizes or len(recalls) == len(search.classes)):
        ranges = dict.fromkeys(range(len(search.classes)), ONE) | {one.of or 0: one.range for one in recalls}
        low, high = min(one.low for one in ranges.values()), max(one.high for one in ranges.values())
        if sizes:
            low = sum((one.low * sizes[c] for c, one in ranges.items()), Fraction(0)) / sum(sizes)
            high = sum((one.high * sizes[c] for c, one in ranges.items()), Fraction(0)) / sum(sizes)
        means = "the recalls, weighted by class sizes, allow" if sizes else "accuracy is a mean of the recalls, which lie in"
        return f"{means} {totals[0].like(low)} to {totals[0].like(high)}; printed {totals[0]}"
    rows = f"rows that sum to {', '.join(f'{size:,}' for size in sizes)}" if sizes else f"{len(search.classes)} classes of any size"
    n = f" and {search.counts[0]:,} images" if search.counts[0] and not sizes else ""
    return f"no matrix with {rows}{n} has {told}"


def _of_one_class(core: Sequence[Stated], size: int, right: range) -> str:
    printed = core[0].printed
    if len(core) == 1 and core[0].figure == "recall":
        below = int(printed.value * size)
        shares = ", ".join(f"{k:,}/{size:,} = {printed.like(Fraction(k, size), 2)}" for k in (below, below + 1) if size and k <= size)
        return f"{printed} is none of {shares}"
    rest = ", ".join(f"{one.label} {one.printed}" for one in core if one.figure != "recall")
    recall = "".join(f" (recall {one.printed})" for one in core if one.figure == "recall")
    between = f"{right.start:,} to {right.stop - 1:,}" if len(right) > 1 else f"{right.start:,}"
    return f"with {between} of {size:,} right{recall}, no number of predicted images gives {rest}"

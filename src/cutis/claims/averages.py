"""The rule that an average over classes is one of the figures of the classes."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cutis.claims.arithmetic import ONE, averages, harmonic, named
from cutis.claims.finding import Finding, rules
from cutis.claims.printed import Printed, Range
from cutis.claims.seen import where
from cutis.claims.table import Claim, Model

SOURCE = "Macro: mean over classes; weighted: by class sizes; micro: from summed counts: Grandini et al. 2020, arXiv:2008.05756"


@rules.register("average-of-classes")
def average_of_classes(claim: Claim) -> Iterator[Finding]:
    """An average follows from the figures of all classes: its label's, or any average where it has no label.

    Means are linear, so this holds for means over runs too; a weighted or micro average over folds, whose weights differ, is left alone.
    """
    for model in map(claim.complete, claim.models):
        classes = claim.classes_of(model)
        for average, given in averages(model).items():
            for base, printed in given.items():
                ranges = of_classes(model, base, classes)
                if len(ranges) < 2 or base == "auroc" or (printed.possible() & ONE).empty:
                    continue
                readings = _readings(claim, model, base, average, ranges)
                if readings and all((printed.possible() & reading).empty for reading in readings.values()):
                    yield Finding(
                        "impossible",
                        "average-of-classes",
                        where(model, named(base, average)),
                        f"The {named(base, average)} of {model.name} is no average of the {named(base, '')} of its classes.",
                        f"{', '.join(map(str, model.of_class(base).values())) or 'the classes'} give "
                        + "; ".join(f"{name} {_between(printed, reading)}" for name, reading in readings.items())
                        + f"; printed {printed}",
                        SOURCE,
                    )


def of_classes(model: Model, base: str, classes: Sequence[str]) -> list[Range]:
    """The possible values of a figure of each class; F1 also from precision and recall (of one run); empty unless all classes have it."""
    given = {name: printed.possible() & ONE for name, printed in model.of_class(base).items()}
    if base == "f1" and not model.averaged:
        precision, recall = model.of_class("precision"), model.of_class("recall")
        for name in precision.keys() & recall.keys() - given.keys():
            p, r = precision[name].possible() & ONE, recall[name].possible() & ONE
            given[name] = Range(harmonic(p.low, r.low), harmonic(p.high, r.high))
    ranges = [given[name] for name in classes if name in given and not given[name].empty]
    return ranges if len(ranges) == len(classes) else []


def _readings(claim: Claim, model: Model, base: str, average: str, ranges: list[Range]) -> dict[str, Range]:
    """What an average can be, by each reading of its label; empty where nothing binds it."""
    classes, sizes = claim.classes_of(model), claim.sizes_of(model)
    hull = _hull(ranges)
    found: dict[str, Range] = {}
    if average in ("macro", ""):
        found["macro"] = mean(ranges, [1] * len(ranges))
        if base == "f1":
            found["F1 of the macro means"] = _of_means(model, average, classes, [1] * len(ranges), found["macro"])
    if average in ("weighted", ""):
        if (model.folds or 1) > 1:
            return {}
        found["weighted"] = mean(ranges, [sizes[name] for name in classes]) if sizes else hull
        if base == "f1":
            weights = [sizes[name] for name in classes] if sizes else []
            found["F1 of the weighted means"] = _of_means(model, average, classes, weights, found["weighted"])
    if average in ("micro", ""):
        # sum q P / n, sum TP / n, 2 sum TP / sum (n_c + q) and sum TN / sum (n - n_c) are means of the classes' figures, in one run
        accuracy = model.accuracy.possible() if model.accuracy and base != "specificity" else ONE
        found["micro"] = accuracy if model.averaged or (hull & accuracy).empty else hull & accuracy
    if average in ("binary", "") and (average or model.positive or len(classes) == 2):
        found |= {f"of {name}": one for name, one in zip(classes, ranges, strict=True) if model.positive in ("", name)}
    return found


def _hull(ranges: Sequence[Range]) -> Range:
    """Where a mean by any weights lies."""
    return Range(min(one.low for one in ranges), max(one.high for one in ranges))


def mean(ranges: Sequence[Range], weights: Sequence[int]) -> Range:
    """The weighted mean; its upper end leaves out the classes that may be 0, because an undefined figure is, by some, not counted."""
    total = sum(weights)
    low = sum((one.low * weight for one, weight in zip(ranges, weights, strict=True)), Fraction(0))
    high = sum((one.high * weight for one, weight in zip(ranges, weights, strict=True)), Fraction(0))
    counted = sum(weight for one, weight in zip(ranges, weights, strict=True) if 0 not in one)
    return Range(low / total, high / (counted or total))


def _of_means(model: Model, average: str, classes: Sequence[str], weights: Sequence[int], of_f1: Range) -> Range:
    """F1 of the mean precision and the mean recall: at least the mean of F1s; from the classes, the printed means, or unbound."""
    means = []
    for base in ("precision", "recall"):
        ranges, printed = of_classes(model, base, classes), averages(model).get(average, {}).get(base)
        if ranges:
            means.append(mean(ranges, weights) if weights else _hull(ranges))
        else:
            means.append(printed.possible() & ONE if printed else ONE)
    p, r = means
    if p.empty or r.empty:
        return ONE
    return Range(of_f1.low if model.averaged else max(of_f1.low, harmonic(p.low, r.low)), harmonic(p.high, r.high))


def _between(printed: Printed, reading: Range) -> str:
    low, high = printed.like(reading.low), printed.like(reading.high)
    return low if low == high else f"{low} to {high}"

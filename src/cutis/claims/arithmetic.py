"""Rules of arithmetic: what printed figures of one model cannot be, whatever the data.

"Impossible" is said of a figure only if no true value that is printed so, rounded or cut off, can be. A precision of a class that was never
predicted counts as 0, as in every common library; figures of one row without a label are averaged alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby

from cutis.claims.finding import Finding, rules
from cutis.claims.printed import Printed, Range
from cutis.claims.seen import listed, where
from cutis.claims.table import AVERAGED, Claim, Model

GRIM = "A share of n images is a whole number over n (the GRIM test): Brown and Heathers 2017, doi:10.1177/1948550616673876"
COUNT = "How many images there were, and how many of them were right."
HARMONIC = (
    "F1 is the harmonic mean of precision and recall, which is concave and lies below their mean, so this holds for averages too:"
    " Opitz and Burst 2019, arXiv:1911.03347"
)
ONE = Range(Fraction(0), Fraction(1))
SIGNED = Range(Fraction(-1), Fraction(1))
WORDS = {"f1": "F1", "auroc": "AUROC", "mcc": "MCC"}
SHOWN = 8  # numbers listed in one line


def averages(model: Model) -> dict[str, dict[str, Printed]]:
    """The figures that are averages over classes, by kind of average (empty: not said), then by figure."""
    found: dict[str, dict[str, Printed]] = {}
    for name, printed in model.figures.items():
        base, _, suffix = name.rpartition("_")
        if name in AVERAGED:
            found.setdefault(model.average, {})[name] = printed
        elif base in AVERAGED:
            found.setdefault(suffix, {})[base] = printed
    return found


def named(base: str, kind: str) -> str:
    """A figure with its kind of average, or its class: ``F1 (macro)``."""
    return f"{WORDS.get(base, base.replace('_', ' '))} ({kind})" if kind else WORDS.get(base, base.replace("_", " "))


def label(model: Model, name: str) -> str:
    """What a model's figure is called: ``f1_macro``, and ``f1`` where the average is said to be macro, are ``F1 (macro)``."""
    base, _, suffix = name.rpartition("_")
    return named(base, suffix) if base in AVERAGED else named(name, model.average if name in AVERAGED else "")


def figures(model: Model) -> Iterator[tuple[str, str, Printed]]:
    """All of a model's figures: label, name, figure."""
    yield from ((label(model, name), name, printed) for name, printed in model.figures.items())
    for of, given in model.per_class.items():
        yield from ((named(figure, f"class {of}"), figure, printed) for figure, printed in given.items())


def harmonic(precision: Fraction, recall: Fraction) -> Fraction:
    """F1 of a precision and a recall; 0 where both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)


@rules.register("outside-range")
def outside_range(claim: Claim) -> Iterator[Finding]:
    """Shares lie between 0 and 1, correlations between -1 and 1."""
    for model in map(claim.complete, claim.models):
        for called, name, printed in figures(model):
            allowed, lowest = (SIGNED, -1) if name in ("kappa", "mcc") else (ONE, 0)
            if (printed.possible() & allowed).empty:
                yield Finding(
                    "impossible",
                    "outside-range",
                    where(model, called),
                    f"The {called} of {model.name} lies outside what it can be.",
                    f"{printed} = {float(printed.value):g} is not between {lowest} and 1",
                    "Definition of the figure",
                )


@rules.register("accuracy-attainable")
def accuracy_attainable(claim: Claim) -> Iterator[Finding]:
    """An accuracy is a whole number of right answers over n (n times seeds for a mean over seeds), for one n for all models of a set."""
    measured = [(model.on, claim.n_of(model), model) for model in map(claim.complete, claim.models) if _is_share(model)]
    single = [entry for entry in measured if entry[1]]
    for (on, candidates), entries in groupby(sorted(single, key=lambda e: e[:2]), key=lambda e: e[:2]):
        models = [model for _, _, model in entries]
        fits = [{n for n in candidates if counts(model, n)} for model in models]
        refuted = [model for model, own in zip(models, fits, strict=True) if not own]
        for model in refuted:
            yield Finding(
                "impossible",
                "accuracy-attainable",
                where(model, "accuracy"),
                f"No number of right answers among {_listed(candidates)} images gives the accuracy of {model.name}.",
                _neighbours(model, candidates[0])
                + (f"; nor does any other of {len(candidates):,} candidates" if len(candidates) > 1 else ""),
                GRIM,
                COUNT,
            )
        if len(candidates) > 1 and not refuted:
            yield from _candidates(on, candidates, models, sorted(set.intersection(*fits)))


def _is_share(model: Model) -> bool:
    """Whether an accuracy is a share of the images: not where it is a mean over folds of different size, or no share at all."""
    return model.accuracy is not None and not (model.accuracy.possible() & ONE).empty and (model.folds or 1) == 1


def counts(model: Model, n: int) -> range:
    """The numbers of right answers, over all seeds, that give a model's accuracy on n images."""
    assert model.accuracy
    return model.accuracy.possible().counts(n * (model.seeds or 1))


def _candidates(on: str, candidates: tuple[int, ...], models: list[Model], common: list[int]) -> Iterator[Finding]:
    """What the accuracies of one set say about how many images it holds."""
    if len(common) == len(candidates):
        return
    out = next(n for n in candidates if n not in common)
    because = next((model for model in models if not counts(model, out)), models[0])
    all_of_them = f"{listed(model.name for model in models)} on {on}, accuracy"
    if common:
        yield Finding(
            "note",
            "accuracy-attainable",
            all_of_them,
            f"The accuracies on {on} images fit n = {_listed(common)}, not {_listed([n for n in candidates if n not in common])}.",
            f"{because.name}: {_neighbours(because, out)}; "
            + ", ".join(f"{model.accuracy} ~ {counts(model, common[0])[0]:,}/{common[0] * (model.seeds or 1):,}" for model in models),
            GRIM,
            COUNT,
        )
    else:
        yield Finding(
            "impossible",
            "accuracy-attainable",
            all_of_them,
            f"No one number of {on} images gives all these accuracies, so they are not measured on the same images.",
            "; ".join(f"{model.accuracy} needs n = {_listed([n for n in candidates if counts(model, n)])}" for model in models),
            GRIM,
            COUNT,
        )


def _neighbours(model: Model, n: int) -> str:
    """The two shares on either side of an accuracy that is none."""
    assert model.accuracy
    total = n * (model.seeds or 1)
    below = int(model.accuracy.value * total)
    shares = (f"{k:,}/{total:,} = {model.accuracy.like(Fraction(k, total), 2)}" for k in (below, below + 1) if 0 <= k <= total)
    return f"{model.accuracy} is none of {', '.join(shares)}"


def _listed(numbers: Iterable[int]) -> str:
    found = list(numbers)
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(f"{n:,}" for n in found[:SHOWN]) + more


@rules.register("f1-above-mean")
def f1_above_mean(claim: Claim) -> Iterator[Finding]:
    """F1 lies at or below the harmonic, hence the arithmetic, mean of its precision and recall: for a class, and for each average.

    h(p, r) = 2pr / (p + r) is concave and of degree one: its Hessian is -4 / (p + r)^3 times (r, -p)(r, -p)^T. So for weights w that
    sum to one (macro: 1 / C; weighted: n_c / n; runs, folds: 1 / k) the mean of F1s, sum w h(P, R), is at most h(sum w P, sum w R), which
    is the F1 of the means, the other definition; and h(p, r) <= (p + r) / 2, because (p - r)^2 >= 0. Micro figures are all equal.
    """
    for model in map(claim.complete, claim.models):
        rows: dict[str, Mapping[str, Printed]] = {**averages(model)}
        rows |= {f"class {name}": {str(figure): printed for figure, printed in given.items()} for name, given in model.per_class.items()}
        for kind, figures in rows.items():
            if not {"precision", "recall", "f1"} <= figures.keys():
                continue
            precision, recall, f1 = figures["precision"], figures["recall"], figures["f1"]
            p, r, f = (printed.possible() & ONE for printed in (precision, recall, f1))
            if p.empty or r.empty or f.empty:
                continue
            best, mean = harmonic(precision.value, recall.value), (precision.value + recall.value) / 2
            told = f"2 x {precision} x {recall} / ({precision} + {recall}) = {f1.like(best)}"
            if f.low > harmonic(p.high, r.high):
                sentence = f"The F1 of {model.name} is higher than its precision and recall allow: F1 never exceeds their mean."
                arithmetic = f"F1 {f1} > {told}, the harmonic mean of precision and recall (their mean: {f1.like(mean)})"
            elif _exactly(model, kind) and f.high < harmonic(p.low, r.low):
                sentence = f"The F1 of {model.name} is lower than its precision and recall give."
                arithmetic = f"F1 {f1} < {told}, the harmonic mean of precision and recall"
            else:
                continue
            yield Finding("impossible", "f1-above-mean", where(model, named("f1", kind)), sentence, arithmetic, HARMONIC)


def _exactly(model: Model, kind: str) -> bool:
    """Whether F1 is the harmonic mean itself: of one class, in one run."""
    return (kind == "binary" or kind.startswith("class ")) and not model.averaged


@rules.register("equal-by-definition")
def equal_by_definition(claim: Claim) -> Iterator[Finding]:
    """Micro precision, recall and F1 and the weighted recall are the accuracy; macro recall is the balanced accuracy.

    Each image has one label and one answer: sum of TP = n - sum of FP = n - sum of FN; sum n_c / n * TP_c / n_c = sum TP_c / n. Each
    equality holds in every run and fold, so for their means. With classes of equal size weighted recall is macro recall: all are equal.
    """
    for model in map(claim.complete, claim.models):
        found = averages(model)
        right = {named(base, "micro"): printed for base, printed in found.get("micro", {}).items() if base in ("precision", "recall", "f1")}
        right |= {named("recall", "weighted"): found["weighted"]["recall"]} if "recall" in found.get("weighted", {}) else {}
        right |= {"accuracy": model.accuracy} if model.accuracy else {}
        macro = {"balanced accuracy": model.balanced_accuracy} if model.balanced_accuracy else {}
        macro |= {named("recall", "macro"): found["macro"]["recall"]} if "recall" in found.get("macro", {}) else {}
        sizes = claim.sizes_of(model)
        equal = sizes and len(set(sizes.values())) == 1 and (model.folds or 1) == 1  # a fold need not be balanced
        for group in [right | macro] if equal else [right, macro]:
            common = ONE
            for printed in group.values():
                common &= printed.possible()
            if common.empty and not any((printed.possible() & ONE).empty for printed in group.values()):
                yield Finding(
                    "impossible",
                    "equal-by-definition",
                    where(model, *group),
                    "These figures are equal by definition"
                    + (", as all classes have equally many images" if equal else "")
                    + ", but differ.",
                    " != ".join(f"{name} {printed}" for name, printed in group.items()),
                    "sum TP / n = sum (n_c / n)(TP_c / n_c); micro-averaged FP and FN are both the wrong answers:"
                    " Grandini et al. 2020, arXiv:2008.05756",
                )

"""How much a printed figure shows: its interval, the line that guessing reaches, and whether one model beats another."""

from collections.abc import Iterator
from math import sqrt

from cutis.claims import seen
from cutis.claims.chance import SIGNIFICANT, bracketed, images_needed, limits, two_shares
from cutis.claims.finding import Finding, rules
from cutis.claims.printed import Printed
from cutis.claims.table import Claim, Model, Pair

WILSON = "Wilson 1927, score limits of a share, level .95, images taken as independent"
UNPAIRED = "z of two shares with the pooled share (Fleiss 1981), two-sided p < .05"


@rules.register("interval")
def interval(claim: Claim) -> Iterator[Finding]:
    """The limits that chance alone puts on each share of a model."""
    for model in claim.models:
        parts = [f"{name} {text} {bracketed(*ends)}" for name, text, ends in _intervals(claim, model)]
        if parts:
            n = seen.images(claim, model)
            several = len(claim.n_of(model)) > 1
            yield Finding(
                "note",
                "interval",
                seen.where(model),
                "Another sample of as many images would move the figures within these limits, 19 times in 20; more where several images "
                "are of one lesion or person.",
                f"n = {n:,}{' (the largest candidate)' * several}: {'; '.join(parts)}",
                f"{WILSON}; balanced accuracy from the limits of the recalls (Zou & Donner 2008); AUROC: Hanley & McNeil 1982",
                "Intervals by a bootstrap over lesions or persons, which needs the answers for each image.",
            )


def _intervals(claim: Claim, model: Model) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """Name, figure and limits of what can be given limits."""
    n = seen.images(claim, model)
    if model.accuracy is not None and n and 0 <= model.accuracy.value <= 1:
        yield "accuracy", str(model.accuracy), limits(float(model.accuracy.value), n)
    elif (counted := seen.accuracy(claim, model)) is not None:
        yield "accuracy", f"{counted.value:.3f}", limits(counted.value, counted.n)
    recalls = seen.recalls(claim, model)
    if len(recalls) > 1 and set(recalls) == set(claim.classes_of(model)):
        mean = sum(r.value for r in recalls.values()) / len(recalls)
        ends = [(r.value, *limits(r.value, r.n)) for r in recalls.values()]
        below, above = (sqrt(sum((v - e[i]) ** 2 for v, *e in ends)) / len(ends) for i in (0, 1))
        yield "balanced accuracy", f"{mean:.3f}", (mean - below, mean + above)
    for word, shares in (("recall", recalls), ("precision", seen.precisions(claim, model))):
        for name, share in shares.items():
            yield f"{word} of {name}", f"{share.value:.3f}", limits(share.value, share.n)
    known = seen.sizes(claim, model)
    if model.auroc is not None and known and len(known) == 2 and all(known.values()) and 0 <= model.auroc.value <= 1:
        yield "AUROC", str(model.auroc), _area(float(model.auroc.value), *known.values())


def _area(area: float, n: int, m: int) -> tuple[float, float]:
    """Limits of an area under the ROC curve from its value and the sizes of both classes (Hanley & McNeil 1982, equation 2)."""
    q, r = area / (2 - area), 2 * area**2 / (1 + area)
    smaller, larger = sorted((n, m))  # which of them is called positive is not known; this order errs to the wide side above .5
    error = sqrt((area * (1 - area) + (smaller - 1) * (q - area**2) + (larger - 1) * (r - area**2)) / (n * m))
    return max(0.0, area - SIGNIFICANT * error), min(1.0, area + SIGNIFICANT * error)


@rules.register("majority-line")
def majority_line(claim: Claim) -> Iterator[Finding]:
    """Accuracy against always answering the largest class."""
    for models in seen.sets(claim):
        clear = []
        for model in models:
            known, share, n = seen.sizes(claim, model), seen.accuracy(claim, model), seen.images(claim, model)
            if not known or share is None or not n or not sum(known.values()):
                continue
            name = seen.largest(known)
            line = known[name] / sum(known.values())
            low, high = limits(share.value, share.n)
            text = str(model.accuracy) if model.accuracy else f"{share.value:.4f}"
            arithmetic = f"{name}: {known[name]:,} of {sum(known.values()):,} = {line:.4f}; accuracy {text} {bracketed(low, high)}"
            if share.value < line:
                yield _line(model, f"Accuracy {text} lies below always answering {name} ({line:.4f}).", arithmetic)
            elif low <= line:
                yield _line(model, f"Accuracy {text} cannot be told apart from always answering {name} ({line:.4f}).", arithmetic)
            else:
                clear.append((share.value - line, model, name, line, text, arithmetic))
        if clear:
            gain, model, name, line, text, arithmetic = max(clear, key=lambda found: found[0])
            yield Finding(
                "note",
                "majority-line",
                seen.where(model, "accuracy"),
                f"On {model.on} always answering {name} reaches {line:.3f}; {model.name} is {100 * gain:.0f} points above it ({text}).",
                arithmetic,
                "Share of the largest class",
                "",
            )


def _line(model: Model, sentence: str, arithmetic: str) -> Finding:
    settle = "Balanced accuracy or the recall of each class, which guessing does not lift."
    return Finding(
        "weak", "majority-line", seen.where(model, "accuracy"), sentence, arithmetic, f"Share of the largest class; {WILSON}", settle
    )


@rules.register("significance")
def significance(claim: Claim) -> Iterator[Finding]:
    """Whether "A beats B" is more than chance at this number of images, and how many images it would take."""
    for pair in claim.pairs:
        sides = _sides(claim, pair)
        if sides is not None:
            yield from _difference(pair, *sides, claim)
    if not claim.pairs:
        for models in seen.sets(claim):
            ranked = sorted((m for m in models if m.accuracy), key=lambda m: -m.accuracy.value if m.accuracy else 0)
            if len(ranked) > 1 and not seen.on(ranked[0], "val", "train"):
                best, second = ranked[:2]
                yield from _difference(Pair(worse=second.name, better=best.name), second, best, claim, claimed=False)


def _sides(claim: Claim, pair: Pair) -> tuple[Model, Model] | None:
    """Both models of a pair on one set where both have the figure, on test before others; what is on two sets is not compared."""
    worse, better = ([m for m in claim.models if m.name == name and pair.figure in m.figures] for name in (pair.worse, pair.better))
    both = [(a, b) for a in worse for b in better if a.on == b.on]
    return min(both, key=lambda ab: not seen.on(ab[1], "test")) if both else None


def _difference(pair: Pair, worse: Model, better: Model, claim: Claim, claimed: bool = True) -> Iterator[Finding]:
    one, other = worse.figures[pair.figure], better.figures[pair.figure]
    where = f"{pair.better} against {pair.worse}, {pair.figure}"
    if claimed and other.value <= one.value:
        yield _weak(where, f"{pair.better} is said to be better, but {other} is not above {one}.", f"{other} - {one} <= 0")
    elif pair.figure == "accuracy" and 0 <= one.value < other.value <= 1:
        yield from _accuracies(where, one, other, (seen.images(claim, worse), seen.images(claim, better)), claimed)


def _accuracies(where: str, one: Printed, other: Printed, n: tuple[int | None, int | None], claimed: bool) -> Iterator[Finding]:
    a, b = float(one.value), float(other.value)
    needed = images_needed(a, b)
    takes = f"2 x {(a + b) / 2:.3f} x {1 - (a + b) / 2:.3f} x ({SIGNIFICANT:.2f} / {b - a:.4f})^2 = {needed:,.0f} images a set"
    if n[0] is None or n[1] is None:
        if claimed:
            sentence = f"{other} against {one} is significant (p < .05, unpaired) only with more than about {_round(needed)} test images"
            yield _weak(where, f"{sentence}, and their number is not stated.", takes)
        return
    z = two_shares(a, n[0], b, n[1])
    arithmetic = (
        f"z = {b - a:.4f} / {(b - a) / z:.4f} = {z:.1f} at n = {' and '.join(f'{k:,}' for k in dict.fromkeys(n) if k)}; takes {takes}"
    )
    if z < SIGNIFICANT:
        sentence = f"{other} against {one} is no significant difference (unpaired): it would take about {_round(needed)} images."
        yield _weak(where, sentence, arithmetic) if claimed else _note(where, f"The best is not clearly the best: {sentence}", arithmetic)
    elif claimed:
        yield _note(where, f"{other} against {one} is more than chance would give (unpaired, one run each).", arithmetic)


def _round(n: float) -> str:
    """Two digits, which is all that an expected number of images is good for."""
    return f"{float(f'{n:.2g}'):,.0f}"


def _weak(where: str, sentence: str, arithmetic: str) -> Finding:
    return Finding("weak", "significance", where, sentence, arithmetic, UNPAIRED, PAIRED)


def _note(where: str, sentence: str, arithmetic: str) -> Finding:
    return Finding("note", "significance", where, sentence, arithmetic, UNPAIRED, PAIRED)


PAIRED = "Both models' answers on the same images: a paired test (McNemar) may see the difference with fewer. Several seeds of each."

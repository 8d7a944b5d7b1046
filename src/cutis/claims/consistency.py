"""Figures of one model on several sets held against one another: what should agree, and how far it does not."""

from collections.abc import Iterator
from math import sqrt

from cutis.claims import seen
from cutis.claims.chance import IMPLAUSIBLE, beyond_chance, exact_limits, images_needed, mean_range, two_shares
from cutis.claims.finding import Finding, rules
from cutis.claims.table import Claim, Model

BALANCE = (
    "Accuracy is the mean of the recalls weighted by class sizes, and drawing a class more or less often leaves its recall as it is: "
    "Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446"
)
EXACT = f"judged by an exact test at z = {IMPLAUSIBLE:g}, images taken as independent"
FAR = 3.0  # standard errors beyond which validation is far above test
GAP = 0.05  # the same where the numbers of images are not told


@rules.register("rebalanced-accuracy")
def rebalanced_accuracy(claim: Claim) -> Iterator[Finding]:
    """Accuracy on a rebalanced set against what the recalls on the same images, or the accuracy there, leave open."""
    for one, other in seen.copies(claim):
        found = _rebalanced(claim, one, other) or _rebalanced(claim, other, one)
        if found:
            yield found


def _rebalanced(claim: Claim, known: Model, asked: Model) -> Finding | None:
    here, there = seen.sizes(claim, known), seen.sizes(claim, asked)
    got, had, recalls = seen.accuracy(claim, asked), seen.accuracy(claim, known), seen.recalls(claim, known)
    if not here or not there or got is None or not all(here.values()) or not sum(there.values()):
        return None
    shares = {name: there[name] / sum(there.values()) for name in here}
    low, high = exact_limits(got.low, got.high, got.n)
    if set(recalls) == set(here):
        expected = sum(w * recalls[name].value for name, w in shares.items())
        ends = [exact_limits(recalls[name].low, recalls[name].high, recalls[name].n) for name in shares]
        least, most = (sum(w * end[i] for w, end in zip(shares.values(), ends, strict=True)) for i in (0, 1))
        variance = sum(w**2 * (p := recalls[c].value) * (1 - p) * (1 / here[c] + 1 / max(there[c], 1)) for c, w in shares.items())
        sums = " + ".join(f"{w:.3f} x {recalls[name].value:.3f}" for name, w in shares.items())
        arithmetic = f"expected {sums} = {expected:.3f}; printed {got.value:.4f}"
        arithmetic += f", {(got.value - expected) / sqrt(variance):+.1f} standard errors" if variance else ""
        was = f"{expected:.3f} was to be expected from the recalls on {known.on}"
    elif had is not None:
        order = list(here)
        sides = [here[name] for name in order], [there[name] for name in order]
        edges = exact_limits(had.low, had.high, had.n)
        least, most = mean_range(edges[0], *sides)[0], mean_range(edges[1], *sides)[1]
        narrow = mean_range(had.value, *sides)
        arithmetic = (
            f"accuracy {had.value:.4f} on {known.on} leaves {narrow[0]:.3f} to {narrow[1]:.3f} here, "
            f"{least:.3f} to {most:.3f} with chance at z = {IMPLAUSIBLE:g}; "
            f"{got.value:.4f}, with chance {low:.3f} to {high:.3f}, lies outside"
        )
        was = f"between {narrow[0]:.3f} and {narrow[1]:.3f} was to be expected, whatever the recalls are"
    else:
        return None
    if low <= most and high >= least:
        return None
    return Finding(
        "implausible",
        "rebalanced-accuracy",
        seen.where(asked, "accuracy"),
        f"Accuracy is {_said(asked, got)} on {asked.on}, which is said to hold the same images as {known.on}: {was}, if one model made "
        "both.",
        arithmetic,
        f"{BALANCE}; {EXACT}",
        "The answers for each image of both sets, and which of these images were in training.",
    )


def _said(model: Model, share: seen.Share) -> str:
    return model.accuracy.text if model.accuracy else f"{share.value:.4f} (of the matrix)"


@rules.register("recall-moved")
def recall_moved(claim: Claim) -> Iterator[Finding]:
    """The recall of one class, by one model, on two sets of the same images."""
    for one, other in seen.copies(claim):
        first, second = seen.recalls(claim, one), seen.recalls(claim, other)
        for name in (c for c in first if c in second):
            a, b = first[name], second[name]
            if a.low <= b.high and b.low <= a.high and a.n == b.n:
                continue
            nearest = min(((x, y) for x in {a.low, a.high} for y in {b.low, b.high}), key=lambda p: abs(p[0] / a.n - p[1] / b.n))
            if beyond_chance((nearest[0], a.n), (nearest[1], b.n)):
                z = two_shares(a.value, a.n, b.value, b.n)
                yield Finding(
                    "implausible",
                    "recall-moved",
                    seen.where(other, f"recall of {name}"),
                    f"The recall of {name} moves from {a.value:.3f} on {one.on} to {b.value:.3f} on {other.on}, which are said to hold the "
                    "same images: if one model made both, rebalancing leaves it as it is.",
                    f"{a} against {b}: z = {abs(z):.1f}",
                    f"{BALANCE}; z of two shares with the pooled share (Fleiss 1981), {EXACT}",
                    "Whether one checkpoint made both tables, and which images of either set were in training.",
                )


@rules.register("validation-above-test")
def validation_above_test(claim: Claim) -> Iterator[Finding]:
    """A model's figure on validation far above the same figure on test."""
    tests = {model.name: model for model in claim.models if seen.on(model, "test")}
    for high in (model for model in claim.models if seen.on(model, "val") and model.name in tests):
        low = tests[high.name]
        name = next((name for name in high.figures if name in low.figures), None)
        if name is None or not all(0 <= model.figures[name].value <= 1 for model in (high, low)):
            continue
        a, b = float(high.figures[name].value), float(low.figures[name].value)
        n, m = seen.images(claim, high), seen.images(claim, low)
        if name == "accuracy" and n and m:
            z = two_shares(b, m, a, n)
            far, arithmetic = z > FAR, f"{high.figures[name]} - {low.figures[name]} = {a - b:.3f} at n = {n:,} and {m:,}: z = {z:.1f}"
        else:
            far, arithmetic = a - b >= GAP, f"{high.figures[name]} - {low.figures[name]} = {a - b:.3f}"
            if far and name == "accuracy":
                arithmetic += f"; beyond chance (p < .05) with more than about {images_needed(b, a):,.0f} images in each set"
        if far:
            yield Finding(
                "weak",
                "validation-above-test",
                seen.where(high, name),
                f"{name.replace('_', ' ').capitalize()} on {high.on} is far above {low.on}: choosing by validation, or sets that are "
                "not alike, flatters it; only the test figure counts.",
                arithmetic,
                "Cawley & Talbot 2010, On over-fitting in model selection, JMLR 11:2079",
                "How often validation was looked at, how the sets were drawn, and the figure of a further set.",
            )


@rules.register("matrix-in-no-row")
def matrix_in_no_row(claim: Claim) -> Iterator[Finding]:
    """A confusion matrix whose accuracy is that of no printed row of its set, or not that of the best."""
    for models in seen.sets(claim):
        rows = [m for m in models if m.accuracy is not None and m.confusion is None]
        for model in (m for m in models if m.confusion is not None and m.accuracy is None):
            share = seen.accuracy(claim, model)
            if rows and share is not None:
                yield from _placed(model, rows, share)


def _placed(model: Model, rows: list[Model], share: seen.Share) -> Iterator[Finding]:
    printed = [(m, m.accuracy) for m in rows if m.accuracy is not None]
    own = [m.name for m, figure in printed if share.low in figure.possible().counts(share.n)]
    best, text = max(printed, key=lambda pair: pair[1].value)
    arithmetic = f"{share.low:,} of {share.n:,} = {share.value:.4f}; printed {', '.join(f'{figure} ({m.name})' for m, figure in printed)}"
    source = "Accuracy is the matrix' diagonal over its sum"
    if not own:
        yield Finding(
            "weak",
            "matrix-in-no-row",
            seen.where(model, "confusion"),
            f"The matrix gives accuracy {share.value:.4f}, a figure in none of the rows of {model.on}: it belongs to another model or "
            "another set.",
            arithmetic,
            source,
            "Which checkpoint and which images made the matrix.",
        )
    elif best.name not in own:
        yield Finding(
            "note",
            "matrix-in-no-row",
            seen.where(model, "confusion"),
            f"The matrix is that of {own[0]}, not of {best.name}, the best row ({text}).",
            arithmetic,
            source,
            "The matrix of the row that is reported as the result.",
        )

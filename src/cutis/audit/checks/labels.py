"""Which labels contradict their picture, and how often copies of one picture agree on theirs: the ceiling of every score."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from cutis import randomness
from cutis.audit import copies, probes
from cutis.audit.findings import Finding, Item, Section
from cutis.audit.probes import Design, Figure
from cutis.audit.subject import Subject, check
from cutis.evaluate.intervals import bootstrap_weights, share_limits
from cutis.evaluate.sample import Floats, Integers, ratio
from cutis.tabular import Table

TITLE: Final = "Labels"
MEASURE: Final = "label quality: the probability that a probe gives the label, 0 to 1; low is suspicious"
WEAK: Final = (
    "A suspect is a picture whose label a simple probe did not expect: a reason to look, not a proof. "
    "Images of rare classes and of unusual lesions look suspicious to a weak probe though their labels are right."
)
BY_LESION: Final = "All images of a lesion have one label: it was given to the lesion, so that their agreement says nothing about errors."

Pairs = tuple[Floats, Integers]
"""For each set of images of one thing the pairs that agree and all pairs (n x 2), and which sets belong together (n)."""


@check("40 labels")
def labels(subject: Subject) -> Section | None:
    """Out-of-fold probabilities of a probe on frozen features, suspects by cleanlab; agreement of copies and of lesions."""
    if subject.readable["label"].nunique() < 2:
        return None
    agreement = {"copies": agreeing(*_copies(subject)), "lesions": agreeing(*_lesions(subject))}
    numbers: dict[str, Any] = {"agreement": agreement, "ceiling": ceiling(agreement["copies"])}
    limits = [BY_LESION] if agreement["lesions"]["n"] and agreement["lesions"]["value"] == 1 else []
    findings, tables = [*_disagreeing(numbers)], list[Table]()
    suspects = "Whether labels contradict their pictures could not be looked at."
    plan = subject.once(probes.design)
    if subject.lacking:
        limits.insert(0, subject.lacking)
    elif plan is None:
        limits.insert(0, f"No two classes have the {probes.FOLDS} groups each that a cross-validated probe needs.")
    else:
        some, more, table = _suspects(subject, plan)
        findings, tables, numbers = [*some, *findings], [table], numbers | more
        limits = [WEAK, *plan.limits, *limits]
        suspects = f"Of {more['images']:,} labels {more['suspects']:,} contradict what a probe sees in the picture."
    return Section(TITLE, f"{suspects} {_agreement_told(numbers)}", tuple(findings), numbers, tables, tuple(limits))


def answers(subject: Subject) -> Floats:
    """Probabilities n x C of the images of ``probes.design``, from a linear probe on their features that saw none of their group."""
    plan = subject.once(probes.design)
    assert plan is not None
    assert subject.features is not None
    return probes.out_of_fold(plan, subject.features[plan.rows], probes.linear)


def agreeing(pairs: Floats, units: Integers) -> Figure:
    """Share of pairs of images of one thing that have the same label, ``value low high``, and ``n`` pairs; the interval is a bootstrap
    over ``units``, which belong together. ``pairs``: n x 2, agreeing and all. None where there is no pair."""
    total = pairs.sum(axis=0)
    if not total[1:].any():
        return {"value": None, "low": None, "high": None, "n": 0}
    weights = bootstrap_weights(units, probes.REPLICATES, randomness.stream(probes.SEED, "agreement"))
    drawn = weights @ pairs
    value = np.asarray(total[0] / total[1])
    low, high = share_limits(value, ratio(drawn[:, 0], drawn[:, 1]), np.asarray(len(np.unique(units))), probes.LEVEL)
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(total[1])}


def ceiling(agreement: Figure) -> Figure:
    """The accuracy that no model can honestly exceed on labels of which two of one picture agree so often: the square root.

    A picture that gets class c with probability p_c has two equal labels with probability sum p_c^2, and the best answer is right with
    probability max p_c <= sqrt(sum p_c^2); the mean over pictures follows by Jensen's inequality.
    """
    return {**agreement, **{k: None if agreement[k] is None else float(np.sqrt(agreement[k])) for k in ("value", "low", "high")}}


def _copies(subject: Subject) -> Pairs:
    """Pairs of exact copies, and near copies that were confirmed; units are clusters.

    Pairs of one lesion are left out: where labels are given to lesions, those agree whatever is true.
    """
    found, rows = subject.once(copies.found), subject.readable
    cluster = {place: number for number, places in enumerate(found.clusters) for place in places}
    sets = [*map(list, found.exact), *([pair.a, pair.b] for pair in found.near)]
    counts = [_pairs(rows.iloc[places]) for places in sets]
    return np.array(counts, np.float64).reshape(-1, 2), np.array([cluster[places[0]] for places in sets], np.int64)


def _lesions(subject: Subject) -> Pairs:
    """Pairs of images of one lesion, for each that has several; units are groups."""
    rows = subject.readable.dropna(subset=["lesion", "label"])
    sizes = rows.groupby(["lesion", "label"]).size()
    agree = (sizes * (sizes - 1) / 2).groupby("lesion").sum()
    every = sizes.groupby("lesion").sum()
    pairs = np.stack([agree, every * (every - 1) / 2], axis=1).astype(np.float64).reshape(-1, 2)
    return pairs, pd.factorize(rows.groupby("lesion")["group"].first())[0].astype(np.int64)


def _pairs(rows: pd.DataFrame) -> tuple[float, float]:
    """How many pairs of rows of different, or unknown, lesions agree on the label, and how many there are."""
    known = rows.dropna(subset=["label"])

    def within(*columns: str) -> float:
        sizes = known.groupby(list(columns)).size() if columns else pd.Series([len(known)])
        return float((sizes * (sizes - 1) / 2).sum())

    return within("label") - within("label", "lesion"), within() - within("lesion")


def _suspects(subject: Subject, plan: Design) -> tuple[list[Finding], dict[str, Any], Table]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    found = subject.once(answers)
    quality = get_label_quality_scores(plan.labels, found, method="self_confidence")
    # of cleanlab's ways to choose the one that found most of 3 in 100 labels swapped by us, and with the fewest others
    places = find_label_issues(plan.labels, found, return_indices_ranked_by="self_confidence", filter_by="low_self_confidence", n_jobs=1)
    others = np.where(np.eye(len(plan.classes), dtype=bool)[plan.labels], -1, found)
    suggested = others.argmax(axis=1)
    places = places[others[places, suggested[places]] > found[places, plan.labels[places]]]
    images = subject.readable["image"].to_numpy()[plan.rows]
    items = tuple(
        Item(
            (str(images[i]),),
            f"labelled {plan.classes[plan.labels[i]]} ({found[i, plan.labels[i]]:.2f}), "
            f"the probe says {plan.classes[suggested[i]]} ({found[i, suggested[i]]:.2f})",
            float(quality[i]),
        )
        for i in places
    )
    skill = probes.measured(plan, found)
    flagged, count = (np.bincount(of, minlength=len(plan.classes)) for of in (plan.labels[places], plan.labels))
    table = Table(
        "Labels that contradict their picture, by class",
        ("class", "images", "suspects", "share", "AUROC of the probe"),
        [
            (name, f"{n:,}", f"{k:,}", f"{100 * k / n:.1f} %", probes.told(skill.per_class[name]))
            for name, n, k in zip(plan.classes, count, flagged, strict=True)
        ],
    )
    numbers = {
        "suspects": len(items),
        "images": len(plan.labels),
        "by_class": {name: {"images": int(n), "suspects": int(k)} for name, n, k in zip(plan.classes, count, flagged, strict=True)},
        "probe": skill.to_dict(),
    }
    finding = Finding(
        "suspect-labels",
        "warning",
        f"{len(items):,} of {len(plan.labels):,} labels ({100 * len(items) / len(plan.labels):.1f} %) contradict their picture; "
        f"the probe that says so tells the classes with an AUROC of {probes.told(skill.macro)}.",
        "Look at the first of them with somebody who can judge, and correct what is wrong; or leave out the worst N.",
        items,
        MEASURE,
        "suspects",
    )
    return [finding] if items else [], numbers, table


def _disagreeing(numbers: dict[str, Any]) -> Iterator[Finding]:
    agreement, top = numbers["agreement"]["copies"], numbers["ceiling"]
    if agreement["n"] and agreement["value"] < 1:
        yield Finding(
            "label-ceiling",
            "warning",
            f"Copies of one picture have the same label in {_share(agreement)} of {agreement['n']:,} pairs, so that no accuracy "
            f"above {_share(top)} on such labels can be believed.",
            "Correct the copies with different labels, which are listed under copies, and say the ceiling beside every score.",
        )


def _agreement_told(numbers: dict[str, Any]) -> str:
    agreement = numbers["agreement"]["copies"]
    if not agreement["n"]:
        return "No picture occurs twice, so that nothing says how well its labels can be repeated."
    return f"Copies of one picture have the same label in {_share(agreement)} of {agreement['n']:,} pairs."


def _share(figure: Figure) -> str:
    return f"{100 * figure['value']:.1f} % [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"

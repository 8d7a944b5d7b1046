"""Which of several runs is better, in sentences: what compare.json says, for the page and the terminal."""

from collections.abc import Mapping
from typing import Any

from cutis.evaluate.paired import less_is_better
from cutis.report import words

Told = Mapping[str, Any]


def said(told: Told, pair: Told, figure: str) -> str:
    """``a is better by 0.034 [0.012, 0.056]``, or that both cannot be told apart and how many images it would take."""
    found = pair["figures"][figure]
    if found["value"] is None:
        return "n/a: the figure is not defined for these images"
    if found["better"]:
        ends = sorted(abs(found[end]) for end in ("low", "high"))
        return f"{found['better']} is better by {words.number(abs(found['value']))} [{words.number(ends[0])}, {words.number(ends[1])}]"
    if found["low"] is None:
        return "n/a: there is no interval, because the trainings are too few or all alike"
    return f"cannot be told apart with these {words.count(told['n'], 'image')}{_lacking(told, found)}"


def verdict(told: Told) -> str:
    """One sentence on the headline figure: which run is better than which."""
    return f"In {spoken(headline(told))} {standing(told, headline(told))}."


def standing(told: Told, figure: str) -> str:
    """Which run is better than which in a figure, as the end of a sentence."""
    first = told["pairs"][0]
    if len(told["runs"]) == 2:
        names = "" if first["figures"][figure]["better"] else f"{first['first']} and {first['second']} "
        return names + said(told, first, figure)
    best = foremost(told, figure)
    if best is None:
        return "no run has a figure on these images"
    beaten: list[str] = []
    apart: list[str] = []
    for pair in told["pairs"]:
        if best in (pair["first"], pair["second"]):
            other = pair["second"] if pair["first"] == best else pair["first"]
            (beaten if pair["figures"][figure]["better"] == best else apart).append(other)
    if not apart:
        return f"{best} is better than every other run"
    better = f"is better than {words.listed(beaten)}, and " if beaten else "stands first, but "
    return f"{best} {better}cannot be told apart from {words.listed(apart)}"


def foremost(told: Told, figure: str) -> str | None:
    """The run whose own figure is the best, told apart or not; None where no run has one."""
    own = {run["name"]: run["figures"][figure] for run in told["runs"]}
    known = {name: found["value"] for name, found in own.items() if found and found["value"] is not None}
    return (min if less_is_better(figure) else max)(known, key=lambda name: known[name]) if known else None


def spoken(figure: str) -> str:
    """A figure's name inside a sentence."""
    label = words.label(figure)
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def headline(told: Told) -> str:
    """The figure the page opens with: the one that stands for the first run, where it is compared."""
    own = str(told["runs"][0]["headline"])
    return own if own in told["figures"] else str(told["figures"][0])


def _lacking(told: Told, found: Told) -> str:
    """What would tell two runs apart."""
    if found["limited_by"] == "trainings" and found["p_images"] is not None:
        return ": another seed may turn it round; train more seeds"
    if found["needed"] is None:
        return "" if found["value"] else ": there is no difference at all"
    return f"; it would take {about(found['needed'], told['n'])}"


def about(needed: int, n: int) -> str:
    """``about 4,300``, to two digits; ``somewhat more`` where that is not above ``n``, ``more than a million`` beyond that."""
    if needed > 1_000_000:
        return "more than a million"
    digits = max(0, len(str(needed)) - 2)
    rounded = -(-needed // 10**digits) * 10**digits
    return f"about {rounded:,}" if rounded > n else "somewhat more"

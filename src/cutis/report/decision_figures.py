"""Figures of decisions: what each rule finds and what it costs, and net benefit against the worth of finding one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cutis.evaluate.curves import Curve
from cutis.evaluate.sample import Floats
from cutis.report import words
from cutis.report.drawing import ACCENT, ALARM, INK, MUTED, Drawing, draw
from cutis.report.figures import apart

MARKERS = {"answered": "o", "plain": "s", "guaranteed": "D"}
SHORT = {"answered": "as answered", "plain": "plain", "guaranteed": "guaranteed"}


def price(name: str, asked: str, curve: Curve, told: Mapping[str, Any], target: float, note: str) -> Drawing:
    """The ROC curve of one question with its band, the sensitivity aimed at as a line, and each rule as a point."""
    points = {rule: (1 - told[rule]["specificity"]["value"], told[rule]["sensitivity"]["value"]) for rule in measured(told)}
    best = points.get("guaranteed") or points.get("plain")
    title = f"To find {words.per_cent(best[1])} of {asked}, it calls {words.per_cent(best[0])} of the rest" if best else f"ROC of {asked}"

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        axes.text(0.62, 0.56, "chance", color=MUTED, fontsize=8)
        axes.axhline(target, color=ALARM, linewidth=1, linestyle="--")
        axes.text(0.83, target - 0.015, f"aim: {words.per_cent(target)}", color=ALARM, fontsize=8, ha="right", va="top")
        if curve.low is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(curve.x, curve.y, color=ACCENT)
        right, under = min(0.7, max((x for x, _ in points.values()), default=0) + 0.2), 1.0
        for rule, (x, y) in sorted(points.items(), key=lambda point: -point[1][1]):
            under = min(y - 0.08, under - 0.08)  # right of and below its points there is no curve
            axes.plot(x, y, MARKERS[rule], color=ACCENT, markeredgecolor=INK, markersize=6, clip_on=False, zorder=5)
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6}
            axes.annotate(SHORT[rule], (x, y), xytext=(right, under), arrowprops=line, fontsize=8, va="center")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="1 − specificity: share of the rest that is called", ylabel="sensitivity: share found")

    about = "; ".join(f"{SHORT[rule]}: sensitivity {y:.3f} at specificity {1 - x:.3f}" for rule, (x, y) in points.items())
    return draw(name, title, f"ROC curve. {about}.", paint, size=(380, 360), note=note)


def benefit(name: str, asked: str, told: Mapping[str, Any], corrected: Floats | None, note: str) -> Drawing:
    """Net benefit of acting on the score with its band, of acting on all and on none; ``corrected``: with calibrated probabilities."""
    worth, own, everyone = (np.array(told[k]) for k in ("threshold", "value", "all"))
    title = (
        f"Better than calling all or none {ranges(told['useful'])}" if told["useful"] else "Not shown to be better than calling all or none"
    )
    shown = everyone > -0.15 * own[0]

    def paint(axes: Any) -> None:
        axes.fill_between(100 * worth, told["low"], told["high"], color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(100 * worth, own, color=ACCENT)
        axes.plot(100 * worth[shown], everyone[shown], color=MUTED, linestyle="--", linewidth=1.2)
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.2)
        if corrected is not None:
            axes.plot(100 * worth, corrected, color=INK, linestyle="-.", linewidth=1)
        top = 1.05 * max(*told["high"], *told["all"], 1e-3)
        ends = {"call none": 0.0, "the model": float(own[-1])} | ({} if corrected is None else {"calibrated": float(corrected[-1])})
        for label, y in apart(ends, 0.06 * 1.15 * top).items():
            axes.annotate(
                label, (100 * worth[-1], y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8, annotation_clip=False
            )
        last = int(np.flatnonzero(shown)[-1]) if shown.any() else 0
        axes.annotate(
            "call all", (100 * worth[last], everyone[last]), xytext=(3, -4), textcoords="offset points", fontsize=8, va="top", color=MUTED
        )
        axes.set(xlim=(0, 50), ylim=(-0.15 * top, top), xlabel=f"risk of {asked} from which one acts, %", ylabel="net benefit an image")

    at = [int(np.abs(worth - t).argmin()) for t in (0.05, 0.1, 0.2, 0.3, 0.5)]
    about = "; ".join(f"at {worth[i]:.2f}: {own[i]:.3f}, calling all {everyone[i]:.3f}" for i in at)
    return draw(name, title, f"Net benefit. {about}.", paint, size=(400, 360), margins=(56, 62), note=note)


def measured(told: Mapping[str, Any]) -> list[str]:
    """The rules of a question that have a point: sensitivity and specificity on these images."""
    return [r for r in MARKERS if r in told and all(told[r].get(f, {}).get("value") is not None for f in ("sensitivity", "specificity"))]


def ranges(spans: Sequence[Sequence[float]]) -> str:
    """``from 3 to 44 %``, ``at 5 % and from 7 to 20 %``."""
    return words.listed([f"at {100 * a:.0f} %" if a == b else f"from {100 * a:.0f} to {100 * b:.0f} %" for a, b in spans])

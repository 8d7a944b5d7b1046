"""Figures of not answering: errors against the share that is answered, coverage of the sets by class, and how strange images are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutis.evaluate.curves import Curve
from cutis.report import words
from cutis.report.drawing import ACCENT, ALARM, INK, MUTED, Drawing, draw, short

Floats = NDArray[np.float64]
BINS = 40


def risk_coverage(curve: Curve, best: Floats, note: str) -> Drawing:
    """Share of wrong answers among the surest images with its band; that of an order that puts all wrong ones last; and of no order."""
    half, whole = float(np.interp(0.5, curve.x, curve.y)), float(curve.y[-1])
    title = f"Of the surest half {words.per_cent(half)} are wrong, of all {words.per_cent(whole)}"

    def paint(axes: Any) -> None:
        assert curve.low is not None
        assert curve.high is not None
        axes.axhline(whole, color=MUTED, linewidth=1, linestyle=":")
        axes.fill_between(curve.x, curve.low, curve.high, color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(curve.x, best, color=MUTED, linewidth=1, linestyle="--")
        axes.plot(curve.x, curve.y, color=ACCENT)
        top = max(0.02, float(np.max(curve.high))) * 1.08
        axes.text(0.02, whole + 0.015 * top, "any order by chance", color=MUTED, fontsize=8, va="bottom")
        axes.annotate("the best order", (1, 0), xytext=(-4, 4), textcoords="offset points", color=MUTED, fontsize=8, ha="right")
        axes.set(xlim=(0, 1), ylim=(0, top), xlabel="share of images that it answers, the surest first", ylabel="share of wrong answers")

    return draw("risk-coverage", title, "Risk-coverage curve with its interval.", paint, size=(440, 340), note=note)


def coverage(
    name: str, title: str, rules: Mapping[str, Sequence[words.Figure]], classes: Sequence[str], promised: float, note: str
) -> Drawing:
    """How often the sets of two rules hold the true class, by class, with intervals, beside what is promised."""

    def paint(axes: Any) -> None:
        axes.axvline(promised, color=MUTED, linewidth=1, linestyle=":")
        for (label, values), colour, mark, shift in zip(rules.items(), (INK, ACCENT), ("s", "o"), (-0.16, 0.16), strict=True):
            known = [(i + shift, f) for i, f in enumerate(values) if f["value"] is not None]
            for y, f in known:
                axes.plot([f["low"], f["high"]], [y, y], color=colour, linewidth=3, alpha=0.3, solid_capstyle="butt")
            axes.plot([f["value"] for _, f in known], [y for y, _ in known], mark, color=colour, markersize=6, label=label, clip_on=False)
        axes.set(
            xlim=(0, 1.0),
            ylim=(len(classes) + 0.7, -0.6),
            xlabel=f"share of images whose set holds the true class; {promised:g} is promised",
        )
        axes.set_yticks(range(len(classes)), [short(c, 12) for c in classes])
        axes.legend(frameon=False, fontsize=9, loc="lower left")

    about = "; ".join(
        f"{label}: " + ", ".join(f"{c} {words.figure(f)}" for c, f in zip(classes, values, strict=True)) for label, values in rules.items()
    )
    return draw(name, title, about, paint, size=(440, 160 + 30 * len(classes)), margins=(96, 16), note=note)


def strangeness(title: str, score: str, sets: Mapping[str, Floats], limit: float, note: str) -> Drawing:
    """How the images of each set are spread over a score of strangeness; beyond the limit they are refused."""
    every = np.concatenate(list(sets.values()))
    low, high = np.quantile(every, [0.001, 0.999])
    edges = np.linspace(low, max(high, limit), BINS + 1)
    shown = list(sets)

    def paint(axes: Any) -> None:
        for i, name in enumerate(shown):
            counts = np.histogram(sets[name].clip(edges[0], edges[-1]), edges)[0]
            height = 0.85 * counts / max(1, counts.max())
            axes.fill_between(np.repeat(edges, 2)[1:-1], i + 0.4, i + 0.4 - np.repeat(height, 2), color=ACCENT, alpha=0.55, linewidth=0)
        axes.axvline(limit, color=ALARM, linewidth=1.4)
        axes.annotate("refused", (limit, -0.5), xytext=(4, -2), textcoords="offset points", color=ALARM, fontsize=9, va="top")
        axes.set(ylim=(len(shown) - 0.4, -0.9), xlabel=f"{score}: further right is stranger")
        axes.set_yticks(range(len(shown)), [short(name, 14) for name in shown])
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{name}: {words.per_cent(float((values > limit).mean()))} above the limit" for name, values in sets.items())
    return draw("strangeness", title, about, paint, size=(560, 120 + 46 * len(shown)), margins=(112, 20), note=note)

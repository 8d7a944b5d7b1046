"""The figures: each answers one question, and its title is the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from cutis.evaluate.curves import Curve, Reliability
from cutis.report import words
from cutis.report.drawing import ACCENT, ALARM, CARD, INK, LINE, MUTED, OKABE_ITO, Drawing, draw, short

Floats = NDArray[np.float64]


def sensitivity(classes: Sequence[str], figures: Sequence[words.Figure], colours: Sequence[int], note: str) -> Drawing:
    """Sensitivity of each class with its interval; the title names the class that is missed most."""
    known = [(f["value"], i) for i, f in enumerate(figures) if f.get("value") is not None]
    title = "No class has enough images for a figure"
    if known:
        value, worst = min(known)
        n = int(figures[worst]["n"])
        missed = round((1 - value) * n)
        title = f"{classes[worst]} is missed in {words.one_of(missed, n)}" if missed else "No image of any class is missed"

    def paint(axes: Any) -> None:
        for i, (f, k) in enumerate(zip(figures, colours, strict=True)):
            if f.get("value") is not None:
                if f.get("low") is not None:
                    axes.plot([f["low"], f["high"]], [i, i], color=OKABE_ITO[k], linewidth=5, alpha=0.4, solid_capstyle="butt")
                axes.plot(f["value"], i, "o", color=OKABE_ITO[k], markeredgecolor=INK, markeredgewidth=0.6, markersize=7, clip_on=False)
            axes.text(1.04, i, words.figure(f), va="center", fontsize=9)
        if known:
            mean = float(np.mean([v for v, _ in known]))
            axes.axvline(mean, color=MUTED, linestyle=":", linewidth=1)
            axes.text(mean, -0.75, f"mean {mean:.2f}", color=MUTED, fontsize=8, ha="center", va="center")
        axes.set(xlim=(0, 1), ylim=(len(classes) - 0.4, -1), xlabel="sensitivity: share of the class that is found")
        axes.set_yticks(range(len(classes)), [f"{short(c, 10)} ({f['n']:,})" for c, f in zip(classes, figures, strict=True)])
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{c} {words.figure(f)}, {words.count(int(f['n']), 'image')}" for c, f in zip(classes, figures, strict=True))
    return draw("sensitivity", title, about, paint, size=(390, 110 + 26 * len(classes)), margins=(86, 120), note=note)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], costly: set[tuple[int, int]], title: str, note: str) -> Drawing:
    """Counts, row rates as shade, the costly cells framed."""
    counts = np.asarray(matrix, dtype=float)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    c = len(classes)

    def paint(axes: Any) -> None:
        shade = LinearSegmentedColormap.from_list("rate", [CARD, "#6fa0ad"])  # no deeper, so that text keeps its contrast
        axes.pcolormesh(rates, cmap=shade, vmin=0, vmax=1, edgecolors=LINE, linewidth=0.5)
        for i in range(c):
            for j in range(c):
                axes.text(j + 0.5, i + 0.42, f"{counts[i, j]:,.0f}", ha="center", va="center", fontsize=10)
                axes.text(j + 0.5, i + 0.75, words.per_cent(rates[i, j]), ha="center", va="center", fontsize=7)
                if counts[i, j] and (i, j) in costly:
                    axes.add_patch(mpl.patches.Rectangle((j + 0.04, i + 0.04), 0.92, 0.92, fill=False, edgecolor=ALARM, linewidth=1.6))
        axes.set(ylim=(c, 0), xlabel="answered", ylabel="true")
        axes.set_xticks(np.arange(c) + 0.5, [short(x, 8) for x in classes])
        axes.set_yticks(np.arange(c) + 0.5, [short(x, 8) for x in classes])
        axes.grid(visible=False)

    side = max(220, 44 * c)
    return draw(
        "confusion", title, "Rows are true classes, columns answers.", paint, size=(side + 84, side + 100), margins=(72, 12), note=note
    )


def roc(name: str, title: str, curve: Curve, point: tuple[float, float] | None, colour: int, note: str) -> Drawing:
    """Sensitivity against 1 - specificity of one class with its band, chance as a diagonal, the model's own answers as a point."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        axes.text(0.62, 0.52, "chance", color=MUTED, fontsize=8)
        if curve.low is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=OKABE_ITO[colour], alpha=0.25, linewidth=0)
        axes.plot(curve.x, curve.y, color=OKABE_ITO[colour])
        _dot(axes, point, colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="1 − specificity", ylabel="sensitivity")

    given = f"; the answers given have sensitivity {point[1]:.3f} at specificity {1 - point[0]:.3f}" if point else ""
    return draw(name, title, f"ROC curve{given}.", paint, size=(250, 262), margins=(46, 14), note=note)


def precision_recall(
    name: str, title: str, curve: Curve, point: tuple[float, float] | None, chance: float, colour: int, note: str
) -> Drawing:
    """Precision against sensitivity of one class, its share of the images as chance, the model's own answers as a point."""

    def paint(axes: Any) -> None:
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":")
        axes.text(0.03, chance + (0.03 if chance < 0.85 else -0.08), f"chance {chance:.2f}", color=MUTED, fontsize=8)
        axes.plot(np.append(0, curve.x), np.append(curve.y[:1], curve.y), color=OKABE_ITO[colour], drawstyle="steps-pre")
        _dot(axes, point, colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="sensitivity", ylabel="precision")

    given = f"; the answers given have sensitivity {point[0]:.3f} and precision {point[1]:.3f}" if point else ""
    return draw(name, title, f"Precision-recall curve; chance is {chance:.3f}{given}.", paint, size=(250, 262), margins=(46, 14), note=note)


def reliability(name: str, bins: Reliability, note: str) -> Drawing:
    """Share right against stated probability in bins, with the interval of each bin; the title says which way it errs."""
    said, right = float(bins.confidence.mean()), float(bins.right.mean())
    kind = "As sure as it should be" if abs(said - right) < 0.02 else "Too sure" if said > right else "Not sure enough"
    title = f"{kind}: it states {words.per_cent(said)} and is right in {words.per_cent(right)}"

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        axes.text(0.04, 0.08, "as it should be", color=MUTED, fontsize=8, rotation=41, rotation_mode="anchor")
        axes.vlines(bins.confidence, bins.low, bins.high, color=ACCENT, linewidth=4, alpha=0.3)
        axes.plot(bins.confidence, bins.right, "o-", color=ACCENT, linewidth=1, markersize=5, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability stated for the answer", ylabel="share of answers that are right")

    about = "; ".join(f"states {c:.2f}, right {r:.2f}" for c, r in zip(bins.confidence, bins.right, strict=True))
    return draw(name, title, f"{about}; {bins.images:.0f} images each.", paint, size=(380, 350), note=note)


def training(
    name: str, title: str, lines: dict[str, Floats], stages: Sequence[tuple[int, str]], best: int | None, unit: str, note: str
) -> Drawing:
    """Lines over epochs, labelled at their ends; stage boundaries, the epoch whose weights were kept.

    ``stages``: first epoch (from 1) and name of each; ``best``: epoch from 1.
    """

    def paint(axes: Any) -> None:
        last = max(len(v) for v in lines.values())
        span = np.nanmax([np.nanmax(v) for v in lines.values()]) - np.nanmin([np.nanmin(v) for v in lines.values()])
        ends = {label: float(v[-1]) for label, v in lines.items()}
        for values, colour, dash in zip(lines.values(), (ACCENT, MUTED, ALARM), ("-", "--", "-."), strict=False):
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=dash, marker="o" if len(values) == 1 else "")
            if best:
                axes.plot(best, values[best - 1], "o", color=colour, markersize=5)
        for label, y in apart(ends, 0.08 * (span or 1)).items():
            axes.annotate(label, (last, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9, annotation_clip=False)
        top = axes.get_ylim()[1]
        for first, label in stages:
            if first > 1:
                axes.axvline(first - 0.5, color=LINE, linewidth=1)
            axes.text(first - 0.35, top, short(label, 18), color=MUTED, fontsize=8, va="bottom")
        if best:
            axes.axvline(best, color=MUTED, linewidth=1, linestyle=":")
            axes.annotate("kept", (best, axes.get_ylim()[0]), xytext=(3, 3), textcoords="offset points", color=MUTED, fontsize=8)
        axes.set(xlabel="epoch", ylabel=unit, xlim=(0.5, max(last, 2) + 0.1))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=6))

    ends = ", ".join(f"{label} ends at {v[-1]:.3f}" for label, v in lines.items())
    return draw(name, title, f"{ends}.", paint, size=(390, 290), margins=(46, 70), note=note)


def spread(title: str, rows: Mapping[str, Sequence[float]], note: str) -> Drawing:
    """One dot a run, the mean as a bar, a row a figure."""

    def paint(axes: Any) -> None:
        for i, (_, values) in enumerate(rows.items()):
            axes.plot(values, [i] * len(values), "o", color=ACCENT, alpha=0.55, markersize=7)
            axes.plot([np.mean(values)] * 2, [i - 0.3, i + 0.3], color=INK, linewidth=1.5)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="one dot a run, the bar is their mean")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{k} from {min(v):.3f} to {max(v):.3f}" for k, v in rows.items())
    return draw("spread", title, about, paint, size=(440, 100 + 34 * len(rows)), margins=(128, 20), note=note)


def _dot(axes: Any, point: tuple[float, float] | None, colour: int) -> None:
    if point:
        axes.plot(*point, "o", color=OKABE_ITO[colour], markeredgecolor=INK, markersize=6, clip_on=False, zorder=5)


def apart(values: dict[str, float], gap: float) -> dict[str, float]:
    """Label positions at least ``gap`` from each other, moved up as little as one pass needs."""
    out: dict[str, float] = {}
    for label in sorted(values, key=lambda k: values[k]):
        out[label] = max(values[label], max(out.values(), default=-np.inf) + gap)
    return out

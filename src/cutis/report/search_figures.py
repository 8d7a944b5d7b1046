"""Figures of a search: best of each generation, what mattered, and value against cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from cutis.report import words
from cutis.report.drawing import ACCENT, ALARM, INK, MUTED, Drawing, draw

NAMES = {
    "layers": "layers",
    "units": "units",
    "units_1": "units, first layer",
    "units_2": "units, second layer",
    "dropout": "dropout",
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "class_weighting": "class weighting",
    "label_smoothing": "label smoothing",
    "mutation": "mutation rate",
}


def progress(rows: pd.DataFrame, metric: str, note: str) -> Drawing:
    """Every candidate as a dot, the best of each generation, the best so far as a line."""
    best = rows.groupby("generation")["value"].max()
    so_far, first = best.cummax(), float(best.iloc[0])
    label = words.label(metric)
    gain = float(so_far.iloc[-1]) - first
    title = (
        f"{label} rises by {gain:.3f} after the first generation"
        if gain > 0
        else f"No generation is better than the first: {label.lower()} {first:.3f}"
    )

    def paint(axes: Any) -> None:
        axes.plot(rows["generation"] + 1, rows["value"], "o", color=MUTED, alpha=0.35, markersize=3, markeredgewidth=0)
        axes.plot(so_far.index + 1, so_far, color=ACCENT, drawstyle="steps-post")
        axes.plot(best.index + 1, best, "o", color=ACCENT, markersize=5)
        low, high = float(rows["value"].quantile(0.1)), float(rows["value"].max())
        axes.set(xlabel="generation", ylabel=f"{label.lower()} on validation", ylim=(low - 0.02, high + 0.02))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=8))

    about = "; ".join(f"generation {g + 1} best {v:.3f}" for g, v in enumerate(best))
    return draw("search-generations", title, f"{about}. A dot is a candidate.", paint, size=(390, 290), margins=(52, 14), note=note)


def importance(shares: Mapping[str, float], note: str) -> Drawing:
    """How much of the spread each gene explains, as bars, the largest first."""
    named = sorted(((NAMES.get(name, name), share) for name, share in shares.items()), key=lambda pair: -pair[1])
    title = f"{named[0][0].capitalize()} mattered most: {words.per_cent(named[0][1])} of the spread"

    def paint(axes: Any) -> None:
        axes.barh(range(len(named)), [share for _, share in named], color=ACCENT, height=0.6)
        for i, (_, share) in enumerate(named):
            axes.text(share, i, f" {words.per_cent(share)}", va="center", fontsize=9)
        axes.set(xlim=(0, 1.15 * named[0][1]), ylim=(len(named) - 0.5, -0.5), xlabel="share of the candidates' spread that it explains")
        axes.set_yticks(range(len(named)), [name for name, _ in named])
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{name} {words.per_cent(share)}" for name, share in named)
    return draw("search-importance", title, about, paint, size=(390, 110 + 24 * len(named)), margins=(124, 14), note=note)


def front(rows: pd.DataFrame, metric: str, backbone: int, best: int, note: str) -> Drawing:
    """Value against multiply-adds of the head on a logarithmic scale: all candidates, the Pareto front as a line, the one chosen."""
    label = words.label(metric)
    kept = rows[rows["front"]].sort_values("multiply_adds")
    chosen = rows[rows["number"] == best].iloc[0]
    share = chosen["multiply_adds"] / max(1, backbone)
    title = f"The chosen head costs {_millions(chosen['multiply_adds'])} multiply-adds, {words.per_cent(share)} of the backbone's"

    def paint(axes: Any) -> None:
        axes.plot(rows["multiply_adds"], rows["value"], "o", color=MUTED, alpha=0.35, markersize=3, markeredgewidth=0)
        axes.plot(kept["multiply_adds"], kept["value"], "o-", color=ACCENT, drawstyle="steps-post", markersize=5)
        axes.plot(chosen["multiply_adds"], chosen["value"], "o", color=ALARM, markeredgecolor=INK, markersize=7)
        axes.annotate(
            "chosen", (chosen["multiply_adds"], chosen["value"]), xytext=(-8, 8), textcoords="offset points", ha="right", fontsize=9
        )
        low, high = float(rows["value"].quantile(0.1)), float(rows["value"].max())
        axes.set(xscale="log", xlabel="multiply-adds of the head, an image", ylabel=f"{label.lower()} on validation")
        axes.set_ylim(low - 0.02, high + 0.03)
        axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())

    about = "The Pareto front: " + "; ".join(
        f"{_millions(cost)} multiply-adds {value:.3f}" for cost, value in zip(kept["multiply_adds"], kept["value"], strict=True)
    )
    return draw("search-front", title, about, paint, size=(390, 290), margins=(52, 18), note=note)


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f} million" if count >= 1e6 else f"{count:,.0f}"


def genes(row: Mapping[str, Any]) -> dict[str, str]:
    """Genes in words; the second layer's units are left out where there is one layer."""
    told = {name: value for name, value in row.items() if name in NAMES and not pd.isna(value)}
    if told.get("layers") == 1:
        told.pop("units_2", None)
    return {NAMES[name]: f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.2g}" for name, value in told.items()}


def listed(rows: pd.DataFrame) -> tuple[Sequence[str], list[list[str]]]:
    """Column titles and cells of a table of candidates."""
    columns = [c for c in ("number", "generation", *NAMES, "value", "epochs", "multiply_adds") if c in rows]

    def cell(name: str, value: Any) -> str:
        if pd.isna(value):
            return ""
        if name == "generation":
            return f"{int(value) + 1}"
        return words.number(value) if name == "value" else f"{value:,.0f}" if float(value).is_integer() else f"{value:.2g}"

    titles = [NAMES.get(c, c.replace("_", " ")) for c in columns]
    return titles, [[cell(c, v) for c, v in zip(columns, row, strict=True)] for row in rows[columns].itertuples(index=False)]

"""The figure of groups: how far each lies from the rest."""

from collections.abc import Mapping
from typing import Any

from cutis.report import words
from cutis.report.drawing import ACCENT, ALARM, INK, MUTED, Drawing, draw, short, slug

LINE = 17  # pixels a group


def gaps(where: str, slices: Mapping[str, Any], name: str, title: str, note: str) -> Drawing:
    """The gap of each group to the rest with its interval, a block of lines each way; those that are sure stand out."""
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    for way in slices["by"].values():
        known = [(group, part["figures"][name]["gap"]) for group, part in way["groups"].items() if "figures" in part]
        known = [(group, gap) for group, gap in known if gap["value"] is not None]
        lines += [(way["title"], None), *known] if known else []

    def paint(axes: Any) -> None:
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
        for y, (_, gap) in enumerate(lines):
            if gap is not None:
                sure = gap["p_holm"] < 1 - slices["level"]
                colour = ALARM if sure and gap["value"] < 0 else ACCENT
                axes.plot([gap["low"], gap["high"]], [y, y], color=colour, linewidth=4, alpha=0.4, solid_capstyle="butt")
                axes.plot(gap["value"], y, "D" if sure else "o", color=colour, markeredgecolor=INK, markeredgewidth=0.6, markersize=6)
        axes.set(
            ylim=(len(lines) - 0.4, -0.8),
            xlabel=f"{words.label(name).lower()}, less that of the rest; diamonds: sure, all groups considered",
        )
        axes.set_yticks(range(len(lines)), [short(text, 26) for text, _ in lines])
        for tick, (_, gap) in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set(fontweight="bold" if gap is None else "normal", fontsize=9)
        axes.grid(visible=False, axis="y")

    about = "; ".join(f"{text} {gap['value']:+.3f}" for text, gap in lines if gap is not None)
    return draw(f"groups-{slug(where)}", title, about, paint, size=(560, 130 + LINE * len(lines)), margins=(170, 20), note=note)

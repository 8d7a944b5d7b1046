"""Further parts of a study's page: curves of all arms in one picture, and confusion matrices side by side."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from cutis.evaluate import curves
from cutis.evaluate.summary import pooled
from cutis.report import blocks
from cutis.report.context import Part, costly
from cutis.report.drawing import MUTED, OKABE_ITO, draw, short, slug
from cutis.runs import Run
from cutis.studies.context import Context, parts

DASHES = ("-", "--", "-.", ":")  # so that arms differ in grey print too
INKS = OKABE_ITO[:7]
LOSSES = {"train_loss": "Training loss", "val_loss": "Validation loss", "val_balanced_accuracy": "Balanced accuracy on validation"}

Line = tuple[NDArray[np.float64], NDArray[np.float64]]


@parts.register("precision-recall")
def precision_recall(context: Context) -> Part | None:
    """Precision against sensitivity of each class, all arms that answered the same test images in one picture."""
    body: list[Markup] = []
    for arms in _together(context):
        answers = {arm: pooled(context.answers[arm].predictions("test")) for arm in arms}
        first = answers[arms[0]]
        drawings = []
        for name in first.classes:
            lines: dict[str, Line] = {}
            for arm, own in answers.items():
                c = own.classes.index(name)
                if 0 < (own.labels == c).sum() < len(own.labels):
                    curve = curves.precision_recall(own.labels == c, own.probabilities[:, c])
                    lines[arm] = np.append(0, curve.x), np.append(curve.y[:1], curve.y)
            if lines:
                chance = float((first.labels == first.classes.index(name)).mean())
                drawings.append(_class(context, arms, name, lines, chance))
        body += [_key(context, arms, "precision-recall"), blocks.grid(drawings)] if drawings else []
    return (
        Part("Precision and sensitivity of each class", "All arms that answered the same test images, one line each.", body)
        if body
        else None
    )


@parts.register("curves")
def training(context: Context) -> Part | None:
    """Losses and balanced accuracy over the epochs, a line for each arm and seed."""
    histories = {arm: [part.history for part in run.parts or [run] if _trained(part)] for arm, run in context.runs.items()}
    arms = [arm for arm, own in histories.items() if own]
    drawings = []
    for column, title in LOSSES.items():
        lines = {arm: [np.asarray(h[column], float) for h in histories[arm] if column in h and h[column].notna().any()] for arm in arms}
        lines = {arm: own for arm, own in lines.items() if own}
        if lines:
            drawings.append(_epochs(context, arms, column, title, lines))
    if not drawings:
        return None
    body = [_key(context, arms, "curves"), blocks.grid(drawings, wide=True)]
    return Part("Training of all arms", "Over the epochs of all stages; several seeds are several lines.", body)


@parts.register("confusion")
def confusion(context: Context) -> Part | None:
    """The confusion matrix of each arm on its test images; several seeds are added up."""
    shown = []
    for arm, own in context.answers.items():
        summary = own.summary("test")
        if summary is not None:
            classes = summary["classes"]
            matrix = blocks.confusion(summary["confusion"], classes, [context.colour(c) for c in classes], costly(classes))
            shown.append(Markup("<div>{}{}</div>").format(blocks.heading(context.title(arm)), matrix))
    return Part("Which class is taken for which", "On the test images of each arm.", [blocks.grid(shown, wide=True)]) if shown else None


def _trained(run: Run) -> bool:
    return (run.folder / "history.csv").is_file()


def _together(context: Context) -> list[list[str]]:
    """The arms in groups that answered the same test images with the same classes."""
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for arm, own in context.answers.items():
        if found := own.predictions("test"):
            groups[tuple(sorted(found[0].classes)), tuple(sorted(found[0].images))].append(arm)
    return list(groups.values())


def _style(arms: Sequence[str], arm: str) -> dict[str, Any]:
    i = arms.index(arm)
    return {"color": INKS[i % len(INKS)], "linestyle": DASHES[(i // len(INKS) + i) % len(DASHES)], "linewidth": 1.4}


def _key(context: Context, arms: Sequence[str], name: str) -> Markup:
    """Which line is which arm."""

    def paint(axes: Any) -> None:
        for i, arm in enumerate(arms):
            axes.plot([0, 1], [i, i], **_style(arms, arm))
            axes.text(1.15, i, short(context.title(arm), 40), va="center", fontsize=9)
        axes.set(xlim=(0, 6), ylim=(len(arms) - 0.4, -0.6))
        axes.set_axis_off()

    title = "Which line is which arm"
    size = (380, 86 + 18 * len(arms))
    return context.figure(
        draw(f"{name}-key-{slug(arms[0])}", title, ", ".join(map(context.title, arms)), paint, size=size, note=context.note)
    )


def _class(context: Context, arms: Sequence[str], name: str, lines: Mapping[str, Line], chance: float) -> Markup:
    found = {arm: context.answers[arm].figure("test", f"auprc/{name}") for arm in lines}
    areas = {arm: float(f["value"]) for arm, f in found.items() if f and f["value"] is not None}
    best = max(areas, key=lambda arm: areas[arm], default="")
    title = f"{name}: highest is {short(context.title(best), 30)}, {areas[best]:.3f}" if best else f"{name}: too few images for a figure"

    def paint(axes: Any) -> None:
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
        axes.text(0.03, chance + (0.03 if chance < 0.85 else -0.08), f"chance {chance:.2f}", color=MUTED, fontsize=8)
        for arm, (x, y) in lines.items():
            axes.plot(x, y, drawstyle="steps-pre", **_style(arms, arm))
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="sensitivity", ylabel="precision")

    about = "AUPRC: " + ("; ".join(f"{context.title(arm)} {area:.3f}" for arm, area in areas.items()) or "none")
    file = f"precision-recall-{slug(arms[0])}-{slug(name)}"
    return context.figure(draw(file, title, about, paint, size=(250, 280), margins=(46, 14), note=context.note))


def _epochs(context: Context, arms: Sequence[str], column: str, what: str, lines: Mapping[str, Sequence[NDArray[np.float64]]]) -> Markup:
    loss = column.endswith("loss")
    pick, name = (min, "lowest") if loss else (max, "highest")
    ends = {arm: float(pick(pick(v[np.isfinite(v)], default=np.nan) for v in own)) for arm, own in lines.items()}
    best = pick(ends, key=lambda arm: ends[arm])
    title = f"{what} is {name} in {short(context.title(best), 30)}, {ends[best]:.3f}"

    def paint(axes: Any) -> None:
        for arm, own in lines.items():
            for values in own:
                marker = {"marker": "o", "markersize": 4} if len(values) == 1 else {}
                axes.plot(np.arange(1, len(values) + 1), values, **_style(arms, arm), **marker)
        axes.set(xlabel="epoch", ylabel="loss" if loss else "balanced accuracy")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=6))

    about = "; ".join(f"{context.title(arm)} {value:.3f} ({name})" for arm, value in ends.items())
    return context.figure(draw(f"curves-{slug(column)}", title, about, paint, size=(390, 290), margins=(52, 14), note=context.note))

"""How training went: loss and validation figures over the epochs, where stages begin, which epoch was kept."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cutis.report import blocks, figures, words
from cutis.report.context import Context, Part, parts

SCORES = {"val_accuracy": "accuracy", "val_balanced_accuracy": "balanced", "val_auroc": "AUROC"}
LOSSES = {"train_loss": "training", "val_loss": "validation"}


@parts.register("70 training")
def training(context: Context) -> Part | None:
    """Two figures over the epochs, and the table behind them."""
    if not (context.run.folder / "history.csv").is_file():
        return None
    history = context.run.history
    if history.empty:
        return None
    best = kept(context)
    starts = [i for i in range(len(history)) if i == 0 or history["stage"].iloc[i] != history["stage"].iloc[i - 1]]
    stages = [(i + 1, _stage(context, history["stage"].iloc[i])) for i in starts] if len(starts) > 1 else []
    plots = [_plot(context, history, stages, best, *kind) for kind in (("loss", LOSSES, "loss"), ("scores", SCORES, "validation figure"))]
    rows = [["" if pd.isna(v) else f"{v:g}" if isinstance(v, float) else str(v) for v in row] for row in history.to_numpy(object)]
    table = blocks.fold("Every epoch", blocks.table("Every epoch", [c.replace("_", " ") for c in history.columns], rows, hidden=True))
    sentence = f"{words.count(len(history), 'epoch')} in {words.count(len(starts), 'stage')}" + (
        f"; the weights of epoch {best} were kept." if best else "."
    )
    return Part("Training", sentence, [blocks.grid([p for p in plots if p], wide=True), table])


def kept(context: Context) -> int | None:
    """The epoch, counted from 1, whose weights the run has: the best of the last stage, or its last where the stage says so; or none."""
    if not (context.run.folder / "history.csv").is_file() or "best" not in (history := context.run.history):
        return None
    if not context.recipe.stages[-1].restore_best:
        return len(history)
    best = np.flatnonzero(history["best"].astype(str).str.lower().isin(["true", "1"]))
    return int(best[-1]) + 1 if len(best) else None


def _plot(
    context: Context, history: pd.DataFrame, stages: list[tuple[int, str]], best: int | None, name: str, wanted: dict[str, str], unit: str
) -> Markup | None:
    lines = {title: history[c].to_numpy(float) for c, title in wanted.items() if c in history and history[c].notna().any()}
    if not lines:
        return None
    return context.figure(figures.training(name, _title(history, name, best), lines, stages, best, unit, context.note))


def _title(history: pd.DataFrame, name: str, best: int | None) -> str:
    column = "val_loss" if name == "loss" else "val_balanced_accuracy"
    if column not in history or history[column].isna().all():
        return "Loss over the epochs" if name == "loss" else "Validation figures over the epochs"
    values = history[column].to_numpy(float)
    if name == "loss":
        return f"Validation loss is lowest at epoch {int(np.nanargmin(values)) + 1} of {len(values)}"
    at = best or len(values)
    return f"Balanced accuracy on validation is {values[at - 1]:.3f} at epoch {at}"


def _stage(context: Context, stage: Any) -> str:
    plan = context.recipe.stages
    index = int(stage) if str(stage).isdigit() else -1
    return plan[index].train if 0 <= index < len(plan) else str(stage)

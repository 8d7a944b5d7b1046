"""After each stage: the figures of the network as it was at the end of each stage of its training, beside those at the end."""

from typing import Any

from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts
from cutis.runs import stage_of, stage_set

SHOWN = ("accuracy", "balanced_accuracy", "auroc_macro")


@parts.register("34 stages")
def stages(context: Context) -> Part | None:
    """A row a stage, for validation and test."""
    if not any(map(stage_of, context.metrics)):
        return None
    plan = context.recipe.stages
    answered = [part for part in ("val", "test") if part in context.metrics]
    columns: list[str | blocks.Column] = ["stage", blocks.Column("what it trains", text=True)]
    columns += [blocks.Column(f"{part}: {words.label(m)}", hint=words.METRICS[m][1]) for part in answered for m in SHOWN]

    def told(part: str, number: int) -> dict[str, Any]:
        figures: dict[str, Any] = context.metrics[part if number == len(plan) else stage_set(part, number)]
        return figures

    rows = [
        [str(number), stage.train, *(blocks.figure(told(part, number)[m]) for part in answered for m in SHOWN)]
        for number, stage in enumerate(plan, 1)
    ]
    first, last = (words.figure(told(answered[-1], number)["accuracy"]) for number in (1, len(plan)))
    sentence = f"Accuracy on {answered[-1]} is {first} after the first stage and {last} after the last, the model that was kept."
    return Part("After each stage", sentence, [blocks.table("Figures after each stage", columns, rows, stacked=True)])

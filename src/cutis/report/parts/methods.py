"""How it was done: a methods text that a paper can take over, the recipe in words and as JSON, what a publication leaves open."""

from markupsafe import Markup

from cutis.recipe import Recipe
from cutis.report import blocks, paper
from cutis.report.context import Context, Part, parts
from cutis.report.in_words import in_words


@parts.register("90 methods")
def methods(context: Context) -> Part:
    """The methods text, then the recipe, a line a step, each choice of ours marked."""
    recipe = context.recipe
    text = [Markup("<p><b>{}.</b> {}</p>").format(title, text) for title, text in paper.paragraphs(context)]
    rows = [[topic, Markup("{} {}").format(how, _ours(recipe, fields))] for topic, how, *fields in in_words(context)]
    body = [
        blocks.heading("Methods and results, ready for a paper"),
        Markup('<blockquote class="paper">{}</blockquote>').format(Markup("").join(text)),
        Markup('<p class="legend">The numbers are those of this run. What a run cannot know is left open under the checklists.</p>'),
        blocks.heading("The recipe, step by step"),
        blocks.table("The recipe in words", ["step", blocks.Column("how", text=True)], rows, hidden=True),
    ]
    if recipe.assumptions:
        open_ = f"(ours) marks a choice that the publication leaves open: {', '.join(recipe.assumptions)}."
        body.append(Markup('<p class="legend">{}</p>').format(open_))
    body.append(blocks.fold("The recipe as JSON", blocks.code(_as_json(recipe))))
    return Part("How it was done", f"The recipe {recipe.name}, as text for a paper and step by step.", body)


def _as_json(recipe: Recipe) -> str:
    """The recipe; of an ensemble what applies to it."""
    if recipe.ensemble is None:
        return recipe.to_json()
    whole = dict.fromkeys(("name", "description", "assumptions", "seed", "ensemble"), True)
    return recipe.model_dump_json(indent=2, include={**whole, "evaluate": {"replicates", "level"}})


def _ours(recipe: Recipe, fields: list[str]) -> Markup:
    ours = [a for a in recipe.assumptions if any((a + ".").startswith(f + ".") for f in fields)]
    return Markup('<span class="ours" title="{}">(ours)</span>').format(", ".join(ours)) if ours else Markup("")

"""How good: every figure with its interval beside the majority line, per class, and which class is taken for which."""

from typing import Any

from markupsafe import Markup

from cutis.data.labels import by_grade
from cutis.report import blocks, figures, words
from cutis.report.context import Context, Part, costly, parts
from cutis.runs import stage_of

FIRST = ("accuracy", "balanced_accuracy", "auroc_macro", "auprc_macro", "f1_macro", "precision_macro", "specificity_macro")
ORDERED = {"kappa_quadratic", "mean_absolute_error"}  # shown only of classes whose names say an order
PER_CLASS = ("sensitivity", "precision", "specificity", "f1", "auroc", "auprc")


@parts.register("30 figures")
def overall(context: Context) -> Part | None:
    """Whole-table figures beside the majority line."""
    if context.main is None:
        return None
    s = context.figures
    sentence = (
        f"Measured on {words.count(s['n'], 'image')} of the set {context.main}, in {words.count(s['groups'], 'group')}; "
        f"the tick on each line is what always answering {context.majority or 'the commonest class'} would reach."
    )
    return Part("How good it is", sentence, whole_tables(context.figures))


@parts.register("40 classes")
def per_class(context: Context) -> Part | None:
    """Figures of each class, and the confusion matrix."""
    if context.main is None:
        return None
    s = context.figures
    drawing = figures.sensitivity(
        s["classes"], [s["per_class"][c]["sensitivity"] for c in s["classes"]], [context.colour(c) for c in s["classes"]], context.note
    )
    cells = costly(s["classes"])
    title, sentence = _confused(s["confusion"], s["classes"])
    context.save(figures.confusion(s["confusion"], s["classes"], cells, title, context.note))
    matrix = Markup("<div>{}{}{}</div>").format(blocks.heading(title), confusion(context, s), blocks.text(sentence))
    return Part("Class by class", _range(s), [blocks.grid([context.figure(drawing), matrix], wide=True), class_table(context, s)])


@parts.register("80 sets")
def other_sets(context: Context) -> Part | None:
    """The same tables for every other evaluated set, folded."""
    others = {name: s for name, s in context.metrics.items() if name != context.main and not stage_of(name)}
    if not others:
        return None
    folds = []
    for name, s in others.items():
        told = context.provenance.get("evaluated", {}).get(name, {})
        facts = [blocks.facts({k: v for k, v in told.items() if v})] if told else []
        if name == "val":
            facts.append(
                blocks.text("These images chose the weights that were kept, so their figures are kinder than those of new images.")
            )
        tables = [*whole_tables(s), class_table(context, s), confusion(context, s)]
        accuracy = f"accuracy {words.figure(s['accuracy'])}, balanced accuracy {words.figure(s['balanced_accuracy'])}"
        folds.append(blocks.fold(f"{name}: {accuracy}, {words.count(s['n'], 'image')}", *facts, *tables))
    return Part("Other sets", f"The same model on {words.listed(list(others))}.", folds)


def whole_tables(s: dict[str, Any]) -> list[Markup]:
    """The first figures, then all others behind a fold, then how the intervals were made."""
    base = s.get("baseline", {})
    hidden = set() if by_grade(s["classes"]) else ORDERED
    names = [m for m, told in s.items() if m not in hidden and isinstance(told, dict) and "value" in told]
    first = [m for m in FIRST if m in names]
    columns: list[str | blocks.Column] = ["figure", "value", "majority line", "images", blocks.Column("0 to 1", text=True)]

    def rows(chosen: list[str]) -> list[list[Any]]:
        return [
            [
                Markup('<span title="{}">{}</span>').format(words.METRICS.get(m, ("", ""))[1], words.label(m)),
                blocks.figure(s[m]),
                blocks.figure(base[m]) if m in base else "",
                f"{s[m]['n']:,}",
                blocks.strip(s[m], base.get(m)),
            ]
            for m in chosen
        ]

    rest = [m for m in names if m not in first]
    out = [blocks.table("Figures and their intervals", columns, rows(first), hidden=True)]
    if rest:
        out.append(blocks.fold("All other figures", blocks.table("All other figures", columns, rows(rest), hidden=True)))
    meanings = {words.label(m): words.METRICS[m][1] for m in names if m in words.METRICS}
    out.append(blocks.fold("What the figures mean", blocks.facts(meanings)))
    how = s["interval"]
    if s.get("unlabelled"):
        out.append(blocks.text(f"{words.count(s['unlabelled'], 'image')} without a label: left out of every figure."))
    text = f"Intervals: {how['method']}, {100 * how['level']:g} %, {how['replicates']:,} replicates, seed {how['seed']}."
    return [*out, Markup('<p class="legend">{}</p>').format(text)]


def class_table(context: Context, s: dict[str, Any]) -> Markup:
    """A row a class, a column a figure; ``images`` is how many of the class there are."""
    found = [m for m in PER_CLASS if any(m in s["per_class"][c] for c in s["classes"])]
    extra = sorted({m for c in s["classes"] for m in s["per_class"][c]} - set(found))
    columns: list[str | blocks.Column] = [
        "class",
        "images",
        *(blocks.Column(words.label(m), hint=words.METRICS.get(m, ("", ""))[1]) for m in [*found, *extra]),
    ]
    rows = [
        [
            context.chip(c),
            f"{s['per_class'][c]['sensitivity']['n']:,}",
            *(blocks.figure(s["per_class"][c].get(m)) for m in [*found, *extra]),
        ]
        for c in s["classes"]
    ]
    return blocks.table("Figures of each class, one against the rest", columns, rows, stacked=True)


def confusion(context: Context, s: dict[str, Any]) -> Markup:
    """The confusion matrix with the costly cells marked."""
    return blocks.confusion(s["confusion"], s["classes"], [context.colour(c) for c in s["classes"]], costly(s["classes"]))


def benign_calls(s: dict[str, Any]) -> tuple[int, int]:
    """How many malignant images are called benign, of how many; (0, 0) where the class names do not say."""
    cells = costly(s["classes"])
    rows = {i for i, _ in cells}
    return sum(s["confusion"][i][j] for i, j in cells), sum(sum(s["confusion"][i]) for i in rows)


def _range(s: dict[str, Any]) -> str:
    known = [(s["per_class"][c]["sensitivity"]["value"], c) for c in s["classes"] if s["per_class"][c]["sensitivity"]["value"] is not None]
    if not known:
        return "No class has enough images for a figure."
    (low, worst), (high, best) = min(known), max(known)
    return f"Of {best} it finds {words.per_cent(high)}, of {worst} {words.per_cent(low)}."


def _confused(matrix: list[list[int]], classes: list[str]) -> tuple[str, str]:
    """The title and sentence of a confusion matrix: its largest wrong cell, and the malignant called benign."""
    wrong = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j]
    n, i, j = max(wrong, default=(0, 0, 0))
    title = f"{classes[i]} is most often taken for {classes[j]}" if n else "No image gets a wrong class"
    sentence = f"{n:,} of {words.count(sum(matrix[i]), classes[i] + ' image')}: the largest wrong cell." if n else ""
    called, of = benign_calls({"confusion": matrix, "classes": classes})
    return title, f"{sentence} {f'{called:,} of {of:,} malignant images are called benign.' if of else ''}".strip()

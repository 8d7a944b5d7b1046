"""Facts about the evaluation: what was measured and how, on these data and elsewhere, of each class, and where it fails."""

from collections.abc import Mapping
from typing import Any

from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.report.opening import headline, not_for
from cutis.report.parts.scores import benign_calls

WHOLE = ("accuracy", "balanced_accuracy", "auroc_macro")
EACH = ("sensitivity", "specificity", "auroc")
MANY = 12  # classes beyond which a sentence names the malignant ones alone


@facts.register("metrics")
def metrics(context: Context) -> str:
    """What was measured."""
    if context.main is None:
        return ""
    named = [f"{words.label(m).lower().replace('auroc', 'AUROC')} ({words.METRICS[m][1]})" for m in WHOLE if m in context.figures]
    return f"Reported are {words.listed(named)}, and of each class sensitivity, specificity, precision, F1, AUROC and average precision."


@facts.register("intervals")
def intervals(context: Context) -> str:
    """How uncertainty was measured."""
    how = context.figures.get("interval")
    if not how:
        return ""
    method = how["method"].removeprefix("bootstrap over groups: ")
    level = f"{100 * how['level']:g} %"
    return f"Intervals are {level}, from {how['replicates']:,} bootstrap resamples of groups (seed {how['seed']}): {method}."


@facts.register("baseline")
def baseline(context: Context) -> str:
    """What the figures stand beside."""
    return f"Figures stand beside those of always answering {context.majority}." if context.majority and context.main else ""


@facts.register("internal")
def internal(context: Context) -> str:
    """Figures on the run's own test part."""
    return _measured(context, "test") if "test" in context.metrics else ""


@facts.register("external")
def external(context: Context) -> str:
    """Figures on data from elsewhere."""
    return " ".join(_measured(context, name) + _twins(context, name) for name in context.elsewhere)


@facts.register("spread")
def spread(context: Context) -> str:
    """How far apart the runs of a run of runs lie."""
    spread_, name = context.figures.get("spread", {}), headline(context.figures)[0] if context.figures else ""
    of = spread_.get(name)
    if not of or of.get("sd") is None:
        return ""
    told = f"{words.label(name).lower()} had a mean of {of['mean']:.3f} and a standard deviation of {of['sd']:.3f}"
    return f"Over {len(of['runs'])} runs, {told}."


@facts.register("precision")
def precision(context: Context) -> str:
    """How wide the headline's interval is with the images at hand."""
    s = context.figures
    figure = s.get(headline(s)[0], {}) if s else {}
    if figure.get("low") is None or figure.get("high") is None:
        return ""
    n, name = words.count(figure["n"], "image"), words.label(headline(s)[0]).lower()
    return f"With {n} in {words.count(s['groups'], 'group')} the interval of {name} is {figure['high'] - figure['low']:.3f} wide."


@facts.register("by_class")
def by_class(context: Context) -> str:
    """Sensitivity, specificity and AUROC of each class; of many, the malignant ones."""
    s = context.figures
    classes = s.get("classes", [])
    chosen = classes if len(classes) <= MANY else [c for c in classes if words.malignant().get(c.lower())]
    rows = [f"{c} {_listed(s['per_class'][c], EACH)} (n = {s['per_class'][c]['sensitivity']['n']:,})" for c in chosen]
    return f"By class on the set {context.main}: {'; '.join(rows)}." if rows else ""


@facts.register("failures")
def failures(context: Context) -> str:
    """How many answers are wrong, the largest confusion, and malignant called benign."""
    s = context.figures
    if not s:
        return ""
    matrix, classes = s["confusion"], s["classes"]
    whole, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    n, i, j = max(((n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j), default=(0, 0, 0))
    told = f"On the set {context.main}, {whole - right:,} of {words.count(whole, 'answer')} were wrong"
    told += f"; most often {classes[i]} was taken for {classes[j]} ({n:,} of {sum(matrix[i]):,})." if n else "."
    called, of = benign_calls(s)
    return told + (f" Of {of:,} malignant images {called:,} were called benign." if of else "")


@facts.register("limits")
def limits(context: Context) -> str:
    """What it must not be used for, as far as the data tell."""
    return " ".join(f"Not for: {line[0].lower()}{line[1:]}" for line in not_for(context))


@facts.register("use")
def use(context: Context) -> str:
    """The standing notice."""
    return words.NOTICE


@facts.register("classes_only")
def classes_only(context: Context) -> str:
    """What the model can answer at all."""
    known = words.listed(context.classes, "or")
    return f"The model answers {known} and nothing else, whatever the picture shows." if known else ""


def _measured(context: Context, name: str) -> str:
    """The main figures of a set, and what always giving the majority class would reach."""
    s = context.metrics[name]
    files = [f["path"] for f in context.provenance.get("evaluated", {}).get(name, {}).get("files", [])]
    base = s.get("baseline", {})
    beside = [words.number(base[m]["value"]) for m in WHOLE[:2] if base.get(m, {}).get("value") is not None]
    against = f" (always the majority class: {words.listed(beside)})" if len(beside) == 2 else ""
    where = f"the set {name}" + (f" ({words.listed(files)})" if files else "")
    return f"On {words.count(s['n'], 'image')} in {words.count(s['groups'], 'group')} of {where} it reached {_listed(s, WHOLE)}{against}."


def _listed(figures: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """``accuracy 0.849 [0.828, 0.869] and AUROC ...``."""
    short = {m: words.label(m).replace(", macro", "").lower().replace("auroc", "AUROC") for m in names}
    return words.listed([f"{short[m]} {words.figure(figures[m])}" for m in names if m in figures])


def _twins(context: Context, name: str) -> str:
    twins = context.provenance.get("evaluated", {}).get(name, {}).get("training_twins", 0)
    return f" {words.count(twins, 'image')} of it were in training too, which flatters these figures." if twins else ""

"""The model card of a run: Markdown in Hugging Face's layout, with the figures in its YAML head where the hub reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import told
from cutis.report.opening import not_for, opening
from cutis.report.parts.data import collection
from cutis.tabular import Table, as_markdown, escaped

FILE = "card.md"
HUB = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "auroc_macro": "roc_auc", "f1_macro": "f1"}
"""Figures of the head, and what the hub calls them."""

EVALUATE = "cutis evaluate RUN DATA --name SET"
SECTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("## Model Details", (), ""),
    ("### Model Description", ("task", "network", "initialisation", "ensembling", "repeats"), ""),
    ("### Licence and Authors", (), "Name the licence of the model, those who made it, and whom to ask."),
    ("## Uses", (), ""),
    ("### Direct Use", ("use", "classes_only"), "Say for whom and for which images it is meant."),
    ("### Out-of-Scope Use", ("not_for",), ""),
    ("## Bias, Risks, and Limitations", ("failures", "comparing_groups", "groups", "missing", "audit"), ""),
    ("## How to Get Started with the Model", ("start",), ""),
    ("## Training Details", (), ""),
    ("### Training Data", ("sources", "size", "class_sizes", "confirmation", "demographics", "sites", "skin_tone", "exclusions"), ""),
    ("### Training Procedure", ("preprocessing", "augmentation", "training", "selection", "search"), "See the cards of the members."),
    ("## Evaluation", (), ""),
    ("### Testing Data, Factors & Metrics", ("partitions", "disjoint", "metrics", "intervals", "fitting", "calibrating", "deciding"), ""),
    ("### Results", ("results", "by_class", "calibration", "decisions", "unanswered", "scoping"), f"Evaluate it: {EVALUATE}"),
    ("### External Testing", ("external",), f"Evaluate it on images from elsewhere: {EVALUATE}"),
    ("## Model Examination", ("explaining", "explanation"), "Make heat maps and their checks: cutis explain RUN"),
    ("## Technical Specifications", ("software", "machine", "protocol"), ""),
    ("## Citation", (), "Say how to cite the model and its data."),
)
"""Heading, what stands below it, and what a person must add where the run knows nothing."""


def card(context: Context) -> str:
    """The card as Markdown; texts from data are escaped, so that a name is never markup."""
    lines = ["---", yaml.safe_dump(head(context), sort_keys=False, allow_unicode=True, width=140).rstrip(), "---", ""]
    first = opening(context)
    lines += [f"# {escaped(first.title)}", "", f"> **{words.NOTICE}**", ""]
    lines += [f"> **{context.leaks}**", ""] if context.leaks else []
    lines += [f"{escaped(str(first.data))} {escaped(first.verdict)}", ""]
    for heading, names, lacking in SECTIONS:
        body = [line for name in names for line in _lines(context, name)]
        asked = [f"*Open: {escaped(lacking)}*", ""] if lacking and not body else []
        lines += [heading, "", *body, *asked]
    return "\n".join(lines).rstrip() + "\n"


def head(context: Context) -> dict[str, Any]:
    """The YAML head: tags, what it was made from, and the figures of each set that was not trained on (Hugging Face's model-index)."""
    found: dict[str, Any] = {
        "library_name": "cutis",
        "pipeline_tag": "image-classification",
        "tags": ["dermatology", "skin", "medical-imaging", "research-use-only"],
    }
    found |= {"base_model": models} if (models := _base_models(context)) else {}
    results = [_result(context, name) for name in context.metrics if name == "test" or name in context.elsewhere]
    if results:
        found["metrics"] = list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"]))
        found["model-index"] = [{"name": context.run.folder.resolve().name, "results": results}]
    return found


def _lines(context: Context, name: str) -> Iterator[str]:
    """Lines for a name of ``SECTIONS``: a list, a table, a command, or a fact."""
    if name in SPECIAL:
        yield from SPECIAL[name](context)
    elif text := told(context, [name]):
        yield from (escaped(text), "")


def _not_for(context: Context) -> Iterator[str]:
    yield from (f"- {escaped(line)}" for line in not_for(context))
    yield ""


def _start(context: Context) -> Iterator[str]:
    yield from ("```", EVALUATE, "```", "", "RUN is the folder of the run, DATA a folder or table of labelled images.", "")


def _results(context: Context) -> Iterator[str]:
    """A row a figure, a column a set."""
    sets = {name: s for name, s in context.metrics.items() if name == "test" or name in context.elsewhere}
    rows = [(words.label(m), *(words.figure(s.get(m)) for s in sets.values())) for m in HUB if any(m in s for s in sets.values())]
    sizes = (f"{name} (n = {s['n']:,})" for name, s in sets.items())
    if rows:
        yield from (*as_markdown(Table("Results", ("figure", *sizes), rows)), "")


SPECIAL = {"not_for": _not_for, "start": _start, "results": _results}


def _base_models(context: Context) -> list[str]:
    """The hub's names of the published weights that training began with."""
    if context.recipe.ensemble is None:
        return [f"timm/{context.recipe.model.backbone}"] if context.recipe.model.weights == "pretrained" else []
    members = [m.get("model", {}) for m in context.provenance.get("members", [])]
    began = [m["backbone"] for m in members if m.get("backbone") and not str(m.get("weights", "none")).startswith("none")]
    return [f"timm/{name}" for name in dict.fromkeys(began)]


def _result(context: Context, name: str) -> dict[str, Any]:
    s = context.metrics[name]
    about: Mapping[str, Any] = context.provenance.get("data", {}) if name == "test" else {}
    data = {"name": collection(context) if name == "test" else name, "type": about.get("reader") or "custom", "split": name}
    known = [(m, s[m]) for m in HUB if s.get(m, {}).get("value") is not None]
    figures = [{"type": HUB[m], "value": round(f["value"], 4), "name": f"{words.label(m)}{_interval(s, f)}"} for m, f in known]
    return {"task": {"type": "image-classification", "name": "Image classification"}, "dataset": data, "metrics": figures}


def _interval(s: Mapping[str, Any], figure: words.Figure) -> str:
    told = words.interval(figure)
    return f" ({100 * s['interval']['level']:g} % interval {told}, n = {figure['n']:,})" if told else f" (n = {figure['n']:,})"

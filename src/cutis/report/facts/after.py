"""Facts about what was fitted on validation once training was over, and what it reached: calibration, thresholds, answers held back."""

from collections.abc import Mapping
from typing import Any

from cutis.files import read_json
from cutis.report import words
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.report.parts.answering import SCORES

RULES = ("guaranteed", "plain")
SURE = 0.8  # the share of validation images that is answered, for which a sentence tells the accuracy


@facts.register("fitting")
def fitting(context: Context) -> str:
    """On what everything was fitted that was fitted after training."""
    told = context.fitted
    if not told.get("n"):
        return ""
    size = f"{words.count(told['n'], 'validation image')} in {words.count(told['groups'], 'group')}"
    return f"What was fitted after training was fitted on {size} alone; no test image was used."


@facts.register("calibrating")
def calibrating(context: Context) -> str:
    """How probabilities were corrected."""
    told = _fitted(context, "calibration")
    if not told:
        return ""
    if "temperature" in told:
        value = {"value": told["temperature"], "low": told["low"], "high": told["high"]}
        return f"Probabilities were calibrated by temperature scaling of log-probabilities, T = {words.figure(value)}."
    return f"Probabilities were calibrated by the method {told['method']}."


@facts.register("calibration")
def calibration(context: Context) -> str:
    """Calibration error before and after."""
    told = _measured(context, "calibration")
    if "before" not in told:
        return ""
    each = [f"{words.label(m)} was {words.figure(told['before'][m])} and {words.figure(told['after'][m])}" for m in ("ece", "brier")]
    return f"Before and after calibration, {words.listed(each)}."


@facts.register("deciding")
def deciding(context: Context) -> str:
    """How thresholds were chosen."""
    told = _fitted(context, "decisions")
    if not told:
        return ""
    named = "; ".join(words.listed(q["classes"], "or") for q in told["questions"])
    return (
        f"Thresholds ({named}) were chosen on validation so that {words.per_cent(told['target'])} are found, once as the plain share and "
        f"once at a one-sided confidence of {words.per_cent(told['level'])}."
    )


@facts.register("decisions")
def decisions(context: Context) -> str:
    """What the thresholds reached."""
    lines = []
    for q in _measured(context, "decisions").get("questions", []):
        rule = next((q[r] for r in RULES if "sensitivity" in q.get(r, {})), None)
        if rule is not None:
            reached = f"sensitivity was {words.figure(rule['sensitivity'])} and specificity {words.figure(rule['specificity'])}"
            lines.append(f"At the threshold for {words.listed(q['classes'], 'or')} {reached}.")
    return " ".join(lines)


@facts.register("declining")
def declining(context: Context) -> str:
    """How it may decline: sets of classes, and limits of certainty and scope."""
    told = _fitted(context, "conformal")
    if not told:
        return ""
    return (
        f"Sets of possible classes that hold the true one for {words.per_cent(told['coverage'])} of images were made by split conformal "
        "prediction, each group counting once, with one limit for all classes and with one of each class."
    )


@facts.register("unanswered")
def unanswered(context: Context) -> str:
    """What the sets hold, and how often it is right on the images it is surest of."""
    lines = []
    rules = _measured(context, "conformal").get("rules", {})
    for name in ("lac_by_class", "lac"):
        if name in rules:
            held, size = rules[name]["coverage"], rules[name]["size"]
            lines.append(f"The sets held the true class for {words.figure(held)} of images, with {words.figure(size)} classes on average.")
            break
    for at in (at for at in _measured(context, "selective").get("at", []) if at["coverage"] == SURE):
        share, right = words.figure(at["answered"]), words.figure(at["accuracy"])
        lines.append(f"Where the surest {share} of images were answered, accuracy was {right}.")
    return " ".join(lines)


@facts.register("scoping")
def scoping(context: Context) -> str:
    """The limit beyond which an image counts as out of scope, and what share of each set it refused."""
    path = context.run.folder / "scope.json"
    if not path.is_file():
        return ""
    told = read_json(path)
    by, n = told["by"], words.count(told["fitted"]["n"], "validation image")
    refused = [f"{words.figure(s['scores'][by]['refused'])} of {name}" for name, s in told["sets"].items() if name != "val"]
    limit = f"Images were refused as out of scope beyond a limit ({SCORES[by][0]}) that lets {words.per_cent(told['in_scope'])} of {n} pass"
    return f"{limit}: {words.listed(refused)}." if refused else f"{limit}."


def _fitted(context: Context, name: str) -> Mapping[str, Any]:
    """What was fitted under a name; empty where nothing was, or it could not be."""
    told: Mapping[str, Any] = context.fitted.get(name) or {}
    return {} if "why" in told else told


def _measured(context: Context, name: str) -> Mapping[str, Any]:
    """What it reached on the main set; empty where it was not measured."""
    told: Mapping[str, Any] = context.figures.get("after", {}).get(name) or {}
    return {} if "why" in told else told

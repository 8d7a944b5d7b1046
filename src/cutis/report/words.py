"""Numbers and sentences: how every page of Cutis says a figure, a share, a duration or a verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from cutis.data.labels import malignant as malignant  # part of the vocabulary of pages

NOTICE = "Research use only. Not a medical device. Not for diagnosis."

Figure = Mapping[str, Any]  # {"value", "low", "high", "n"[, "why"]}: docs/formats.md

METRICS = {
    "accuracy": ("Accuracy", "share of images that get the right class"),
    "balanced_accuracy": ("Balanced accuracy", "mean sensitivity of the classes: each class counts the same"),
    "auroc_macro": ("AUROC, macro", "how often an image of a class scores above one of the rest, mean of the classes"),
    "auroc_weighted": ("AUROC, weighted", "the same, weighted by class size"),
    "auprc_macro": ("AUPRC, macro", "average precision, mean of the classes; chance is the class's share"),
    "auprc_weighted": ("AUPRC, weighted", "the same, weighted by class size"),
    "f1_macro": ("F1, macro", "harmonic mean of precision and sensitivity, mean of the classes"),
    "f1_weighted": ("F1, weighted", "the same, weighted by class size"),
    "precision_macro": ("Precision, macro", "share of a class's answers that are right, mean of the classes"),
    "precision_weighted": ("Precision, weighted", "the same, weighted by class size"),
    "sensitivity_macro": ("Sensitivity, macro", "share of a class's images that are found, mean of the classes"),
    "sensitivity_weighted": ("Sensitivity, weighted", "the same, weighted by class size"),
    "specificity_macro": ("Specificity, macro", "share of the other images that are not given to the class, mean of the classes"),
    "specificity_weighted": ("Specificity, weighted", "the same, weighted by class size"),
    "kappa_quadratic": ("Kappa, quadratic", "agreement beyond chance; has a meaning only where classes are ordered"),
    "mean_absolute_error": ("Mean absolute error", "by how many grades an answer is off; has a meaning only where classes are ordered"),
    "ece": ("ECE", "mean gap between stated confidence and share right; 0 is best"),
    "brier": ("Brier score", "squared distance of the probabilities from the truth; 0 is best, 2 is worst"),
    "log_loss": ("Log loss", "surprise at the truth; 0 is best"),
    "sensitivity": ("Sensitivity", "share of the class's images that are found"),
    "precision": ("Precision", "share of the class's answers that are right"),
    "specificity": ("Specificity", "share of the other images that are not given to the class"),
    "f1": ("F1", "harmonic mean of precision and sensitivity"),
    "auroc": ("AUROC", "how often an image of the class scores above one of the rest"),
    "auprc": ("AUPRC", "average precision; chance is the class's share"),
}

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

CLASSES = {
    "akiec": "actinic keratosis or Bowen's disease",
    "ak": "actinic keratosis",
    "ack": "actinic keratosis",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nev": "naevus",
    "nv": "naevus",
    "scc": "squamous cell carcinoma",
    "sek": "seborrhoeic keratosis",
    "vasc": "vascular lesion",
}


def known(name: str) -> str:
    """A class with what its short name stands for, where that is known: ``mel (melanoma)``."""
    full = CLASSES.get(name.lower())
    return f"{name} ({full})" if full else name


def label(figure: str) -> str:
    """Name of a figure in words; ``f1/mel`` is ``F1, mel``."""
    metric, _, of = figure.partition("/")
    name = METRICS.get(metric, (metric.replace("_", " ").capitalize(), ""))[0]
    return f"{name}, {of}" if of else name


def count(n: int, noun: str) -> str:
    """``1 image``, ``1,232 images``, ``7 classes``."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "es" if noun.endswith("ss") else noun + "s"
    return f"{n:,} {noun if n == 1 else plural}"


def found(counts: Mapping[str, int]) -> str:
    """What an audit found, from its ``counts``: ``1 serious finding, 2 warnings and 1 note``; ``nothing`` where there is none."""
    kinds = {"serious": "serious finding", "warning": "warning", "note": "note"}
    return listed([count(counts[severity], kind) for severity, kind in kinds.items() if counts[severity]]) or "nothing"


def number(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def p_value(value: float | None) -> str:
    """Three decimals, or ``< 0.001``; empty where there is none."""
    return "" if value is None else "< 0.001" if value < 0.001 else number(value)


def setting(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {setting(v)}" for k, v in value.items()) or "as by default"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    return {"None": "none", "True": "yes", "False": "no", "": "none"}.get(str(value), str(value))


def interval(figure: Figure) -> str:
    """``[0.828, 0.869]``; empty where the figure has none, or is certain (a baseline of a constant)."""
    if figure.get("low") is None or figure.get("high") is None or figure["low"] == figure["high"]:
        return ""
    return f"[{number(figure['low'])}, {number(figure['high'])}]"


def figure(figure: Figure | None) -> str:
    """``0.849 [0.828, 0.869]``; ``n/a (1 image)`` where there is no value."""
    if figure is None:
        return "n/a"
    if figure.get("value") is None:
        return f"n/a ({count(int(figure.get('n') or 0), 'image')})"
    return f"{number(figure['value'])} {interval(figure)}".rstrip()


def per_cent(share: float) -> str:
    """``67 %``; one decimal under 10 %."""
    return f"{100 * share:.{0 if share >= 0.0995 or share == 0 else 1}f} %"


def one_of(part: int, whole: int) -> str:
    """A share as people say it: ``one of four`` where it is within 0.02 of such a fraction, else ``31 of 95``."""
    share = part / whole
    if part in (0, whole) or whole <= 10:
        return f"{NUMBERS[part] if part <= 10 else f'{part:,}'} of {NUMBERS[whole] if whole <= 10 else f'{whole:,}'}"
    for parts in (2, 3, 4, 5, 10):
        near = round(share * parts)
        if 0 < near < parts and abs(share - near / parts) <= 0.02:
            return f"{NUMBERS[near]} of {NUMBERS[parts]}"
    return f"{part:,} of {whole:,}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``42 s``, ``3 min 5 s``, ``1 h 12 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def listed(items: Sequence[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}" if items else ""


def against(figure: Figure, base: Figure | None) -> int:
    """1 where the whole interval lies above the baseline, -1 where it lies below, 0 where it cannot be told or is not known."""
    if base is None or base.get("value") is None or figure.get("low") is None or figure.get("high") is None:
        return 0
    return int(figure["low"] > base["value"]) - int(figure["high"] < base["value"])


def verdict(figure: Figure, base: Figure | None, majority: str | None) -> str:
    """One sentence: is the figure better than always giving the most frequent training class?"""
    if base is None or base.get("value") is None:
        return "There is no baseline to compare it with."
    if figure.get("value") is None:
        return f"There is no figure: {figure.get('why', 'too few images')}."
    always = f"always answering {majority}" if majority else "the majority line"
    line = f"the majority line ({number(base['value'])})"
    match against(figure, base):
        case 1:
            return f"Better than {always}: the whole interval lies above {line}."
        case -1:
            return f"Worse than {always}: the whole interval lies below {line}."
    if figure.get("low") is None or figure.get("high") is None:
        return f"Whether it is better than {always} is not known: the figure has no interval."
    return f"Cannot be told apart from {always}: the interval contains {line}."

"""What people write, made uniform before it is checked: names of figures, units, counts, lists."""

import json
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from cutis.claims.printed import Printed
from cutis.errors import CutisError

MOST_COUNTS = 100_000  # candidate numbers of images
BASES = ("precision", "recall", "f1", "specificity", "auroc")
WHOLE = ("accuracy", "balanced_accuracy", "kappa", "mcc")
FIGURES = frozenset([*WHOLE, *BASES, *(f"{base}_{average}" for base in BASES for average in ("macro", "micro", "weighted"))])
ALSO = {
    "sensitivity": "recall", "sens": "recall", "tpr": "recall", "rec": "recall", "ppv": "precision", "prec": "precision",
    "f1_score": "f1", "f_score": "f1", "dice": "f1", "spec": "specificity", "tnr": "specificity", "auc": "auroc", "roc_auc": "auroc",
    "acc": "accuracy", "bacc": "balanced_accuracy", "cohen_kappa": "kappa", "confusion_matrix": "confusion", "model": "name",
    "dataset": "on", "support": "sizes", "n_test": "n",
}  # fmt: skip
PLAIN = re.compile(r"[-+\N{MINUS SIGN}]?[\d.,]+(?:[eE][-+]?\d+)?")


def key(name: object) -> str:
    """A key's usual spelling: ``F1-Score``, ``macro F1`` and ``sensitivity`` become ``f1``, ``f1_macro`` and ``recall``."""
    plain = re.sub(r"[\s\-.]+", "_", str(name).strip().casefold()).replace("f1_score", "f1")
    for average in ("macro", "micro", "weighted"):
        plain = re.sub(rf"^{average}_(?:avg_|averaged_)?(.+)$", rf"\1_{average}", plain)
    stem, bar, average = plain.rpartition("_")
    if bar and average in ("macro", "micro", "weighted"):
        return f"{ALSO.get(stem, stem)}_{average}"
    return ALSO.get(plain, plain)


def tidied(given: Mapping[str, Any], claim_keys: Iterable[str], model_keys: Iterable[str]) -> dict[str, Any]:
    """A claim's plain data with usual keys, classes by name, and figures as texts that carry their unit.

    Figures of a single model may stand at the top, without ``models``.
    """
    claim = _keys(given)
    if "models" not in claim:
        own = [name for name in claim if name in set(model_keys) - set(claim_keys)]
        claim["models"] = [{name: claim.pop(name) for name in own}] if own else []
    if not isinstance(claim["models"], list | tuple):
        raise CutisError("The models are a list: begin each with '- name: ...' (YAML) or put them in [ ] (JSON).")
    claim["models"] = [_model(model) if isinstance(model, Mapping) else model for model in claim["models"]]
    models = [model for model in claim["models"] if isinstance(model, dict)]
    for part in [claim, *models]:
        _name_sizes(part, claim)
    for part in [claim, *models]:
        if isinstance(count := part.get("classes"), int | str) and str(count).strip().isdecimal():
            sharing = [part, *(model for model in models if "classes" not in model)] if part is claim else [part]
            part["classes"] = _named_classes(names(count), sharing)
    _with_units(models, str(claim.get("unit", "")))
    return claim


def names(given: object) -> object:
    """A list of names; a number C stands for "1" to "C", and a text may hold several between semicolons or commas."""
    if isinstance(given, int) or (isinstance(given, str) and given.strip().isdecimal()):
        count = int(given)
        if not 2 <= count <= 10_000:
            raise ValueError(f"{count} classes are not possible: give 2 or more, or their names")
        return tuple(str(i + 1) for i in range(count))
    if isinstance(given, str):
        return tuple(part.strip() for part in re.split("[;,]", given) if part.strip())
    return given


def counts(given: object) -> object:
    """Candidate counts: one, a list, ``{"from": a, "to": b}``, or a text such as ``7,007``, ``100-120`` or ``1227; 1232``."""
    if isinstance(given, Mapping):
        if set(given) != {"from", "to"}:
            raise ValueError("a range of counts is written {from: 100, to: 120}")
        return _between(_count(given["from"]), _count(given["to"]))
    if isinstance(given, str) and ";" in given:
        given = given.split(";")
    if isinstance(given, str) and (ends := re.fullmatch(r"(.+?)\s*(?:-|–|\.\.|to)\s*(.+)", given.strip())):
        return _between(_count(ends[1]), _count(ends[2]))
    if isinstance(given, list | tuple):
        return tuple(sorted({_count(one) for one in given}))
    return given if given is None else (_count(given),)


def matrix(given: object) -> object:
    """Rows of counts; a text (a cell of a CSV) holds them as JSON."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError("a confusion matrix is written [[40, 2], [3, 55]], a row a true class") from error
    if isinstance(given, list | tuple) and all(isinstance(row, list | tuple) for row in given):
        return tuple(tuple(_count(cell) for cell in row) for row in given)
    raise ValueError("a confusion matrix is a list of rows of counts, such as [[40, 2], [3, 55]]")


def _count(given: object) -> int:
    text = str(given).strip()
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", text):
        text = text.replace(",", "")
    if not re.fullmatch(r"\d{1,12}(?:\.0*)?", text):
        raise ValueError(f"{text[:40]!r} is not a number of images")
    return int(text.partition(".")[0])


def _between(low: int, high: int) -> tuple[int, ...]:
    if not 0 < low <= high or high - low >= MOST_COUNTS:
        raise ValueError(f"{low} to {high} is not a range of at most {MOST_COUNTS:,} counts, lowest first")
    return tuple(range(low, high + 1))


def _keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """With usual keys, without what is empty."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        if key(name) in named:
            raise CutisError(f"{name!r} gives {key(name)} a second time. Keep one of them.")
        named[key(name)] = value
    return named


def _model(given: Mapping[str, Any]) -> dict[str, Any]:
    model = _keys(given)
    if isinstance(per_class := model.get("per_class"), Mapping):
        parts: dict[str, Mapping[str, Any]] = {str(name): part for name, part in per_class.items() if isinstance(part, Mapping)}
        if parts and len(parts) == len(per_class) and all(key(name) in BASES for name in parts):  # figure, then class
            turned: dict[str, dict[str, Any]] = {}
            for figure, values in parts.items():
                for name, value in values.items():
                    turned.setdefault(str(name), {})[figure] = value
            parts = dict(turned)
        model["per_class"] = {name: _keys(part) for name, part in parts.items()} if len(parts) >= len(per_class) else per_class
    return model


def _name_sizes(part: dict[str, Any], claim: Mapping[str, Any]) -> None:
    """Sizes given as a list, in the order of the classes, get the classes' names."""
    if isinstance(sizes := part.get("sizes"), list | tuple):
        classes = names(part.get("classes", claim.get("classes"))) or tuple(str(i + 1) for i in range(len(sizes)))
        if not isinstance(classes, list | tuple) or len(classes) != len(sizes):
            raise CutisError(f"There are {len(sizes)} sizes, but not as many classes. Give one size a class.")
        sizes = dict(zip(map(str, classes), sizes, strict=True))
    if isinstance(sizes, Mapping):
        part["sizes"] = {str(name): _count(size) for name, size in sizes.items()}


def _named_classes(numbers: object, parts: Iterable[Mapping[str, Any]]) -> object:
    """The names that sizes and figures of classes use, where the classes are a number; a class that has none keeps its number."""
    tables = [part[name] for part in parts for name in ("sizes", "per_class") if isinstance(part.get(name), Mapping)]
    used = tuple(dict.fromkeys(str(name) for table in tables for name in table))
    if not isinstance(numbers, tuple) or set(used) <= set(numbers) or len(used) > len(numbers):
        return numbers
    return used + numbers[len(used) :]


def _with_units(models: list[dict[str, Any]], unit: str) -> None:
    """Write each figure as a text, with % where it is per cent.

    A column (one figure of all models; one figure of all classes of a model) has one unit, so that 0.8 beside 95.2 is 0.8 %.
    Between 1 and 2 a column is per cent only where another one is: accuracy 1.02 is a mistake rather than one per cent.
    """
    columns: dict[str | tuple[int, str], list[tuple[dict[str, Any], str, Fraction]]] = {}
    for i, model in enumerate(models):
        per_class = model.get("per_class")
        for part in [model, *(per_class.values() if isinstance(per_class, dict) else ())]:
            for name in FIGURES.intersection(part) if isinstance(part, dict) else ():
                if isinstance(value := part[name], str | int | float | Fraction) and not isinstance(value, bool):
                    text = part[name] = repr(float(value)) if isinstance(value, float | Fraction) else str(value).strip()
                    if PLAIN.fullmatch(text):
                        column = name if part is model else (i, name)
                        columns.setdefault(column, []).append((part, name, abs(Printed.parse(text, per_cent=False).value)))
    highest = {column: max(value for _, _, value in cells) for column, cells in columns.items()}
    for column, cells in columns.items():
        if unit == "per cent" or (not unit and highest[column] > (1 if max(highest.values()) > 2 else 2)):
            if not unit and isinstance(column, str) and any(0 < value <= 1 for _, _, value in cells):
                raise CutisError(
                    f"Some models' {column} is above 1 and some below. Write % after each that is per cent, or say unit: per cent."
                )
            for part, name, _ in cells:
                part[name] += " %"

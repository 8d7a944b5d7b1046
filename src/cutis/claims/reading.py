"""A published table as a file: YAML, JSON or CSV, with every printed digit kept."""

import csv
import io
import json
import sys
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from cutis.claims import written
from cutis.claims.table import Claim, Model, validated
from cutis.errors import CutisError

LARGEST = 5_000_000  # bytes of a file
EXAMPLE = """\
# A published table, to be checked by `cutis check FILE`. Leave out what the publication does not say.
title: Six skin diseases
source: https://example.org/paper
classes: [melanoma, naevus, keratosis]   # or their number
n: 600                     # test images; where it is open: [598, 600], or {from: 590, to: 610}
sizes: {melanoma: 60, naevus: 450, keratosis: 90}
split: lesion              # what the split kept together: lesion, patient, image (nothing)
resampled: after split     # classes brought to equal size: before split, after split
seeds: 1                   # runs that the figures are a mean of
average: macro             # of precision, recall and f1: macro, micro, weighted, binary; leave out where it is not said
matters: [melanoma]        # classes that must not be missed
models:
  - name: ResNet-50
    on: test               # test, validation, ...
    accuracy: 84.83 %      # digits as printed; per cent or fractions
    precision: 74.26 %     # also precision_macro, precision_micro, precision_weighted, and so recall, f1, specificity, auroc
    recall: 76.93 %
    f1: 75.34 %
    per_class:
      melanoma: {precision: .672, recall: .650, f1: .661}
    confusion:             # rows: true class; columns: predicted class
      - [39, 15, 6]
      - [14, 401, 35]
      - [5, 16, 69]
  - {name: VGG16, accuracy: 82.17 %}
pairs:                     # what is said of two of them: better, significant
  - {worse: VGG16, better: ResNet-50, claim: better}
"""


def read(source: str | Path) -> Claim:
    """The claim in a file, or on standard input where the source is "-". Raises CutisError with what to do."""
    if str(source) == "-":
        return parse(sys.stdin.read(LARGEST + 1))
    path = Path(source)
    if not path.is_file():
        raise CutisError(f"There is no file {path}. Give a YAML, JSON or CSV file, or - to read standard input.")
    if path.stat().st_size > LARGEST:
        raise CutisError(f"{path} has more than {LARGEST:,} bytes, which no published table has. Give the table alone.")
    try:
        return parse(path.read_text("utf-8-sig"), path.suffix.lower().lstrip("."))
    except UnicodeDecodeError as error:
        raise CutisError(f"{path} is not text in UTF-8. Save it so.") from error


def parse(text: str, kind: str = "") -> Claim:
    """The claim in a text: json, csv, or (anything else) recognised: JSON begins with a bracket, YAML has ``key: value`` lines."""
    text = text.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    if not first:
        raise CutisError("The table is empty. `cutis check --example` prints a template.")
    if len(text) > LARGEST:
        raise CutisError(f"The table has more than {LARGEST:,} characters, which no published table has.")
    if kind not in ("json", "csv", "yaml", "yml"):
        kind = "json" if first.lstrip()[0] in "[{" else "yaml" if ": " in first or first.rstrip().endswith(":") else "csv"
    try:
        given = _json(text) if kind == "json" else _csv(text) if kind == "csv" else _yaml(text)
    except RecursionError:
        raise CutisError("The table is nested too deeply. `cutis check --example` prints a template.") from None
    if isinstance(given, list):
        given = {"models": given}
    if not isinstance(given, dict):
        raise CutisError("The table has no keys, such as models. `cutis check --example` prints a template.")
    return validated(given)


def _once(pairs: Iterable[tuple[Hashable, Any]]) -> dict[Hashable, Any]:
    named: dict[Hashable, Any] = {}
    for name, value in pairs:
        if name in named:
            raise CutisError(f"{name!r} is given twice in one place. Keep one of them.")
        named[name] = value
    return named


def _json(text: str) -> object:
    try:  # figures stay texts, because 0.850 is another figure than 0.85
        return json.loads(text, parse_float=str, parse_constant=str, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise CutisError(f"The table is not valid JSON: {error}. Correct that line.") from error


class _Texts(yaml.BaseLoader):
    """YAML whose values stay texts."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse references: a few lines of them can stand for more data than memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise CutisError("The table uses a YAML reference (*name). Write the values out.")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is given twice."""
        return _once((self.construct_object(name, deep=True), self.construct_object(value, deep=True)) for name, value in node.value)


def _yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader=_Texts)  # a BaseLoader makes texts only
    except yaml.YAMLError as error:
        raise CutisError(f"The table is not valid YAML: {' '.join(str(error).split())}. Correct that line.") from error
    except TypeError as error:
        raise CutisError("A key of the table is itself a list or a mapping. Keys are plain names.") from error


def _csv(text: str) -> dict[str, Any]:
    """A row a model. A column may be ``recall:melanoma`` (a class's figure) or ``size:melanoma``; a column that is about the whole
    claim (classes, split, matters, ...) holds one value."""  # fmt: skip
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    header = lines[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO("\n".join(lines)), delimiter=delimiter)
    claim: dict[str, Any] = {}
    models = []
    for row in reader:
        if None in row or None in row.values():
            raise CutisError(f"Line {reader.line_num} of the table has not as many cells as the header. Correct it.")
        model: dict[str, Any] = {}
        for column, cell in row.items():
            if not cell.strip():
                continue
            figure, colon, of = column.partition(":")
            name = written.key(figure)
            if colon and name in ("size", "sizes"):
                model.setdefault("sizes", {})[of.strip()] = cell.strip()
            elif colon:
                model.setdefault("per_class", {}).setdefault(of.strip(), {})[name] = cell.strip()
            elif name in Claim.model_fields and name not in Model.model_fields:
                if claim.setdefault(name, cell.strip()) != cell.strip():
                    raise CutisError(f"The column {column} is about the whole table, but holds several values. Keep one.")
            else:
                model[column] = cell.strip()
        models.append(model)
    return claim | {"models": models}

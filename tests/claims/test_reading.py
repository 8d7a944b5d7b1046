"""Published tables as YAML, JSON and CSV."""

import io
from fractions import Fraction
from pathlib import Path

import pytest

from cutis.claims import reading
from cutis.claims.table import Claim
from cutis.errors import CutisError

YAML = """
classes: [mel, nv]
sizes: {mel: 40, nv: 60}
matters: mel
models:
  - name: A
    accuracy: 0.850
    Sensitivity: 84.0 %
    per_class: {mel: {recall: .80}}
  - {name: B, accuracy: 0.90, macro F1: 0.9}
"""
JSON = """{"classes": ["mel", "nv"], "sizes": {"mel": 40, "nv": 60}, "matters": ["mel"], "models": [
  {"name": "A", "accuracy": 0.850, "recall": "84.0 %", "per_class": {"recall": {"mel": ".80"}}},
  {"name": "B", "accuracy": 0.90, "f1_macro": 0.9}]}"""
CSV = """classes;matters;name;accuracy;recall;recall:mel;F1-Score macro;size:mel;size:nv
mel,nv;mel;A;0.850;84.0 %;.80;;40;60
mel,nv;mel;B;0.90;;;0.9;40;60
"""


def same(claim: Claim) -> list[object]:
    return [
        claim.matters,
        *((m.name, m.figures, m.of_class("recall"), claim.classes_of(m), claim.sizes_of(m), claim.n_of(m)) for m in claim.models),
    ]


def test_three_forms_say_the_same() -> None:
    first = reading.parse(YAML)
    assert same(first) == same(reading.parse(JSON)) == same(reading.parse(CSV, "csv")) == same(reading.parse(CSV))
    model = first.models[0]
    assert model.accuracy is not None
    assert (model.accuracy.value, model.accuracy.digits) == (Fraction("0.85"), 3)
    assert str(model.recall) == "84.0 %"
    assert first.n_of(model) == (100,)


def test_a_file_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.json").write_text(JSON, "utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(YAML))
    assert same(reading.read(tmp_path / "t.json")) == same(reading.read("-"))


def test_the_template_can_be_read() -> None:
    claim = reading.parse(reading.EXAMPLE)
    assert claim.n_of(claim.models[1]) == (600,)
    assert claim.pairs[0].better == "ResNet-50"


def test_the_input_that_the_readme_promises() -> None:
    claim = reading.parse('{"classes": 6, "n": 3928, "models": [{"name": "x", "accuracy": 72.07, "f1": 68.54}]}')
    assert claim.classes == ("1", "2", "3", "4", "5", "6")
    assert str(claim.models[0].f1) == "68.54 %"


def test_one_model_needs_no_list() -> None:
    claim = reading.parse("accuracy: .8\nconfusion: [[4, 1], [1, 4]]")
    assert claim.n_of(claim.models[0]) == (10,)
    assert claim.classes_of(claim.models[0]) == ("1", "2")


@pytest.mark.parametrize(
    ("figures", "values"),
    [
        ("[{accuracy: 84.9}, {accuracy: 85}]", ["0.849", "0.85"]),
        ("[{accuracy: 84.9, auroc: .92}]", ["0.849", "0.92"]),
        ("[{accuracy: 1.02}]", ["1.02"]),
        ("[{accuracy: 84.9, recall: 1.3}]", ["0.849", "0.013"]),
        ("[{accuracy: 84.9 %, recall: .8}]", ["0.849", "0.8"]),
        ("[{accuracy: '100'}]", ["1"]),
    ],
)
def test_units_are_those_of_the_column(figures: str, values: list[str]) -> None:
    claim = reading.parse(f"models: {figures}".replace("{", "{ "))
    assert [f.value for m in claim.models for f in m.figures.values()] == [Fraction(v) for v in values]


def test_a_small_share_in_a_column_of_per_cents_is_one() -> None:
    claim = reading.parse("models: [{per_class: {a: {recall: 0.8}, b: {recall: 95.2}}}]")
    assert [f.value for f in claim.models[0].of_class("recall").values()] == [Fraction("0.008"), Fraction("0.952")]
    claim = reading.parse("unit: per cent\nmodels: [{accuracy: 0.8}]")
    assert claim.models[0].figures["accuracy"].value == Fraction("0.008")


@pytest.mark.parametrize(
    ("n", "candidates"),
    [("'7,007'", (7007,)), ("[1232, 1227]", (1227, 1232)), ("{from: 3, to: 5}", (3, 4, 5)), ("3-5", (3, 4, 5)), ("3; 9", (3, 9))],
)
def test_candidate_counts(n: str, candidates: tuple[int, ...]) -> None:
    assert reading.parse(f"n: {n}\nmodels: [{{accuracy: .5}}]").n == candidates


def test_numbers_of_the_test_set_are_not_those_of_another() -> None:
    claim = reading.parse("n: 10\nmodels: [{name: a, accuracy: .5}, {name: b, on: validation, accuracy: .5}]")
    assert [claim.n_of(m) for m in claim.models] == [(10,), ()]


def test_classes_given_by_number_take_the_names_in_use() -> None:
    claim = reading.parse("classes: 3\nmodels: [{per_class: {mel: {recall: .5}, nv: {recall: .5}}}]")
    assert claim.classes == ("mel", "nv", "3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("modles: []", "Did you mean 'models'"),
        ("models: [{acuracy: .5}]", "Did you mean 'accuracy'"),
        ("models: [{accuracy: good}]", "is not a figure"),
        ("models: [{accuracy: .5}, {accuracy: 55}]", "unit: per cent"),
        ("models: []", "no models"),
        ("title: x", "no models"),
        ("models: {a: 1}", "are a list"),
        ("n: -3\nmodels: [{accuracy: .5}]", "number of images"),
        ("n: {from: 5, to: 3}\nmodels: [{accuracy: .5}]", "lowest first"),
        ("models: [{confusion: [[1, 2], [3]]}]", "rows of 2"),
        ("models: [{confusion: [[.5, .5], [.1, .9]]}]", "number of images"),
        ("classes: [a, b]\nmodels: [{per_class: {c: {recall: .5}}}]", "Unknown class 'c'"),
        ("classes: [a, b]\nmodels: [{sizes: {a: 3}}]", "leave out b"),
        ("sizes: {a: 0, b: 0}\nmodels: [{accuracy: .5}]", "all 0"),
        ("pairs: [{worse: x, better: a}]\nmodels: [{name: a}]", "Unknown model 'x'"),
        ("models: [{accuracy: .5, accuracy: .6}]", "given twice"),
        ("models: [{recall: .5, sensitivity: .6}]", "a second time"),
        ("a: &x [1]\nb: *x", "reference"),
        ("models: [", "not valid YAML"),
        ('{"models": [', "not valid JSON"),
        ('{"models": [{"accuracy": NaN}]}', "is not a figure"),
        ("[" * 100_000, "nested"),
        ("name,accuracy\na,.5,.6", "as many cells"),
        ("a: 1\n? [b]\n: 1", "plain names"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(CutisError, match=message):
        reading.parse(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CutisError, match="There is no file"):
        reading.read(tmp_path / "none.yaml")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CutisError, match="UTF-8"):
        reading.read(tmp_path / "bytes.csv")

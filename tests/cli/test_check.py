"""cutis check: files and standard input in every form, exit codes, and what it says of a table that cannot be read."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cutis.claims import examples

IMPOSSIBLE = {"classes": 6, "models": [{"name": "ResNet-50", "accuracy": 71.27, "precision": 65.38, "recall": 62.29, "f1": 67.18}]}
FORMS = {
    "json": json.dumps(IMPOSSIBLE),
    "yaml": "classes: 6\nmodels:\n  - {name: ResNet-50, accuracy: 71.27, precision: 65.38, recall: 62.29, f1: 67.18}\n",
    "csv": "name,accuracy,precision,recall,f1\nResNet-50,71.27,65.38,62.29,67.18\n",
}


@pytest.fixture
def check(cutis: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """``cutis check *arguments`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(cutis, "check")


@pytest.mark.parametrize("form", FORMS)
def test_standard_input_is_recognised_by_its_content(check: Callable[..., Any], form: str, tmp_path: Path) -> None:
    done = check("-", "--json", stdin=FORMS[form])
    assert done.code == 8, done.err
    told = json.loads(done.out)
    worst = told["findings"][0]
    assert {"severity", "rule", "where", "arithmetic", "source"} <= worst.keys()
    assert worst["severity"] == "impossible"
    assert "ResNet-50" in worst["where"]
    assert list(tmp_path.iterdir()) == []  # --json alone writes nothing


@pytest.mark.parametrize("form", FORMS)
def test_a_file_leaves_a_page_and_its_data(check: Callable[..., Any], form: str, tmp_path: Path) -> None:
    table = tmp_path / f"table.{form}"
    table.write_text(FORMS[form], "utf-8")
    done = check(table, "--out", tmp_path / "out")
    assert done.code == 8
    assert done.out.startswith("impossible: ResNet-50")
    assert done.out.splitlines()[-1] == str(tmp_path / "out" / "claims.html")
    assert json.loads((tmp_path / "out" / "claims.json").read_text("utf-8"))["format"] == "cutis-check-1"


def test_without_out_the_page_goes_to_the_folder_check(check: Callable[..., Any], tmp_path: Path) -> None:
    done = check("-", stdin="models: [{name: A, accuracy: .9}]")
    assert done.code == 0, done.err
    assert (tmp_path / "check" / "claims.html").is_file()


def test_the_template_reads_and_is_commented(check: Callable[..., Any]) -> None:
    template = check("--example")
    assert template.code == 0
    assert "#" in template.out
    assert check("-", "--json", stdin=template.out).code in (0, 8)


@pytest.mark.parametrize(("name", "code"), [(name, 8 if name == "six-diseases" else 0) for name in examples.names()])
def test_a_study_that_comes_with_cutis_is_printed_and_reads(check: Callable[..., Any], name: str, code: int) -> None:
    printed = check("--example", name)
    assert printed.code == 0
    assert check("-", "--json", stdin=printed.out).code == code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("{", "line 1"),
        ("models: [", "line 1"),
        ("models: [{name: A, acuracy: .9}]", "acuracy"),
        ("models: [{name: A, accuracy: high}]", "accuracy"),
        ("name,accuracy\nA\n", "Line 2"),
        ("classes: [a, b]\nmodels: [{name: A, confusion: [[1, 2]]}]", "confusion"),
    ],
)
def test_what_cannot_be_read_is_named(check: Callable[..., Any], text: str, said: str) -> None:
    refused = check("-", "--json", stdin=text)
    assert refused.code in (2, 3)
    assert refused.out == ""
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_a_missing_file_an_unknown_study_and_no_table_say_what_to_do(check: Callable[..., Any], tmp_path: Path) -> None:
    assert "There is no file" in check(tmp_path / "none.yaml").err
    assert "six-diseases" in check("--example", "six-disease").err
    refused = check()
    assert refused.code == 2
    assert "cutis check --example" in refused.err

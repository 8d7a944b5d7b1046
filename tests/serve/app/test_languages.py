"""Every language says everything, with the same places to fill, and writes numbers as it does."""

import ast
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cutis.serve.app
from cutis.data.images import Unreadable, decode
from cutis.serve.app.languages import FIRST, chosen, languages

ROOM = Path(cutis.serve.app.__file__).parent


def places(text: str) -> list[str]:
    return sorted({name or "" for _, name, _, _ in string.Formatter().parse(text) if name is not None})


@pytest.mark.parametrize("code", sorted(languages()))
def test_a_language_says_all_that_the_first_one_says(code: str) -> None:
    first, other = languages()[FIRST].lines, languages()[code].lines
    assert other.keys() == first.keys()
    assert other["classes"].keys() == first["classes"].keys()
    for key, text in first.items():
        if isinstance(text, str):
            assert places(other[key]) == places(text), key


def test_no_sentence_lacks_and_none_is_left_over() -> None:
    written = "".join(file.read_text("utf-8") for file in ROOM.rglob("*") if file.suffix in (".py", ".html"))
    named = set(re.findall(r'"([a-z_]+)"|\'([a-z_]+)\'', written))
    used = {a or b for a, b in named}
    known = languages()[FIRST].lines.keys()
    assert {key for key in known if key not in used and not key.startswith("verdict_")} == set()
    asked = set(re.findall(r'say\("([a-z_]+)"', written))
    assert asked <= known


@pytest.mark.parametrize("data", [b"", b"no picture", b"%PDF-1.7", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"BM" + bytes(60)])
def test_why_a_file_cannot_be_read_is_told_in_turkish(data: bytes) -> None:
    with pytest.raises(Unreadable) as told:
        decode(data)
    assert languages()["tr"].told(told.value.reason) != told.value.reason
    assert languages()["en"].told(told.value.reason) == told.value.reason


def test_each_translated_reason_is_one_that_the_library_gives() -> None:
    sources = [*(ROOM.parents[1] / "data").glob("*.py"), ROOM.parent / "answers.py"]
    parsed = [node for file in sources for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    said = [node.value for node in parsed if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    # a value in an f-string stands as a number here
    said += [
        "".join(str(getattr(v, "value", "")) if isinstance(v, ast.Constant) else "1" for v in node.values)
        for node in parsed
        if isinstance(node, ast.JoinedStr)
    ]
    for pattern in languages()["tr"].lines["library"]:
        assert any(re.match(pattern, text) for text in said), pattern


@given(st.floats(0, 1))
def test_only_certainty_reads_as_certainty(share: float) -> None:
    for language in languages().values():
        told = language.share(share)
        assert (told in ("0 %", "%0")) == (share == 0)
        assert (told in ("100 %", "%100")) == (share == 1)


@pytest.mark.parametrize(
    ("code", "share", "told"),
    [
        ("en", 0.724, "72 %"),
        ("tr", 0.724, "%72"),
        ("en", 0.0234, "2.3 %"),
        ("tr", 0.0234, "%2,3"),
        ("en", 0.9991, "> 99 %"),
        ("tr", 1e-5, "< %0,1"),
    ],
)
def test_shares_are_written_as_the_language_writes_them(code: str, share: float, told: str) -> None:
    assert languages()[code].share(share) == told


@pytest.mark.parametrize(("wanted", "code"), [("tr-TR", "tr"), ("TR", "tr"), ("de-DE", "en"), (None, "en"), ("", "en")])
def test_a_browser_gets_its_language_or_the_first(wanted: str | None, code: str) -> None:
    assert chosen(wanted).code == code


def test_the_english_names_of_classes_are_those_of_the_reports() -> None:
    from cutis.report.words import CLASSES

    assert languages()["en"].lines["classes"] == CLASSES

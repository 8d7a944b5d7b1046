"""The page, its Markdown and study.json of a study that was carried out."""

import json
import re
from html import unescape
from typing import Any

import pytest

from cutis.report.words import NOTICE


@pytest.fixture(scope="module")
def html(done: Any) -> str:
    return str((done.work.out / "study.html").read_text("utf-8"))


def text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|svg)\b.*?</\1>", " ", html))))


def test_study_json_is_what_was_returned_and_says_what_was_left_out_and_why(done: Any) -> None:
    told = json.loads((done.work.out / "study.json").read_text("utf-8"))
    assert told == json.loads(json.dumps(done.told))
    assert told["format"] == "cutis-study-1"
    assert [arm["name"] for arm in told["arms"]] == ["plain", "weighted", "both"]
    assert told["left_out"] == {"lost": "needs the data 'absent', which were not given"}
    plain, weighted, both = told["arms"]
    assert plain["seeds"] == 3
    assert plain["assumptions"][0] == {"field": "stages.0.lr", "value": 0.003}
    assert "epochs at most: 2 instead of 4" in plain["changed"]
    assert weighted["ours"]
    assert both["members"] == ["plain", "weighted"]
    for arm in told["arms"]:
        assert {"test", "val", "external"} <= arm["sets"].keys()
        assert arm["latency"]["1"] > 0 < arm["latency"]["32"]
        assert (done.work.out / arm["page"]).is_file()
    first = sum(plain["latency"][n] * 3 + weighted["latency"][n] - both["latency"][n] for n in ("1", "32"))
    assert abs(first) < 0.02, "an ensemble takes as long as its members"


def test_every_cell_has_a_verdict_and_the_page_counts_them(done: Any, html: str) -> None:
    rows = done.told["published"][0]["rows"]
    assert [[cell and cell["verdict"] for cell in row] for row in rows.values()] == [
        ["reached", "not reached"],
        ["not comparable", ""],
        ["not run", None],
    ]
    said = text(html)
    assert "Of 4 printed figures 1 is reached, 1 is not reached, 1 is not comparable and 1 is not run." in said
    assert "it was measured elsewhere" in said


def test_subsets_are_of_the_same_answers_and_empty_ones_are_not_shown(done: Any, html: str) -> None:
    women, nobody = done.told["subsets"]
    table = done.work.table(done.work.study.arm("plain"))
    expected = int(((table["split"] == "test") & (table["sex"] == "female")).sum())
    assert women["arms"]["plain"]["test"]["n"] == expected
    assert nobody["arms"] == {}
    assert "Women" in text(html)
    assert "Nobody" not in text(html).replace("Nobody published it", "")


def test_the_page_opens_from_disk_with_its_pictures_links_and_notice(done: Any, html: str) -> None:
    assert NOTICE in html
    assert "A toy &lt;study&gt;" in html
    assert not re.search(r'(src|href)="(https?:)?//', html)
    for link in re.findall(r'href="([^#"]+)"', html):
        assert (done.work.out / link).is_file(), link
    assert len(re.findall(r"<svg role=", html)) == len(list((done.work.out / "figures").glob("*.svg"))) == 2 + 4 + 3
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_marks_splits_definitions_and_the_command_are_told(html: str) -> None:
    said = text(html)
    for words in (
        "stages.0.lr 0.003",
        "split test 0.3, val 0.2, folds 0, fold 0, seed 0",
        "our split 30% test, 20% validation, by patient",
        "their split at random",
        "Weighted less Plain",
        "plain against lost on test: lost was not made",
        "Lesions stay together.",
        "cutis study run toy",
        "majority line",
        "60 of",
    ):
        assert words in said, words


def test_markdown_has_the_same_tables(done: Any) -> None:
    lines = (done.work.out / "study.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    figures = done.told["arms"][1]["sets"]["test"]["figures"]["accuracy"]
    shown = f"{figures['value']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"
    assert any(line.startswith("| [Weighted](weighted/report.html)") and shown in line for line in rows)
    widths = {}
    for number, line in enumerate(lines):
        if line.startswith("|"):
            start = max(i for i in range(number + 1) if i == 0 or not lines[i - 1].startswith("|"))
            widths.setdefault(start, set()).add(len(re.findall(r"(?<!\\)\|", line)))
    assert all(len(found) == 1 for found in widths.values()), "a table with rows of unlike length"
    assert f"> {NOTICE}" in lines

"""The page of a checked table: what its first screen says, in which order findings stand, and that names are inert."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from cutis.claims import examples, reading
from cutis.claims.check import answer, check
from cutis.claims.table import validated
from cutis.report import claims


def page(folder: Path, claim: Any) -> str:
    return claims.write(folder, answer(claim, check(claim)), version="1.2.3").read_text("utf-8")


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.partition("</style>")[2]))


class Tags(HTMLParser):
    """Elements that are never closed, or closed twice, and addresses that leave the page."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outward: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.outward += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith(("#", "data:"))]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_first_screen_says_how_much_was_checked_and_what_is_worst(tmp_path: Path) -> None:
    html = page(tmp_path, reading.parse(examples.text("six-diseases")))
    first = text(html.partition("<nav")[0])
    assert "18 printed figures checked" in first  # three times four, five, and a matrix
    assert "Impossible: The F1 of ResNet-50 is higher" in first
    assert "Research use only. Not a medical device. Not for diagnosis." in html
    assert "Made by Cutis 1.2.3." in html
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", html)
    assert titles == ["Impossible", "Weak", "Notes", "Not checkable", "How it was checked"]
    for words in ("where", "arithmetic", "rests on", "would settle it", "arXiv:1911.03347", "229 of 849 images of Malign"):
        assert words in text(html)
    told = json.loads((tmp_path / "claims.json").read_text("utf-8"))
    assert told["figures"] == 18
    assert len(told["findings"]) == len(check(reading.parse(examples.text("six-diseases"))))


def test_every_study_has_a_whole_page_that_leads_nowhere_else(tmp_path: Path) -> None:
    for name in examples.names():
        tags = Tags()
        tags.feed(page(tmp_path / name, reading.parse(examples.text(name))))
        assert tags.open == []
        assert tags.outward == []


def test_findings_that_say_the_same_stand_in_one_table(tmp_path: Path) -> None:
    html = page(tmp_path, reading.parse(examples.text("isic2019")))
    assert html.count("Another sample of as many images") == 1
    assert html.count("binary stage 1 on balanced test") >= 1


def test_a_table_without_fault_says_so_and_names_are_inert(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    claim = validated(
        {"title": evil, "source": evil, "split": "patient", "seeds": 3, "models": [{"name": evil, "confusion": [[50, 1], [2, 60]]}]}
    )
    html = page(tmp_path, claim)
    assert "<img" not in html
    assert "No figure contradicts another" in text(html)
    assert claims.verdict(answer(claim, [])).startswith("1 figure checked with ")

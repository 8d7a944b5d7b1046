"""The audit's page: the verdict, what to do, the pictures of each finding, and names that stay text."""

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.audit.findings import Finding, Item, Section, Severity
from cutis.data.table import describe, finish
from cutis.recipe import Recipe
from cutis.report import audit
from cutis.tabular import Table

EVIL = 'a"><img src=x onerror=alert(1)>.jpg'
TURNED = "photo_\u202egpj.exe"


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} " if data.strip() else ""

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


def collection(root: Path, names: list[str], side: int = 40, noise: bool = False, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8) if noise else np.full((side, side, 3), 4 * i % 256, np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name, "JPEG", quality=95)
    return finish(pd.DataFrame({"image": names, "label": "nv"} | columns), root, "test", [])


def told(table: pd.DataFrame, sections: Mapping[str, Section], *, quick: bool = False) -> dict[str, Any]:
    """What audit.json holds of it."""
    spec = Recipe()
    return {
        "format": "cutis-audit-1",
        "cutis": "0.1.0",
        "command": "cutis audit data --out audit",
        "finished": "2026-03-02T09:06:12",
        "quick": quick,
        "data": {
            "root": table.attrs["root"],
            "reader": "test",
            "files": [{"path": "labels.csv", "sha256": "ab" * 32}],
            "notes": [],
            "summary": describe(table),
            "unreadable": 0,
        },
        "recipe": {"images": spec.images.model_dump(mode="json"), "model": spec.model.model_dump(mode="json")},
        "counts": {},
        "sections": {name: section.to_dict() | {"seconds": 1.5} for name, section in sections.items()},
    }


def written(table: pd.DataFrame, sections: Mapping[str, Section], out: Path, *, quick: bool = False) -> Page:
    path = audit.write(out, told(table, sections, quick=quick), table, sections)
    assert path == out / "audit.html"
    return Page(path.read_text("utf-8"))


def finding(severity: Severity, sentence: str, *items: Item, **more: Any) -> Finding:
    return Finding("kind", severity, sentence, "Mend it so.", items, **more)


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        (("note", "warning", "serious"), "Do not trust figures from these data yet: 1 serious problem must be mended first."),
        (("note", "warning", "warning"), "Nothing serious was found. Look at 2 findings before you train."),
        (("note",), "Nothing was found that speaks against these data. Looked at: files."),
        ((), "Nothing was found that speaks against these data. Looked at: files."),
    ],
)
def test_the_first_screen_says_how_bad_it_is(tmp_path: Path, severities: tuple[Severity, ...], verdict: str) -> None:
    table = collection(tmp_path, ["a.jpg"])
    findings = tuple(finding(severity, f"Found {severity}.") for severity in severities)
    page = written(table, {"files": Section("Files", "All can be read.", findings)}, tmp_path / "out")
    first = page.text.split("Files")[0] if not severities else page.text
    assert verdict in page.text
    for severity, name in (("serious", "serious"), ("warning", "to look at"), ("note", "to know")):
        assert f"{severities.count(severity)} {name} " in first


def test_what_to_do_next_begins_with_the_worst_and_leads_there(tmp_path: Path) -> None:
    table = collection(tmp_path, ["a.jpg"])
    sections = {
        "files": Section("Files", "x", (finding("note", "Known."), finding("warning", "Odd."))),
        "copies": Section("Copies", "x", (finding("serious", "Torn labels."),)),
    }
    page = written(table, sections, tmp_path / "out")
    links = [attrs["href"] for attrs in page.of("a")]
    assert [link for link in links if link in ("#files-1", "#files-2", "#copies-1")] == ["#copies-1", "#files-2"]
    assert {attrs["id"] for attrs in page.of("article")} == {"files-1", "files-2", "copies-1"}


def test_findings_of_one_kind_are_one_step_and_do_not_fill_the_page(tmp_path: Path) -> None:
    table = collection(tmp_path, ["a.jpg"])
    many = tuple(finding("warning", f"Column {i} tells the class.") for i in range(9))
    page = written(table, {"shortcuts": Section("Shortcuts", "x", many)}, tmp_path / "out")
    assert len(page.of("article")) == 9
    assert "(8 more like this.)" in page.text
    assert f"{9 - audit.ALIKE} more like these" in page.text
    assert [attrs["href"] for attrs in page.of("a") if attrs["href"].startswith("#shortcuts-")] == ["#shortcuts-1"]


def test_fault_s5_names_and_labels_are_inert_text(tmp_path: Path) -> None:
    label = "<script>alert(2)</script>"
    table = collection(tmp_path, [EVIL, TURNED, "b.jpg"], label=[label, "nv", "nv"])
    item = Item((EVIL, TURNED), f"note {EVIL}")
    section = Section(f"Files {label}", EVIL, (finding("serious", EVIL, item),), {}, [Table(EVIL, (EVIL,), [[EVIL]])], (EVIL,))
    page = written(table, {"files": section}, tmp_path / "out")
    assert not page.of("script")
    assert all(not name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in page.of("img"))
    assert len(page.of("img")) == 2
    assert EVIL in page.text
    assert "\u202e" not in page.text
    assert "photo_\\u202egpj.exe" in page.text
    policy = next(attrs["content"] for attrs in page.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_pictures_of_a_set_stand_together_with_what_sets_them_apart(tmp_path: Path) -> None:
    table = collection(tmp_path, ["a.jpg", "b.jpg"], label=["mel", "nv"], split=["train", "test"], patient=["p1", "p2"])
    copies = Section("Copies", "x", (finding("serious", "One set.", Item(("a.jpg", "b.jpg"), "identical"), rule="conflicting"),))
    page = written(table, {"copies": copies}, tmp_path / "out")
    assert [attrs["class"] for attrs in page.of("li") if attrs.get("class") in ("together", "alone")] == ["together"]
    assert [attrs["alt"] for attrs in page.of("img")] == ["a.jpg, labelled mel", "b.jpg, labelled nv"]
    assert "train · group p1" in page.text
    assert "test · group p2" in page.text
    assert "--write cleaned.csv --leave-out conflicting" in page.text


def test_many_items_are_cut_and_the_rest_is_counted(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(40)]
    table = collection(tmp_path, names)
    one = finding("warning", "Blurred.", *(Item((name,), score=1.0) for name in names), measure="detail")
    cluster = finding("note", "Related.", Item(tuple(names[:10]), "augmented"))
    page = written(table, {"files": Section("Files", "x", (one, cluster))}, tmp_path / "out")
    assert len(page.of("img")) == audit.ITEMS + audit.TOGETHER
    assert f"{40 - audit.OPEN} more" in page.text
    assert f"{40 - audit.ITEMS} are not shown; audit.json names them." in page.text
    assert f"and {10 - audit.TOGETHER} more images" in page.text
    assert "The number with each picture: detail." in page.text


def test_the_page_stays_small_and_serious_findings_get_their_pictures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i}.jpg" for i in range(12)]
    table = collection(tmp_path, names, side=200, noise=True)
    monkeypatch.setattr(audit, "BYTES", 200_000)
    sections = {
        "files": Section("Files", "x", (finding("note", "Known.", *(Item((name,)) for name in names[:6])),)),
        "copies": Section("Copies", "x", (finding("serious", "Torn.", *(Item((name,)) for name in names[6:9])),)),
    }
    page = written(table, sections, tmp_path / "out")
    shown = [attrs["alt"].split(",")[0] for attrs in page.of("img")]
    assert {"6.jpg", "7.jpg", "8.jpg"} <= set(shown)
    assert len(shown) < 9
    assert (tmp_path / "out" / "audit.html").stat().st_size < 300_000


def test_what_cannot_be_read_has_a_calm_placeholder(tmp_path: Path) -> None:
    table = collection(tmp_path, ["a.jpg"])
    (tmp_path / "a.jpg").write_bytes(b"torn")
    page = written(table, {"files": Section("Files", "x", (finding("warning", "One.", Item(("a.jpg",), "damaged")),))}, tmp_path / "out")
    assert not page.of("img")
    assert "picture not shown" in page.text


def test_a_part_that_could_not_be_looked_at_is_not_called_clean(tmp_path: Path) -> None:
    table = collection(tmp_path, ["a.jpg"])
    sections = {
        "files": Section("Files", "All can be read.", limits=("Blur is relative.",), tables=[Table("Files", ("class",), [["nv"]])]),
        "labels": Section("Labels", "Could not be looked at.", limits=("There are no weights.",)),
    }
    page = written(table, sections, tmp_path / "out", quick=True)
    assert "Looked at: files." in page.text
    assert "Labels could not be looked at; below it says why." in page.text
    assert page.text.count("Nothing to mend here.") == 1
    assert "Only the quick checks ran." in page.text
    assert "There are no weights." in page.text

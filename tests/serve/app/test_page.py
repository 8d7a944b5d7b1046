"""The page without a browser: Streamlit's own test run of it, and the sheet of a case."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cutis.serve.app import screen, start, table
from cutis.serve.app.languages import languages
from cutis.serve.app.sheet import Sheet
from cutis.serve.app.visit import OPEN, Dropped, Failed, Opened, Visit
from cutis.serve.predictor import Predictor

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle
    from cutis.runs import Run

EVIL = '=HYPERLINK("<img src=x onerror=alert(1)>").png'
EN = languages()["en"]


@pytest.fixture(scope="module")
def predictor(bundle: "Bundle") -> Predictor:
    return Predictor.open(bundle)


@pytest.fixture(scope="module")
def pictures(bundle_run: "Run") -> list[bytes]:
    rows = bundle_run.table
    root = Path(bundle_run.provenance["data"]["root"])
    return [(root / name).read_bytes() for name in rows.loc[rows["split"] == "test", "image"]]


@pytest.fixture
def run(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``run([(name, bytes), ...])``: the page after these were dropped."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.setattr(start, "_models", [predictor])

    def ran(files: list[tuple[str, bytes]]) -> Any:
        page = AppTest.from_file(str(Path(start.__file__).with_name("page.py")), default_timeout=120).run()
        if files:
            page.file_uploader[0].set_value([(name, data, "image/jpeg") for name, data in files])
            page.run()
        assert not page.exception
        return page

    return ran


def shown(page: Any) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def test_before_the_first_picture_the_page_says_what_the_model_is_and_is_not_for(run: Callable[..., Any], bundle: "Bundle") -> None:
    html = shown(run([]))
    assert EN("notice") in html
    assert EN("welcome") in html
    for name in bundle.classes:
        assert name in html
    for line in bundle.about.about.not_for:
        assert line in html.replace("&#39;", "'")


def test_a_name_that_is_markup_stays_text(run: Callable[..., Any], pictures: list[bytes]) -> None:
    html = shown(run([(EVIL, pictures[0][:400])]))
    assert "&lt;img src=x" in html
    assert "<img src=x" not in html


def test_every_picture_gets_a_row_and_no_spreadsheet_runs_a_name(predictor: Predictor, pictures: list[bytes]) -> None:
    dropped = [Dropped(str(i), EVIL if i == 1 else f"{i}.png", data) for i, data in enumerate([*pictures[:10], b"no picture"])]
    visit = Visit()
    assert list(visit.answer(0, predictor, dropped)) == [8, 11]
    made = table.csv(screen.Screen(EN, [predictor], 0, dropped, visit)).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(made)))
    assert len(rows) == 11
    assert rows[1]["image"] == "'" + EVIL
    assert (rows[-1]["verdict"], rows[-1]["predicted"], rows[-1]["confidence"]) == ("unreadable", "", "")
    assert rows[-1]["reason"].startswith("not an image")
    assert {(row["version"], row["notice"]) for row in rows} == {(predictor.version, predictor.bundle.about.notice)}
    answers = predictor.answers([predictor.picture(data) for data in pictures[:10]])
    for row, answer in zip(rows[:-1], answers, strict=True):
        assert (row["predicted"], row["verdict"]) == (answer.predicted, answer.verdict)
        for name, probability in zip(answer.classes, answer.probabilities, strict=True):
            assert float(row[f"p_{name}"]) == pytest.approx(float(probability), abs=2e-5)


def test_the_page_hands_out_what_the_command_writes(predictor: Predictor, pictures: list[bytes], tmp_path: Path) -> None:
    from cutis.jobs import predicting

    names = [f"{i:02}.jpg" for i in range(12)]
    for name, data in zip(names, pictures, strict=False):
        (tmp_path / name).write_bytes(data)
    predicting.predict(predictor.bundle, [tmp_path], tmp_path / "out" / "answers.csv", backend="eager")
    written = pd.read_csv(tmp_path / "out" / "answers.csv")
    visit, dropped = Visit(), [Dropped(name, name, data) for name, data in zip(names, pictures, strict=False)]
    list(visit.answer(0, predictor, dropped))
    handed = pd.read_csv(io.BytesIO(table.csv(screen.Screen(EN, [predictor], 0, dropped, visit))))
    assert list(handed) == [*written, "reason", "version", "notice"]
    pd.testing.assert_frame_equal(handed[list(written)], written, atol=1e-5)


def test_a_visit_keeps_few_pictures_open_and_forgets_what_is_taken_away(predictor: Predictor, pictures: list[bytes]) -> None:
    visit = Visit()
    dropped = [Dropped(str(i), f"{i}.png", data) for i, data in enumerate(pictures[: OPEN + 2])]
    for one in dropped:
        assert isinstance(visit.open(0, predictor, one), Opened)
    assert len(visit.opened) == OPEN
    visit.tidy(dropped[-1:])
    assert list(visit.opened) == list(visit.answers) == [(0, dropped[-1].id)]


def test_fault_s9_a_mistake_of_ours_is_an_id_for_the_visitor(
    predictor: Predictor, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/place of Mrs Smith")

    monkeypatch.setattr(Predictor, "explained", broken)
    found = Visit().open(0, predictor, Dropped("1", "Mrs Smith.png", pictures[0]))
    assert isinstance(found, Failed)
    assert found.reason == ""
    assert found.fault in caplog.text
    assert "RuntimeError" in caplog.text
    assert "Smith" not in caplog.text
    assert "/secret" not in caplog.text


@pytest.mark.parametrize("code", sorted(languages()))
def test_a_case_is_one_page(predictor: Predictor, pictures: list[bytes], code: str) -> None:
    say = languages()[code]
    found = Visit().open(0, predictor, Dropped("1", "Mrs Smith.png", pictures[0]))
    assert isinstance(found, Opened)
    sheet = Sheet(predictor.bundle.about, found, say)
    html, pdf = sheet.html().decode(), sheet.pdf()
    assert say("notice") in html
    assert predictor.version in html
    assert len(re.findall(r'src="data:image/', html)) == 4  # the picture, the picture under its map, the map, its colours
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert "Smith" not in html
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    assert b"CreationDate" not in pdf
    assert b"Smith" not in pdf

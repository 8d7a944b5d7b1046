"""The page in a real Chromium: what is dropped, what is said, what can be asked; and that nothing complains or leaves the machine."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutis.report.words import NOTICE

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
PHONE = {"width": 380, "height": 800}


def test_a_picture_is_answered_with_bars_that_sum_to_one(visit: Visit, address: str, drawn: list[Path], bundle: "Bundle") -> None:
    from cutis.serve.predictor import Predictor

    predictor = Predictor.open(bundle)
    answer = predictor.answers([predictor.picture(drawn[0])])[0]
    visitor = visit(address)
    visitor.drop(drawn[0])
    names = visitor.page.locator(".bars .name").all_inner_texts()
    widths = [float(w) for w in visitor.page.eval_on_selector_all(".bars .track i", "all => all.map(i => parseFloat(i.style.width))")]
    assert sorted(names) == sorted(bundle.classes)
    assert names[0] == answer.predicted
    assert widths[0] == pytest.approx(100 * answer.confidence, abs=0.1)
    assert sum(widths) == pytest.approx(100, abs=0.5)
    assert visitor.page.locator(".verdict-card").get_attribute("role") == "status"


def test_the_notice_is_always_in_sight(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address)
    visitor.drop(drawn[0])
    visitor.page.mouse.wheel(0, 4000)
    assert visitor.text(".notice") == NOTICE
    box = visitor.page.locator(".notice").bounding_box()
    assert box["y"] + box["height"] == pytest.approx(900, abs=1)


def test_the_map_lies_over_the_picture_and_its_opacity_follows_the_slider(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address)
    visitor.drop(drawn[0])
    opacity = "() => getComputedStyle(document.querySelector('.mapped .map')).opacity"
    assert float(visitor.page.evaluate(opacity)) == 0.5
    photo, heat = (visitor.page.locator(f".mapped img >> nth={i}").bounding_box() for i in (0, 1))
    assert heat == pytest.approx(photo, abs=1)
    assert visitor.page.locator(".shot:not(.mapped) img").count() == 1  # the untouched picture beside it
    slider = visitor.page.get_by_role("slider", name="Opacity of the map")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    visitor.until(f"() => ({opacity})() === '0.7'")


def test_any_class_can_be_asked_for(visit: Visit, address: str, drawn: list[Path], bundle: "Bundle") -> None:
    visitor = visit(address)
    visitor.drop(drawn[0])
    first = visitor.text(".bars .name")
    other = next(name for name in bundle.classes if name != first)
    before = visitor.page.locator(".mapped .map").get_attribute("src")
    visitor.choose("Evidence for", f"^{other} ")
    assert other in visitor.text(".mapped figcaption")
    assert visitor.page.locator(".mapped .map").get_attribute("src") != before
    assert visitor.text(".bars .name") == first  # the answer stays


def test_known_cases_are_shown_with_their_licence(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address)
    visitor.drop(drawn[0])
    assert visitor.page.locator(".near img").count() == 4
    assert visitor.page.evaluate("[...document.querySelectorAll('.near img')].every(i => i.naturalWidth > 0)")
    assert "drawn by Cutis" in visitor.text(".near")


def test_several_pictures_become_a_table_and_a_csv(visit: Visit, address: str, drawn: list[Path], truncated: Path) -> None:
    visitor = visit(address)
    visitor.drop(*drawn[:9], truncated)
    assert "1 cannot be read" in visitor.text(".sentence")
    assert "half.jpg" in visitor.text(".failure")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Download as CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert list(rows[0])[:4] == ["image", "group", "label", "predicted"]  # as cutis predict writes them
    assert [row["image"] for row in rows] == [*(p.name for p in drawn[:9]), "half.jpg"]
    assert rows[-1]["verdict"] == "unreadable"
    assert rows[-1]["reason"]
    for row in rows[:-1]:
        probabilities = {name[2:]: float(p) for name, p in row.items() if name.startswith("p_")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=lambda name: probabilities[name]) == row["predicted"]


def test_a_row_of_the_table_opens_its_picture(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address)
    visitor.drop(*drawn[:3])
    table = visitor.page.locator("[data-testid=stDataFrame]").bounding_box()
    visitor.page.mouse.click(table["x"] + 16, table["y"] + 40 + 52 + 26)  # the box before the second row
    visitor.page.wait_for_selector(".verdict-card")
    visitor.settle()
    visitor.looks_at(drawn[1].name)
    visitor.page.get_by_role("button", name="Next").click()
    visitor.looks_at(drawn[2].name)
    assert visitor.page.get_by_role("button", name="Next").is_disabled()


def test_a_strange_picture_is_called_strange(visit: Visit, address: str, strange: Path) -> None:
    visitor = visit(address)
    visitor.drop(strange)
    assert "This does not look like the images I know" in visitor.text(".verdict-card")
    assert "What the model would have answered" in visitor.text(".bars")
    assert visitor.page.locator(".watch").count() == 0


def test_a_truncated_file_gets_a_reason(visit: Visit, address: str, truncated: Path) -> None:
    visitor = visit(address)
    visitor.drop(truncated)
    said = visitor.text(".failure")
    assert "half.jpg" in said
    assert "once more" in said
    assert visitor.page.locator(".failure").get_attribute("role") == "alert"


def test_fault_s5(visit: Visit, address: str, evil: Path, drawn: list[Path]) -> None:
    """Markup as a file's name is text wherever it stands."""
    visitor = visit(address)
    visitor.drop(evil)
    visitor.page.set_input_files("input[type=file]", [str(evil), str(drawn[1])])
    visitor.page.wait_for_selector("[data-testid=stDataFrame]")
    visitor.settle()
    assert visitor.page.locator("img[src=x]").count() == 0
    visitor.page.get_by_role("tab", name="Picture").click()
    visitor.page.wait_for_selector(".verdict-card")
    assert visitor.page.locator("img[src=x]").count() == 0
    headers = visitor.page.request.get(address).headers
    assert "script-src 'self' 'sha256-" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]


def test_turkish(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address, locale="tr-TR")
    said = json.loads((Path(__file__).parents[2] / "src/cutis/serve/app/texts/tr.json").read_text("utf-8"))
    assert visitor.text(".notice") == said["notice"]
    visitor.drop(drawn[0])
    assert said["bars"] in visitor.text(".bars")
    assert "%" in visitor.text(".bars .value")
    visitor.choose("Dil", "English")
    assert visitor.text(".notice") == NOTICE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(visit: Visit, address: str, drawn: list[Path], scheme: str) -> None:
    visitor = visit(address, **PHONE, color_scheme=scheme)
    visitor.drop(drawn[0])
    wide = "Math.max(document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth)"
    assert visitor.page.evaluate(wide) <= PHONE["width"]
    order = [visitor.page.locator(part).first.bounding_box()["y"] for part in (".verdict-card", ".shot", ".bars")]
    assert order == sorted(order)
    ground = visitor.page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert (sum(int(x) for x in ground[4:-1].split(",")) < 150) == (scheme == "dark")


def test_a_case_is_kept_as_one_page_without_the_file_s_name(visit: Visit, address: str, evil: Path) -> None:
    visitor = visit(address)
    visitor.drop(evil)
    for button, kind in (("One page as PDF", b"%PDF"), ("One page as HTML", b"<!doctype html>")):
        with visitor.page.expect_download() as download:
            visitor.page.get_by_role("button", name=button).click()
        made = Path(download.value.path()).read_bytes()
        assert made.lstrip().startswith(kind)
        assert b"onerror" not in made
        assert "onerror" not in download.value.suggested_filename


def test_an_ensemble_shows_each_members_map_and_answer(visit: Visit, together: str, drawn: list[Path], bundle: "Bundle") -> None:
    visitor = visit(together)
    visitor.drop(drawn[0])
    rows = visitor.page.locator(".votes tbody tr")
    assert rows.locator("th").all_inner_texts() == ["run", "leaning"]
    assert visitor.text(".votes tbody tr:nth-child(2) td b") == bundle.classes[0]  # whatever the picture shows
    assert "The members' maps agree to" in visitor.text("[data-testid=stMain]")
    maps = {visitor.page.locator(".mapped .map").get_attribute("src")}
    assert "all members" in visitor.text(".mapped figcaption")
    for member in ("run", "leaning"):
        visitor.choose("Seen by", f"^{member}$")
        assert member in visitor.text(".mapped figcaption")
        assert "The members' maps agree to" not in visitor.text("[data-testid=stMain]")
        maps.add(visitor.page.locator(".mapped .map").get_attribute("src"))
    assert len(maps) == 3


def test_two_models_answer_beside_each_other(visit: Visit, two: str, drawn: list[Path]) -> None:
    visitor = visit(two)
    visitor.drop(drawn[0])
    visitor.page.get_by_role("tab", name="Compare").click()
    visitor.until("() => document.querySelectorAll('.verdict-card').length === 2")
    first, second = visitor.page.locator(".verdict-card").all_inner_texts()
    assert first.split() == second.split()
    visitor.until("() => document.querySelectorAll('.mapped .map').length === 2")  # drawn after the answers


def test_every_field_has_a_name_and_the_keyboard_reaches_it(visit: Visit, address: str, drawn: list[Path]) -> None:
    visitor = visit(address)
    visitor.drop(drawn[0])
    unnamed = """() => [...document.querySelectorAll('button, input, [role=slider], [role=combobox]')]
        .filter(e => e.offsetParent && !e.labels?.length && !e.innerText?.trim() && !e.closest('label')
            && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')).map(e => e.outerHTML.slice(0, 200))"""
    assert visitor.page.evaluate(unnamed) == []
    assert visitor.page.evaluate("[...document.images].every(i => i.hasAttribute('alt'))")
    reached = set()
    for _ in range(40):
        visitor.page.keyboard.press("Tab")
        reached.add(visitor.page.evaluate("(e => e.getAttribute('role') || e.type || e.tagName)(document.activeElement)"))
    assert {"tab", "range", "combobox"} <= reached

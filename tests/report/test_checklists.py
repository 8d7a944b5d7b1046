"""The checklists: whole, of known facts, and answered only as far as the run knows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.recipe import Recipe
from cutis.report import page
from cutis.report.checklists import Answer, Checklist, Item, answers, checklists, counts
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.runs import Run

Make = Callable[..., Run]
SMALL = {"train": (30, 60), "val": (8, 10), "test": (12, 25)}
LENGTHS = {"CLAIM 2024": 44, "CLEAR Derm": 25}  # Tejani et al. 2024; Daneshjou et al. 2022


@pytest.fixture(scope="module")
def run(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("lists"), classes=("benign", "malignant"), sizes=SMALL, pictures=0)


def by_item(name: str, run: Run) -> dict[int, Answer]:
    chosen = next(each for each in checklists() if each.name == name)
    return {answer.item.item: answer for answer in answers(chosen, Context(run))}


def test_both_are_whole() -> None:
    assert {each.name: [item.item for item in each.items] for each in checklists()} == {
        k: list(range(1, n + 1)) for k, n in LENGTHS.items()
    }


@pytest.mark.parametrize("checklist", checklists(), ids=lambda each: each.name)
def test_every_item_asks_for_something_and_says_what_to_do(checklist: Checklist) -> None:
    for item in checklist.items:
        assert item.text.endswith(".")
        assert item.ask or (item.facts and item.lacking), item.item
        assert all(name in facts for name in item.facts)


def test_a_run_answers_what_it_knows_and_no_more(run: Run) -> None:
    claim = by_item("CLAIM 2024", run)
    assert claim[20].status == "answered"
    assert "disjoint by lesion" in claim[20].told
    assert claim[8].status == "in part"
    assert claim[8].open.startswith("Say by which criteria")
    assert (claim[33].status, claim[33].told) == ("open", "")
    assert claim[33].open == "Evaluate it on images from elsewhere: cutis evaluate RUN DATA --name SET"
    assert (claim[44].status, claim[18].status) == ("open", "open")
    derm = by_item("CLEAR Derm", run)
    assert derm[8].status == "open"  # the data name no skin tone
    assert derm[11].status == "answered"


def test_an_item_that_is_answered_leaves_nothing_open(run: Run) -> None:
    for name in LENGTHS:
        found = list(by_item(name, run).values())
        assert all((a.status == "answered") == bool(a.told and not a.open) for a in found)
        assert sum(counts(found).values()) == len(found)


def test_a_bare_run_answers_almost_nothing(tmp_path: Path) -> None:
    bare = Run(tmp_path / "run")
    bare.recipe = Recipe(name="bare")
    claim = by_item("CLAIM 2024", bare)
    assert all(claim[n].status == "open" for n in (2, 7, 14, 19, 20, 23, 28, 29, 31, 32, 33, 36, 37, 38, 39))


def test_the_page_counts_them_and_links_only_to_parts_that_are_there(run: Run) -> None:
    text = page.write(run).read_text("utf-8")
    n = counts(list(by_item("CLAIM 2024", run).values()))
    assert f"CLAIM 2024: the run answers {n['answered']} of 44 items in full and {n['in part']} in part" in text
    part = text[text.index('id="checklists"') :]
    targets = {piece.partition('"')[0] for piece in part.split('href="#')[1:]}
    assert targets
    assert all(f'id="{target}"' in text for target in targets)


def test_a_field_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="wher"):
        Item.model_validate({"item": 1, "section": "a", "text": "b.", "wher": "c"})

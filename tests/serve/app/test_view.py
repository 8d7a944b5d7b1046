"""What an answer is told as: sure, not sure, strange; bars; thresholds."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cutis.serve.answers import Answer, Met, Vote
from cutis.serve.app import view
from cutis.serve.app.languages import languages

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle

EN = languages()["en"]


@pytest.fixture
def answer(bundle: "Bundle") -> Answer:
    """A sure answer: the second class with 0.7, the first 0.2, the rest the same."""
    rest = 0.1 / (len(bundle.classes) - 2)
    probabilities = np.array([0.2, 0.7, *[rest] * (len(bundle.classes) - 2)])
    return Answer(bundle.classes, probabilities, probabilities, bundle.classes[1], 0.7, (bundle.classes[1],), True, True, 0.1, 0.4, (), ())


def test_a_sure_answer_names_its_class_confidence_and_coverage(answer: Answer, bundle: "Bundle") -> None:
    told = view.verdict(answer, bundle.about, EN)
    assert (told.kind, told.title, told.figure) == ("answer", bundle.classes[1], "70 %")
    assert told.colour == bundle.about.colours[bundle.classes[1]]
    assert "90 %" in told.sentence  # the coverage of the tiny bundle


@pytest.mark.parametrize("many", [0, 2, 4])
def test_not_sure_is_grey_and_names_what_stays_possible(answer: Answer, bundle: "Bundle", many: int) -> None:
    open_ = replace(answer, sure=False, possible=bundle.classes[:many])
    told = view.verdict(open_, bundle.about, EN)
    assert (told.kind, told.colour, told.figure) == ("not sure", view.GREY, "")
    for name in open_.possible:
        assert name in f"{told.title} {told.sentence}"
    assert "70 %" in told.sentence


def test_what_is_out_of_scope_is_told_before_any_class(answer: Answer, bundle: "Bundle") -> None:
    strange = replace(answer, in_scope=False, strangeness=0.9)
    told = view.verdict(strange, bundle.about, EN)
    assert told.kind == "out of scope"
    assert bundle.classes[1] not in told.title
    assert "strangeness 0.90, limit 0.40" in told.sentence
    assert {bar.colour for bar in view.bars(strange, bundle.about, EN)} == {view.GREY}
    assert not any(bar.possible for bar in view.bars(strange, bundle.about, EN))


def test_bars_are_ordered_and_keep_their_colours(answer: Answer, bundle: "Bundle") -> None:
    bars = view.bars(answer, bundle.about, EN)
    assert [bar.name for bar in bars[:2]] == [bundle.classes[1], bundle.classes[0]]
    assert [bar.share for bar in bars] == sorted((bar.share for bar in bars), reverse=True)
    assert all(bar.colour == bundle.about.colours[bar.name] for bar in bars)
    assert [bar.possible for bar in bars] == [True, *[False] * (len(bars) - 1)]


def test_each_member_is_told_by_itself_and_whether_it_agrees(answer: Answer) -> None:
    other, same = np.eye(len(answer.classes))[[2, 1]]
    told = view.votes(replace(answer, votes=(Vote("a", other), Vote("b", 0.6 * same))), EN)
    assert [(one.member, one.name, one.told, one.agrees) for one in told] == [
        ("a", answer.classes[2], "100 %", False),
        ("b", answer.classes[1], "60 %", True),
    ]
    assert view.votes(answer, EN) == []


def test_a_guaranteed_threshold_stands_for_its_plain_one() -> None:
    plain, promised = Met(("mel",), "plain", 0.3, 0.2, False), Met(("mel",), "guaranteed", 0.1, 0.2, True)
    other = Met(("bcc", "mel"), "plain", 0.3, 0.2, False)
    for order in ([plain, promised, other], [promised, plain, other]):
        lines = view.watched(order, EN)
        assert [(line.name, line.met, line.line) for line in lines] == [("mel", True, "0.10"), ("bcc or mel", False, "0.30")]


def test_a_note_is_a_sentence_either_way() -> None:
    assert (
        view.note("holds several frames or pages; the first is used", EN)
        == "Note: the picture holds several frames or pages; the first is used."
    )
    assert view.note("Validation was too small.", EN) == "Validation was too small."

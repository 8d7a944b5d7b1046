"""Sentences and numbers, against sentences written by hand."""

import pytest

from cutis.report import words


def fig(value: float | None, low: float | None = None, high: float | None = None, n: int = 100) -> dict[str, float | int | None]:
    return {"value": value, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (fig(0.849, 0.828, 0.869), "0.849 [0.828, 0.869]"),
        (fig(0.84949, 0.8284, 0.8696), "0.849 [0.828, 0.870]"),
        (fig(1 / 7, 1 / 7, 1 / 7), "0.143"),
        (fig(0.5), "0.500"),
        (fig(None, n=1), "n/a (1 image)"),
        (fig(None, n=3), "n/a (3 images)"),
        (None, "n/a"),
    ],
)
def test_a_figure_is_said_with_its_interval_or_not_at_all(figure: dict[str, float], said: str) -> None:
    assert words.figure(figure) == said


@pytest.mark.parametrize(
    ("figure", "base", "said"),
    [
        (fig(0.85, 0.83, 0.87), fig(0.67), "Better than always answering nv: the whole interval lies above the majority line (0.670)."),
        (fig(0.60, 0.57, 0.63), fig(0.67), "Worse than always answering nv: the whole interval lies below the majority line (0.670)."),
        (
            fig(0.66, 0.64, 0.68),
            fig(0.67),
            "Cannot be told apart from always answering nv: the interval contains the majority line (0.670).",
        ),
        (
            fig(0.67, 0.67, 0.70),
            fig(0.67),
            "Cannot be told apart from always answering nv: the interval contains the majority line (0.670).",
        ),
        (fig(0.85, 0.83, 0.87), None, "There is no baseline to compare it with."),
    ],
)
def test_the_verdict_follows_the_whole_interval(figure: dict[str, float], base: dict[str, float] | None, said: str) -> None:
    assert words.verdict(figure, base, "nv") == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (26, 105, "one of four"),
        (33, 100, "one of three"),
        (50, 101, "one of two"),
        (31, 95, "one of three"),
        (62, 105, "three of five"),
        (1, 14, "1 of 14"),
        (8, 14, "8 of 14"),
        (3, 8, "three of eight"),
        (0, 63, "none of 63"),
        (63, 63, "63 of 63"),
        (8, 1000, "8 of 1,000"),
    ],
)
def test_a_share_is_said_as_people_say_it(part: int, whole: int, said: str) -> None:
    assert words.one_of(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.44, "0.4 s"), (41.7, "42 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (4320, "1 h 12 min"), (3599.9, "1 h 0 min")],
)
def test_a_duration(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_counts_lists_and_shares() -> None:
    assert [words.count(n, noun) for n, noun in ((1, "image"), (1232, "image"), (7, "class"), (2, "copy"))] == [
        "1 image",
        "1,232 images",
        "7 classes",
        "2 copies",
    ]
    assert (words.listed(["a"]), words.listed(["a", "b"]), words.listed(["a", "b", "c"], "or")) == ("a", "a and b", "a, b or c")
    assert [words.per_cent(s) for s in (0.67, 0.033, 0.1, 0, 1)] == ["67 %", "3.3 %", "10 %", "0 %", "100 %"]


def test_malignancy_follows_the_shipped_label_maps() -> None:
    kinds = words.malignant()
    assert {c for c in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc") if kinds[c]} == {"akiec", "bcc", "mel"}
    assert "level 2" not in kinds
    assert (kinds["malignant"], kinds["benign"]) == (True, False)

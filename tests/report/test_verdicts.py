"""Sentences of a comparison: numbers of images as people say them, and which run stands where."""

from typing import Any

import pytest

from cutis.report.verdicts import about, said, spoken, standing, verdict


def told(gaps: dict[tuple[str, str], tuple[float, str, int | None]], figure: str = "accuracy", **values: float) -> dict[str, Any]:
    """A comparison: of each pair the difference, the better run and the images needed; of each run its own figure."""
    found = [
        {"first": a, "second": b, "figures": {figure: {"value": d, "low": d - 0.02, "high": d + 0.02, "p_images": 0.1, "better": better}}}
        for (a, b), (d, better, _) in gaps.items()
    ]
    for pair, (_, _, needed) in zip(found, gaps.values(), strict=True):
        pair["figures"][figure] |= {"needed": needed, "limited_by": "images"}
    runs = [{"name": name, "headline": figure, "figures": {figure: {"value": value}}} for name, value in values.items()]
    return {"n": 1232, "figures": [figure], "runs": runs, "pairs": found}


@pytest.mark.parametrize(
    ("needed", "said_so"),
    [(4321, "about 4,400"), (123_456, "about 130,000"), (1233, "about 1,300"), (1_000_001, "more than a million"), (1199, "somewhat more")],
)
def test_images_needed_are_rounded_up_to_two_digits(needed: int, said_so: str) -> None:
    assert about(needed, 1232) == said_so


def test_two_runs() -> None:
    apart = told({("a", "b"): (0.01, "", 4321)}, a=0.8, b=0.79)
    assert verdict(apart) == "In accuracy a and b cannot be told apart with these 1,232 images; it would take about 4,400."
    assert verdict(told({("a", "b"): (-0.05, "b", None)}, a=0.8, b=0.85)) == "In accuracy b is better by 0.050 [0.030, 0.070]."
    same = told({("a", "b"): (0.0, "", None)}, a=0.8, b=0.8)
    assert said(same, same["pairs"][0], "accuracy").endswith("there is no difference at all")


def test_the_best_of_several_is_the_lowest_where_less_is_better() -> None:
    gaps = {("a", "b"): (0.2, "b", None), ("a", "c"): (0.19, "c", None), ("b", "c"): (-0.01, "", 9000)}
    assert standing(told(gaps, "log_loss", a=0.6, b=0.4, c=0.41), "log_loss") == "b is better than a, and cannot be told apart from c"
    gaps["b", "c"] = (-0.3, "b", None)
    assert standing(told(gaps, "log_loss", a=0.6, b=0.4, c=0.7), "log_loss") == "b is better than every other run"


def test_names_inside_a_sentence_keep_their_capitals_where_they_are_letters() -> None:
    assert [spoken(f) for f in ("balanced_accuracy", "auroc_macro", "f1/mel")] == ["balanced accuracy", "AUROC, macro", "F1, mel"]

"""Figures: titles that are answers computed from the numbers, and an inline form that stands in any page."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cutis.evaluate.curves import Reliability
from cutis.report import figures, words
from cutis.report.drawing import CARD, INK, draw


def test_the_title_names_the_class_missed_most() -> None:
    per_class = [{"value": 0.75, "low": 0.6, "high": 0.9, "n": 104}, {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}]
    drawing = figures.sensitivity(["mel", "nv"], per_class, [0, 1], words.NOTICE)
    assert drawing.title == "mel is missed in one of four"
    assert "mel 0.750 [0.600, 0.900], 104 images" in drawing.about


@pytest.mark.parametrize(
    ("said", "right", "title"),
    [
        (0.91, 0.85, "Too sure: it states 91 % and is right in 85 %"),
        (0.70, 0.80, "Not sure enough: it states 70 % and is right in 80 %"),
        (0.81, 0.80, "As sure as it should be: it states 81 % and is right in 80 %"),
    ],
)
def test_the_reliability_title_says_which_way_it_errs(said: float, right: float, title: str) -> None:
    bins = Reliability(np.array([said]), np.array([right]), np.array([0.7]), np.array([0.9]), 40.0)
    assert figures.reliability("reliability", bins, words.NOTICE).title == title


def test_inline_takes_the_page_colours_and_its_own_ids() -> None:
    def paint(axes: object) -> None:
        axes.plot([0, 1], [0, 1], color=INK)  # type: ignore[attr-defined]

    drawing = draw("name", 'A & "B" <c> $d$ 皮', "About.", paint)
    inline = str(drawing.inline())
    root = ET.fromstring(inline.replace("xlink:href", "href"))
    assert root.attrib["aria-label"] == 'A & "B" <c> $d$ 皮. About.'
    assert 'A & "B" <c> $d$ 皮' in "".join(root.itertext())
    assert all(e.attrib["id"].startswith("name-") for e in root.iter() if "id" in e.attrib)
    assert "var(--ink)" in inline
    assert INK not in inline
    assert CARD not in inline
    assert "http" not in inline
    assert INK in drawing.svg


def test_labels_keep_apart() -> None:
    placed = figures.apart({"a": 0.50, "b": 0.51, "c": 0.9}, 0.1)
    assert placed == pytest.approx({"a": 0.50, "b": 0.60, "c": 0.9})

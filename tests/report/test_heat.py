"""Heat maps on a page: what JSON keeps of a map, how they are shown, and what is said of them."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from markupsafe import Markup
from PIL import Image

from cutis.report import blocks, explanation, heat

CELLS = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan)))


@given(CELLS)
def test_a_map_comes_back_from_json_within_half_a_step(cells: np.ndarray) -> None:
    back = heat.unpacked(heat.packed(cells))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(cells))
    np.testing.assert_allclose(back, cells, atol=0.5 / heat.TOP + 1e-6, equal_nan=True)


def test_a_map_lies_over_its_photo_and_is_clear_where_nothing_was_seen() -> None:
    over = np.array([[np.nan, 0.0, 1.0]], np.float32)
    case = heat.Case(
        blocks.Photo("<a>.jpg", Markup("is nv"), "a is nv"), "data:image/jpeg;base64,AA", [heat.Map(over, Markup("nv"), "Heat map of a")]
    )
    page = str(heat.heatmaps([case]))
    assert "<a>" not in page
    assert 'style="aspect-ratio: 3.0; width: 100%"' in page
    found = re.search(r'class="map" src="data:image/png;base64,([^"]+)" alt="Heat map of a"', page)
    assert found
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")).astype(int)
    assert pixels[0, :, 3].tolist() == [0, 255, 255]
    assert pixels[0, 1, :3].sum() < 20 < 500 < pixels[0, 2, :3].sum()  # from black to bright


def test_a_photo_that_is_gone_leaves_its_map() -> None:
    case = heat.Case(blocks.Photo("a", Markup(""), "a"), None, [heat.Map(np.ones((4, 3), np.float32), Markup(""), "map")])
    page = str(heat.heatmaps([case]))
    assert "picture not at hand" in page
    assert "height: 100%" in page


def figure(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high, "n": 9}


@pytest.mark.parametrize(
    ("difference", "told"),
    [((0.1, 0.02, 0.2), "more than the middle"), ((-0.1, -0.2, -0.02), "less than the middle"), ((0.1, -0.02, 0.2), "cannot be told")],
)
def test_where_the_heat_lies_is_said_by_the_interval_of_the_difference(difference: tuple[float, float, float], told: str) -> None:
    share = figure(0.4, 0.3, 0.5)
    found = {"n": 9, "share": share, "share_centre": share, "share_random": share, "share_over_centre": figure(*difference)}
    (sentence,) = explanation.verdicts({"inside": found})
    assert told in sentence
    assert "0.400 [0.300, 0.500]" in sentence
    assert explanation.verdicts({"inside": {"n": 0}, "faithfulness": {"why": "not asked for"}}) == []

"""Groups of images: age bands, sizes, cameras, further columns, and the columns that divide nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.data import headers
from cutis.data.groupings import ELSEWHERE, groupings, people
from cutis.data.table import finish

N = 300
RNG = np.random.default_rng(0)


def table(**columns: Any) -> pd.DataFrame:
    rows = pd.DataFrame({"image": [f"{i}.png" for i in range(N)], "label": RNG.choice(["mel", "nv", "bcc"], N)})
    return finish(rows.assign(**columns), Path("pictures"), "csv", [])


def ways(rows: pd.DataFrame, files: pd.DataFrame | None = None) -> dict[str, tuple[str, ...]]:
    return {way.name: way.groups for way in groupings(rows, files)[0]}


@pytest.mark.parametrize(
    ("age", "band"), [(0, "under 18"), (17.9, "under 18"), (18, "18 to 39"), (59, "40 to 59"), (60, "60 to 79"), (80, "80 and over")]
)
def test_age_bands_begin_at_their_first_year(age: float, band: str) -> None:
    (way,) = (w for w in people(table(age=[age] * N)) if w.name == "age")
    assert set(way.of) == {band}


def test_people_come_first_and_what_is_not_told_divides_nothing() -> None:
    rows = table(sex=["f", "m", ""] * 100, skin_tone=["I", "6"] * 150, site="back", itch=["True", "False"] * 150)
    assert list(ways(rows)) == ["skin_tone", "sex", "itch"]
    assert ways(rows)["itch"] == ("no", "yes")
    (sex,) = (w for w in groupings(rows)[0] if w.name == "sex")
    assert sex.of.isna().sum() == 100


def test_rare_sites_are_one_group() -> None:
    common = [f"site {i}" for i in range(20)] * 14
    rows = table(site=common + [f"rare {i}" for i in range(20)])
    assert len(ways(rows)["site"]) == 21
    (site,) = (w for w in groupings(rows)[0] if w.name == "site")
    assert (site.of == ELSEWHERE).sum() == 20


def test_columns_that_identify_say_the_label_or_have_many_values_are_left_out_with_a_reason() -> None:
    rows = table(
        grade=RNG.integers(1, 11, N),
        diameter=RNG.normal(size=N).round(3),
        visit_id=RNG.integers(0, 5, N),
        dx_type=RNG.choice(["histo", "consensus"], N),
        camera="one",
    )
    rows["malignant"] = rows["label"] != "nv"
    found, why = groupings(rows)
    assert [way.name for way in found] == ["grade"]
    assert found[0].groups == tuple(map(str, range(1, 11))), "numbers by size"
    assert set(why) == {"diameter", "visit_id", "dx_type", "malignant"}
    assert why["diameter"].endswith("different values")


def test_sizes_and_cameras_are_read_from_the_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "DermLite  "
    for i in range(N):
        picture = Image.new("RGB", (600, 450) if i % 3 else (1500, 200))
        picture.save(tmp_path / f"{i}.jpg", exif=exif if i % 2 else Image.Exif())
    (tmp_path / "0.jpg").write_bytes(b"torn")
    rows = table(image=[f"{i}.jpg" for i in range(N)])
    files = headers.read(tmp_path, rows["image"].tolist())
    assert sorted(files["camera"].unique()) == ["", "DermLite"]
    (way,) = groupings(rows, files)[0]
    assert way.name == "image_size"
    assert way.of.value_counts(dropna=False).to_dict() == {"256 to 511 pixels": 200, "under 256 pixels": 99, np.nan: 1}

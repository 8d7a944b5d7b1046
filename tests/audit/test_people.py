"""People: counts by hand, who is hardly there, and what the page must not conclude."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.audit.checks.people import people
from cutis.audit.findings import Section
from cutis.audit.subject import Subject, checks
from cutis.data import cache
from cutis.data.masks import Masks, read
from cutis.data.table import finish
from cutis.recipe import Recipe

SPEC = Recipe(images={"size": 64})
TONES = {1: (236, 205, 185), 2: (224, 188, 160), 3: (198, 150, 118), 4: (160, 112, 80), 5: (110, 72, 48), 6: (70, 45, 34)}


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., tuple[Section, pd.DataFrame]]:
    def build(rows: list[dict[str, Any]], masks: Masks | None = None) -> tuple[Section, pd.DataFrame]:
        rng = np.random.default_rng(0)
        for i, row in enumerate(rows):
            row |= {"image": f"{i}.png", "label": row.get("label", "nv")}
            colour = np.array(TONES[int(row.get("painted", row.get("skin_tone", 2)))])
            pixels = (colour + rng.normal(0, 2, (64, 64, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / row["image"])
        table = finish(pd.DataFrame(rows).drop(columns="painted", errors="ignore"), tmp_path, "test", [])
        section = people(Subject(table, cache.build(table, SPEC.images), SPEC, masks))
        assert section is not None
        return section, table

    return build


def test_it_is_registered_and_waits_for_a_full_audit() -> None:
    assert checks["60 people"].cheap is False


def test_counts_are_those_of_the_table(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    rows: list[dict[str, Any]] = [
        {"skin_tone": 2, "sex": "female", "age": 17, "site": "back", "label": "mel", "split": "train", "patient": "a"},
        {"skin_tone": 2, "sex": "female", "age": 18, "site": "back", "split": "train", "patient": "a"},
        {"skin_tone": 5, "sex": "male", "age": 80, "site": "face", "split": "test", "patient": "b"},
        {"sex": "male", "split": "test", "patient": "c"},
    ]
    section, _ = audited(rows)
    tones = section.numbers["skin_tone"]
    assert tones["known"] == 3
    assert tones["groups"]["Fitzpatrick 2"] == {
        "images": 2,
        "patients": 1,
        "splits": {"train": 2, "val": 0, "test": 0},
        "classes": {"mel": 1, "nv": 1},
    }
    ages = section.numbers["age"]["groups"]
    assert {name: group["images"] for name, group in ages.items() if group["images"]} == {"under 18": 1, "18 to 39": 1, "80 and over": 1}
    assert section.numbers["sex"]["groups"]["male"]["splits"]["test"] == 2
    shown = {table.caption: table for table in section.tables}
    assert list(shown["Skin tone (known for 3 of 4 images)"].rows[1]) == ["Fitzpatrick 2", "2", "67 %", "1", "2", "0"]


def test_who_is_hardly_there_is_named_with_the_images(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    rows = [{"skin_tone": tone, "sex": "female"} for tone, n in ((2, 40), (4, 31), (5, 2)) for _ in range(n)]
    section, table = audited(rows)
    found = {finding.kind: finding for finding in section.findings}
    rare = found["hardly-there-skin-tone"]
    assert rare.severity == "warning"
    assert rare.sentence == (
        "Hardly there by skin tone: Fitzpatrick 1 (none), Fitzpatrick 3 (none), Fitzpatrick 5 (2 images), Fitzpatrick 6 (none)."
    )
    assert [item.images for item in rare.items] == [tuple(table.loc[table["skin_tone"] == "5", "image"])]
    assert found["hardly-there-sex"].sentence == "Hardly there by sex: male (none)."
    assert found["not-told"].sentence == "The data say nothing about age or body site."


def test_thirty_images_of_one_person_are_one_person(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    rows = [{"sex": "male" if i < 30 else "female", "patient": "same" if i < 30 else f"p{i}"} for i in range(62)]
    section, _ = audited(rows)
    sentences = [finding.sentence for finding in section.findings]
    assert "Hardly there by sex: male (1 person)." in sentences


def test_a_group_that_is_hardly_in_test_is_said(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    rows = [{"sex": ("male", "female")[i % 2], "split": "test" if i < 4 else "train"} for i in range(80)]
    section, _ = audited(rows)
    found = next(finding for finding in section.findings if finding.kind == "hardly-tested-sex")
    assert found.sentence == "In the data, but hardly in test, by sex: female (2 images), male (2 images)."


def test_skin_tone_is_estimated_shown_and_compared(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    rows = [{"skin_tone": 1 + i % 6} for i in range(48)]
    section, table = audited(rows)
    estimated = section.numbers["skin_tone_estimated"]
    assert estimated["agreement"]["spearman"]["value"] > 0.95
    assert estimated["agreement"]["spearman"]["n"] == 48
    assert sum(group["images"] for group in estimated["groups"].values()) == 48
    finding = next(finding for finding in section.findings if finding.kind == "skin-tone-estimated")
    assert finding.severity == "note"
    lightest, darkest = finding.items[0].images, finding.items[-1].images
    tones = table.set_index("image")["skin_tone"].astype(int)
    assert tones[list(lightest)].max() < tones[list(darkest)].min()
    assert any("chance" in limit for limit in section.limits)
    assert any("no lesion masks" in limit for limit in section.limits)


def test_masks_are_used_where_they_are_given(audited: Callable[..., tuple[Section, pd.DataFrame]]) -> None:
    everywhere = Masks({f"{i}": lambda: np.ones((8, 8), bool) for i in range(3)})
    section, _ = audited([{"painted": 2} for _ in range(3)], everywhere)
    assert section.numbers["skin_tone_estimated"]["with_mask"] == 3
    assert section.numbers["skin_tone_estimated"]["known"] == 0  # the lesion fills the picture: no skin is left
    assert not any(finding.kind == "skin-tone-estimated" for finding in section.findings)


def test_masks_that_cannot_be_read_are_said(audited: Callable[..., tuple[Section, pd.DataFrame]], tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1_mask.png").write_bytes(b"torn")
    section, _ = audited([{"painted": 2} for _ in range(3)], read(tmp_path / "masks"))
    assert any(limit.startswith("1 mask cannot be read, such as that of 1 (not an image") for limit in section.limits)

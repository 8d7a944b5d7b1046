"""Shortcuts: each that is planted is named, none where there is none, and facts of patients are not held against the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

import cutis
from cutis.audit.checks.shortcuts import DECIDES, FILE_NUMBER, GIVES_AWAY, shortcuts
from cutis.audit.columns import withheld
from cutis.audit.findings import Section
from cutis.audit.subject import Subject
from cutis.data import cache
from cutis.data.masks import Masks
from cutis.data.readers import read

N = 300
RNG = np.random.default_rng(0)
TRUE = RNG.permutation(N) % 3
LABELS = np.array(["mel", "nv", "bkl"])[TRUE].tolist()


def noise() -> NDArray[np.uint8]:
    return RNG.integers(100, 156, (N, 56, 56, 3)).astype(np.uint8)


def looked_at(subject: Any) -> Section:
    section = shortcuts(subject)
    assert section is not None
    json.dumps(section.to_dict(), allow_nan=False)
    return section


def named(section: Section, severity: str) -> list[str]:
    return [finding.sentence for finding in section.findings if finding.severity == severity]


def test_nothing_is_named_where_nothing_is(subject_of: Any) -> None:
    columns = {"clinic": RNG.choice(list("abcd"), N), "age": RNG.integers(20, 90, N), "size_mm": RNG.normal(size=N)}
    section = looked_at(subject_of(LABELS, pixels=noise(), **columns))
    assert section.findings == ()
    assert section.numbers["giveaways"] == []
    assert section.sentence == "Nothing that was looked at beside the lesion gives the class away."
    assert set(section.numbers["probes"]["columns"]) == {"clinic", "age", "size_mm"}
    assert set(section.numbers["probes"]["pictures"]) >= {"corners", "border and vignette", "mean colour"}
    for kind in section.numbers["probes"].values():
        for probe in kind.values():
            assert probe["auroc_macro"]["low"] < 0.5 + 0.1
            assert set(probe["per_class"]) == {"mel", "nv", "bkl"}


def test_columns_that_give_the_class_away_are_named_and_withheld(subject_of: Any) -> None:
    tells = np.where(RNG.random(N) < 0.7, TRUE == 1, RNG.random(N) < 0.5)
    columns = {
        "dx_kind": np.where(tells, "biopsy", "follow-up"),
        "marker": np.where(RNG.random(N) < 0.8, TRUE + RNG.normal(0, 0.1, N), np.nan),
        "age": 20 + 20 * TRUE + RNG.normal(0, 3, N),
        "name": np.array(["Melanoma", "Naevus", "Keratosis"])[TRUE],
        "case_id": np.arange(N),
        "camera": "one",
    }
    section = looked_at(subject_of(LABELS, pixels=noise(), **columns))
    assert set(section.numbers["giveaways"]) == {"dx_kind", "marker", "name"}
    assert withheld(section.numbers) >= {"dx_kind", "marker", "name"}
    assert section.numbers["identifiers"] == ["case_id"]
    assert section.numbers["constant"] == ["camera"]
    kinds = {(finding.kind, finding.severity) for finding in section.findings}
    assert kinds == {("column-giveaway", "warning"), ("column-giveaway", "note"), ("label-column", "note")}
    assert "age" in named(section, "note")[0], "a fact of the patient is told, and not kept out"
    found = section.numbers["probes"]["columns"]["dx_kind"]
    # from one binary column the best score is the share of the class among its value: its AUROC is that of the column itself
    sensitivity, false = tells[TRUE == 1].mean(), tells[TRUE != 1].mean()
    assert found["per_class"]["nv"]["auroc"]["value"] == pytest.approx((1 + sensitivity - false) / 2, abs=0.02)
    assert found["gives_away"]


def test_a_label_column_names_the_images_where_it_does_not_fit(subject_of: Any) -> None:
    other = np.array(LABELS)
    other[7] = "nv" if LABELS[7] != "nv" else "mel"
    subject = subject_of(LABELS, pixels=noise(), diagnosis_2=other)
    (finding,) = looked_at(subject).findings
    assert (finding.kind, finding.severity) == ("label-column", "warning")
    assert [item.images for item in finding.items] == [(subject.table["image"][7],)]


@pytest.mark.parametrize(("place", "severity"), [("corners", "serious"), ("middle", "none")])
def test_what_stands_beside_the_lesion_is_serious_and_the_lesion_is_not(subject_of: Any, place: str, severity: str) -> None:
    pixels = noise()
    where = (slice(0, 7), slice(0, 7)) if place == "corners" else (slice(24, 32), slice(24, 32))
    pixels[np.flatnonzero(TRUE == 2)[:, None, None], np.arange(56)[where[0]][:, None], np.arange(56)[where[1]]] = 250
    section = looked_at(subject_of(LABELS, pixels=pixels))
    found = section.numbers["probes"]["pictures"]["corners"]["per_class"]["bkl"]["auroc"]
    assert (found["low"] > DECIDES) == (place == "corners")
    assert bool(named(section, "serious")) == (severity == "serious")
    if severity == "serious":
        assert any("corners" in sentence and "bkl" in sentence for sentence in named(section, "serious"))


def test_a_colour_is_a_note(subject_of: Any) -> None:
    pixels = noise()
    pixels[TRUE == 0, 14:42, 14:42, 0] += 60
    section = looked_at(subject_of(LABELS, pixels=pixels))
    assert [finding.severity for finding in section.findings] == ["note"]
    assert "mean colour" in section.findings[0].sentence


def test_the_background_needs_masks_and_is_judged_where_they_are(subject_of: Any) -> None:
    pixels = noise()
    tinted = pixels.astype(int)
    tinted[..., 0] += np.where(TRUE == 0, 40, 0)[:, None, None]
    tinted[:, 20:36, 20:36] = 128
    without = looked_at(subject_of(LABELS, pixels=tinted.astype(np.uint8)))
    assert "background" not in without.numbers["probes"]["pictures"]
    assert any("--masks" in limit for limit in without.limits)
    subject = subject_of(LABELS, pixels=tinted.astype(np.uint8))
    mask = np.zeros((28, 28), bool)
    mask[10:18, 10:18] = True
    subject.masks = Masks({name: lambda: mask for name in subject.table["image"][:200]})
    background = looked_at(subject).numbers["probes"]["pictures"]["background"]
    assert background["images"] == 200
    assert background["per_class"]["mel"]["auroc"]["low"] > GIVES_AWAY


def test_a_number_in_the_name_that_runs_with_the_class_is_a_note(subject_of: Any) -> None:
    order = np.argsort(np.argsort(TRUE, kind="stable"))
    section = looked_at(subject_of(LABELS, pixels=noise(), images=[f"ISIC_{1000 + i:07d}.jpg" for i in order]))
    assert [(finding.severity, FILE_NUMBER in finding.sentence) for finding in section.findings] == [("note", True)]


def test_files_that_differ_by_class_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for i in range(60):
        kind, name = (("mel", f"{i}.png"), ("nv", f"{i}.jpg"))[i % 2]
        (tmp_path / kind).mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16 + i // 2 % 3, 3), np.uint8)).save(tmp_path / kind / name)
    table = read(tmp_path)
    spec = cutis.Recipe().changed(**{"images.size": [16, 16]})
    section = looked_at(Subject(table, cache.build(table, spec.images), spec))
    assert any("size and format" in sentence for sentence in named(section, "serious"))


def test_rare_classes_and_too_few_images(subject_of: Any) -> None:
    few = looked_at(subject_of(["a", "b"] * 4))
    assert few.findings == ()
    assert "groups" in few.limits[0]
    rare = looked_at(subject_of(["a", "b"] * 30 + ["df"] * 2, clinic=["x", "y", "z"] * 20 + ["q", "q"]))
    assert rare.numbers["rare_classes"] == {"df": 2}
    assert any("df (2)" in limit for limit in rare.limits)
    assert shortcuts(subject_of(["a"] * 8)) is None


@pytest.mark.slow
def test_ham10000_names_how_it_was_diagnosed_and_where(data_root: Path, subject_of: Any) -> None:
    table = pd.read_csv(data_root / "isic2018" / "HAM10000_metadata.csv")
    given = table[["dx_type", "age", "sex"]].to_dict("list")
    subject = subject_of(
        table["dx"].tolist(), images=table["image_id"] + ".jpg", lesion=table["lesion_id"], source=table["dataset"], **given
    )
    section = looked_at(subject)
    assert {"dx_type", "source"} <= set(section.numbers["giveaways"])
    assert section.numbers["images"] == 10015
    found = section.numbers["probes"]["columns"]
    assert found["sex"]["auroc_macro"]["high"] < GIVES_AWAY
    assert not found["sex"]["gives_away"]

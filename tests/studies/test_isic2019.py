"""ISIC 2019: its printed figures, its two tables, and heat maps on its page."""

import math
import re
from pathlib import Path

import pytest
import torch

from cutis.data import readers, synthetic
from cutis.studies import run
from cutis.studies.book.isic2019 import MATRICES, OF_MALIGNANT, tables
from cutis.studies.catalog import SMOKE, Given, studies
from cutis.studies.work import Work

PRINTED = """
binary                        .8010 .9064 .9116       | .8157 .9833 .9851
8 classes, unbalanced training .7053 .7302 .8577 .8695 | .4506 .4798 .7143 .7123
8 classes, balanced training  .6076 .6236 .7444       | .5951 .6105 .7827
8 classes, wide head          .6281 .7317 .7499       | .5913 .7550 .7740
"""


def test_every_printed_figure_after_a_stage_stands_at_the_answers_of_that_stage() -> None:
    lines = [re.findall(r"\.\d{4}|\|", line) for line in PRINTED.strip().splitlines()]
    found = [table for table in studies["isic2019"]().published if "after each stage" in table.title]
    assert len(found) == len(lines)
    for table, line in zip(found, lines, strict=True):
        middle = line.index("|")
        stages = len(table.columns)
        places = [*(f"test-stage-{i}" for i in range(1, stages)), "test"]
        for row, figures, name in (
            ("unbalanced", line[:middle], "accuracy"),
            ("balanced", line[middle + 1 :], "balanced_accuracy"),
        ):
            cells = [cell for cell in table.rows[row] if cell]
            assert [cell.printed for cell in cells] == [float(f) for f in figures]
            assert [cell.at for cell in cells] == places
            assert {cell.figure for cell in cells} == {name}
            assert all(bool(cell.unlike) == (row == "balanced") for cell in cells)


@pytest.mark.parametrize("which", ["imbalanced", "balanced"])
def test_the_printed_precision_recall_and_f1_follow_from_the_printed_matrix_cut_off(which: str) -> None:
    (_, wrong), (missed, hit) = MATRICES[which]
    precision, recall = hit / (hit + wrong), hit / (hit + missed)
    exact = (precision, recall, 2 * precision * recall / (precision + recall))
    assert tuple(math.floor(1000 * x) / 1000 for x in exact) == OF_MALIGNANT[which]


def test_the_test_share_is_that_of_the_printed_matrix() -> None:
    assert sum(map(sum, MATRICES["imbalanced"])) == 4221
    assert round(studies["isic2019"]().split.test * 25331) == 4221


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Given:
    file = synthetic.write(tmp_path_factory.mktemp("pictures"), lesions=60, views=(1, 2), size=48, seed=3)
    return Given(readers.read(file))


def test_both_tables_have_the_same_images_in_the_same_parts(pictures: Given) -> None:
    found = tables(pictures, studies["isic2019"]().split)
    classes, binary = found["classes"], found["binary"]
    assert list(classes["image"]) == list(binary["image"])
    assert list(classes["split"]) == list(binary["split"])
    malignant = {"mel": True, "bcc": True, "nv": False, "bkl": False}
    assert list(binary["label"] == "malignant") == [malignant[label] for label in classes["label"]]


def test_the_page_shows_photos_beside_heat_maps(pictures: Given, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    study = studies["isic2019"]()
    told = run.carry_out(Work(study=study, given=pictures, scale=SMOKE, out=tmp_path, asked=["cnn"], drawn=True, command="test"))
    assert [arm["name"] for arm in told["arms"]] == ["cnn"]
    page = (tmp_path / "study.html").read_text("utf-8")
    part = page[page.index("Where the evidence lies") :]
    photos = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', part)
    maps = re.findall(r'<img class="map" src="data:image/png;base64,[^"]+" alt="([^"]+)"', part)
    assert '<input type="range"' in part
    assert len(photos) == len(maps) > 0
    assert all(f"Heat map over {photo.partition(':')[0]}:" in heat for photo, heat in zip(photos, maps, strict=True))

"""S11: what is no skin, or skin through another camera, is told to be out of scope by a model of dermoscopy images."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cutis.data import readers
from cutis.jobs import exporting, pipeline
from cutis.recipes import recipes
from cutis.serve.predictor import Predictor

SIDE = 224


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def noise(count: int) -> list[bytes]:
    """Half of them grain, half coarse patches of colour."""
    rng = np.random.default_rng(0)
    fine = [rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(count // 2)]
    coarse = [rng.integers(0, 256, (14, 14, 3), np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(count // 2)]
    return [png(pixels) for pixels in fine + coarse]


def text(count: int) -> list[bytes]:
    """Black letters on white paper."""
    rng, font, pages = np.random.default_rng(1), ImageFont.load_default(14), []
    for _ in range(count):
        page = Image.new("RGB", (SIDE, SIDE), "white")
        lines = ["".join(chr(c) for c in rng.choice([*range(97, 123), 32, 32], 30)) for _ in range(12)]
        ImageDraw.Draw(page).text((8, 8), "\n".join(lines), "black", font)
        pages.append(png(np.asarray(page)))
    return pages


def photographs(count: int) -> list[bytes]:
    """Parts of scikit-learn's two photographs, a temple and a flower."""
    samples = pytest.importorskip("sklearn.datasets")
    whole = [samples.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng, found = np.random.default_rng(2), []
    for i in range(count):
        photo = whole[i % 2]
        y, x = (rng.integers(0, side - SIDE) for side in photo.shape[:2])
        found.append(png(photo[y : y + SIDE, x : x + SIDE]))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data_root: Path, weights_root: Path) -> tuple[Predictor, list[Path]]:
    """A probe trained on some 400 dermoscopy images, and its 150 or so test images."""
    folder = tmp_path_factory.mktemp("s11")
    table = readers.read(data_root / "isic2018" / "HAM10000_metadata.csv").sample(600, random_state=0).reset_index(drop=True)
    spec = recipes["probe"]().changed(**{"stages.0.epochs": 20, "evaluate.replicates": 100})
    run = pipeline.train(table, spec, folder / "run")
    opened = Predictor.open(exporting.export(run, folder / "bundle"), maps=False)
    root = Path(run.provenance["data"]["root"])
    return opened, [root / name for name in run.table.loc[run.table["split"] == "test", "image"]]


def refused(predictor: Predictor, sources: list[Path] | list[bytes]) -> float:
    """The share of them that is out of scope."""
    verdicts = [answer.verdict for answer in predictor.answers([predictor.picture(one, display=False) for one in sources])]
    return float(np.mean([verdict == "out of scope" for verdict in verdicts]))


@pytest.mark.slow
def test_fault_s11_what_is_no_dermoscopy_is_out_of_scope(model: tuple[Predictor, list[Path]], data_root: Path) -> None:
    predictor, held_out = model
    phones = sorted((data_root / "pad_ufes20" / "images").iterdir())[::6]
    known = refused(predictor, held_out)
    found = {
        "noise": refused(predictor, noise(40)),
        "text": refused(predictor, text(40)),
        "photographs": refused(predictor, photographs(40)),
        "phones": refused(predictor, phones),
    }
    assert known < 0.25, "some 5 % of its kind are refused by intent; the sample is small"
    assert min(found["noise"], found["text"], found["photographs"]) > 0.9, found
    assert found["phones"] > known + 0.4, found

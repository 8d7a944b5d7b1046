"""The files: each planted fault is found and nothing else, the figures agree with other libraries, headers with Pillow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

import cutis
from cutis.audit import headers, looks
from cutis.audit.findings import Section

Picture = NDArray[np.uint8]
Spoil = Callable[[Picture], Picture]

SIDE = 224


def photo(seed: int, skin: tuple[int, int, int] = (205, 160, 140), size: tuple[int, int] = (SIDE, SIDE)) -> Picture:
    """A dark spot on skin with a fine texture, all sharp."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    spot = np.hypot(y - size[0] / 2, x - size[1] / 2) < 0.2 * min(size) * (1 + 0.1 * rng.normal())
    texture = ndimage.gaussian_filter(rng.normal(0, 12, size), 0.6)
    return np.clip(np.where(spot, 0.5, 1.0)[..., None] * np.array(skin) + texture[..., None], 0, 255).astype(np.uint8)


def cornered(picture: Picture) -> Picture:
    """As a dermoscope shows it: black outside a circle."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.where((np.hypot(y - SIDE / 2, x - SIDE / 2) < SIDE / 2)[..., None], picture, 0).astype(np.uint8)


def audited(folder: Path, tmp_path: Path, **options: Any) -> Section:
    return cutis.audit(folder, tmp_path / "audit", only=["files"], quick=True, **options).sections["files"]


def found(section: Section) -> dict[str, list[str]]:
    return {f.kind: [Path(image).stem for item in f.items for image in item.images] for f in section.findings}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve ordinary pictures each; every third has black corners."""
    for i in range(24):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cornered(photo(i)) if i % 3 == 0 else photo(i)).save(path, quality=92)
    return tmp_path / "data"


def test_ordinary_pictures_are_no_findings(folder: Path, tmp_path: Path) -> None:
    for i, skin in enumerate([(70, 48, 40), (95, 66, 55), (240, 215, 200)]):  # very dark to very light skin
        Image.fromarray(photo(90 + i, skin)).save(folder / "a" / f"skin{i}.png")
    Image.fromarray(photo(97, size=(300, 500))).save(folder / "b" / "wide.png")
    section = audited(folder, tmp_path)
    assert section.findings == ()
    assert section.sentence == "All 28 files can be read; none of the pictures looks unusable."
    assert section.numbers["formats"] == {"JPEG": 24, "PNG": 4}
    assert section.numbers["sizes"] == {"224x224": 27, "500x300": 1}
    assert section.tables[0].rows[1][:4] == ["b", "13", "0", "JPEG 12, PNG 1"]
    assert section.tables[0].rows[1][4] == "224 x 224 (224 x 224 to 500 x 300)"


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("small", lambda p: p[92:132, 92:132]),
        ("odd-shape", lambda p: p[70:140]),
        ("empty", lambda p: np.full_like(p, 140)),
        ("empty", lambda p: np.zeros_like(p)),
        ("dark", lambda p: (p * 0.2).astype(np.uint8)),
        ("bright", lambda p: np.clip(p * 1.6 + 40.0, 0, 255).astype(np.uint8)),
        ("blurred", lambda p: cv2.GaussianBlur(p, (0, 0), 3)),
        ("blurred", lambda p: cornered(cv2.GaussianBlur(p, (0, 0), 3))),
    ],
)
def test_a_planted_fault_is_named_by_its_kind_and_no_other_file_with_it(kind: str, spoil: Spoil, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(spoil(photo(50))).save(folder / "a" / "planted.png")
    section = audited(folder, tmp_path)
    assert found(section) == {kind: ["planted"]}
    (finding,) = section.findings
    assert (finding.severity, finding.rule) == ("warning", kind)
    assert finding.measure
    assert finding.sentence.startswith("1 image is ")


def test_files_that_cannot_be_read_are_listed_and_serious_where_they_are_many(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "a" / "00.jpg").read_bytes()
    (folder / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    section = audited(folder, tmp_path, settings=["images.max_unreadable=0.05"])
    assert (section.findings[0].severity, found(section)) == ("warning", {"unreadable": ["cut"]})
    (folder / "b" / "empty.jpg").write_bytes(b"")
    section = audited(folder, tmp_path, settings=["images.max_unreadable=0.05"])
    assert section.findings[0].severity == "serious"
    assert [item.note for item in section.findings[0].items][1] == "the file is empty"
    assert section.sentence.startswith("2 of 26 files cannot be read")
    assert [row[2] for row in section.tables[0].rows] == ["1", "1"]


def test_what_is_stored_oddly_is_noted_and_the_worst_come_first(folder: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(photo(51))
    picture.convert("CMYK").save(folder / "a" / "cmyk.jpg", quality=95)
    picture.convert("P").save(folder / "a" / "palette.png")
    picture.convert("L").save(folder / "a" / "grey.png")
    tags = Image.Exif()
    tags[0x0112] = 6
    picture.save(folder / "b" / "lying.jpg", exif=tags, quality=95)
    frames = [Image.fromarray(photo(60 + i)) for i in range(2)]
    frames[0].save(folder / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    names = found(audited(folder, tmp_path))
    assert names == {"modes": ["cmyk", "palette", "moving"], "turned": ["lying"], "left-aside": ["moving"]}
    for i, blur in enumerate((4, 2.5, 6)):
        Image.fromarray(cv2.GaussianBlur(photo(70), (0, 0), blur)).save(folder / "a" / f"soft{i}.png")
    assert found(audited(folder, tmp_path))["blurred"] == ["soft2", "soft0", "soft1"]


def test_a_fault_of_most_files_is_how_the_collection_is(tmp_path: Path) -> None:
    images, labels = np.stack([photo(i, size=(28, 28)) for i in range(12)]), np.arange(12).reshape(-1, 1) % 2
    np.savez(tmp_path / "dermamnist.npz", **{f"{p}_{k}": v for p in ("train", "test") for k, v in (("images", images), ("labels", labels))})
    section = audited(tmp_path / "dermamnist.npz", tmp_path)
    assert section.numbers["formats"] == {"array": 24}
    assert section.numbers["sizes"] == {"28x28": 24}
    (finding,) = section.findings
    assert (finding.kind, finding.items, finding.rule) == ("small", (), "")
    assert finding.sentence.startswith("24 of 24 images are smaller than 64 pixels")


def test_borders_of_padding_do_not_count(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.clip(photo(52, size=(160, 380)) * 1.6 + 40.0, 0, 255).astype(np.uint8)).save(folder / "a" / "white.png")
    assert found(audited(folder, tmp_path, settings=["images.fit=pad"])) == {"bright": ["white"]}


def test_headers_give_the_size_as_it_is_seen(tmp_path: Path) -> None:
    for ending in ("jpg", "png", "tiff", "webp"):
        (tmp_path / "data" / ending).mkdir(parents=True)
        for orientation in range(1, 9):
            tags = Image.Exif()
            tags[0x0112] = orientation
            Image.fromarray(photo(53, size=(90, 150))).save(tmp_path / "data" / ending / f"{orientation}.{ending}", exif=tags)
    subject = cutis.audit(tmp_path / "data", tmp_path / "audit", only=["files"], quick=True).subject
    told = headers.read(subject).set_index(subject.readable["image"])
    assert len(told) == 32
    for image, row in told.iterrows():
        path = tmp_path / "data" / str(image)
        with Image.open(path) as opened:
            assert (row["width"], row["height"]) == ImageOps.exif_transpose(opened).size, image
            assert row["format"].casefold() == str(opened.format).casefold()
        assert row["orientation"] == int(path.stem)
        assert row["bytes"] == path.stat().st_size


def test_figures_agree_with_numpy_scipy_and_the_equation() -> None:
    picture = photo(54)
    low, middle, high, spread, detail, again = looks.look(picture)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.hypot(y - (SIDE - 1) / 2, x - (SIDE - 1) / 2) <= 0.95 * SIDE / 2
    expected = np.percentile(grey[inside], [5, 50, 95], method="inverted_cdf")
    assert [low, middle, high] == expected.tolist()
    assert spread == np.subtract(*np.percentile(grey[inside], [99, 1], method="inverted_cdf"))
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert detail == pytest.approx(ndimage.convolve(grey.astype(float), kernel, mode="mirror")[inside].std(), rel=1e-5)
    # Crete et al. 2007, equations 1 to 7, pixel by pixel
    inner = grey[22:-22, 22:-22].astype(float)
    worst = []
    for axis in (0, 1):
        mean = ndimage.uniform_filter1d(inner, 9, axis=axis, mode="mirror")
        step, after = np.abs(np.diff(inner, axis=axis)), np.abs(np.diff(mean, axis=axis))
        worst.append((step.sum() - np.maximum(0, step - after).sum()) / step.sum())
    assert again == pytest.approx(max(worst), abs=1e-4)


def test_pictures_of_any_size_have_figures() -> None:
    for size in ((1, 1), (1, 9), (2, 2), (5, 300)):
        assert np.isfinite(looks.look(np.zeros((*size, 3), np.uint8))).all()


@pytest.mark.slow
def test_few_real_photographs_are_called_unusable(data_root: Path, tmp_path: Path) -> None:
    for source in ("isic2018/HAM10000_metadata.csv", "pad_ufes20"):
        table = cutis.read(data_root / source)
        told = table.attrs
        table = table.sample(600, random_state=0).reset_index(drop=True)
        table.attrs = told
        section = audited(table, tmp_path)  # type: ignore[arg-type]
        assert sum(f.images for f in section.findings if f.rule) <= 6, found(section)

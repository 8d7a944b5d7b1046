"""Lesion masks: each form gives the mask that was drawn, for the image it belongs to, and nothing is run or guessed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cutis.data import masks
from cutis.errors import DataError
from cutis.recipe import Images

H, W = 15, 20


def drawn(n: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((n, H, W)) < 0.3


def same(found: NDArray[np.bool_] | None, truth: NDArray[np.bool_]) -> bool:
    return found is not None and found.dtype == np.bool_ and np.array_equal(found, truth)


IDS = np.array(["ISIC_1", "ISIC_2", "ISIC_3"])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
@pytest.mark.parametrize("top", [1, 255])
def test_an_array_of_masks_is_found_by_the_name_of_the_image(tmp_path: Path, dtype: str, top: int) -> None:
    truth = drawn(3)
    np.savez_compressed(tmp_path / "m.npz", ids=IDS, masks=(truth * (1 if dtype == "bool" else top)).astype(dtype))
    found = masks.read(tmp_path / "m.npz")
    for name in ("ISIC_2", "ISIC_2.jpg", "images/ISIC_2.jpg", "a/b/ISIC_2.PNG"):
        assert same(found.of(name), truth[1])
    assert found.of("images/ISIC_4.jpg") is None
    assert (len(found), found.known(["images/ISIC_2.jpg", "ISIC_4.jpg"])) == (3, 1)


@pytest.mark.parametrize("how", ["array", "path", "name"])
def test_packed_bits_need_a_shape_from_an_array_the_path_or_the_name(tmp_path: Path, how: str) -> None:
    truth = drawn(3)
    packed = np.packbits(truth.reshape(3, -1), axis=1)
    file = tmp_path / ("m_15x20.npz" if how == "name" else "m.npz")
    if how == "array":
        np.savez(file, ids=IDS, masks=packed, shape=np.array([H, W]))
    else:
        np.savez(file, ids=IDS, masks=packed)
    found = masks.read(f"{file}:15x20" if how == "path" else file)
    assert same(found.of("ISIC_3.jpg"), truth[2])


def test_bits_without_a_shape_or_with_a_wrong_one_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", ids=IDS, masks=np.packbits(drawn(3).reshape(3, -1), axis=1))
    with pytest.raises(DataError, match="75x100"):
        masks.read(tmp_path / "m.npz")
    with pytest.raises(DataError, match="75, 100"):
        masks.read(f"{tmp_path / 'm.npz'}:75x100")


@pytest.mark.parametrize("ending", ["", "_segmentation", "_mask", "_lesion", "_MASK"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "zero-one"])
def test_a_folder_of_files_whatever_their_names_and_modes(tmp_path: Path, ending: str, mode: str) -> None:
    truth = drawn(1)[0]
    image = Image.fromarray(truth.astype(np.uint8) if mode == "zero-one" else truth.astype(np.uint8) * 255)
    (tmp_path / "part").mkdir()
    (image if mode == "zero-one" else image.convert(mode)).save(tmp_path / "part" / f"ISIC_7{ending}.png")
    assert same(masks.read(tmp_path).of("images/ISIC_7.jpg"), truth)


def test_a_photograph_beside_its_mask_is_not_taken_for_it(tmp_path: Path) -> None:
    truth = drawn(1)[0]
    Image.fromarray(np.full((H, W), 200, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(truth.astype(np.uint8) * 255).save(tmp_path / "a_mask.png")
    assert same(masks.read(tmp_path).of("a.png"), truth)


def test_fault_d3_one_name_in_two_folders_is_told_apart_by_the_folder_or_not_used(tmp_path: Path) -> None:
    both = drawn(2)
    for folder, mask in zip(("x", "y"), both, strict=True):
        (tmp_path / folder).mkdir()
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / folder / "1.png")
    found = masks.read(tmp_path)
    assert same(found.of("y/1.jpg"), both[1])
    assert found.of("z/1.jpg") is None


def test_a_row_of_an_array_is_never_matched_by_the_name_of_its_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", ids=np.array(["set", "set.npz::test_images::1"]), masks=drawn(2))
    found = masks.read(tmp_path / "m.npz")
    assert same(found.of("set.npz::test_images::1"), drawn(2)[1])
    assert found.of("set.npz::test_images::2") is None


def test_a_damaged_mask_is_left_out_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    found = masks.read(tmp_path)
    assert found.of("a.jpg") is None
    assert list(found.unreadable) == ["a"]


def test_the_mask_is_cut_and_scaled_as_its_picture_is() -> None:
    mask = np.zeros((30, 40), bool)
    mask[:, 5:20] = True  # a centre crop to a square keeps columns 5 to 34: the left half
    found = masks.Masks({"a": lambda: mask}).at("a.jpg", Images(size=60))
    assert found is not None
    assert found.shape == (60, 60)
    assert found[:, :29].all()
    assert not found[:, 31:].any()


def test_fault_m1_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", ids=np.array(["a", None], object), masks=drawn(2))
    with pytest.raises(DataError, match="cannot be read"):
        masks.read(tmp_path / "m.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip"])
def test_what_is_no_file_of_masks_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(DataError, match="ids and masks"):
        masks.read(tmp_path / "m.npz")
    with pytest.raises(DataError, match="No lesion masks"):
        masks.read(tmp_path / "absent.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no masks"):
        masks.read(tmp_path / "empty")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_bits_come_back_at_any_size(tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int) -> None:
    file = tmp_path_factory.mktemp("masks") / "m.npz"
    truth = np.random.default_rng(seed).random((2, height, width)) < 0.5
    np.savez(file, ids=np.array(["a", "b"]), masks=truth)
    found = masks.read(file)
    assert same(found.of("b"), truth[1])


@pytest.mark.slow
def test_the_masks_of_ham10000(data_root: Path) -> None:
    found = masks.read(data_root / "isic2018" / "lesion_masks_75x100.npz")
    with np.load(data_root / "isic2018" / "lesion_masks_75x100.npz") as arrays:
        truth = np.unpackbits(arrays["masks"][5])[:7500].reshape(75, 100)
        assert same(found.of(f"images/{arrays['ids'][5]}.jpg"), truth == 1)
    assert len(found) == 10_015

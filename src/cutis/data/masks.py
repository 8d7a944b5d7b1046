"""Where the lesion is in each image, if somebody has marked it: an .npz of masks, or a folder with a mask a picture."""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutis import recipe
from cutis.data.arrays import array_row
from cutis.data.images import Unreadable, decode, fitted
from cutis.data.lookup import scan
from cutis.errors import DataError

ENDINGS: Final = re.compile(r"_(segmentation|mask|lesion)$", re.IGNORECASE)
KINDS: Final = frozenset({".png", ".bmp", ".tif", ".tiff"})  # JPEG blurs the edge and is not looked for
SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
MAX_BYTES: Final = 8 * 1024**3

Mask = NDArray[np.bool_]


class Masks:
    """Lesion masks by image. A mask covers the whole upright image, at a resolution of its own; True is lesion.

    ``entries`` names what there is: a path with or without the folders of the table's image; its ending does not matter. ``unreadable``:
    masks that were asked for and cannot be read, and why.
    """

    def __init__(self, entries: Mapping[str, Callable[[], Mask]]) -> None:
        self._entries = {_stem(name): load for name, load in entries.items()}
        self._by_name: dict[str, str | None] = {}
        for key in self._entries:
            name = PurePosixPath(key).name
            self._by_name[name] = None if name in self._by_name else key
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, image: str) -> Mask | None:
        """The mask of a table's image, bool H x W; None where there is none, where several could be meant, or where it cannot be read."""
        key = self._key(image)
        if key is None or key in self.unreadable:
            return None
        try:
            return self._entries[key]()
        except Unreadable as error:
            self.unreadable[key] = error.reason
            return None

    def at(self, image: str, images: recipe.Images) -> Mask | None:
        """The mask as the cache holds the picture: bool, ``images.size``, fitted by the same rule.

        The mask must have the aspect ratio of the whole picture; padding is no lesion.
        """
        mask = self.of(image)
        if mask is None or not mask.size:
            return None
        return np.asarray(fitted(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), images.size, images.fit)[..., 0] > 127)

    def known(self, images: Sequence[str]) -> int:
        """How many of these images have a mask."""
        return sum(self._key(image) is not None for image in images)

    def _key(self, image: str) -> str | None:
        if array_row(Path(), image):
            return image if image in self._entries else None
        key = _stem(image)
        return key if key in self._entries else self._by_name.get(PurePosixPath(key).name)


def read(path: str | Path) -> Masks:
    """Masks from an .npz file or a folder.

    An .npz has ``ids`` (N texts) and ``masks``: bool or integers N x H x W, where more than half of the largest value is lesion; or uint8
    N x B, the bits of each mask packed as ``numpy.packbits`` does, H and W being in an array ``shape``, after the path
    (``masks.npz:75x100``), or in the file's name (``lesion_masks_75x100.npz``). A folder holds PNG, BMP or TIFF files (of any depth) named
    as the image, or with ``_segmentation``, ``_mask`` or ``_lesion`` after it; more than half of the brightest value is lesion.
    Raises DataError where it is none of these.
    """
    given = str(path)
    file, _, size = given.rpartition(":")
    shaped = bool(file) and SIZE.fullmatch(size) is not None and not os.path.lexists(given)
    place = Path(file if shaped else given)
    if place.is_dir():
        return _folder(place)
    if place.suffix.lower() != ".npz" or not place.is_file():
        raise DataError(
            f"No lesion masks at {place}. Name an .npz with ids and masks, or a folder with IMAGE.png or IMAGE_segmentation.png."
        )
    try:
        return _npz(place, size if shaped else "")
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The masks in {place} cannot be read ({error}). It must be an .npz file with ids and masks.") from error


def _folder(root: Path) -> Masks:
    names = [name for name in scan(root).images if PurePosixPath(name).suffix.lower() in KINDS]
    if not names:
        raise DataError(f"{root} holds no masks. They are PNG, BMP or TIFF files named as the image, or IMAGE_segmentation.png.")

    def loader(name: str) -> Callable[[], Mask]:
        def load() -> Mask:
            return _marked(decode(root / name).pixels.max(axis=2))

        return load

    plain = {name: str(PurePosixPath(name).with_name(ENDINGS.sub("", PurePosixPath(name).stem))) for name in names}
    # a photograph may lie beside its mask; the name that says "mask" is the mask
    names.sort(key=lambda name: bool(ENDINGS.search(PurePosixPath(name).stem)))
    return Masks({f"{plain[name]}.png": loader(name) for name in names})


def _npz(file: Path, size: str) -> Masks:
    with zipfile.ZipFile(file) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise DataError(f"{file} unpacks to more than {MAX_BYTES:,} bytes. Store the masks smaller: 75 x 100 pixels are enough.")
    with np.load(file, allow_pickle=False) as arrays:
        ids, masks = arrays["ids"], arrays["masks"]
        shape = tuple(int(n) for n in arrays["shape"]) if "shape" in arrays else ()
    if ids.ndim != 1 or len(ids) != len(masks) or masks.dtype.kind not in "bui":
        raise DataError(f"{file} has ids {ids.shape} and masks {masks.shape} of {masks.dtype}; one mask of bits or integers an id is read.")
    if masks.ndim == 3:
        shape, top = masks.shape[1:], masks.max(initial=0)
        packed = np.stack([np.packbits(_marked(mask, top)) for mask in masks]) if len(masks) else np.zeros((0, 0), np.uint8)
    else:
        found = SIZE.fullmatch(size) or SIZE.search(file.stem)
        shape = (int(found[1]), int(found[2])) if found and (size or len(shape) != 2) else shape
        packed = masks
    if packed.ndim != 2 or packed.dtype != np.uint8 or len(shape) != 2 or packed.shape[1] != -(-shape[0] * shape[1] // 8):
        raise DataError(
            f"{file} has masks {masks.shape} of {masks.dtype}, which do not fit a height and width {shape}. "
            f"Write them after the path, for example {file.name}:75x100."
        )
    height, width = shape

    def loader(i: int) -> Callable[[], Mask]:
        return lambda: np.unpackbits(packed[i], count=height * width).reshape(height, width).astype(bool)

    return Masks({str(name): loader(i) for i, name in enumerate(ids)})


def _marked(values: NDArray[np.generic], top: float | None = None) -> Mask:
    """What is above half of the largest value: 0 and 1, 0 and 255, and smoothed edges are all read."""
    if values.dtype == np.bool_:
        return np.asarray(values, np.bool_)
    largest = float(np.max(values, initial=0)) if top is None else float(top)
    return np.asarray(values.astype(np.float64) > largest / 2) if largest > 0 else np.zeros(values.shape, np.bool_)


def _stem(name: str) -> str:
    """A path without the ending of a picture; an identifier with a dot in it stays whole."""
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path.with_suffix("")) if path.suffix.lower() in {*KINDS, ".jpg", ".jpeg", ".webp", ".gif", ".jfif"} else str(path)

"""Safe decoding: a picture becomes upright 8-bit RGB pixels by stated rules, or is refused with a reason.

What is read (JPEG, PNG, WebP, BMP, TIFF, GIF; with the extra ``pictures`` HEIC, and DICOM by the rules in dicom.py) is decided by
content, never by the name; of several frames or pages the first is used, of a HEIC's pictures the primary one, with a note. What becomes
of the colours:

- alpha and transparent palette entries are composited on white; a palette is looked up; 1-bit becomes 0 and 255; grey is repeated thrice;
- 16-bit (and 12-bit) samples keep their eight highest bits; 32-bit and float samples have no agreed range and are refused;
- an embedded ICC profile that is not sRGB is applied (LittleCMS, perceptual intent); one that does not fit the pixels is ignored, with
  a note; PNG's gamma chunk is ignored;
- CMYK without a profile: R = (255 - C)(255 - K) / 255 and so on; CMYK JPEGs are taken as inverted, which is how Adobe writes them.

EXIF orientation is applied; nothing else of the metadata is used or passed on. A JPEG for which libjpeg reports anything lost is refused,
because what it puts in the gap is grey.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from cutis.data.opening import Unreadable, Unsupported, opened, read_bytes, silence

__all__ = ["DECODER", "MAX_PIXELS", "SEVERAL", "Decoded", "Pixels", "Unreadable", "Unsupported", "decode", "fitted"]

Pixels = NDArray[np.uint8]

RULES: Final = 1  # raised when a rule of decoding or fitting changes
DECODER: Final = f"{RULES} simplejpeg-{simplejpeg.__version__} pillow-{PIL.__version__} opencv-{cv2.__version__}"
MAX_PIXELS: Final = 100_000_000
SEVERAL: Final = "holds several frames or pages; the first is used"


class Decoded(NamedTuple):
    """A decoded picture: ``pixels`` uint8 H x W x 3 RGB, upright; ``notes`` what was left out or ignored."""

    pixels: Pixels
    notes: tuple[str, ...]


def decode(source: Path | bytes, *, at_least: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a file or its bytes by the rules above.

    ``at_least`` (height, width of the upright picture, in pixels) allows a JPEG to be decoded smaller than it is, by libjpeg's scaled
    inverse DCT in eighths, never below that height or width. ``max_pixels`` is held against the header before anything is decoded.
    Raises Unreadable, and Unsupported where the file is of a kind that is not read.
    """
    data = read_bytes(source) if isinstance(source, Path) else source
    with silence:
        try:
            return _decoded(data, at_least, max_pixels)
        except Unreadable:
            raise
        except MemoryError:
            raise Unreadable("memory ran out while it was decoded") from None
        except Exception as error:  # on hostile bytes Pillow's parsers raise whatever they trip over
            raise Unreadable(f"damaged, or of an unusual kind ({type(error).__name__}: {str(error)[:120]})") from None


def fitted(pixels: Pixels, size: tuple[int, int], fit: str) -> Pixels:
    """The picture at ``size`` (height, width).

    ``squash`` stretches, ``crop`` takes the largest centred part of that aspect ratio, ``pad`` adds black borders. Shrinking averages over
    areas, enlarging is bilinear, axis by axis; on a smooth picture that is within one grey level of Pillow's antialiased bilinear filter.
    """
    (height, width), (rows, columns) = pixels.shape[:2], size
    if fit == "squash":
        return _resized(pixels, size)
    if fit == "crop":
        h, w = max(1, min(height, round(width * rows / columns))), max(1, min(width, round(height * columns / rows)))
        top, left = (height - h) // 2, (width - w) // 2
        return _resized(pixels[top : top + h, left : left + w], size)
    assert fit == "pad", fit
    scale = min(rows / height, columns / width)
    h, w = max(1, min(rows, round(height * scale))), max(1, min(columns, round(width * scale)))
    top, left = (rows - h) // 2, (columns - w) // 2
    canvas = np.zeros((rows, columns, 3), np.uint8)
    canvas[top : top + h, left : left + w] = _resized(pixels, (h, w))
    return canvas


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    # INTER_AREA averages only where both axes shrink, so an axis that grows waits for a second step.
    smaller = min(size[0], pixels.shape[0]), min(size[1], pixels.shape[1])
    for target, method in ((smaller, cv2.INTER_AREA), (size, cv2.INTER_LINEAR)):
        if pixels.shape[:2] != target:
            pixels = cv2.resize(pixels, target[::-1], interpolation=method)
    return np.ascontiguousarray(pixels)


def _decoded(data: bytes, at_least: tuple[int, int] | None, max_pixels: int) -> Decoded:
    name, image = opened(data, max_pixels)
    notes = [SEVERAL] if getattr(image, "is_animated", False) else []
    notes += getattr(image, "notes", [])
    profile = image.info.get("icc_profile")
    scaled, turn = None, 0
    if name == "JPEG" and (image.mode == "RGB" or (image.mode == "L" and not profile)):
        turn = _orientation(image)
        scaled = _jpeg(data, at_least[::-1] if at_least and turn >= 5 else at_least)
    if scaled is None or profile:
        flat = _flat(image) if scaled is None else Image.fromarray(scaled)
        if profile:
            flat, used = _srgb(flat, profile)
            notes += [] if used else ["the colour profile does not fit the pixels and is ignored"]
        scaled = np.asarray(flat.convert("RGB"))
    turn = turn or _orientation(image)  # only now, because Pillow turns a TIFF itself while loading it
    return Decoded(np.ascontiguousarray(UPRIGHT[turn](scaled)), tuple(notes))


def _jpeg(data: bytes, at_least: tuple[int, int] | None) -> Pixels | None:
    """Scaled decode by libjpeg-turbo, strict about lost data; None for what TurboJPEG cannot do and Pillow can."""
    height, width = at_least or (0, 0)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width), np.uint8)
    except ValueError as error:
        # rare chroma subsampling, and the harmless scan header of some phones
        if "subsampling" in str(error) or "SOS parameters" in str(error):
            return None
        raise


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        turn = image.getexif().get(0x0112, 1)
    except Exception:  # broken metadata must not cost the picture
        return 1
    return turn if turn in UPRIGHT else 1


# EXIF 2.32, tag 0x0112: what turns the stored rows and columns upright.
UPRIGHT: Final[dict[int, Callable[[Pixels], Pixels]]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}


def _flat(image: ImageFile.ImageFile) -> Image.Image:
    """The loaded image in mode L, RGB or CMYK, or a mode that converts to RGB."""
    image.load()
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        samples = np.asarray(image).astype(np.uint16) >> (tags.get(258, (16,))[0] - 8)
        return Image.fromarray((255 - samples if tags.get(262) == 0 else samples).astype(np.uint8))  # 0: TIFF's WhiteIsZero
    if image.mode in ("I", "F"):
        raise Unreadable("has 32-bit or float samples, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    return image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))


def _srgb(image: Image.Image, icc: bytes) -> tuple[Image.Image, bool]:
    """The image in sRGB, and whether the profile could be used."""
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image, True
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(image.mode, image.mode):
            return image, False
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, False
    assert converted is not None
    return converted, True

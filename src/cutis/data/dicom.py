"""DICOM files as Pillow images: the picture and its colour profile, and nothing else of the file.

Rules. A photograph (VL photographic, dermoscopic) is RGB, YBR or palette, and is read as stored; of more than 8 bits the eight highest are
kept. A grey picture is shown as its first window or VOI table says (PS3.3 C.11), else by its eight highest stored bits; MONOCHROME1, where
the lowest value is white, is inverted. Of several frames the first is read, with a note; a microscope slide, whose frames are tiles, is
refused. Uncompressed, RLE, JPEG (baseline) and JPEG 2000 are read; a frame whose own header tells another size than the file's is refused.

Only the elements named below are looked at. No message quotes a value of the file.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_preamble
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array

from cutis.data.opening import Unreadable, Unsupported

ELEMENTS: Final = (
    *("SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "ICCProfile", "BurnedInAnnotation"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)
SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
HEADERS: Final = dict.fromkeys((uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit), JpegImagePlugin.JpegImageFile) | dict.fromkeys(
    (uid.JPEG2000Lossless, uid.JPEG2000), Jpeg2KImagePlugin.Jpeg2KImageFile
)
PLAIN: Final = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its warnings quote values; here, because importing it sets the level
BURNED_IN: Final = "says that writing is burned into its picture, which may name the patient"


class DicomImageFile(ImageFile.ImageFile):
    """A DICOM file with Pillow's face: opened from its header, ``load`` decodes its first frame. ``notes`` as of ``images.Decoded``."""

    format = "DICOM"
    format_description = "DICOM"

    def _open(self) -> None:
        with _discreet():
            assert self.fp is not None
            _refuse_deflated(self.fp)
            told = _read(self.fp, stop_before_pixels=True)
            if "Rows" not in told or "Columns" not in told:
                raise Unreadable("a DICOM file without a picture")
            if told.get("SOPClassUID") == SLIDE:
                raise Unsupported("a microscope slide in DICOM, whose frames are tiles; export the part that matters as PNG")
            _check_kind(told)
            frames = int(told.get("NumberOfFrames") or 1)
            self.is_animated = frames > 1
            self.notes = [BURNED_IN] if told.get("BurnedInAnnotation") == "YES" else []
            self._size = int(told.Columns), int(told.Rows)
            self._mode = "L" if told.PhotometricInterpretation.startswith("MONOCHROME") else "RGB"
            if "ICCProfile" in told:
                self.info["icc_profile"] = bytes(told.ICCProfile)

    def load(self) -> Any:
        """Decode the first frame."""
        if self.fp is not None:
            with _discreet():
                whole = _read(self.fp)
                _check_frame(whole)
                pixels = _shown(whole)
            assert pixels.shape[:2] == self.size[::-1]
            self.load_prepare()
            self.frombytes(np.ascontiguousarray(pixels))
            self.fp = None
        return super().load()


@contextmanager
def _discreet() -> Iterator[None]:
    """What a parser trips over becomes a reason that quotes nothing of the file."""
    try:
        yield
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        raise Unreadable(f"a damaged DICOM file, or one of an unusual kind ({type(error).__name__})") from None


def _read(stream: Any, stop_before_pixels: bool = False) -> FileDataset:
    stream.seek(0)
    pixels = [] if stop_before_pixels else ["PixelData"]
    return pydicom.dcmread(stream, specific_tags=[*ELEMENTS, *pixels], stop_before_pixels=stop_before_pixels)


def _refuse_deflated(stream: Any) -> None:
    """pydicom inflates such a file whole, however large it becomes; nobody stores photographs so."""
    stream.seek(0)
    read_preamble(stream, force=False)
    if uid.DeflatedExplicitVRLittleEndian.encode() in stream.read(2048):
        raise Unsupported("a deflated DICOM file, which is not read; export its picture as PNG")


def _check_kind(told: FileDataset) -> None:
    """Refuse what is read wrongly, or not at all."""
    syntax = uid.UID(told.file_meta.TransferSyntaxUID)
    if syntax not in (*PLAIN, *HEADERS, uid.RLELossless):
        known = f" ({syntax.name})" if syntax.name != str(syntax) else ""
        raise Unsupported(f"DICOM in a compression that is not read{known}; export its picture as PNG or JPEG")
    kind, bits = str(told.PhotometricInterpretation), int(told.BitsStored)
    if kind not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", *COLOURS):
        raise Unsupported("DICOM in a colour model that is not read; export its picture as PNG or JPEG")
    if int(told.SamplesPerPixel) != (3 if kind in COLOURS else 1) or not 1 <= bits <= min(16, int(told.BitsAllocated)):
        raise Unsupported("DICOM with samples that are not read (more than 16 bits, or not one or three a pixel)")


def _check_frame(whole: FileDataset) -> None:
    """A compressed first frame must be as large as the file says, and not unpack to more. Raises Unreadable."""
    if not (syntax := uid.UID(whole.file_meta.TransferSyntaxUID)).is_encapsulated:
        return
    frame = get_frame(whole.PixelData, 0, number_of_frames=int(whole.get("NumberOfFrames") or 1))
    if header := HEADERS.get(syntax):
        fits = header(io.BytesIO(frame)).size == (whole.Columns, whole.Rows)
    else:
        fits = _unpacked(frame, whole.Rows * whole.Columns)
    if not fits:
        raise Unreadable("a damaged DICOM file (its picture is not as large as the file says)")


def _unpacked(frame: bytes, pixels: int) -> bool:
    """Whether no segment of an RLE frame (PS3.5 annex G) unpacks to more than a byte a pixel, and one to make the length even."""
    header = np.frombuffer(frame[:64], "<u4")
    ends = [*header[2 : 1 + header[0]].tolist(), len(frame)]
    for start, end in zip(header[1 : 1 + header[0]].tolist(), ends, strict=True):
        at, size = start, 0
        while at < end and size <= pixels + 1:
            code = frame[at]
            at += 2 if code > 128 else 1 if code == 128 else code + 2
            size += 257 - code if code > 128 else 0 if code == 128 else code + 1
        if size > pixels + 1:
            return False
    return True


def _shown(whole: FileDataset) -> NDArray[np.uint8]:
    """The first frame as it is meant to be seen: H x W or H x W x 3."""
    stored = pixel_array(whole, index=0)
    bits = int(whole.BitsStored)
    if whole.PhotometricInterpretation == "PALETTE COLOR":
        colours: NDArray[Any] = apply_color_lut(stored, whole)
        return (colours >> 8).astype(np.uint8) if colours.dtype.itemsize > 1 else colours
    if not whole.PhotometricInterpretation.startswith("MONOCHROME"):
        return _highest(stored, bits)
    if whole.get("VOILUTSequence"):
        top = 2 ** int(whole.VOILUTSequence[0].LUTDescriptor[2]) - 1
        grey = _bytes(apply_voi(apply_modality_lut(stored, whole), whole).astype(np.float64) / top)
    elif whole.get("WindowWidth") is not None and whole.get("WindowCenter") is not None:
        grey = _bytes(_windowed(apply_modality_lut(stored, whole).astype(np.float64), whole))
    else:
        grey = _highest(stored.astype(np.int32) + 2 ** (bits - 1) if whole.PixelRepresentation else stored, bits)
    return 255 - grey if whole.PhotometricInterpretation == "MONOCHROME1" else grey


def _windowed(values: NDArray[np.float64], whole: FileDataset) -> NDArray[np.float64]:
    """Values through the first window, PS3.3 C.11.2.1.2 and C.11.2.1.3; inside it from 0 to 1."""
    centre, width = (float(np.ravel(whole[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    function = str(whole.get("VOILUTFunction", "LINEAR")).upper()
    if width < (1 if function == "LINEAR" else 1e-9):
        raise Unreadable("a damaged DICOM file (its window has no width)")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    return (values - centre) / width + 0.5


def _bytes(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(shares.clip(0, 1) * 255), np.uint8)


def _highest(stored: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """The eight highest of the stored bits; of fewer than eight, 0 to 255 in even steps."""
    if bits < 8:
        return np.asarray(stored.astype(np.uint16) * 255 // (2**bits - 1), np.uint8)
    return np.asarray(stored >> (bits - 8), np.uint8)

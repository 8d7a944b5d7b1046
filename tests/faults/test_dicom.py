"""DICOM: an explicit rule for each kind, and nothing of the patient in pixels, notes, messages or logs."""

import io
import logging
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence

from cutis.data import headers
from cutis.data.images import SEVERAL, Unreadable, Unsupported, decode

PATIENT = {
    "PatientName": "SECRETNAME^JANE", "PatientID": "SECRETID42", "PatientBirthDate": "19450101", "InstitutionName": "SECRETCLINIC",
    "StudyDescription": "SECRETSTUDY", "AccessionNumber": "SECRETNUMBER",
}  # fmt: skip
PHOTO = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL Photographic Image Storage
DERMOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.7"
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def dicom(
    pixels: np.ndarray | bytes, kind: str = "RGB", *, syntax: str = uid.ExplicitVRLittleEndian, bits: int = 8, **elements: object
) -> bytes:
    """A DICOM file with a patient; ``pixels`` as samples, or already encoded. Elements may be replaced, and None leaves one out."""
    told = Dataset()
    told.file_meta = FileMetaDataset()
    told.file_meta.TransferSyntaxUID = syntax
    told.file_meta.MediaStorageSOPClassUID = told.SOPClassUID = DERMOSCOPY
    told.file_meta.MediaStorageSOPInstanceUID = told.SOPInstanceUID = "1.2.3"
    allocated = 8 if bits <= 8 else 16
    shape = pixels.shape if isinstance(pixels, np.ndarray) else COLOUR.shape
    values = {
        **PATIENT, "Rows": shape[0], "Columns": shape[1], "SamplesPerPixel": 3 if len(shape) == 3 else 1, "PhotometricInterpretation": kind,
        "BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0,
        **({"PlanarConfiguration": 0} if len(shape) == 3 else {}), **elements,
    }  # fmt: skip
    for name, value in values.items():
        if value is not None:
            setattr(told, name, value)
    data = pixels.tobytes() if isinstance(pixels, np.ndarray) else pixels
    if "PixelData" not in elements:
        told.PixelData = data + bytes(len(data) % 2)
        told["PixelData"].VR = "OB" if allocated == 8 else "OW"
        if uid.UID(syntax).is_encapsulated:
            told["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    told.save_as(out, enforce_file_format=True)
    return out.getvalue()


def jpeg(pixels: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("kind", [PHOTO, DERMOSCOPY])
def test_fault_i9_a_photograph_is_read_as_stored(tmp_path, syntax, kind):
    data = dicom(COLOUR, syntax=syntax, SOPClassUID=kind)
    np.testing.assert_array_equal(decode(data).pixels, COLOUR)
    assert decode(data).notes == ()
    (tmp_path / "a.dcm").write_bytes(data)
    told = headers.read(tmp_path, ["a.dcm"]).iloc[0]
    assert (told["format"], told["mode"], told["width"], told["height"]) == ("DICOM", "RGB", 8, 6)


def test_fault_i9_planes_apart_and_luminance_with_colour():
    np.testing.assert_array_equal(decode(dicom(COLOUR, PlanarConfiguration=0)).pixels, COLOUR)
    planes = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(decode(dicom(planes, PlanarConfiguration=1)).pixels, COLOUR)
    flat = np.full((6, 8, 3), (120, 100, 170), np.uint8)
    expected = [120 + 1.402 * 42, 120 - 0.344136 * -28 - 0.714136 * 42, 120 + 1.772 * -28]  # PS3.3 C.7.6.3.1.2
    assert np.abs(decode(dicom(flat, "YBR_FULL")).pixels[3, 3] - expected).max() <= 1


def test_fault_i9_sixteen_and_twelve_bits_keep_the_eight_highest():
    deep = np.array([[0, 15, 16, 2047, 4095]], np.uint16)
    np.testing.assert_array_equal(decode(dicom(deep, "MONOCHROME2", bits=12)).pixels[0, :, 0], [0, 0, 1, 127, 255])
    np.testing.assert_array_equal(decode(dicom(deep * 16, "MONOCHROME2", bits=16)).pixels[0, :, 1], [0, 0, 1, 127, 255])
    signed = np.array([[-2048, -1, 0, 2047]], np.int16)
    np.testing.assert_array_equal(decode(dicom(signed, "MONOCHROME2", bits=12, PixelRepresentation=1)).pixels[0, :, 2], [0, 127, 128, 255])


def test_fault_i9_monochrome1_is_inverted():
    grey = np.array([[0, 77, 255]], np.uint8)
    one, two = (decode(dicom(grey, kind)).pixels for kind in ("MONOCHROME1", "MONOCHROME2"))
    np.testing.assert_array_equal(two, np.repeat(grey[..., None], 3, 2))
    np.testing.assert_array_equal(one, 255 - two)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"WindowCenter": 100, "WindowWidth": 101}, [0, 0, 128, 255, 255]),  # PS3.3 C.11.2.1.2.1: (x - 99.5) / 100 + 0.5
        ({"WindowCenter": [100, 9], "WindowWidth": [101, 9]}, [0, 0, 128, 255, 255]),  # the first of several
        ({"WindowCenter": 100, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}, [0, 0, 128, 255, 255]),
        ({"WindowCenter": 100, "WindowWidth": 100, "VOILUTFunction": "SIGMOID"}, [5, 30, 128, 225, 255]),  # 255 / (1 + exp(-4 (x - c) / w))
        ({"WindowCenter": 200, "WindowWidth": 201, "RescaleSlope": 2, "RescaleIntercept": 0}, [0, 0, 128, 255, 255]),
    ],
)
def test_fault_i9_a_window_is_applied(elements, expected):
    values = np.array([[0, 50, 100, 150, 255]], np.uint16)
    shown = decode(dicom(values, "MONOCHROME2", bits=12, **elements)).pixels[0, :, 0]
    assert np.abs(shown.astype(int) - expected).max() <= 1, shown


def test_fault_i9_a_table_of_grey_values_is_applied():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], np.array([10, 20, 200, 255], "<u2").tobytes()
    shown = decode(dicom(np.array([[0, 1, 2, 3]], np.uint8), "MONOCHROME2", VOILUTSequence=Sequence([table]))).pixels[0, :, 0]
    np.testing.assert_array_equal(shown, [10, 20, 200, 255])


def test_fault_i9_a_palette_is_looked_up():
    table = np.array([0, 100, 200, 255], np.uint16) * 257
    colours = {
        f"{c}PaletteColorLookupTable{part}": value
        for c, values in (("Red", table), ("Green", table[::-1]), ("Blue", table))
        for part, value in (("Descriptor", [4, 0, 16]), ("Data", values.tobytes()))
    }
    shown = decode(dicom(np.array([[0, 1, 2, 3]], np.uint8), "PALETTE COLOR", **colours)).pixels
    np.testing.assert_array_equal(shown[0, :, 0], [0, 100, 200, 255])
    np.testing.assert_array_equal(shown[0, :, 1], [255, 200, 100, 0])


def test_fault_i9_compressed_frames():
    smooth = np.broadcast_to(np.arange(0, 240, 30, dtype=np.uint8)[None, :, None], (6, 8, 3)).copy()
    lossless = encapsulate([jpeg(COLOUR, "JPEG2000", irreversible=False, mct=0)])
    np.testing.assert_array_equal(decode(dicom(lossless, syntax=uid.JPEG2000Lossless)).pixels, COLOUR)
    lossy = dicom(encapsulate([jpeg(smooth, quality=100, subsampling=0)]), "YBR_FULL_422", syntax=uid.JPEGBaseline8Bit)
    assert np.abs(decode(lossy).pixels.astype(int) - smooth).max() <= 3
    told = {"rows": 6, "columns": 8, "samples_per_pixel": 3, "bits_allocated": 8, "bits_stored": 8, "pixel_representation": 0}
    packed = RLELosslessEncoder.encode(COLOUR, photometric_interpretation="RGB", number_of_frames=1, planar_configuration=0, **told)
    np.testing.assert_array_equal(decode(dicom(encapsulate([packed]), syntax=uid.RLELossless)).pixels, COLOUR)


def test_fault_i9_of_several_frames_the_first_is_read_with_a_note():
    both = np.stack([COLOUR, 255 - COLOUR])
    result = decode(dicom(both.tobytes(), NumberOfFrames=2))
    np.testing.assert_array_equal(result.pixels, COLOUR)
    assert result.notes == (SEVERAL,)


def test_fault_i9_a_colour_profile_is_applied():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace("sRGB".encode("utf-16-be"), "rBGs".encode("utf-16-be")).replace(b"sRGB built", b"rBGs built")
    swapped = swapped.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)
    soft = np.full((6, 8, 3), (180, 120, 90), np.uint8)
    assert np.abs(decode(dicom(soft, ICCProfile=swapped)).pixels[0, 0].astype(int) - (90, 120, 180)).max() <= 4


def test_fault_i9_writing_burned_into_the_picture_is_told():
    assert "burned into its picture" in decode(dicom(COLOUR, BurnedInAnnotation="YES")).notes[0]


@pytest.mark.parametrize(
    ("elements", "kind", "said"),
    [
        ({"Rows": 50_000, "Columns": 50_000}, Unreadable, r"50,000 x 50,000 pixels, more than images\.max_pixels"),
        ({"Rows": None}, Unreadable, "without a picture"),
        ({"Rows": 0}, Unreadable, "no pixels|damaged"),
        ({"Rows": 60}, Unreadable, "damaged DICOM"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, Unsupported, "microscope slide"),
        ({"SamplesPerPixel": 1}, Unsupported, "samples"),
        ({"PhotometricInterpretation": "HSV"}, Unsupported, "colour model"),
        ({"BitsStored": 12}, Unsupported, "samples"),
        ({"syntax": uid.JPEGLossless}, Unsupported, r"JPEG Lossless"),
        ({"syntax": uid.MPEG2MPML}, Unsupported, "compression that is not read"),
        ({"syntax": uid.DeflatedExplicitVRLittleEndian}, Unsupported, "deflated"),
    ],
)
def test_fault_i9_what_is_not_read_is_refused_by_name(elements, kind, said):
    data = encapsulate([b"\0\0"]) if "syntax" in elements and elements["syntax"].is_encapsulated else COLOUR
    with pytest.raises(kind, match=said):
        decode(dicom(data, **elements))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000])
def test_fault_i9_a_frame_of_another_size_than_the_file_says_is_refused(syntax):
    large = jpeg(np.zeros((3000, 3000, 3), np.uint8), "JPEG2000" if syntax == uid.JPEG2000 else "JPEG")
    with pytest.raises(Unreadable, match="not as large as the file says"):
        decode(dicom(encapsulate([large]), syntax=syntax))


def test_fault_i9_a_packed_frame_that_would_grow_is_refused():
    segment = b"\x81\0" * 100_000  # PS3.5 annex G: two bytes are 128
    starts = np.array([3, 64, 64 + len(segment), 64 + 2 * len(segment), *[0] * 12], "<u4").tobytes()
    with pytest.raises(Unreadable, match="not as large as the file says"):
        decode(dicom(encapsulate([starts + segment * 3]), syntax=uid.RLELossless))


WHOLE = dicom(COLOUR)


def test_fault_i9_a_file_cut_anywhere_is_refused():
    for cut in range(132, len(WHOLE) - 1, 7):
        with pytest.raises(Unreadable):
            decode(WHOLE[:cut])


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_fault_i9_s7_no_message_of_a_damaged_file_names_the_patient(changes):
    broken = bytearray(WHOLE)
    for place, value in changes:
        broken[int(place * len(broken))] = value
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            heard += decode(bytes(broken), max_pixels=1_000_000).notes
    except Unreadable as error:
        heard.append(str(error))
    finally:
        logging.getLogger().removeHandler(handler)
    told = " ".join([*heard, *(str(w.message) for w in caught)])
    assert "SECRET" not in told
    assert "1945" not in told


@pytest.mark.parametrize("bad", [{"PatientBirthDate": "SECRET DATE"}, {"BitsStored": None}, {"WindowCenter": 1, "WindowWidth": 0}])
def test_fault_i9_s7_values_that_fit_no_rule_are_not_quoted(bad, caplog):
    with warnings.catch_warnings(action="ignore"):
        data = dicom(COLOUR[..., 0].copy(), "MONOCHROME2", **bad)
    caplog.set_level(logging.DEBUG)
    caplog.clear()  # of what writing it said
    try:
        told = " ".join(decode(data).notes)
    except Unreadable as error:
        told = str(error)
    assert "SECRET" not in told + caplog.text

"""S5 to S9 at the API: names that are markup, other sites, patients' data, costs, and faults."""

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

if TYPE_CHECKING:
    from conftest import App, Server


MARKUP = "<img src=x onerror=alert(1)>.png"
PATIENT = "MustermannErika19640812"


def test_fault_s5_markup_in_a_name_is_inert(served: "Server", pictures: list[bytes]) -> None:
    for answer in (
        served.post(pictures[0], names=[MARKUP]),
        served.post(b"no picture", names=[MARKUP]),
        served.post(pictures[0], path=f"/v1/explain?class={MARKUP}"),
        httpx.get(f"{served.url}/{MARKUP}"),
        httpx.get(f"{served.url}/v1/model"),
    ):
        assert "onerror" not in answer.text
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:9999"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_fault_s6_other_names_and_other_sites_are_refused(app: "Callable[..., App]", headers: dict[str, str], status: int) -> None:
    for method, path in (("POST", "/v1/predict"), ("GET", "/v1/model"), ("GET", "/health")):
        options: dict[str, Any] = {"files": {"files": b"z"}} if method == "POST" else {}
        answer = app().request(method, path, headers=headers, **options)
        assert answer.status_code == status if path != "/v1/model" or status != 200 else answer.status_code in (200, 500)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_fault_s6_a_token_is_asked_for_and_compared(app: "Callable[..., App]") -> None:
    made = app(token="a-token-of-some-length")
    for given in (None, "", "Bearer", "Bearer wrong", "Basic a-token-of-some-length", "Bearer a-token-of-some-lengthy"):
        answer = made.request("POST", "/v1/predict", files={"files": b"z"}, headers={"authorization": given} if given is not None else {})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert not made.asked
    right = {"authorization": "Bearer a-token-of-some-length"}
    assert made.request("POST", "/v1/predict", files={"files": b"z"}, headers=right).status_code == 200
    assert made.request("GET", "/metrics").status_code == 401
    assert made.request("GET", "/health").status_code == 200, "a container's health check has no token"


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--allow-host", "*"]])
def test_fault_s6_listening_elsewhere_needs_a_token(cutis: Callable[..., Any], options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUTIS_TOKEN", raising=False)
    refused = cutis("serve", "nothing", *options)
    assert refused.code == 2
    assert "--token-file" in refused.err
    monkeypatch.setenv("CUTIS_TOKEN", "short")
    assert "16 characters" in cutis("serve", "nothing", *options).err


def planted() -> list[tuple[str, bytes]]:
    """Pictures with a patient's name in the file's name, EXIF, a PNG's text, a JPEG's comment, and a DICOM file's header."""
    pixels = np.full((24, 32, 3), 150, np.uint8)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = PATIENT, PATIENT
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", PATIENT)
    text.add_itxt("Comment", PATIENT)
    saved = []
    for kind, options in (("JPEG", {"exif": exif, "comment": PATIENT}), ("PNG", {"pnginfo": text}), ("WEBP", {"exif": exif})):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, **options)
        saved.append((f"{PATIENT}.{kind.lower()}", out.getvalue()))
    cut = saved[0][1][:-40]
    return [*saved, (f"{PATIENT}-cut.jpg", cut), (f"{PATIENT}.dcm", dicom(pixels)), (PATIENT, PATIENT.encode())]


def dicom(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    """A photograph as a clinic's archive holds it."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, VLPhotographicImageStorage, generate_uid

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = VLPhotographicImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
    file.PatientName = file.PatientID = file.ImageComments = PATIENT
    file.Rows, file.Columns, file.SamplesPerPixel, file.PlanarConfiguration = *pixels.shape, 0
    file.PhotometricInterpretation = "RGB"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = pixels.tobytes()
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def test_fault_s7_patients_data_are_nowhere_afterwards(served: "Server") -> None:
    secret = PATIENT.encode()
    for name, data in planted():
        assert secret in data or "cut" in name
        for path in ("/v1/predict", "/v1/explain", "/v1/explain?view=beside", "/v1/explain?view=map&class=all"):
            answer = served.post(data, path=path, names=[name])
            assert answer.status_code == (422 if "cut" in name else 415 if name == PATIENT else 200), answer.text
            assert secret not in answer.content
            assert secret not in str(answer.headers).encode()
            if answer.headers["content-type"] == "image/png":
                assert Image.open(io.BytesIO(answer.content)).info == {}
    wrong = httpx.post(f"{served.url}/v1/predict/{PATIENT}?{PATIENT}={PATIENT}", files={PATIENT: (PATIENT, b"")})
    assert wrong.status_code == 404
    assert httpx.get(f"{served.url}/metrics").text.count(PATIENT) == 0
    for file in served.folder.rglob("*"):
        assert PATIENT not in str(file)
        assert not file.is_file() or secret not in file.read_bytes()


def test_fault_s7_what_is_logged_is_numbers_and_routes(served: "Server", pictures: list[bytes]) -> None:
    answer = served.post(pictures[0], names=["private.png"])
    told = next(one for one in served.said if one.get("id") == answer.headers["x-request-id"])
    assert told.keys() == {"time", "event", "id", "method", "route", "status", "ms", "bytes", "pictures"}
    assert (told["route"], told["status"], told["pictures"]) == ("/v1/predict", 200, 1)


def test_fault_s8_one_picture_more_than_allowed_is_refused(served: "Server", pictures: list[bytes]) -> None:
    assert served.post(*[pictures[0]] * 8).status_code == 200
    more = served.post(*[pictures[0]] * 9)
    assert more.status_code == 413
    assert "8 pictures" in more.json()["error"]["message"]


def test_fault_s8_one_heat_map_more_than_allowed_is_refused(served: "Server", pictures: list[bytes]) -> None:
    classes = len(httpx.get(f"{served.url}/v1/model").json()["classes"])
    enough = 8 // classes
    every = "/v1/explain?view=map&class=all"
    assert served.post(*[pictures[0]] * enough, path=every).status_code == 200
    more = served.post(*[pictures[0]] * (enough + 1), path=every)
    assert more.status_code == 413
    assert more.json()["error"]["code"] == "too-many-maps"


def test_fault_s8_a_picture_of_too_many_pixels_is_refused_from_its_header(served: "Server") -> None:
    before = served.memory()
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    answer = served.post(out.getvalue())
    assert answer.status_code == 422
    assert "20,000 x 20,000" in answer.json()["error"]["message"]
    assert served.memory() - before < 100 * 1024**2


def test_fault_s9_a_fault_in_the_server_has_a_number_and_no_more(app: "Callable[..., App]") -> None:
    made = app()

    def broken(told: object, blobs: object) -> None:
        raise RuntimeError("/secret/folder/of/the/machine")

    made.says = broken
    answer = made.request("POST", "/v1/predict", files={"files": b"z"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "fault"
    assert "secret" not in answer.text
    assert "Error" not in answer.text
    (told,) = made.logged
    assert told["id"] == answer.json()["request"] == answer.headers["x-request-id"]
    assert told["fault"]["type"] == "RuntimeError"
    assert "secret" not in json.dumps(made.logged)


def test_fault_s9_a_fault_in_the_worker_has_a_number_and_no_more(app: "Callable[..., App]") -> None:
    from cutis.serve.api.wire import Frame

    made = app()
    made.says = lambda told, blobs: Frame({"fault": {"type": "ZeroDivisionError", "where": ["desk.py:1 f"]}})
    answer = made.request("POST", "/v1/predict", files={"files": b"z"})
    assert answer.status_code == 500
    assert "Zero" not in answer.text
    assert made.logged[0]["fault"]["type"] == "ZeroDivisionError"

"""The API as its users see it: what it answers, what it says of itself, and that both agree."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

if TYPE_CHECKING:
    from conftest import Server

    from cutis.export.bundle import Bundle


def test_an_answer_is_what_the_predictor_says(served: "Server", bundle: "Bundle", pictures: list[bytes]) -> None:
    from cutis.serve.api.replies import Predicted
    from cutis.serve.predictor import Predictor

    predictor = Predictor.open(bundle, backend="eager", precision="fp32", maps=False)
    answer = served.post(pictures[3])
    told = Predicted.model_validate_json(answer.content)
    (expected,) = predictor.answers([predictor.picture(pictures[3])])
    (found,) = told.pictures
    assert told.model.version == bundle.version
    assert told.notice == "Research use only. Not a medical device. Not for diagnosis."
    assert list(found.probabilities) == list(bundle.classes)
    assert np.allclose(list(found.probabilities.values()), expected.probabilities, atol=1e-4)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert (found.predicted, found.verdict) == (expected.predicted, expected.verdict)
    assert found.possible == list(expected.possible)
    assert found.scope.in_scope == expected.in_scope
    assert [(m.classes, m.rule, m.met) for m in found.met] == [(list(m.classes), m.rule, m.met) for m in expected.met]


@pytest.mark.parametrize("save", [{}, {"save_all": True, "append_images": [Image.new("RGB", (9, 9), "red")]}])
def test_kinds_of_pictures(served: "Server", save: dict[str, object]) -> None:
    out = io.BytesIO()
    Image.new("RGB", (9, 9), "brown").save(out, "GIF", **save)
    answer = served.post(out.getvalue(), names=["a.jpg"])  # content decides
    assert answer.status_code == (415 if save else 200)
    if save:
        assert "several frames" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "status"), [(b"", 422), (b"<svg></svg>", 415), (b"%PDF-1.7", 415), (b"hello", 415), (b"\xff\xd8\xff\xe0", 422)]
)
def test_fault_i1_i6_what_is_no_picture_is_refused_with_a_reason(served: "Server", data: bytes, status: int) -> None:
    answer = served.post(data)
    assert answer.status_code == status
    told = answer.json()
    assert told["error"]["message"].startswith("The picture cannot be used: ")
    assert told["pictures"] == [{"index": 0, "error": told["error"]}]


def test_fault_i1_a_truncated_picture_is_422_and_the_others_of_the_request_are_answered(served: "Server", pictures: list[bytes]) -> None:
    cut = pictures[0][: len(pictures[0]) // 2]
    assert served.post(cut).status_code == 422
    both = served.post(cut, pictures[1])
    assert both.status_code == 200
    assert ["error" in one for one in both.json()["pictures"]] == [True, False]


def test_heat_maps_come_as_pictures_and_as_numbers(served: "Server", pictures: list[bytes]) -> None:
    from cutis.report import heat
    from cutis.serve.api.replies import Explained

    out = io.BytesIO()
    Image.new("RGB", (400, 300), "brown").save(out, "PNG")
    single, pair = (
        Image.open(io.BytesIO(served.post(out.getvalue(), path=f"/v1/explain?view={v}").content)) for v in ("overlay", "beside")
    )
    assert (single.format, pair.format) == ("PNG", "PNG")
    assert single.width == 400
    assert pair.width > 800
    assert np.array_equal(np.asarray(pair)[:300, :400], np.full((300, 400, 3), (165, 42, 42))), "the photo beside it is untouched"
    told = served.post(*pictures[:2], path="/v1/explain?view=map&class=all").content
    found = Explained.model_validate_json(told)
    for one in found.pictures:
        assert {each.name for each in one.maps} == set(one.answer.probabilities)
        for each in one.maps:
            map_ = heat.unpacked({"height": each.height, "width": each.width, "values": each.values})
            assert map_.shape == (24, 32)
            assert np.nanmax(map_) <= 1


@pytest.mark.parametrize(
    "wrong", ["class=nothing", "method=scorecam", "member=nobody", "view=film", "opacity=2", "opacity=nan", "class=all"]
)
def test_a_heat_map_that_cannot_be_is_refused(served: "Server", pictures: list[bytes], wrong: str) -> None:
    answer = served.post(pictures[0], path=f"/v1/explain?{wrong}")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_the_first_picture_that_can_be_read_is_drawn(served: "Server", pictures: list[bytes]) -> None:
    alone, after = (served.post(*given, path="/v1/explain") for given in ([pictures[0]], [b"no picture", *pictures[:2]]))
    assert after.status_code == 200
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(answer.content))) for answer in (alone, after)))


def test_fault_i7_the_uploaded_bytes_are_never_given_back(served: "Server") -> None:
    out = io.BytesIO()
    Image.new("RGB", (24, 24), "brown").save(out, "JPEG")
    both = out.getvalue() + b"<html><script>alert(1)</script></html>PK\x03\x04"
    answer = served.post(both, path="/v1/explain")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"script" not in answer.content


def test_what_it_says_of_itself(served: "Server", bundle: "Bundle") -> None:
    from cutis.serve.api.replies import About

    about = About.model_validate_json(httpx.get(f"{served.url}/v1/model").content)
    assert about.classes == list(bundle.classes)
    assert about.limits["files"] == 8
    assert str(bundle.folder) not in about.model_dump_json()
    assert httpx.get(f"{served.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{served.url}/ready").json() == {"status": "ready"}


def counted(served: "Server") -> dict[str, float]:
    """All samples of its metrics, by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(httpx.get(f"{served.url}/metrics").text)
    return {s.name + str(sorted(s.labels.items())): s.value for f in families for s in f.samples}


def test_metrics_count(served: "Server", pictures: list[bytes]) -> None:
    before = counted(served)
    answer = served.post(*pictures[:3]).json()
    after = counted(served)
    more = {name: value - before.get(name, 0) for name, value in after.items()}
    assert more["cutis_requests_total[('route', '/v1/predict'), ('status', '200')]"] == 1
    assert sum(value for name, value in more.items() if name.startswith("cutis_pictures_total")) == 3
    assert after["cutis_model[('version', '" + answer["model"]["version"] + "')]"] == 1
    assert after["cutis_queue_pictures[]"] == after["cutis_held_bytes[]"] == 0


def test_each_batch_is_counted_once_and_what_is_no_picture_is_in_none(served: "Server", pictures: list[bytes]) -> None:
    before = counted(served)
    assert served.post(b"no picture").status_code == 415
    assert counted(served)["cutis_batch_pictures_count[]"] == before["cutis_batch_pictures_count[]"]
    with ThreadPoolExecutor(4) as clients:
        for answer in clients.map(lambda i: served.post(pictures[i], pictures[i + 1], b"no picture"), range(4)):
            assert answer.status_code == 200
    assert counted(served)["cutis_batch_pictures_sum[]"] - before["cutis_batch_pictures_sum[]"] == 8


def test_the_description_is_a_route_of_its_own_in_log_and_metrics(served: "Server") -> None:
    answer = httpx.get(f"{served.url}/openapi.json")
    told = next(one for one in served.said if one.get("id") == answer.headers["x-request-id"])
    assert told["route"] == "/openapi.json"
    assert counted(served)["cutis_requests_total[('route', '/openapi.json'), ('status', '200')]"] >= 1


def test_the_description_holds_examples_that_are_answers(served: "Server") -> None:
    from cutis.serve.api.replies import Explained, Predicted

    told = httpx.get(f"{served.url}/openapi.json").json()
    assert told["openapi"].startswith("3.")
    for path, model in (("/v1/predict", Predicted), ("/v1/explain", Explained)):
        model.model_validate(told["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["example"])


def test_schemathesis_finds_no_fault(served: "Server") -> None:
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    # random bytes fit the description, which cannot say that they have to be a picture
    without = [positive_data_acceptance]
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(timeout=60, excluded_checks=without)

        check()

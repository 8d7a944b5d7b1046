"""S3: two hundred uploads at once."""

import asyncio
from typing import TYPE_CHECKING

import httpx
import numpy as np

if TYPE_CHECKING:
    from conftest import Server

    from cutis.export.bundle import Bundle


def test_fault_s3_two_hundred_uploads_at_once_no_answer_is_swapped(served: "Server", bundle: "Bundle", pictures: list[bytes]) -> None:
    from cutis.serve.predictor import Predictor

    predictor = Predictor.open(bundle, backend="eager", precision="fp32", maps=False)
    truth = np.array([a.probabilities for a in predictor.answers([predictor.picture(p, display=False) for p in pictures])])

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as client:
            sent = [pictures[i % len(pictures)] for i in range(200)]
            return await asyncio.gather(*(client.post(f"{served.url}/v1/predict", files=[("files", ("a", data))]) for data in sent))

    answers = asyncio.run(all_at_once())
    for i, answer in enumerate(answers):
        assert answer.status_code in (200, 503)
        if answer.status_code == 503:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["error"]["code"] == "busy"
        else:
            given = list(answer.json()["pictures"][0]["probabilities"].values())
            assert np.abs(truth - given).max(1).argmin() == i % len(pictures)
    assert sum(answer.status_code == 200 for answer in answers) >= 24


def test_fault_s3_past_the_queue_a_client_is_told_when_to_return(app) -> None:
    from cutis.serve.api.limits import Limits

    made = app(Limits(queue=4, files=8))
    five = made.request("POST", "/v1/predict", files=[("files", ("a", b"z"))] * 5)
    assert five.status_code == 503
    assert five.headers["retry-after"] == "1"
    assert not made.asked
    assert made.request("POST", "/v1/predict", files=[("files", ("a", b"z"))] * 4).status_code == 200


def test_fault_s3_uploads_in_memory_are_bounded(app) -> None:
    from cutis.serve.api.limits import Limits

    made = app(Limits(held=1000))
    assert made.request("POST", "/v1/predict", files={"files": b"z" * 2000}).status_code == 503
    assert made.request("POST", "/v1/predict", files={"files": b"z" * 500}).status_code == 200
    assert made.request("POST", "/v1/predict", files={"files": b"z" * 500}).status_code == 200, "what was answered is let go of"


def test_several_pictures_of_a_request_are_answered_in_their_order(served: "Server", pictures: list[bytes]) -> None:
    alone = [served.post(data).json()["pictures"][0]["probabilities"] for data in pictures[:4]]
    together = served.post(*pictures[:2], b"no picture", *pictures[2:4]).json()["pictures"]
    assert [one["index"] for one in together] == [0, 1, 2, 3, 4]
    assert together.pop(2)["error"]["code"] == "unsupported-picture"
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(list(one.values()), list(other["probabilities"].values()), atol=1e-5)

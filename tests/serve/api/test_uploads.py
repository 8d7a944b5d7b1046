"""Forms taken apart, batches put together, frames there and back."""

import io
import threading
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis.serve.api import wire
from cutis.serve.api.batching import Batcher
from cutis.serve.api.limits import Refused
from cutis.serve.api.uploads import parts

contents = st.lists(st.binary(max_size=300), min_size=1, max_size=5)


@given(contents)
def test_a_form_as_httpx_writes_it_is_taken_apart(pictures: list[bytes]) -> None:
    form = httpx.Request("POST", "http://x", files=[("files", ("ü\n.png", data)) for data in pictures])
    boundary = form.headers["content-type"].split("boundary=")[1]
    assert parts(form.read(), boundary.encode(), 5) == pictures


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for sent in (body, b"--x\r\n" + body, b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\n' + body + b"\r\n--x--\r\n"):
        try:
            found = parts(sent, b"x", 3)
        except Refused:
            continue
        assert 1 <= len(found) <= 3


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b'Content-Disposition: form-data; name="other"', 422),
        (b'Content-Disposition: attachment; name="files"', 422),
        (b"Content-Type: image/png", 422),
        (b"Content-Disposition", 400),
    ],
)
def test_a_part_of_another_kind_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(Refused) as refused:
        parts(b"--x\r\n" + head + b"\r\n\r\nz\r\n--x--\r\n", b"x", 3)
    assert refused.value.status == status


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "sizes"), st.integers() | st.text(max_size=9)), st.lists(st.binary())
)
def test_a_frame_arrives_as_it_was_sent(told: dict[str, object], blobs: list[bytes]) -> None:
    stream = io.BytesIO(b"".join(wire.packed(told, blobs)))
    assert wire.read(stream) == wire.Frame(told, tuple(blobs))
    assert wire.read(stream) is None


def test_batches_are_as_large_as_what_is_there_and_answers_go_to_their_askers() -> None:
    sizes, go = [], threading.Event()

    def double(items: list[int]) -> list[int]:
        go.wait(10)
        sizes.append(len(items))
        return [2 * item for item in items]

    batcher = Batcher(double, 4, 0.0)
    batcher.expect(11)
    first = batcher.put(0)
    time.sleep(0.05)  # taken alone
    others = [batcher.put(i) for i in range(1, 11)]
    go.set()
    assert [first.result(10), *(future.result(10) for future in others)] == [2 * i for i in range(11)]
    assert max(sizes) == 4
    assert sum(sizes) == 11
    batcher.close()


def test_an_item_waits_for_those_that_are_expected_but_not_for_others() -> None:
    sizes: list[int] = []

    def same(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return list(items)

    patient = Batcher(same, 8, 30.0)
    patient.expect(3)
    found = [patient.put(1), patient.put(2)]
    assert not found[0].done()
    patient.missed()  # the third cannot be read: nobody waits for it any longer
    assert [future.result(10) for future in found] == [1, 2]
    assert sizes == [2]
    patient.expect(1)
    assert patient.put(3).result(10) == 3
    patient.close()


def test_one_bad_item_spoils_only_itself() -> None:
    def strict(items: list[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return list(items)

    batcher = Batcher(strict, 8, 30.0)
    batcher.expect(3)
    good, bad, fine = batcher.put(1), batcher.put(13), batcher.put(2)
    assert (good.result(10), fine.result(10)) == (1, 2)
    with pytest.raises(ValueError, match="unlucky"):
        bad.result(10)
    batcher.close()

"""Hashes: 32 bytes each inside, text outside."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from cutis.data.hashes import Hashes


@given(st.lists(st.one_of(st.binary(min_size=32, max_size=32).filter(any), st.just(bytes(32))), max_size=40))
def test_they_are_the_hexadecimal_text_of_the_bytes(digests: list[bytes]) -> None:
    hashes, text = Hashes.of(digests), [digest.hex() if any(digest) else "" for digest in digests]
    assert list(hashes) == [hashes[i] for i in range(len(hashes))] == list(hashes[::-1])[::-1] == text
    assert hashes[np.arange(len(text))[::2]].tolist() == text[::2]
    assert hashes[np.array([t != "" for t in text], bool)].tolist() == [t for t in text if t]
    assert pd.DataFrame({"n": range(len(text))}).assign(sha256=hashes)["sha256"].tolist() == text


def test_a_table_gets_text() -> None:
    table = pd.DataFrame({"n": range(9000)}).assign(sha256=Hashes(np.ones((9000, 32), np.uint8)))
    assert table["sha256"].dtype == "str"
    assert set(table["sha256"]) == {"01" * 32}

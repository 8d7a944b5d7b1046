"""Hashes of many pictures in 32 bytes each, seen as the text that tables hold."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 8192  # that are text at a time


class Hashes(Sequence[str]):
    """SHA-256 of N pictures: uint8 N x 32 in ``digests``, hexadecimal text to who reads them; all zero, and empty text, is unknown."""

    def __init__(self, digests: NDArray[np.uint8]) -> None:
        self.digests = digests

    @classmethod
    def of(cls, digests: Iterable[bytes]) -> "Hashes":
        """From 32 bytes each."""
        return cls(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32))

    def __len__(self) -> int:
        return len(self.digests)

    @overload
    def __getitem__(self, which: int) -> str: ...
    @overload
    def __getitem__(self, which: slice) -> "Hashes": ...
    @overload
    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.str_]: ...

    def __getitem__(self, which: int | slice | NDArray[np.int64] | NDArray[np.bool_]) -> "str | Hashes | NDArray[np.str_]":
        if isinstance(which, slice):
            return Hashes(self.digests[which])
        digests = self.digests[which]
        if digests.ndim == 1:
            return digests.tobytes().hex() if digests.any() else ""
        text = np.frombuffer(digests.tobytes().hex().encode(), "S64").astype("<U64")
        text[~digests.any(axis=1)] = ""
        return text

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self[np.arange(start, min(start + BLOCK, len(self)))].tolist()

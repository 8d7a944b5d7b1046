"""Collections under audit that are made by hand, without files: pictures, columns, features and copies as given."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cutis.audit import copies
from cutis.audit.copies import Copies
from cutis.audit.subject import Subject
from cutis.data import table as tables
from cutis.data.cache import Cache
from cutis.data.hashes import Hashes
from cutis.recipe import Recipe

SubjectOf = Callable[..., Subject]


@pytest.fixture
def subject_of(monkeypatch: pytest.MonkeyPatch) -> SubjectOf:
    """A function from labels and whatever else is known of n images to a subject; what is not given is unremarkable."""

    def made(
        labels: Sequence[str | None],
        *,
        pixels: NDArray[np.uint8] | None = None,
        features: NDArray[np.float32] | None = None,
        found: Copies | None = None,
        hashes: Sequence[int] | None = None,
        readable: Sequence[bool] | None = None,
        images: Sequence[str] | None = None,
        **columns: Any,
    ) -> Subject:
        n = len(labels)
        names = list(images) if images is not None else [f"{chr(97 + i % 26)}{i // 26:04d}x.png" for i in range(n)]
        rows = pd.DataFrame({"image": names, "label": labels, **columns})
        whole = tables.finish(rows, Path("/nowhere"), "by hand", [])
        seen = np.ones(n, bool) if readable is None else np.asarray(readable)
        digests = np.zeros((n, 32), np.uint8)
        digests[:, -4:] = np.asarray(range(1, n + 1) if hashes is None else hashes, ">u4").view(np.uint8).reshape(n, 4)
        digests[~seen] = 0
        cache = Cache(
            pixels=np.full((n, 56, 56, 3), 128, np.uint8) if pixels is None else pixels,
            row=np.where(seen, np.arange(n), -1),
            sha256=Hashes(digests),
            failures=pd.DataFrame(columns=["image", "reason"]),
            notes=pd.DataFrame(columns=["image", "note"]),
            decoded=n,
            seconds=0.0,
        )
        subject = Subject(whole, cache, Recipe().changed(**{"images.size": [56, 56]}))
        vars(subject)["features"] = features
        known = found or Copies((), (), ())

        def given(of: Subject) -> Copies:
            return known

        monkeypatch.setattr(copies, "found", given)
        return subject

    return made

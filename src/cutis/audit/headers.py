"""What the headers of an audited table's pictures say (data/headers.py), read once for all checks."""

from pathlib import Path

import pandas as pd

from cutis.audit.subject import Subject
from cutis.data import headers


def read(subject: Subject) -> pd.DataFrame:
    """A row for each readable picture, in the order of ``subject.readable``, with the columns of ``data.headers.Header``.

    Use as ``subject.once(headers.read)``.
    """
    return headers.read(Path(subject.table.attrs["root"]), subject.readable["image"].tolist())

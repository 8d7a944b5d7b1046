"""Which columns an audit looks at (data/columns.py sorts them), and which it keeps from models."""

from collections.abc import Mapping
from typing import Any

from cutis.data.columns import AFTERWARDS
from cutis.data.columns import PERSON as PERSON
from cutis.data.columns import Columns as Columns
from cutis.data.columns import LabelColumn as LabelColumn
from cutis.data.columns import sorted_out as sorted_out


def withheld(found: Mapping[str, Any] | None = None) -> frozenset[str]:
    """Columns that no model is given unless it is asked for by name: those filled in with the diagnosis, and those that give the class
    away; ``found``: the numbers of the section ``shortcuts`` of an audit (audit.json), where there was one."""
    return AFTERWARDS | frozenset((found or {}).get("giveaways", ()))

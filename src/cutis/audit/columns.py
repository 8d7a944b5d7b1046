"""Which columns are kept from models after an audit."""

from collections.abc import Mapping
from typing import Any

from cutis.data.columns import AFTERWARDS


def withheld(found: Mapping[str, Any] | None = None) -> frozenset[str]:
    """Columns that no model is given unless it is asked for by name: those filled in with the diagnosis, and those that give the class
    away; ``found``: the numbers of the section ``shortcuts`` of an audit (audit.json), where there was one."""
    return AFTERWARDS | frozenset((found or {}).get("giveaways", ()))

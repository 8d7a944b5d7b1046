"""What was measured on this machine and need not be measured again: one JSON file beside the caches."""

import hashlib
import json
from typing import Any

from cutis import machine
from cutis.files import cache_folder, write_json


def recall(*key: str | int | float) -> Any:
    """What ``remember`` last kept under this key on this machine with these versions; None where nothing was."""
    return _all().get(_name(key))


def remember(value: Any, *key: str | int | float) -> None:
    """Keep a JSON value under a key; it counts for this machine and these versions of what computes."""
    write_json(cache_folder() / "measured.json", _all() | {_name(key): value})


def _all() -> dict[str, Any]:
    try:
        kept = json.loads((cache_folder() / "measured.json").read_text("utf-8"))
    except (OSError, ValueError):  # not there yet, or broken: it is measured anew
        return {}
    return kept if isinstance(kept, dict) else {}


def _name(key: tuple[str | int | float, ...]) -> str:
    """The key in words, with a mark of the machine and the versions."""
    here = json.dumps([machine.describe(), machine.versions()], sort_keys=True)
    return " ".join(map(str, key)) + " @" + hashlib.sha256(here.encode()).hexdigest()[:12]

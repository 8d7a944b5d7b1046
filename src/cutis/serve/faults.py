"""An error as the log has it."""

import traceback
from pathlib import Path
from typing import Any


def fault(error: BaseException) -> dict[str, Any]:
    """Its type and where it was raised; no message, which may quote what was uploaded, and no folder of this machine."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {"type": type(error).__name__, "where": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]}

"""A bundle to be spoilt, and a forger who puts the sums right again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutis.export import about
from cutis.export.bundle import Bundle
from cutis.files import sha256


@pytest.fixture
def spoilt(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle's folder."""
    return Path(shutil.copytree(bundle.folder, tmp_path / "spoilt"))


@pytest.fixture
def forge() -> Callable[..., Path]:
    """``forge(folder, change)``: bundle.json changed by a function, with digests, sizes, version and seal that are right again."""

    def resealed(folder: Path, change: Callable[[dict[str, Any]], object] = lambda data: None) -> Path:
        data = json.loads((folder / "bundle.json").read_text())
        data["files"] = {
            name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
            for name in data["files"]
            if (folder / name).is_file()
        }
        change(data)
        data["version"] = about.version(data)
        data["seal"] = about.seal(data)
        (folder / "bundle.json").write_text(json.dumps(data))
        return folder

    return resealed

"""Converted networks, kept in the cache folder: written whole or not at all, checked when read, made anew when broken."""

import contextlib
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from torch.jit._trace import TracerWarning

from cutis.errors import CutisError
from cutis.files import cache_folder, sha256

MOST: Final = 40
"""Conversions that are kept; the one unused for longest goes first, so that a search over many networks does not fill the disk."""


def conversion(key: str, make: Callable[[Path], None]) -> Path:
    """The folder ``engines/key``, filled by ``make`` unless it is there whole (every file's SHA-256 is compared).

    It is made aside and renamed; of two processes that make the same one, the first to finish is believed. Raises CutisError
    where the cache folder cannot be written.
    """
    home = cache_folder() / "engines"
    folder = home / key
    if not _whole(folder):
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home, prefix=".", ignore_cleanup_errors=True) as aside:
                made = Path(aside) / key
                made.mkdir()
                make(made)
                (made / "sums.json").write_text(json.dumps({file.name: sha256(file) for file in made.iterdir()}))
                if not _whole(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                with contextlib.suppress(OSError):  # another process has put its own there
                    made.rename(folder)
        except OSError as error:
            raise CutisError(
                f"The converted network cannot be kept in {home} ({error.strerror}). Free space, set CUTIS_CACHE to a folder on another "
                "disk, or do without (--set predict.backend=eager)."
            ) from error
        for old in sorted((f for f in home.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)[:-MOST]:
            shutil.rmtree(old, ignore_errors=True)
    folder.touch()
    return folder


def _whole(folder: Path) -> bool:
    try:
        sums = json.loads((folder / "sums.json").read_text())
        return all(sha256(folder / name) == value for name, value in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def missing(package: str) -> CutisError:
    """What to say where an optional package is not installed."""
    return CutisError(f"This needs the package {package}. Install it with: pip install 'cutis[backends]'")


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Around a converter: what it prints and its own warnings are hidden, its failures become one CutisError that says what to do.

    A tracer warns of every Python number in a network's code (what depends on it is checked by comparing answers), and
    the exporters warn of names in each other's code that are going to change.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # NNCF draws progress bars where JSON may be wanted
        for category in (TracerWarning, DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        try:
            with torch.no_grad():
                yield
        except (CutisError, OSError):
            raise
        except Exception as error:  # a converter raises classes of its own for what it does not know
            told = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise CutisError(f"This network cannot be converted {what}: {told} Set predict.backend=eager.") from error

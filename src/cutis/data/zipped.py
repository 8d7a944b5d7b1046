"""Pictures in a zip, read one at a time and never unpacked to the disk; a zip that is built to harm is refused from its directory."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from cutis.data.lookup import IMAGES
from cutis.data.opening import MAX_BYTES, Unreadable
from cutis.errors import DataError

DIRECTORY: Final = 128 << 20
"""Bytes of a zip's directory, all of which is read into memory, at most: some 1.5 million files."""
FILES: Final = 1_000_000
"""Files in a zip at most."""
RATIO: Final = 100
"""How many times larger than packed all files together may be; pictures hardly shrink."""
SMALL: Final = 1 << 30
"""Bytes below which all files together may be packed more tightly: drawings of one colour."""
TAIL: Final = 22 + 65_535
"""Bytes at the end of a zip in which its directory is announced (APPNOTE 4.3.16)."""


class Zip:
    """A zip of pictures; ``pictures`` are its entries that are named as such, sorted. Reading is safe from several threads at once.

    Raises DataError for what is no zip, for entries that lead out of it or are links, and for more than a collection of pictures has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _refusing(path):
            with path.open("rb") as file:
                _bounded(path, file)
            self._archive = zipfile.ZipFile(path)
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        _check(path, entries)
        shown = [entry for entry in entries if _is_picture(entry.filename)]
        self._entries = {entry.filename: entry for entry in sorted(shown, key=lambda entry: entry.filename)}
        if len(self._entries) < len(shown):
            raise DataError(f"{path} holds several files of one name. Pack it anew.")

    @property
    def pictures(self) -> list[str]:
        """Names of the pictures, sorted."""
        return list(self._entries)

    def mark(self, name: str) -> str:
        """What tells a picture from another one of that name."""
        entry = self._entries[name]
        return f"{entry.file_size} {entry.CRC:08x}"

    def read(self, name: str) -> bytes:
        """The bytes of a picture. Raises Unreadable."""
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise Unreadable("is encrypted; pack it without a password")
        if entry.file_size > MAX_BYTES:
            raise Unreadable(f"has {entry.file_size:,} bytes; at most {MAX_BYTES:,} are read")
        try:
            return self._archive.read(entry)
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise Unreadable(f"damaged in the zip ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the file."""
        self._archive.close()


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, EOFError) as error:
        raise DataError(f"{path} is no zip that can be read ({error}). Pack it anew, or give the folder.") from None


def _bounded(path: Path, file: IO[bytes]) -> None:
    """Refuse a directory that is too large to be read into memory, by what the end of the zip says of it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise zipfile.BadZipFile("it has no directory")
    directory = int.from_bytes(tail[place + 12 : place + 16], "little")
    if (large := tail.rfind(b"PK\6\6", 0, place)) >= 0:  # zip64, whose directory may be of any size
        directory = max(directory % 0xFFFFFFFF, int.from_bytes(tail[large + 40 : large + 48], "little"))
    if directory > DIRECTORY:
        raise DataError(f"{path} lists more files than are read from one zip. Unpack it yourself, and give the folder.")


def _check(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        outward = parts.is_absolute() or ".." in parts.parts or entry.filename[1:2] == ":"
        if outward or stat.S_ISLNK(entry.external_attr >> 16):
            kind = "leads out of the zip" if outward else "is a link"
            raise DataError(f"{path} holds an entry that {kind}: {entry.filename[:200]!r}. It is not read; pack the pictures alone.")
    total, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if len(entries) > FILES:
        raise DataError(f"{path} holds {len(entries):,} files; at most {FILES:,} are read from one zip. Divide it.")
    if total > max(SMALL, RATIO * packed):
        raise DataError(
            f"{path} unpacks to {total:,} bytes, {total / max(1, packed):,.0f} times what it has: no pictures shrink so. It is not read."
        )


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGES and not any(part.startswith((".", "__MACOSX")) for part in path.parts)

"""A bundle as one zip: packed without compression, and unpacked part by part from its listing, under caps."""

import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from cutis.errors import ArtifactError, CutisError
from cutis.export import verified

ENTRIES: Final = 65_000
"""Parts at most in a zip: one with more needs zip64, which is refused, as its directory may be of any size."""
TAIL: Final = 22 + 65_535
"""Bytes at the end of a zip in which its directory is announced (APPNOTE 4.3.16)."""
CHUNK: Final = 1 << 20


class Home:
    """The folder that a bundle is in; an unpacked one is deleted with the last object that uses it."""

    def __init__(self, folder: Path, temporary: bool = False) -> None:
        self.folder = folder
        if temporary:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


def opened(path: Path) -> Home:
    """Where a bundle's parts are: the folder itself, or a private one to which a zip was unpacked. Raises ArtifactError."""
    if not path.is_file():
        return Home(path)
    home = Home(Path(tempfile.mkdtemp(prefix="cutis-bundle-")), temporary=True)
    try:
        _bounded(path)
        with zipfile.ZipFile(path) as archive:
            _unpack(archive, path, home.folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.filename:  # the disk, not the zip: a damaged directory seeks to nowhere, without a name
            raise
        raise ArtifactError(f"{path} cannot be unpacked ({error}). {verified.DAMAGED}") from error
    return home


def pack(folder: Path, parts: Sequence[str], out: Path) -> None:
    """Write the parts of a folder into one zip, stored. Raises CutisError where they are too much for one."""
    too_much = CutisError("The bundle is too large for a zip (4 GiB, or 65,000 parts). Give a folder: --out BUNDLE")
    if len(parts) > ENTRIES:
        raise too_much
    try:
        with zipfile.ZipFile(out, "x", zipfile.ZIP_STORED, allowZip64=False) as archive:
            for part in parts:
                archive.write(folder / part, part)
    except zipfile.LargeZipFile:
        raise too_much from None


def is_bundle(path: Path) -> bool:
    """Whether a file is a zip that holds a bundle.json."""
    try:
        _bounded(path)
        with zipfile.ZipFile(path) as archive:
            return verified.FILE in archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ArtifactError):
        return False


def _bounded(path: Path) -> None:
    """Refuse a zip whose directory, all of which is read into memory, may be larger than one of ENTRIES parts: it needs zip64 then."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise ArtifactError(f"{path} is no bundle: neither a folder nor a zip. Make one: cutis export RUN --out BUNDLE")
    directory = int.from_bytes(tail[place + 12 : place + 16], "little")
    if b"PK\6\7" in tail[max(0, place - 20) : place] or directory > ENTRIES * 1024:
        raise ArtifactError(f"{path} holds more than a bundle has. Unpack it yourself, and give the folder.")


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    """Only what bundle.json lists, each part with the bytes it is said to have; whatever else the zip holds is never looked at.

    So no entry can lead out of the folder, be a link, or grow: the listing's paths are checked, and files are written by their name.
    """
    try:
        info = archive.getinfo(verified.FILE)
    except KeyError:
        raise ArtifactError(f"{path} is a zip without a {verified.FILE}, so no bundle. Make one: cutis export RUN --out BUNDLE") from None
    if info.compress_type != zipfile.ZIP_STORED:  # before it is opened: a damaged stream would raise what each packing raises
        raise ArtifactError(f"{path} is compressed, and a bundle's zip is not. Unpack it yourself, and give the folder.")
    with archive.open(info) as source:
        text = source.read(verified.LISTING + 1)
    if len(text) > verified.LISTING:
        raise ArtifactError(f"{path}: {verified.FILE} has more than {verified.LISTING:,} bytes. {verified.DAMAGED}")
    about = verified.parsed(text, f"{path}: {verified.FILE}")
    (folder / verified.FILE).write_bytes(text)
    needed = sum(file.bytes for file in about.files.values())
    if needed > path.stat().st_size or needed > shutil.disk_usage(folder).free:  # stored: never more than the zip itself
        raise ArtifactError(f"{path} is said to unpack to {needed:,} bytes: more than it has, or than is free in {folder.parent}.")
    for name, file in about.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            entry = archive.getinfo(name)
        except KeyError:
            raise ArtifactError(f"{path} is incomplete: it has no {name}. {verified.DAMAGED}") from None
        if entry.file_size != file.bytes or entry.compress_type != zipfile.ZIP_STORED:
            raise ArtifactError(f"{path}: {name} is not as it was packed. {verified.DAMAGED}")
        with archive.open(entry) as source, target.open("xb") as sink:
            _copy(source, sink, file.bytes)


def _copy(source: IO[bytes], sink: IO[bytes], count: int) -> None:
    """At most ``count`` bytes; fewer are found out by the part's size."""
    while count > 0 and (chunk := source.read(min(CHUNK, count))):
        sink.write(chunk)
        count -= len(chunk)

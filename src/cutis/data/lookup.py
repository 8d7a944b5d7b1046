"""Where image files are: one pass over a folder, and the file that belongs to each name in a table, never one outside."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from cutis.errors import DataError

IMAGES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".dcm"})
_allowed: ContextVar[tuple[Path, ...]] = ContextVar("allowed folders", default=())


@contextmanager
def allowing(folders: Sequence[Path]) -> Iterator[None]:
    """Within it, links and table entries may lead to these folders too."""
    token = _allowed.set(tuple(f.resolve() for f in folders))
    try:
        yield
    finally:
        _allowed.reset(token)


@dataclass
class Listing:
    """Images below a folder (relative paths with ``/``, sorted), links that lead ``outside`` it, and ``notes`` on what was passed over."""

    images: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def scan(root: Path) -> Listing:
    """All images below ``root``.

    A link to a folder inside is not followed (its images are listed where they are, so no loop), one that leads outside only
    where ``allowing`` says so. Hidden files, FIFOs, sockets, dead links and folders that cannot be opened are passed over.
    """
    found = Listing()
    real = root.resolve()
    odd: list[str] = []
    pending, seen = [("", str(root))], {str(real)}
    while pending:
        prefix, folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            found.notes.append(f"{prefix or folder} cannot be opened ({error.strerror}); what it holds is left out.")
            continue
        for entry in entries:
            if entry.name.startswith((".", "__MACOSX")):
                continue
            name, link = prefix + entry.name, entry.is_symlink()
            target = os.path.realpath(entry.path) if link or entry.is_dir() else ""
            if link and not _inside(target, (real, *_allowed.get())):
                found.outside.append(name)
            elif os.path.isdir(target):  # noqa: PTH112 - unlike the entry's own method it never raises on a loop of links
                if target not in seen and not (link and _inside(target, (real,))):
                    seen.add(target)
                    pending.append((name + "/", entry.path))
            elif not (os.path.isfile(target) if link else entry.is_file()) or not _is_text(name):  # noqa: PTH113
                odd.append(name.encode("utf-8", "backslashreplace").decode())
            elif os.path.splitext(name)[1].lower() in IMAGES:  # noqa: PTH122 - making a Path of each would double the time
                found.images.append(name)
    found.images.sort()
    if odd:
        found.notes.append(f"{len(odd)} entries are no regular files or have no valid name and are left out: {_few(odd)}.")
    if found.outside:
        found.notes.append(f"{len(found.outside)} links lead outside the folder and are not followed: {_few(found.outside)}.")
    return found


def locate(names: Sequence[str], root: Path) -> tuple[list[str | None], list[str]]:
    """The relative path of the image that each name means (None: there is none), and notes.

    A name is a path, with or without the ending, or the last part of one; it is looked for below ``root`` and the allowed
    folders. Raises DataError where names lead outside, fit several files, or most have no file.
    """
    listing = scan(root)
    images, notes = list(listing.images), list(listing.notes)
    for folder in _allowed.get():
        if folder != Path(folder.anchor) and not _inside(str(folder), (root.resolve(),)):
            images += [os.path.relpath(folder / image, root) for image in scan(folder).images]
    exact = {_composed(image): image for image in images}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_stem[_key(image)[-1]].append(image)
    outside = {_key(link) for link in listing.outside}
    found: list[str | None] = []
    refused: list[str] = []
    unclear: list[str] = []
    for name in names:
        match = exact.get(_composed(name)) or _row_of_array(name, root)
        if match is None:
            path = _relative(name.replace("\\", "/"), root)
            fits = _fitting(path, by_stem, root) if path is not None else []
            if path is None or (not fits and any(_key(path)[:n] in outside for n in range(1, path.count("/") + 2))):
                refused.append(name)
            elif len(fits) > 1:
                unclear.append(f"{name} ({_few(fits)})")
            else:
                match = fits[0] if fits else None
        found.append(match)
    if refused:
        raise DataError(
            f"{len(refused)} images lie outside {root}, such as {_few(refused)}. Move them inside, "
            "or name the folder that may be read: --allow-outside FOLDER"
        )
    if unclear:
        raise DataError(f"{len(unclear)} names fit several files: {_few(unclear)}. Write their folders in the table too.")
    return found, notes + _missing(names, found, root, len(images))


def _row_of_array(name: str, root: Path) -> str | None:
    """A name that stands for a row of an array in a file below the root or an allowed folder; None for any other."""
    file, colons, row = name.partition(".npz::")
    path = _relative(f"{file}.npz", root) if colons else None
    return f"{path}::{row}" if path is not None and os.path.isfile(root / path) else None  # noqa: PTH113


def _missing(names: Sequence[str], found: Sequence[str | None], root: Path, images: int) -> list[str]:
    lost = [name for name, image in zip(names, found, strict=True) if image is None]
    if not lost:
        return []
    if 2 * len(lost) > len(names):
        raise DataError(
            f"{len(lost)} of {len(names)} images have no file, such as {_few(lost)}. Looked in {root} and all folders below it, "
            f"which hold {images} images. Put the images there, or name their folder: --allow-outside FOLDER"
        )
    return [f"{len(lost)} of {len(names)} rows are left out because their image has no file: {_few(lost)}."]


def _relative(name: str, root: Path) -> str | None:
    """A name relative to the root, or None where it leads outside both the root and what is allowed."""
    path = os.path.normpath(root / name)
    inside = _inside(path, (Path(os.path.abspath(root)),))  # noqa: PTH100 - links in the root itself are the user's own way to it
    return os.path.relpath(path, root) if inside or _inside(os.path.realpath(path), _allowed.get()) else None


def _fitting(path: str, by_stem: dict[str, list[str]], root: Path) -> list[str]:
    """Images that a name can mean: one path is the end of the other; the same ending, then the same case, decide between several."""
    if path.startswith("..") and os.path.isfile(root / path):  # noqa: PTH113 - allowed, and perhaps in no folder that was listed
        return [path]
    key = _key(path)
    fits = []
    for image in by_stem.get(key[-1], []):
        n = min(len(key), len(other := _key(image)))
        if key[-n:] == other[-n:]:
            fits.append(image)
    for narrower in (
        [f for f in fits if len(_key(f)) >= len(key)],
        [f for f in fits if _composed(f).casefold().endswith(_composed(path).casefold())],
        [f for f in fits if _stem(_composed(f)).endswith(_stem(_composed(path)))],
    ):
        fits = narrower if len(fits) > 1 and narrower else fits
    return fits


def _key(path: str) -> tuple[str, ...]:
    return tuple(_stem(_composed(path)).casefold().split("/"))


def _stem(path: str) -> str:
    stem, ending = os.path.splitext(path)  # noqa: PTH122
    return stem if ending.lower() in IMAGES else path


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _inside(path: str, folders: Iterable[Path]) -> bool:
    return any(path == str(f) or path.startswith(str(f).rstrip("/") + "/") for f in folders)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _few(items: Sequence[str], n: int = 3) -> str:
    return ", ".join(items[:n]) + (", ..." if len(items) > n else "")

"""Pictures to be answered, wherever they are: in folders, zips and tables, or named one by one; a list, and how each is read."""

import glob
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cutis.data import piles
from cutis.data.arrays import ArrayRow, Arrays, array_row
from cutis.data.delimited import SUFFIXES
from cutis.data.images import Pixels
from cutis.data.lookup import allowing, scan
from cutis.data.zipped import Zip
from cutis.errors import DataError

TABLES: Final = (*SUFFIXES, ".npz")
WILD: Final = frozenset("*?[")


@dataclass(frozen=True)
class Inside:
    """A picture in a zip."""

    archive: Zip
    name: str


Place = Path | Inside | ArrayRow


@dataclass(frozen=True)
class Item:
    """A picture to be answered: what it is called, where it is, and its label and group where a table knows them."""

    image: str
    place: Place
    label: str = ""
    group: str = ""

    def mark(self) -> str:
        """What tells it from another picture that is put in its place: its size and the time of its last change, or its checksum."""
        if isinstance(self.place, Inside):
            return self.place.archive.mark(self.place.name)
        try:
            status = (self.place if isinstance(self.place, Path) else self.place.file).stat()
        except (OSError, ValueError):
            return "absent"
        return f"{status.st_size} {status.st_mtime_ns}"


@dataclass
class Gathered:
    """The pictures in order, and ``notes`` on what was passed over. Closed, it gives back the files it holds open."""

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    arrays: Arrays = field(default_factory=Arrays)
    _open: ExitStack = field(default_factory=ExitStack)

    def source(self, item: Item) -> Path | Pixels | Inside:
        """What a thread of its own reads the picture from. Rows of an array are read here, one pass through the file.

        Raises Unreadable.
        """
        return self.arrays.read(item.place) if isinstance(item.place, ArrayRow) else item.place

    def close(self) -> None:
        """Close what is open."""
        self.arrays.close()
        self._open.close()

    def add(self, source: str, allow_outside: Sequence[str | Path], prefix: str) -> None:
        """The pictures of one source, each name after ``prefix``."""
        path = Path(source).expanduser()
        if not path.exists() and WILD & set(source):
            found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - Path's own takes no absolute pattern
            self.items += [Item(_text(name), Path(name)) for name in found if Path(name).is_file()]
        elif path.is_dir():
            with allowing([Path(folder) for folder in allow_outside]):
                listing = scan(path)
            self.notes += listing.notes
            self.items += [Item(prefix + image, path / image) for image in listing.images]
        elif path.suffix.lower() == ".zip" and path.is_file():
            archive = Zip(path)
            self._open.callback(archive.close)
            self.items += [Item(prefix + name, Inside(archive, name)) for name in archive.pictures]
        elif path.suffix.lower() in TABLES:
            self._add_table(path, allow_outside, prefix)
        elif path.exists():  # not is_file: a pipe is listed as one that cannot be read
            self.items.append(Item(_text(source), path))
        else:
            raise DataError(f"There is no file or folder {source}. Correct the path.")

    def _add_table(self, path: Path, allow_outside: Sequence[str | Path], prefix: str) -> None:
        table = piles.read(path, allow_outside=allow_outside)
        root = Path(table.attrs["root"])
        self.notes += table.attrs["notes"]
        known = table[["image", "label", "group"]].fillna("").itertuples(index=False)
        self.items += [Item(prefix + i, array_row(root, i) or root / i, label, group) for i, label, group in known]


def gather(sources: Sequence[str | Path], *, allow_outside: Sequence[str | Path] = ()) -> Gathered:
    """All pictures of folders (everything below them), zips, tables (as ``piles.read`` takes them), wild cards and single files.

    A picture is called by its path in its source, after the source's own name where there are several. What a folder holds is recognised
    by its ending, a file that is named is tried whatever it is called. Raises DataError for a source that does not exist, and where no
    picture is left.
    """
    found, first = Gathered(), dict[str, Item]()
    try:
        for source in map(str, sources):
            before = len(found.items)
            found.add(source, allow_outside, f"{source.rstrip('/')}/" if len(sources) > 1 else "")
            if len(found.items) == before:
                found.notes.append(f"No picture is in {source}.")
        if not found.items:
            raise DataError(f"No picture is in {', '.join(map(str, sources)) or 'nothing'}. Give a folder, a zip, a table or files.")
    except BaseException:
        found.close()
        raise
    for item in found.items:
        first.setdefault(item.image, item)
    if len(first) < len(found.items):
        found.notes.append(f"{len(found.items) - len(first):,} pictures are named twice and answered once.")
        found.items[:] = first.values()
    return found


def _text(name: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return name.encode("utf-8", "backslashreplace").decode()

"""A bundle's answers for many pictures, from anywhere, as a table: decoded ahead of the network, kept as they come, gone on with later."""

import os
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cutis.data.gathered import Gathered, Inside, Item, gather
from cutis.data.images import Pixels
from cutis.data.opening import Unreadable
from cutis.errors import CutisError, DataError
from cutis.export.bundle import Bundle
from cutis.files import replacing
from cutis.progress import Progress
from cutis.serve.pictures import Picture, beside, overlay, png, within
from cutis.serve.predictor import SAMPLE, Predictor
from cutis.serve.records import FORMAT, Journal, Table, parquet_library, record, write_csv
from cutis.train.checkpoint import Interrupt, Interrupted, watching

MEMORY: Final = 128 << 20
"""Bytes of decoded pictures that are held at once, about."""
MOST: Final = 256
"""Pictures that are answered together, at most."""
MAPPED: Final = 16
"""The same where each gets a heat map, and the photo is kept for it."""
DRAWN: Final = 1024
"""Pixels of the longer side of a photo in a heat map's picture, at most."""

Read = tuple[Item, Picture | str]


@dataclass(frozen=True)
class Predicted:
    """What was answered: where the table is, and where the list of what could not be read is (None: all could)."""

    out: Path
    unreadable: Path | None
    images: int
    answered: int
    reasons: dict[str, str]
    """Of the first pictures that could not be read, why."""
    verdicts: dict[str, int]
    predicted: dict[str, int]
    classes: tuple[str, ...]
    version: str
    backend: str
    rate: float | None
    """Pictures a second, of those answered now, from the first one on; None where all were there already."""

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        told = {name: getattr(self, name) for name in ("images", "answered", "verdicts", "predicted", "version", "backend")}
        left = {"count": self.images - self.answered, "list": str(self.unreadable) if self.unreadable else None, "first": self.reasons}
        return {"out": str(self.out), **told, "images_per_second": self.rate, "unreadable": left}


def predict(
    bundle: Bundle | str | Path,
    images: Sequence[str | Path],
    out: str | Path = "answers.csv",
    *,
    maps: Path | None = None,
    resume: bool = False,
    backend: str = "auto",
    precision: str = "auto",
    allow_outside: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> Predicted:
    """Answer all pictures of ``images`` (``data.gathered.gather``) and write them to ``out``, CSV or Parquet by its ending.

    Answers are kept in ``OUT.part`` until the table is whole; with ``resume`` those of a stopped run are gone on with. Pictures that cannot
    be read are listed in ``NAME.unreadable.csv`` beside it. ``maps``: a folder for heat maps, one PNG a picture. Memory does not grow with
    the number of pictures, but for their names. Raises DataError where nothing is there or nothing can be read, CutisError where a resumed
    run was begun otherwise or its pictures changed, LockedError, ArtifactError for the bundle, Interrupted after SIGINT or SIGTERM.
    """
    out, progress = Path(out), progress or Progress()
    if out.suffix not in (".csv", ".parquet"):
        raise CutisError(f"--out {out} is neither a .csv nor a .parquet file. Give a name that ends so.")
    if out.suffix == ".parquet":
        parquet_library()
    with progress.part("read"):
        found = gather(images, allow_outside=allow_outside)
    for note in found.notes:
        progress.say(note)
    with closing(found), watching() as interrupt:
        return _predicted(bundle, found, _Wish(out, maps, resume, backend, precision), interrupt, progress)


@dataclass(frozen=True)
class _Wish:
    out: Path
    maps: Path | None
    resume: bool
    backend: str
    precision: str


def _predicted(bundle: Bundle | str | Path, found: Gathered, wish: _Wish, interrupt: Interrupt, progress: Progress) -> Predicted:
    predictor = Predictor.open(
        bundle,
        backend=wish.backend,
        precision=wish.precision,
        maps=wish.maps is not None,
        sample=_sample(found),
        work=len(found.items),
    )
    progress.say(f"Answering {len(found.items):,} pictures by {predictor.backend}.")
    head = {"format": FORMAT, "version": predictor.version, "backend": predictor.backend, "maps": str(wish.maps) if wish.maps else None}
    with closing(Journal.open(wish.out, head, resume=wish.resume)) as journal:
        _unchanged(journal, found.items)
        begun, started = len(journal.marks), time.perf_counter()
        try:
            _answer(predictor, found, journal, wish.maps, interrupt, progress)
        except Interrupted as error:
            error.add_note(f"{len(journal.marks):,} of {len(found.items):,} pictures are answered; go on with --resume.")
            raise
        new, seconds = len(found.items) - begun, time.perf_counter() - started
        told = _concluded(predictor, journal, wish.out, new / seconds if new else None)
        journal.remove()
    return told


def _sample(found: Gathered) -> list[bytes | Path | Pixels]:
    """The first pictures, by which backends are compared."""
    sources = []
    for item in found.items[:SAMPLE]:
        try:
            sources.append(_source(found.source(item)))
        except Unreadable:
            continue
    return sources


def _source(place: Path | Pixels | Inside) -> bytes | Path | Pixels:
    return place.archive.read(place.name) if isinstance(place, Inside) else place


def _unchanged(journal: Journal, items: Sequence[Item]) -> None:
    """Raise CutisError where a picture that was answered before is no longer there, or is another one."""
    now = [f"{item.image} {item.mark()}" for item in items[: len(journal.marks)]]
    if now != journal.marks:
        places = (i for i, mark in enumerate(journal.marks) if i >= len(now) or now[i] != mark)
        place = next(places)
        raise CutisError(
            f"The pictures changed since the answers in {journal.path} were begun: number {place + 1} was {journal.marks[place]!r}. "
            "Delete that file and begin anew, without --resume."
        )


def _answer(predictor: Predictor, found: Gathered, journal: Journal, maps: Path | None, interrupt: Interrupt, progress: Progress) -> None:
    """Answer what is not answered yet, some at a time."""
    size = _at_once(predictor, mapped=maps is not None)
    items = found.items[len(journal.marks) :]
    with progress.part("predict") as on_step, closing(_decoded(predictor, found, items, size, display=maps is not None)) as pictures:
        while some := list(islice(pictures, size)):
            readable = [picture for _, picture in some if isinstance(picture, Picture)]
            first = len(journal.marks)
            if maps is None:
                answered = iter([(answer, "") for answer in predictor.answers(readable)])
            else:
                places = [first + i for i, (_, picture) in enumerate(some) if isinstance(picture, Picture)]
                answered = iter(_mapped(predictor, readable, places, maps))
            lines = []
            for item, picture in some:
                answer, drawn = (picture, "") if isinstance(picture, str) else next(answered)
                lines.append(record(item.image, answer, mark=item.mark(), label=item.label, group=item.group, drawn=drawn))
            journal.add(lines)
            on_step(len(journal.marks), len(found.items))
            interrupt.check()


def _at_once(predictor: Predictor, *, mapped: bool) -> int:
    """How many pictures are answered together: as many are being decoded meanwhile."""
    if mapped:
        return MAPPED
    each = sum(3 * kind.size[0] * kind.size[1] for kind in predictor.kinds)
    return max(8, min(MOST, MEMORY // (2 * each)))


def _decoded(predictor: Predictor, found: Gathered, items: Sequence[Item], ahead: int, *, display: bool) -> Generator[Read, None, None]:
    """Pictures, or the reasons why they cannot be read, in order; up to ``ahead`` of them are read in threads before they are asked for."""

    def read(place: Path | Pixels | Inside) -> Picture | str:
        try:
            return predictor.picture(_source(place), display=display)
        except Unreadable as error:
            return error.reason

    waiting: deque[tuple[Item, Future[Picture | str] | str]] = deque()
    with ThreadPoolExecutor(os.cpu_count() or 1, "cutis-decode") as pool:
        try:
            for item in items:
                try:
                    waiting.append((item, pool.submit(read, found.source(item))))
                except Unreadable as error:
                    waiting.append((item, error.reason))
                if len(waiting) > ahead:
                    yield _ready(waiting.popleft())
            while waiting:
                yield _ready(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _ready(waiting: tuple[Item, Future[Picture | str] | str]) -> Read:
    item, found = waiting
    return item, found if isinstance(found, str) else found.result()


def _mapped(predictor: Predictor, pictures: Sequence[Picture], places: Sequence[int], folder: Path) -> list[tuple[Any, str]]:
    """Answers, and the files of their heat maps: the photo, and beside it what speaks for the answer."""
    found = []
    for picture, place, (answer, heat) in zip(pictures, places, predictor.explained(pictures), strict=True):
        name = f"{place + 1:06}.png"
        photo = within(picture.pixels, DRAWN)
        seen = heat.over(size=(photo.shape[0], photo.shape[1]))
        with replacing(folder / name) as aside:
            aside.write_bytes(png(beside(photo, overlay(photo, seen)), scale=True))
        found.append((answer, name))
    return found


def _concluded(predictor: Predictor, journal: Journal, out: Path, rate: float | None) -> Predicted:
    """The table, and the list of what could not be read, from all lines. Raises DataError where none could."""
    verdicts, predicted, reasons = Counter[str](), Counter[str](), dict[str, str]()
    unreadable = 0
    for told in journal.records():
        if "reason" in told:
            unreadable += 1
            if len(reasons) < 5:
                reasons[told["image"]] = told["reason"]
        else:
            verdicts[told["verdict"]] += 1
            predicted[told["predicted"]] += 1
    answered, lost = verdicts.total(), out.with_name(f"{out.stem}.unreadable.csv")
    if not answered:
        journal.remove()
        first = "; ".join(f"{image} ({reason})" for image, reason in reasons.items())
        raise DataError(f"None of the {unreadable:,} pictures can be read: {first}.")
    Table(predictor.classes).write(journal.records(), out)
    lost.unlink(missing_ok=True)
    if unreadable:
        with replacing(lost) as aside:
            write_csv(["image", "reason"], ([t["image"], t["reason"]] for t in journal.records() if "reason" in t), aside)
    return Predicted(
        out=out,
        unreadable=lost if unreadable else None,
        images=answered + unreadable,
        answered=answered,
        reasons=reasons,
        verdicts=dict(verdicts),
        predicted={c: predicted[c] for c in predictor.classes},
        classes=predictor.classes,
        version=predictor.version,
        backend=predictor.backend,
        rate=None if rate is None else float(f"{rate:.3g}"),
    )

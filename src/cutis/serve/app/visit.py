"""What one visit holds: the pictures dropped, what was answered, and the heat maps last looked at; forgotten with the session."""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cutis.errors import CutisError
from cutis.serve.app.markup import photo
from cutis.serve.faults import fault
from cutis.serve.predictor import Answer, Heat, Picture, Predictor, Unreadable

AT_ONCE: Final = 100
"""Pictures that one page answers."""
TOGETHER: Final = 8
"""Pictures that go through the networks at once, so that progress is seen to move."""
OPEN: Final = 4
"""Pictures that are kept decoded with their heat maps, a model each."""
THUMB: Final = 72

log = logging.getLogger("cutis.app")


@dataclass(frozen=True)
class Dropped:
    """A file as it was dropped: an ``id`` that no other has, its ``name`` (shown to its owner, kept nowhere), its bytes."""

    id: str
    name: str
    data: bytes


@dataclass(frozen=True)
class Failed:
    """A picture that has no answer: ``reason``, a clause; ``fault``: the log's id where the mistake is ours."""

    reason: str
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Opened:
    """A picture with its answer, the heat maps of all classes (none: ``why`` not) and the nearest known cases."""

    picture: Picture
    answer: Answer
    heat: Heat | None
    why: str = ""


@dataclass
class Visit:
    """Answers by model and picture; it lives as long as the browser keeps the page open."""

    answers: dict[tuple[int, str], Answer | Failed] = field(default_factory=dict)
    thumbs: dict[str, str] = field(default_factory=dict)
    opened: OrderedDict[tuple[int, str], Opened] = field(default_factory=OrderedDict)

    def tidy(self, dropped: Sequence[Dropped]) -> None:
        """Forget what was taken away."""
        here = {one.id for one in dropped}
        self.answers = {key: kept for key, kept in self.answers.items() if key[1] in here}
        self.thumbs = {key: kept for key, kept in self.thumbs.items() if key in here}
        for key in [key for key in self.opened if key[1] not in here]:
            del self.opened[key]

    def open(self, which: int, predictor: Predictor, one: Dropped) -> Opened | Failed:
        """A picture with answer and heat maps, made once and kept while it is among the last ones looked at."""
        key = which, one.id
        if key not in self.opened:
            failed = self.answers.get(key)
            if isinstance(failed, Failed):
                return failed
            try:
                self.opened[key] = _opened(predictor, one)
            except Unreadable as error:
                self.answers[key] = Failed(error.reason)
                return Failed(error.reason)
            except Exception as error:
                return Failed("", logged(error))
            self.answers[key] = self.opened[key].answer
            while len(self.opened) > OPEN:
                self.opened.popitem(last=False)
        self.opened.move_to_end(key)
        return self.opened[key]

    def answer(self, which: int, predictor: Predictor, dropped: Sequence[Dropped]) -> Iterator[int]:
        """Answer what has none yet, some pictures at a time; yields how many are done."""
        due = [one for one in dropped if (which, one.id) not in self.answers]
        for start in range(0, len(due), TOGETHER):
            part, pictures = due[start : start + TOGETHER], {}
            for one in part:
                try:
                    pictures[one.id] = predictor.picture(one.data, display=False)
                except Unreadable as error:
                    self.answers[which, one.id] = Failed(error.reason)
            try:
                found = predictor.answers(list(pictures.values())) if pictures else []
                self.answers |= {(which, name): answer for name, answer in zip(pictures, found, strict=True)}
            except Exception as error:
                failed = Failed("", logged(error))
                self.answers |= {(which, name): failed for name in pictures}
            self.thumbs |= {name: photo(picture.pixels, THUMB) for name, picture in pictures.items()}
            yield min(start + TOGETHER, len(due))


def _opened(predictor: Predictor, one: Dropped) -> Opened:
    picture = predictor.picture(one.data)
    try:
        [(answer, heat)] = predictor.explained([picture], classes="all")
    except CutisError as error:  # a network whose last layer is no map
        return Opened(picture, predictor.answers([picture])[0], None, str(error))
    return Opened(picture, answer, heat)


def logged(error: Exception) -> str:
    """An id by which the log knows a mistake of ours; the visitor gets no more than that, and the log nothing of the picture."""
    known = secrets.token_hex(4)
    log.error("fault %s %s", known, fault(error))
    return known

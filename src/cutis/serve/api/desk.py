"""What a predictor says, in the words of the API: the worker's side of an answer."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal

from cutis.data import opening
from cutis.report import heat as heats
from cutis.report.words import NOTICE
from cutis.serve.answers import Answer
from cutis.serve.api.limits import Refused
from cutis.serve.heat import Heat
from cutis.serve.pictures import Picture, beside, overlay, png
from cutis.serve.predictor import Predictor

METHODS: Final = ("gradcam", "gradcam++", "hirescam", "layercam", "eigencam")
"""Those that cost about as much as an answer; others need dozens of passes a picture, which a server must not sell for one request."""

TOGETHER: Final = 4
"""Pictures that are explained in one step; more at once are hardly quicker."""

JSON: Final = "application/json"
PNG: Final = "image/png"


Step = Callable[[], AbstractContextManager[None]]
"""Entered around each piece of a long work; it may raise to end the work."""


@dataclass(frozen=True)
class Wish:
    """What ``/v1/explain`` is asked for; see there."""

    of: str
    method: str
    member: str | None
    view: Literal["overlay", "beside", "map"]
    opacity: float


@dataclass(frozen=True)
class Reply:
    """What is sent: status, media type and body, and for the metrics the verdict (or the code of the refusal) of each picture."""

    status: int
    kind: str
    body: bytes
    verdicts: tuple[str, ...]


class Desk:
    """Reads pictures for a predictor and words its answers."""

    def __init__(self, predictor: Predictor, pixels: int) -> None:
        self.predictor, self._pixels = predictor, pixels
        about = predictor.bundle.about
        self._head = {"model": {"name": about.name, "version": predictor.version}, "notice": NOTICE}

    def hello(self) -> dict[str, Any]:
        """What the server tells of the model."""
        about = self.predictor.bundle.about
        return self._head | {
            "classes": list(self.predictor.classes),
            "colours": dict(about.colours),
            "members": [member.name for member in about.members],
            "methods": list(METHODS),
            "facts": about.about.model_dump(mode="json"),
            "backend": getattr(self.predictor, "backend", ""),
        }

    def read(self, data: bytes, *, display: bool = False) -> Picture:
        """An uploaded picture. Raises Refused: 415 for a kind that is not taken, 422 for one that cannot be used."""
        try:
            self._check_header(data)
            return self.predictor.picture(data, display=display)
        except opening.Unsupported as error:
            raise _refused(415, error.reason) from None
        except opening.Unreadable as error:
            raise _refused(422, error.reason) from None

    def _check_header(self, data: bytes) -> None:
        """Size and frames, from the header; what is damaged there is left to the decoder, which says what is wrong."""
        try:
            _, image = opening.opened(data, self._pixels)
        except opening.Unreadable:
            raise
        except Exception:
            return
        if getattr(image, "is_animated", False):
            raise _refused(415, "it holds several frames or pages; send one picture")

    def predicted(self, found: Sequence[Answer | Refused]) -> Reply:
        """The reply to ``/v1/predict``."""
        told = [_unanswered(i, one) if isinstance(one, Refused) else _answer(i, one) for i, one in enumerate(found)]
        return self._reply(found, told)

    def explained(self, pictures: Sequence[Picture | Refused], wish: Wish, step: Step) -> Reply:
        """The reply to ``/v1/explain``: raw maps, or the PNG of the first picture that can be read."""
        readable = [one for one in pictures if isinstance(one, Picture)]
        made = self._explanations(readable, wish, step)
        found = [next(made) if isinstance(one, Picture) else one for one in pictures]
        answers = [one if isinstance(one, Refused) else one[0] for one in found]
        if wish.view != "map" and readable:
            heat = next(one[1] for one in found if not isinstance(one, Refused))
            return Reply(200, PNG, _drawn(readable[0], heat, wish), _verdicts(answers))
        told = [_unanswered(i, one) if isinstance(one, Refused) else _explanation(i, *one, wish.member) for i, one in enumerate(found)]
        return self._reply(answers, told)

    def _explanations(self, pictures: Sequence[Picture], wish: Wish, step: Step) -> Iterator[tuple[Answer, Heat]]:
        asked = wish.of if wish.of in ("predicted", "all") else (wish.of,)
        for start in range(0, len(pictures), TOGETHER):
            with step():
                some = pictures[start : start + TOGETHER]
                made = self.predictor.explained(some, classes=asked, method=wish.method, member=wish.member)
            yield from made

    def _reply(self, found: Sequence[Answer | Refused], told: Sequence[Mapping[str, Any]]) -> Reply:
        refused = [one for one in found if isinstance(one, Refused)]
        status = refused[0].status if len(refused) == len(found) else 200
        body = json.dumps({**self._head, "pictures": told}, allow_nan=False, ensure_ascii=False).encode()
        return Reply(status, JSON, body, _verdicts(found))


def _refused(status: int, reason: str) -> Refused:
    code = "unsupported-picture" if status == 415 else "unreadable-picture"
    return Refused(status, code, f"The picture cannot be used: {reason}.")


def _verdicts(found: Sequence[Answer | Refused]) -> tuple[str, ...]:
    return tuple(one.code if isinstance(one, Refused) else one.verdict for one in found)


def _unanswered(index: int, refused: Refused) -> dict[str, Any]:
    return {"index": index, "error": refused.problem}


def _answer(index: int, answer: Answer) -> dict[str, Any]:
    return {
        "index": index,
        "verdict": answer.verdict,
        "predicted": answer.predicted,
        "confidence": min(answer.confidence, 1.0),
        "probabilities": {c: min(float(p), 1.0) for c, p in zip(answer.classes, answer.probabilities.tolist(), strict=True)},
        "possible": list(answer.possible),
        "scope": {"in_scope": answer.in_scope, "strangeness": answer.strangeness, "limit": answer.limit},
        "met": [{"classes": list(m.classes), "rule": m.rule, "threshold": m.threshold, "score": m.score, "met": m.met} for m in answer.met],
        "notes": list(answer.notes),
    }


def _explanation(index: int, answer: Answer, heat: Heat, member: str | None) -> dict[str, Any]:
    maps = [{"class": name, **heats.packed(heat.over(name, member))} for name in heat.classes]
    return {"answer": _answer(index, answer), "member": member, "agreement": heat.agreement, "maps": maps}


def _drawn(picture: Picture, heat: Heat, wish: Wish) -> bytes:
    """The overlay, or the untouched photo beside it, with the notice on it."""
    over = overlay(picture.pixels, heat.over(None, wish.member), wish.opacity)
    return png(over if wish.view == "overlay" else beside(picture.pixels, over), scale=True)

"""What the API says of pictures, as JSON: the same words in the answers, in their description (OpenAPI) and in its examples."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cutis.report.words import NOTICE

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid")


class Model(Part):
    """Which model answered."""

    name: str
    version: Annotated[str, Field(description="12 hexadecimal digits; another version may answer otherwise, the same one does not.")]


class Met(Part):
    """A threshold for classes that matter."""

    classes: list[str]
    rule: Annotated[
        Literal["plain", "guaranteed"],
        Field(description="plain: found the wanted share on validation; guaranteed: finds it on other pictures like those."),
    ]
    threshold: float
    score: Annotated[float, Field(description="Sum of the classes' probabilities before calibration; the threshold is held against it.")]
    met: bool


class Scope(Part):
    """Whether the picture is like those the model was trained on."""

    in_scope: Annotated[bool | None, Field(description="null: this bundle cannot tell.")]
    strangeness: float | None
    limit: Annotated[float | None, Field(description="Above it a picture is out of scope.")]


class Answer(Part):
    """The answer for one picture."""

    index: Annotated[int, Field(ge=0, description="Which of the uploaded pictures, from 0. Names of files are not read.")]
    verdict: Annotated[
        Literal["answer", "not sure", "out of scope"],
        Field(description="not sure: more or fewer than one class is possible. out of scope: unlike the pictures the model knows."),
    ]
    predicted: Annotated[str, Field(description="The class with the highest probability, whatever the verdict.")]
    confidence: Annotated[Share, Field(description="Its calibrated probability.")]
    probabilities: Annotated[dict[str, Share], Field(description="Calibrated, by class; they sum to 1.")]
    possible: Annotated[list[str], Field(description="The prediction set: classes that are not ruled out.")]
    scope: Scope
    met: list[Met]
    notes: Annotated[list[str], Field(description="What was left out or ignored when the picture was read.")]


class Problem(Part):
    """Why there is no answer."""

    code: Annotated[str, Field(description="For machines; it does not change.")]
    message: Annotated[str, Field(description="For people.")]


class Unanswered(Part):
    """A picture that cannot be used."""

    index: Annotated[int, Field(ge=0)]
    error: Problem


class Predicted(Part):
    """The answers, in the order of the pictures."""

    model: Model
    notice: str
    pictures: list[Answer | Unanswered]


class Map(Part):
    """Where in a picture the evidence for a class lies."""

    name: Annotated[str, Field(alias="class")]
    height: int
    width: int
    values: Annotated[str, Field(description="Base64, a byte a place, row by row: 0 to 254 stand for 0 to 1, 255 was not seen.")]


class Explanation(Part):
    """A picture's answer and its heat maps."""

    answer: Answer
    member: Annotated[str | None, Field(description="Whose maps these are; null: all members' together.")]
    agreement: Annotated[float | None, Field(description="Mean rank correlation of the members' maps; null for a single member.")]
    maps: list[Map]


class Explained(Part):
    """Raw heat maps, in the order of the pictures."""

    model: Model
    notice: str
    pictures: list[Explanation | Unanswered]


class Health(Part):
    """Whether the server works."""

    status: Literal["ok", "ready", "not ready"]


class Failure(Part):
    """A request that was not answered."""

    error: Problem
    request: Annotated[str, Field(description="Names this request in the server's log.")]
    notice: str
    pictures: Annotated[list[Unanswered] | None, Field(description="Each picture's own reason, where none could be used.")] = None


class About(Part):
    """The model: what it is, knows, and is not for."""

    model: Model
    notice: str
    classes: list[str]
    colours: dict[str, str]
    members: list[str]
    methods: Annotated[list[str], Field(description="Heat maps that /v1/explain makes.")]
    facts: Annotated[
        dict[str, Any], Field(description="Plain sentences: task, data, headline figure, where it is weak, what it is not for.")
    ]
    backend: Annotated[str, Field(description="What computes the answers on this machine.")]
    limits: Annotated[dict[str, float], Field(description="What one request may have.")]


ANSWER: Final[dict[str, Any]] = {
    "index": 0,
    "verdict": "answer",
    "predicted": "nv",
    "confidence": 0.93,
    "probabilities": {"mel": 0.05, "nv": 0.93, "bkl": 0.02},
    "possible": ["nv"],
    "scope": {"in_scope": True, "strangeness": 0.31, "limit": 0.52},
    "met": [{"classes": ["mel"], "rule": "guaranteed", "threshold": 0.11, "score": 0.05, "met": False}],
    "notes": [],
}
UNREADABLE: Final[dict[str, Any]] = {
    "index": 1,
    "error": {"code": "unreadable-picture", "message": "The picture cannot be used: the file is empty."},
}
MODEL: Final = {"name": "ham10000", "version": "3f1c9a0b7d25"}
PREDICTED: Final = {"model": MODEL, "notice": NOTICE, "pictures": [ANSWER, UNREADABLE]}
EXPLAINED: Final = {
    "model": MODEL,
    "notice": NOTICE,
    "pictures": [
        {
            "answer": ANSWER,
            "member": "model",
            "agreement": 0.71,
            "maps": [{"class": "nv", "height": 2, "width": 2, "values": "AAB//g=="}],
        }
    ],
}


def failure(code: str, message: str, request: str) -> dict[str, Any]:
    """A ``Failure``."""
    return {"error": {"code": code, "message": message}, "request": request, "notice": NOTICE}

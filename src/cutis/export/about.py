"""What bundle.json says: a model to hand over, in plain checked values (format in docs/formats.md)."""

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from cutis.ensemble.rules import Rule
from cutis.recipe import Part

FORMAT: Final = "cutis-bundle-1"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=100)]
"""Of a bundle or a member: part of a path, so plain letters only."""
PartPath = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*/){0,4}[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=400)]
"""Of a part, below the bundle's folder: none leads out of it."""
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]


class File(Part):
    """A part of the bundle as it was when the bundle was made."""

    sha256: Digest
    """Of its bytes."""
    bytes: int = Field(ge=0)
    """How many there are."""


class Input(Part):
    """From a photo to what a network takes."""

    stored: Size
    """Height and width to which a decoded photo is fitted, in pixels."""
    fit: Literal["squash", "crop", "pad"]
    """How another aspect ratio is fitted."""
    predict: Size
    """Height and width at which the network answers; resized from ``stored`` where they differ."""
    views: Literal[1, 2, 4, 8]
    """Over how many symmetries of the square the probabilities are averaged."""


class Parity(Part):
    """A converted network, and how far it is from eager fp32 on real images. One view, before calibration."""

    images: int = Field(ge=1)
    """How many real images both answered."""
    from_set: str
    """Which images these were: test, val, or what was given."""
    largest_difference: float = Field(ge=0)
    """Of any probability, 0 to 1."""
    same_class: float = Field(ge=0, le=1)
    """Share of images with the same most probable class."""
    opset: int | None = None
    """ONNX: the version of its operators."""
    takes: str
    """What its input is, in words."""
    bytes: int = Field(ge=1)
    """Size on disk."""
    latency_ms: dict[str, float]
    """Milliseconds for a batch of "1" and of "32" on the machine that exported."""
    made_by: str
    """Versions that converted it."""


class MemberAbout(Part):
    """One network of the bundle."""

    name: Name
    weight: float = Field(ge=0)
    """What it counts in the answer; the weights sum to 1."""
    model: PartPath
    """Its file, ``cutis-model-1``."""
    recipe: Digest
    """SHA-256 of its recipe as canonical JSON."""
    input: Input
    reference: PartPath | None = None
    """What it saw in its training images (``cutis-reference-1``, without names): for the scope and the nearest cases."""
    parity: dict[Literal["onnx", "openvino"], Parity] = Field({})
    """The same network for other programmes, and what that costs."""


class Scope(Part):
    """When a picture is unlike anything the model was trained on."""

    member: Name
    """The member by whose features that is said."""
    by: str
    """The score, larger is stranger (``models.scope.scores``)."""
    limit: float
    """Above it a picture is out of scope."""
    in_scope: float = Field(gt=0, lt=1)
    """The share of validation images that the limit lets pass."""
    images: int = Field(ge=1)
    """How many validation images that rests on."""


class Answering(Part):
    """How a set of possible classes is made for each picture."""

    rule: str | None = None
    """The conformal rule, a name in ``fitted.conformal.rules``; None: nothing promises a set, and every class stays possible."""
    coverage: float | None = Field(None, gt=0, lt=1)
    """The share of images whose set is to hold the true class."""
    why: str = ""
    """Why there is no rule, or why it is this one: a sentence."""


class Facts(Part):
    """Plain sentences for pages, from the run's report; empty where the run does not know."""

    title: str = ""
    """What the model is, as the report's heading has it."""
    task: str = ""
    """What is told apart."""
    data: str = ""
    """What it was trained and tested on."""
    figure: str = ""
    """The headline figure with its interval and its baseline."""
    verdict: str = ""
    """Whether that is better than the baseline."""
    weakest: str = ""
    """The class it misses most."""
    worst_group: str = ""
    """The group of people or pictures for which it is worst."""
    elsewhere: str = ""
    """How it does on data from elsewhere."""
    not_for: tuple[str, ...] = ()
    """What it must not be used for."""
    leaks: str = ""
    """What must be said where it was trained with leaks allowed."""
    network: str = ""
    """Architecture and size."""


class Draft(Part):
    """bundle.json before its parts are counted."""

    name: Name
    cutis: str
    """The version that made it."""
    made: str
    """When: ISO 8601, UTC."""
    classes: tuple[str, ...] = Field(min_length=2)
    """In the order of every answer."""
    colours: dict[str, Colour]
    """Of each class, the same on every page."""
    watched: tuple[str, ...] = ()
    """The classes that matter most, which thresholds are for."""
    malignant: tuple[str, ...] = ()
    """The classes that are known to be malignant."""
    about: Facts = Facts()
    notice: str
    """What stands on every answer."""
    members: tuple[MemberAbout, ...] = Field(min_length=1)
    rule: Rule | None = None
    """How several members' answers become one; None: there is one member."""
    fitted: dict[str, Any] = Field({})
    """What was fitted on validation (``fitted.json`` of the run); empty where there was none."""
    scope: Scope | None = None
    answer: Answering = Answering()
    cases: PartPath | None = None
    """Thumbnails of training cases, where the bundle carries them: the file that lists them."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Draft":
        names = [member.name for member in self.members]
        weights = () if self.rule is None else self.rule.importance
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is named twice")
        if len(set(names)) < len(names):
            raise ValueError("two members have one name")
        if set(self.colours) != set(self.classes):
            raise ValueError("every class has one colour")
        if not set(self.watched) | set(self.malignant) <= set(self.classes):
            raise ValueError("a watched or malignant class is none of the classes")
        if self.rule is None and len(names) > 1:
            raise ValueError("there are several members and no rule that combines them")
        if self.rule is not None and len(weights) != len(names):
            raise ValueError(f"the rule combines {len(weights)} members, and there are {len(names)}")
        if self.scope is not None and not any(m.reference for m in self.members if m.name == self.scope.member):
            raise ValueError(f"the scope looks at the member {self.scope.member}, which has no reference")
        return self


class About(Draft):
    """bundle.json."""

    format: Literal["cutis-bundle-1"]
    version: str = Field(pattern=r"^[0-9a-f]{12}$")
    """Names what answers: another version may answer otherwise, the same one does not."""
    files: dict[PartPath, File]
    """Every part that is read, and no other: the card is for people, who may complete it."""
    seal: Digest
    """SHA-256 of all the rest of bundle.json, as canonical JSON."""


TEXTS: Final = ("format", "version", "seal", "name", "cutis", "made", "colours", "about", "notice", "malignant")
"""What does not decide an answer, and so not the version either."""


def canonical(data: Any) -> bytes:
    """JSON in the one form that is hashed."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def sealed(draft: Draft, files: dict[str, File]) -> dict[str, Any]:
    """bundle.json as it is written: with format, parts, version and seal."""
    data = draft.model_dump(mode="json") | {"files": {path: file.model_dump() for path, file in sorted(files.items())}}
    data = {"format": FORMAT, "version": version(data)} | data
    return data | {"seal": seal(data)}


def version(data: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of all that decides an answer: the parts' digests, members, what was fitted."""
    decisive = {key: value for key, value in data.items() if key not in TEXTS}
    decisive["members"] = [{k: v for k, v in member.items() if k != "parity"} for member in data["members"]]  # parity has times in it
    return hashlib.sha256(canonical(decisive)).hexdigest()[:12]


def seal(data: dict[str, Any]) -> str:
    """SHA-256 of all but the seal itself."""
    return hashlib.sha256(canonical({key: value for key, value in data.items() if key != "seal"})).hexdigest()


def digest(recipe: dict[str, Any]) -> str:
    """SHA-256 of a recipe as JSON holds it."""
    return hashlib.sha256(canonical(recipe)).hexdigest()

"""What a person is told of one answer, in words and bars: made once, drawn by the page, the HTML sheet and the PDF alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cutis.export.about import About
from cutis.serve.answers import Answer, Met
from cutis.serve.app.languages import Language

GREY: Final = "#7a8590"  # of what is not sure; 3:1 against white and against the dark page
FEW: Final = 3
"""Classes that a headline still names."""
BARS: Final = 8
"""Classes that are shown at once; the rest folds away."""


@dataclass(frozen=True)
class Verdict:
    """The answer as a headline: ``kind`` (``answer``, ``not sure``, ``out of scope``), a word above, ``title``, ``figure`` (may be empty),
    ``sentence``, and the colour of its edge."""

    kind: str
    kicker: str
    title: str
    meaning: str
    figure: str
    sentence: str
    colour: str


@dataclass(frozen=True)
class Bar:
    """A class with its calibrated confidence: ``share`` 0..1, ``told`` in words."""

    name: str
    meaning: str
    share: float
    told: str
    colour: str
    possible: bool


@dataclass(frozen=True)
class Watched:
    """A threshold, and whether the picture reaches it; ``score`` and ``line`` are probabilities before calibration, in words."""

    name: str
    meaning: str
    met: bool
    score: str
    line: str


@dataclass(frozen=True)
class Said:
    """What a member says by itself: its most probable class, how sure it is in words, and whether that is the answer of all."""

    member: str
    name: str
    meaning: str
    told: str
    agrees: bool


def verdict(answer: Answer, about: About, say: Language) -> Verdict:
    """The headline of an answer."""
    if answer.verdict == "out of scope":
        told = {
            "share": say.share(about.scope.in_scope if about.scope else 0),
            "strangeness": say.number(answer.strangeness or 0),
            "limit": say.number(answer.limit or 0),
        }
        return Verdict(answer.verdict, say("outside"), say("outside_title"), "", "", say("sentence_outside", **told), GREY)
    first, confidence = answer.predicted, say.share(answer.confidence)
    coverage = say.share(about.answer.coverage) if about.answer.coverage else ""
    if answer.verdict == "answer":
        sentence = say("sentence_sure", coverage=coverage) if coverage else say("sentence_plain")
        return Verdict(answer.verdict, say("answer"), first, say.meaning(first), confidence, sentence, about.colours.get(first, GREY))
    title, key = _open(answer, say)
    values = {"first": first, "confidence": confidence, "classes": say.either(answer.possible), "coverage": coverage}
    return Verdict(answer.verdict, say("unsure"), title, "", "", say(key, **values), GREY)


def bars(answer: Answer, about: About, say: Language) -> list[Bar]:
    """A bar for each class, the likeliest first; grey where the picture is out of scope."""
    known = answer.verdict != "out of scope"
    order = sorted(range(len(answer.classes)), key=lambda i: -answer.probabilities[i])
    return [
        Bar(
            name=(name := answer.classes[i]),
            meaning=say.meaning(name),
            share=float(answer.probabilities[i]),
            told=say.share(float(answer.probabilities[i])),
            colour=about.colours.get(name, GREY) if known else GREY,
            possible=known and name in answer.possible,
        )
        for i in order
    ]


def watched(met: Sequence[Met], say: Language) -> list[Watched]:
    """The thresholds of an answer: of each question the guaranteed one where there is one, because that is the promise, else the plain."""
    by_classes: dict[tuple[str, ...], Met] = {}
    for one in met:
        if one.classes not in by_classes or one.rule == "guaranteed":
            by_classes[one.classes] = one
    return [
        Watched(
            name=say.either(one.classes),
            meaning=say.meaning(one.classes[0]) if len(one.classes) == 1 else "",
            met=one.met,
            score=say.number(one.score),
            line=say.number(one.threshold),
        )
        for one in by_classes.values()
    ]


def hint(answer: Answer, about: About, say: Language) -> str:
    """What the bars are."""
    return say("would" if answer.verdict == "out of scope" else "bars_hint" if "calibration" in about.fitted else "bars_raw")


def votes(answer: Answer, say: Language) -> list[Said]:
    """What each member of an ensemble says by itself."""
    likeliest = [(vote, int(vote.probabilities.argmax())) for vote in answer.votes]
    return [
        Said(vote.member, name := answer.classes[k], say.meaning(name), say.share(float(vote.probabilities[k])), name == answer.predicted)
        for vote, k in likeliest
    ]


def note(text: str, say: Language) -> str:
    """A note on an answer: a sentence stands as it is, a clause on the file becomes one."""
    return say.told(text) if text[:1].isupper() else say("note", note=say.told(text))


def _open(answer: Answer, say: Language) -> tuple[str, str]:
    """Title and sentence of an answer that is not sure, by how many classes stay possible."""
    if not answer.possible:
        return say("unsure_none"), "sentence_none"
    if len(answer.possible) <= FEW:
        return say.either(answer.possible), "sentence_unsure"
    return say("unsure_many", n=len(answer.possible)), "sentence_unsure_many"

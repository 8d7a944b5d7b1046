"""What is answered for a picture: calibrated probabilities, which classes stay possible, thresholds met, and whether it is known ground."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from cutis.evaluate import calibration, conformal
from cutis.evaluate.decisions import RULES
from cutis.evaluate.sample import Floats

Verdict = Literal["answer", "not sure", "out of scope"]
NO_SETS: Final = "Nothing was fitted by which a class could be ruled out, so every class stays possible."


@dataclass(frozen=True)
class Met:
    """Whether a picture reaches a threshold for classes that matter.

    ``classes``: the watched classes; ``rule``: ``plain`` (found the wanted share of them on validation) or ``guaranteed`` (finds it on
    others like them); ``score``: the sum of their probabilities as the network gives them, on which thresholds are fitted; ``met``: whether
    it is at or above ``threshold``.
    """

    classes: tuple[str, ...]
    rule: str
    threshold: float
    score: float
    met: bool


@dataclass(frozen=True, eq=False)
class Vote:
    """What a member of an ensemble says by itself: C probabilities in the order of the answer's classes, before any calibration."""

    member: str
    probabilities: Floats


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer for one picture over C classes."""

    classes: tuple[str, ...]
    probabilities: Floats
    """C, calibrated, sum 1: what is shown."""
    raw: Floats
    """C, as the network or the ensemble gives them: what a run's predictions hold, and what sets and thresholds are made of."""
    predicted: str
    """The class of the highest calibrated probability (the first of equals)."""
    confidence: float
    """That probability, 0..1."""
    possible: tuple[str, ...]
    """The prediction set: the classes that are not ruled out, in the order of the classes; empty for a picture unlike all of them."""
    sure: bool
    """Whether the predicted class is the only possible one."""
    in_scope: bool | None
    """Whether the picture is like those the network was trained on; None where the bundle cannot tell."""
    strangeness: float | None
    """How unlike them it is; larger is stranger."""
    limit: float | None
    """The strangeness above which it is out of scope."""
    met: tuple[Met, ...]
    notes: tuple[str, ...]
    """What was left out or ignored when the picture was read, and what could not be told."""
    votes: tuple[Vote, ...] = ()
    """What each member says by itself; empty where one network answers alone."""

    @property
    def verdict(self) -> Verdict:
        """``out of scope`` before ``not sure`` before ``answer``: an answer for something strange is no answer, however sure."""
        if self.in_scope is False:
            return "out of scope"
        return "answer" if self.sure else "not sure"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted on validation, ready to be applied to probabilities as the network gives them.

    ``told``: what fitted.json holds, or nothing; ``rule``: which of its conformal rules makes the prediction set, None where none can be
    promised, and then every class stays possible; ``limit``: the strangeness above which a picture is out of scope, None: not known.
    """

    classes: tuple[str, ...]
    told: Mapping[str, Any]
    rule: str | None
    limit: float | None

    def answers(self, raw: Floats, strange: Floats | None, notes: Sequence[tuple[str, ...]]) -> list[Answer]:
        """N x C probabilities, how strange each picture is (None: not known), and the notes on it, to N answers."""
        shown = calibration.calibrated(self._found("calibration"), raw)
        rule = None if self.rule is None else self.told["conformal"]["rules"][self.rule]
        possible = np.ones(raw.shape, bool) if rule is None else conformal.sets(rule, raw, self.classes)
        more = (NO_SETS,) if rule is None else ()
        met = self._met(raw)
        return [
            Answer(
                classes=self.classes,
                probabilities=shown[i],
                raw=raw[i],
                predicted=self.classes[best],
                confidence=float(shown[i, best]),
                possible=tuple(c for c, held in zip(self.classes, possible[i], strict=True) if held),
                sure=bool(possible[i, best] and possible[i].sum() == 1),
                in_scope=None if strange is None or self.limit is None else bool(strange[i] <= self.limit),
                strangeness=None if strange is None else float(strange[i]),
                limit=self.limit,
                met=met[i],
                notes=(*notes[i], *more),
            )
            for i, best in enumerate(shown.argmax(axis=1))
        ]

    def _met(self, raw: Floats) -> list[tuple[Met, ...]]:
        """Of each picture every threshold that could be fitted."""
        questions = (self._found("decisions") or {"questions": ()})["questions"]
        found: list[list[Met]] = [[] for _ in raw]
        for question in questions:
            watched = tuple(question["classes"])
            scores = raw[:, [self.classes.index(c) for c in watched]].sum(axis=1)
            for rule in (rule for rule in RULES if "threshold" in question[rule]):
                threshold = float(question[rule]["threshold"])
                for row, score in zip(found, scores, strict=True):
                    row.append(Met(watched, rule, threshold, float(score), bool(score >= threshold)))
        return [tuple(row) for row in found]

    def _found(self, measure: str) -> Mapping[str, Any] | None:
        """What a measure found; None where it was not fitted, or could not be."""
        told = self.told.get(measure)
        return None if told is None or "why" in told else told

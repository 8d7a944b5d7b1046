"""The part on decisions: one plain sentence computed from the figures, reasons where there is none, and hostile names kept inert."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from cutis.evaluate.after import fitted, measured
from cutis.recipe import Evaluation
from cutis.report import words
from cutis.report.context import Context, Part
from cutis.report.parts.decisions import decisions
from cutis.runs import Run

SPEC = Evaluation(replicates=100, calibration="none", watch=("akiec", "bcc", "mel"))
Make = Callable[..., Run]


def decided(run: Run, spec: Evaluation, **others: str) -> Run:
    """The run with thresholds fitted on its validation answers and measured on each set; ``others``: sets added, copies of one it has."""
    for name, like in others.items():
        run.save_predictions(name, run.predictions(like))
        run.metrics = run.metrics | {name: run.metrics[like]}
    told = fitted(run.predictions("val"), spec)
    run.fitted = {name: told[name] for name in ("set", "n", "groups", "decisions") if name in told}
    run.metrics = {name: s | {"after": measured(run.fitted, run.predictions(name), spec, 0)} for name, s in run.metrics.items()}
    return run


def text(part: Part) -> str:
    plain = re.sub(r"<svg.*?</svg>", " ", " ".join(map(str, part.body)), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain)))


@pytest.fixture(scope="module")
def run(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return decided(make_run(tmp_path_factory.mktemp("decisions"), pictures=0), SPEC, external="val")


def question(run: Run, name: str, i: int = 0) -> dict[str, Any]:
    return dict(run.metrics[name]["after"]["decisions"]["questions"][i])


def test_the_sentence_is_what_the_safest_threshold_reaches_on_test(run: Run) -> None:
    part = decisions(Context(run))
    assert part is not None
    rule = question(run, "test")["guaranteed"]
    found, spared = rule["sensitivity"], rule["specificity"]
    kept = "is met" if found["low"] >= 0.9 else "is missed" if found["high"] < 0.9 else "cannot be told"
    assert part.sentence == (
        f"Calling akiec, bcc or mel from a score of {rule['threshold']:.3g} on finds {words.per_cent(found['value'])} "
        f"{words.interval(found)} of them on test and wrongly calls {words.per_cent(1 - spared['value'])} of the rest. Aimed at 90 %: "
        f"{'the aim ' + kept if kept != 'cannot be told' else 'whether the aim is met cannot be told'}."
    )


def test_the_page_shows_each_rule_its_reasons_the_other_sets_and_where_it_was_fitted(run: Run) -> None:
    part = decisions(Context(run))
    assert part is not None
    told = text(part)
    assert "chosen on 875 validation images in 875 groups, never on test images" in told
    assert words.figure(question(run, "test", 3)["plain"]["specificity"]) in told
    assert words.figure(question(run, "external", 1)["plain"]["sensitivity"]) in told
    assert "best 0.2, chance 0.02" in told
    figures = {path.name for path in (run.folder / "figures").glob("*.svg")}
    assert {"decision-0-akiec-bcc-mel.svg", "net-benefit-3-mel.svg"} <= figures


def test_too_few_validation_images_and_an_absent_class_say_so(make_run: Make, tmp_path: Any) -> None:
    sizes = {"train": (30, 60), "val": (8, 10), "test": (12, 25)}
    small = decided(make_run(tmp_path, classes=("mel", "nv"), sizes=sizes, pictures=0), SPEC.model_copy(update={"watch": ("mel",)}))
    part = decisions(Context(small))
    assert part is not None
    assert part.sentence.startswith("Calling mel from a score of ")  # the plain one
    assert "mel: no guaranteed threshold. Too few images to promise a sensitivity of 0.9: finding all 8 of them" in text(part)
    assert "It takes 29 independent ones." in text(part)


def test_nothing_watched_nothing_fitted_and_no_validation_each_say_why(make_run: Make, tmp_path: Any) -> None:
    made = make_run(tmp_path, pictures=0)
    assert decisions(Context(made)) is None  # validation is there, nothing was fitted: an older run
    part = decisions(Context(decided(made, SPEC.model_copy(update={"watch": ()}))))
    assert part is not None
    assert "No class is known as one that matters" in part.sentence
    part = decisions(Context(decided(made, SPEC.model_copy(update={"watch": ("x",)}))))
    assert part is not None
    assert "no class of this model: x" in part.sentence
    made.fitted, made.metrics = {}, {"test": made.metrics["test"]}
    part = decisions(Context(made))
    assert part is not None
    assert "no validation images" in part.sentence


def test_fault_s5_hostile_class_names_are_inert(make_run: Make, tmp_path: Any) -> None:
    name = '<img src=x onerror="alert(1)">'
    sizes = {"train": (30, 60), "val": (40, 60), "test": (40, 60)}
    hostile = decided(make_run(tmp_path, classes=(name, "nv"), sizes=sizes, pictures=0), SPEC.model_copy(update={"watch": (name,)}))
    part = decisions(Context(hostile))
    assert part is not None
    assert "<img" not in " ".join(map(str, part.body))
    assert "onerror" in text(part)

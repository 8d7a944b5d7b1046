"""The part on certainty: what it says before and after a correction, without validation, and for other class shares."""

import sys

import pytest

from cutis import cli
from cutis.jobs import fitting
from cutis.report.context import Context, parts
from cutis.runs import Run

SHARES = "akiec=.01,bcc=.02,bkl=.15,df=.01,mel=.02,nv=.78,vasc=.01"


@pytest.fixture
def run(make_run, tmp_path):
    made = make_run(tmp_path, sizes={"train": (20,) * 7, "val": (12,) * 7, "test": (15,) * 7}, pictures=0)
    made.recipe = made.recipe.changed(**{"evaluate.replicates": 100})
    return made


def written(run):
    part = parts["46 calibration"](Context(Run(run.folder)))
    assert part is not None
    return part.sentence, "".join(map(str, part.body))


def test_it_says_what_was_corrected_by_what_and_how_much_that_gains(run):
    sentence, body = written(run)
    assert "Corrected" not in sentence
    assert "cutis report" in body  # how to make the correction
    fitting.fit(run)
    sentence, body = written(run)
    assert "Corrected on validation" in sentence
    told, measured = run.fitted["calibration"], run.metrics["test"]["after"]["calibration"]
    assert f"{told['temperature']:.3f}" in body
    assert "84 images of validation" in body
    for side in ("before", "after", "difference"):
        assert f"{measured[side]['log_loss']['value']:.3f}" in body
    assert (run.folder / "figures" / "reliability.svg").is_file()
    assert (run.folder / "figures" / "reliability-temperature.svg").is_file()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (lambda run: (run.folder / "predictions" / "val.csv").unlink(), "no validation images"),
        (lambda run: setattr(run, "recipe", run.recipe.changed(**{"evaluate.calibration": "none"})), "turns calibration off"),
        (lambda run: setattr(run, "fitted", {"calibration": {"why": "Too few moles."}}), "Too few moles."),
    ],
    ids=["no validation", "turned off", "refused"],
)
def test_it_says_why_there_is_no_correction(run, state, said):
    state(run)
    metrics = run.metrics
    if "val" not in run.sets:
        del metrics["val"]
        run.metrics = metrics
    assert said in written(run)[1]


def test_report_with_prior_carries_answers_to_the_shares_given(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cutis", "report", str(run.folder), "--prior", SHARES])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    body = written(run)[1]
    assert "Where classes are otherwise frequent" in body
    assert "78 %" in body
    assert (run.folder / "prior" / "test.csv").is_file()
    assert not (run.folder / "prior" / "val.csv").exists()
    monkeypatch.setattr(sys, "argv", ["cutis", "report", str(run.folder), "--prior", "mel=1"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "missing: akiec" in capsys.readouterr().err
    fitting.measure(run, "test")  # answered anew without shares
    assert not (run.folder / "prior" / "test.csv").exists()

"""cutis compare: runs as training leaves them, answers written by hand; verdicts, refusals, the page, the command."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

import cutis
from cutis import cli
from cutis.errors import ArtifactError, CutisError, DataError
from cutis.evaluate import paired
from cutis.evaluate.summary import pooled, summarise
from cutis.predictions import Predictions
from cutis.recipe import Evaluation, Recipe
from cutis.runs import Run

CLASSES = ("mel", "nv")
N = 120
REPLICATES = 400


def answers(right: float, seed: int, *, start: int = 0, classes: Sequence[str] = CLASSES) -> Predictions:
    """Two images a lesion; about that share of the answers is right."""
    rng = np.random.default_rng(seed)
    images = np.array([f"{i:04}.jpg" for i in range(start, start + N)])
    labels = (np.arange(start, start + N) // 2) % 3 // 2
    sure = np.where(rng.random(N) < right, rng.uniform(0.55, 0.95, N), rng.uniform(0.05, 0.45, N))
    probabilities = np.where(np.eye(2)[labels] == 1, sure[:, None], 1 - sure[:, None])
    groups = np.array([f"L{i // 2}" for i in range(start, start + N)])
    return Predictions(images, groups, labels.astype(np.int64), probabilities, CLASSES).over(classes)


def train(folder: Path, told: Predictions, **fields: Any) -> Run:
    """A finished run with these answers on test, trained on 300 other images."""
    run = Run(folder)
    run.recipe = Recipe(name="small", description=f"Made as {folder.name}", evaluate=Evaluation(replicates=REPLICATES)).changed(**fields)
    rows = pd.DataFrame({"image": [f"t{i}.jpg" for i in range(300)], "split": "train"})
    run.save_table("split", pd.concat([rows, pd.DataFrame({"image": told.images, "split": "test"})]))
    run.save_predictions("test", told)
    majority = "nv" if "nv" in told.classes else told.classes[0]
    run.metrics = {"test": summarise(told, replicates=REPLICATES, majority=majority)}
    run.provenance = {"classes": list(told.classes), "majority": majority}
    run.model_file.write_text(folder.name)
    (folder / "report.html").write_text("")
    return run


def train_several(folder: Path, kind: str, each: Sequence[Predictions]) -> Run:
    """A run of runs with these answers."""
    run = train(folder, each[0])
    run.model_file.unlink()
    for i, told in enumerate(each):
        train(folder / f"{kind}-{i}", told)
    together = pooled(each)
    run.save_predictions("test", together)
    run.metrics = {"test": summarise(together, replicates=REPLICATES, majority="nv")}
    return run


def pair(told: dict[str, Any], figure: str = "accuracy") -> dict[str, Any]:
    """What is told of the first pair in a figure."""
    return dict(told["pairs"][0]["figures"][figure])


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """``cutis compare *arguments`` in this process: exit code, what it printed, what it complained of."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cutis", "compare", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_a_better_run_is_named_with_the_paired_difference(tmp_path: Path) -> None:
    weak, good = answers(0.6, 1), answers(0.9, 2)
    turned = good.rows(np.random.default_rng(0).permutation(N)).over(("nv", "mel"))
    told = cutis.compare(
        [train(tmp_path / "weak", weak), train(tmp_path / "good", turned).folder], out=None, figures=["accuracy", "log_loss"]
    )
    again = paired.differences([weak], [good], ["accuracy", "log_loss"], replicates=REPLICATES, level=0.95, seed=0)
    for figure, expected in again.items():
        found = pair(told, figure)
        assert {k: found[k] for k in ("value", "low", "high", "p")} == pytest.approx(expected), figure
        assert found["better"] == "good"  # also of the loss, of which it has less
        assert found["needed"] is None
    raw = [again[f]["p"] for f in ("accuracy", "log_loss")]
    assert [pair(told, f)["p_holm"] for f in ("accuracy", "log_loss")] == pytest.approx(paired.holm([p or 0 for p in raw]))
    both = (weak.predicted == weak.labels).astype(int) - (good.predicted == good.labels)
    only = int((both > 0).sum()), int((both < 0).sum())
    assert told["pairs"][0]["mcnemar"]["p"] == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert (told["n"], told["groups"], told["comparisons"]) == (N, N // 2, 2)
    assert not list(tmp_path.glob("compare*"))


def test_near_runs_cannot_be_told_apart_and_so_many_images_would(tmp_path: Path) -> None:
    runs = [train(tmp_path / name, answers(right, seed)) for name, right, seed in (("a", 0.8, 1), ("b", 0.8, 2), ("c", 0.8, 3))]
    told = cutis.compare(runs, out=None)
    assert (told["figures"], told["comparisons"]) == (["accuracy", "balanced_accuracy", "auroc_macro"], 9)
    assert told["replicates"] >= 4 * 9 / 0.05  # so that p, nine times, can still be small
    for each in told["pairs"]:
        for found in each["figures"].values():
            assert found["better"] == ""
            assert found["needed"] is None if found["value"] == 0 else found["needed"] > N
    found = pair(told)
    se = (found["high"] - found["low"]) / 2 / stats.norm.ppf(0.975)
    z = stats.norm.ppf(1 - 0.05 / 9 / 2) + stats.norm.ppf(0.8)
    assert found["needed"] == pytest.approx(N * (z * se / found["value"]) ** 2, abs=1)


def test_a_difference_of_one_comparison_can_be_lost_among_many(tmp_path: Path) -> None:
    """Holm over all: what is asked besides makes proof harder, never easier."""
    runs = [train(tmp_path / name, answers(right, seed)) for name, right, seed in (("a", 0.72, 1), ("b", 0.86, 2))]
    alone = pair(cutis.compare(runs, out=None, figures=["accuracy"]))
    assert alone["p_holm"] == alone["p"] < 0.05
    many = cutis.compare([*runs, *(train(tmp_path / f"x{i}", answers(0.8, 20 + i)) for i in range(5))], out=None)
    assert pair(many)["p_holm"] > 0.05
    assert (alone["better"], pair(many)["better"]) == ("b", "")


def test_a_handful_of_groups_shows_nothing_however_alike_they_are(tmp_path: Path) -> None:
    few = np.array([f"P{i % 4}" for i in range(N)])
    runs = [train(tmp_path / name, replace(answers(right, seed), groups=few)) for name, right, seed in (("a", 0.5, 1), ("b", 0.95, 2))]
    found = pair(cutis.compare(runs, out=None, figures=["accuracy"]))
    assert found["high"] < 0
    assert found["p"] >= 2 / 2**4  # four patients: sixteen ways of swapping the runs
    assert found["better"] == ""


def test_seeds_have_to_agree_as_well_as_images(tmp_path: Path) -> None:
    def seeds(name: str, rights: Sequence[float], first: int) -> Run:
        return train_several(tmp_path / name, "seed", [answers(right, first + i) for i, right in enumerate(rights)])

    weak, good, wild = seeds("weak", (0.6, 0.61, 0.6), 0), seeds("good", (0.9, 0.91, 0.9), 10), seeds("wild", (0.99, 0.99, 0.62), 20)
    told = cutis.compare([good, weak], out=None, figures=["accuracy"])
    found, trained = pair(told), pair(told)["trainings"]
    gains = [
        np.mean(g.predicted == g.labels) - np.mean(w.predicted == w.labels)
        for g, w in ((run.predictions(), other.predictions()) for run, other in zip(good.parts, weak.parts, strict=True))
    ]
    assert trained["differences"] == pytest.approx(gains)
    assert found["value"] == pytest.approx(np.mean(gains))
    t = stats.ttest_1samp(gains, 0).statistic / np.sqrt(1 + 3 * N / 300)
    assert trained["p"] == pytest.approx(2 * stats.t.sf(t, 2))
    assert found["p"] == max(found["p_images"], trained["p"])
    assert (found["better"], told["pairs"][0]["mcnemar"]) == ("good", None)
    shaky = pair(cutis.compare([wild, weak], out=None, figures=["accuracy"]))
    assert shaky["p_images"] < 0.05  # on these images, with these seeds
    assert (shaky["better"], shaky["limited_by"], shaky["needed"]) == ("", "trainings", None)
    single = pair(cutis.compare([wild, train(tmp_path / "one", answers(0.6, 5))], out=None, figures=["accuracy"]))
    assert single["trainings"] is None


def test_folds_are_compared_fold_for_fold(tmp_path: Path) -> None:
    def folds(name: str, right: float, first: int) -> Run:
        return train_several(tmp_path / name, "fold", [answers(right, first + i, start=N * i) for i in range(4)])

    weak, good = folds("weak", 0.65, 0), folds("good", 0.9, 10)
    told = cutis.compare([weak, good], tmp_path / "out", figures=["balanced_accuracy"])
    found = pair(told, "balanced_accuracy")
    scores = [[balanced_accuracy_score(p.labels, p.predicted) for p in (part.predictions() for part in run.parts)] for run in (weak, good)]
    gains = np.subtract(*scores)
    assert found["value"] == pytest.approx(gains.mean())
    half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + N / 300) * gains.var(ddof=1))
    assert (found["low"], found["high"]) == pytest.approx((gains.mean() - half, gains.mean() + half))
    assert (told["over"], told["n"], told["replicates"]) == ("folds", 4 * N, None)
    assert told["pairs"][0]["mcnemar"]["only_second"] > 0
    assert "Over folds" in (tmp_path / "out" / "compare.html").read_text("utf-8")
    with pytest.raises(DataError, match=r"weak is made of 4 trainings .* and one of 1"):
        cutis.compare([weak, train(tmp_path / "one", answers(0.8, 0))], out=None)


def test_other_images_labels_or_classes_are_refused_by_name(tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    good = answers(0.8, 0)
    runs = [
        train(tmp_path / "a", good),
        train(tmp_path / "moved", answers(0.8, 1, start=10)),
        train(tmp_path / "relabelled", replace(good, labels=1 - good.labels)),
        train(tmp_path / "renamed", replace(good, classes=("mel", "naevus"))),
    ]
    code, out, err = command(*(run.folder for run in runs), "--out", tmp_path / "out")
    assert (code, out) == (3, "")
    assert "moved and a answered different images in the set test: 10 only in moved, 10 only in a" in err
    assert "relabelled" in err
    assert "renamed" in err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_says_what_to_do(tmp_path: Path) -> None:
    one, two = train(tmp_path / "one", answers(0.8, 0)), train(tmp_path / "two", answers(0.8, 1))
    for runs, options, message, kind in (
        ([one], {}, "two runs or more", CutisError),
        ([one, one.folder / ".." / "one"], {}, "is named twice", CutisError),
        ([one, tmp_path / "nowhere"], {}, "is not a run", ArtifactError),
        ([one, two], {"name": "clinic"}, "cutis evaluate RUN DATA --name clinic", ArtifactError),
        ([one, two], {"figures": ["acuracy"]}, "Unknown metric", CutisError),
    ):
        with pytest.raises(kind, match=message):
            cutis.compare(runs, out=None, **options)
    two.model_file.unlink()
    with pytest.raises(ArtifactError, match="unfinished"):
        cutis.compare([one, two], out=None)


def test_the_coarsest_groups_that_a_run_knows_are_used(tmp_path: Path) -> None:
    fine = answers(0.8, 0)
    alone = replace(answers(0.7, 1), groups=fine.images)
    told = cutis.compare([train(tmp_path / "alone", alone), train(tmp_path / "fine", fine)], out=None, figures=["accuracy"])
    assert told["groups"] == N // 2
    assert "those of fine are used" in told["notes"][0]


def test_the_page_opens_with_the_verdict_and_leads_to_the_runs(tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    runs = [train(tmp_path / "weak", answers(0.6, 1)), train(tmp_path / "good", answers(0.92, 2), seed=7, description=evil)]
    code, out, err = command(*(run.folder for run in runs), "--figures", "accuracy,sensitivity/*", "--out", tmp_path / "out" / "here")
    assert (code, err) == (0, "")
    assert re.search(r"^weak and good, Accuracy: good is better by 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]$", out, re.MULTILINE)
    html = (tmp_path / "out" / "here" / "compare.html").read_text("utf-8")
    first = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.partition("</style>")[2].partition("<nav")[0]))
    assert "weak against good" in first
    assert "In accuracy good is better by 0." in first
    assert "same 120 images in 60 groups" in first
    assert "Research use only. Not a medical device. Not for diagnosis." in first
    assert "<img" not in html
    assert 'href="../../good/report.html"' in html
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", html) == [
        "The runs",
        "Which is better",
        "A second opinion",
        "How they were made",
        "How it was computed",
    ]
    assert json.loads((tmp_path / "out" / "here" / "compare.json").read_text("utf-8"))["differ"] == [{"field": "seed", "values": [0, 7]}]


def test_json_alone_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [train(tmp_path / name, answers(0.8, seed)) for name, seed in (("a", 1), ("b", 2))]
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = command(*(run.folder for run in runs), "--json")
    assert code == 0
    told = json.loads(out)
    assert told["format"] == "cutis-compare-1"
    assert told["pairs"][0]["delong"]["auroc_macro"]["low"] < told["pairs"][0]["delong"]["auroc_macro"]["high"]
    assert sorted(tmp_path.rglob("*")) == before

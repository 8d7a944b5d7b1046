"""What a run says for itself: each sentence against the run's own files, and none where the files do not know."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutis.evaluate.slices import Slicing, sliced
from cutis.files import write_json
from cutis.recipe import Recipe
from cutis.report.card import SECTIONS, SPECIAL
from cutis.report.checklists import checklists
from cutis.report.context import Context
from cutis.report.facts import facts, told
from cutis.report.paper import PARAGRAPHS, paragraphs
from cutis.runs import Run

Make = Callable[..., Run]
SMALL = {"train": (30, 60), "val": (8, 10), "test": (12, 25)}
TWO = ("benign", "malignant")


@pytest.fixture(scope="module")
def run(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("facts"), pictures=0)


@pytest.fixture
def context(run: Run) -> Context:
    return Context(run)


def small(make_run: Make, folder: Path) -> Run:
    return make_run(folder, classes=TWO, sizes=SMALL, pictures=0)


def test_the_data_are_told_with_their_numbers(context: Context) -> None:
    assert told(context, ["size"]) == "There were 9,114 images of 5,611 lesions in 7 classes."
    assert told(context, ["class_sizes"]).startswith("Images of each class: nv 6,185, bkl 969, mel 968,")
    assert (
        "training (7,007 images of 3,504 lesions), validation (875 images of 875 lesions) and test (1,232 images of 1,232 lesions)"
        in told(context, ["partitions"])
    )
    assert "disjoint by lesion" in told(context, ["disjoint"])
    assert told(context, ["exclusions"]) == "1 file could not be read and was left out."


def test_ages_and_sexes_are_those_of_the_table(context: Context, run: Run) -> None:
    test = run.table.query("split == 'test'")
    low, median, high = test["age"].quantile([0.25, 0.5, 0.75])
    female = 100 * (test["sex"] == "female").mean()
    sentence = told(context, ["demographics"])
    assert f"test: median age {median:.0f} (quartiles {low:.0f} and {high:.0f})" in sentence
    assert f"female {female:.0f} %" in sentence.partition("test:")[2]
    assert told(context, ["missing"]) == "The data do not name body site, skin tone or source. The network sees the picture alone."


def test_how_labels_were_confirmed_is_counted_where_a_column_says_it(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    assert told(Context(run), ["confirmation"]) == ""
    table = run.table
    table["dx_type"] = ["histo" if label == "malignant" else "follow_up" for label in table["label"]]
    run.save_table("split", table)
    share = 100 * 30 / 145 + 100 * 8 / 145 + 100 * 12 / 145
    said = told(Context(run), ["confirmation"])
    assert said.startswith(f"How the label was confirmed, by the column dx_type: histo {100 - share:.0f} % and follow_up {share:.0f} %")


def test_a_leak_is_told_as_one(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=TWO, sizes=SMALL, pictures=0, leak=True)
    assert told(Context(run), ["disjoint"]).startswith("The partitions are not disjoint: 10 lesions (40 images)")


def test_the_model_and_its_training_are_told(context: Context) -> None:
    network = told(context, ["network", "initialisation", "training", "selection"])
    assert "Of its 2,230,000 parameters 8,967 were trained." in network
    assert "mobilenetv2_100.ra_in1k.safetensors, SHA-256 cdcdcdcdcdcdcdcd…" in network
    assert "(2) the whole network, up to 20 epochs, adamw at 0.0001" in network
    assert "Of 32 epochs the weights of epoch 28 were kept, those of the best loss on validation." in network


def test_weights_kept_are_the_last_where_the_last_stage_keeps_them(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    run.recipe = Recipe(name="last", stages=[{"epochs": 32, "restore_best": False}])
    assert told(Context(run), ["selection"]) == "Of 32 epochs the weights of epoch 32 were kept, the last."


def test_results_are_those_of_metrics_json(context: Context, run: Run) -> None:
    s = run.metrics["test"]
    f = s["balanced_accuracy"]
    assert f"balanced accuracy {f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" in told(context, ["internal"])
    wrong = sum(map(sum, s["confusion"])) - sum(s["confusion"][i][i] for i in range(7))
    assert f"On the set test, {wrong:,} of 1,232 answers were wrong" in told(context, ["failures"])
    mel = s["per_class"]["mel"]["sensitivity"]
    assert f"mel sensitivity {mel['value']:.3f} [{mel['low']:.3f}, {mel['high']:.3f}]" in told(context, ["by_class"])
    assert told(context, ["external"]) == ""


def test_figures_on_other_data_are_told_apart_from_the_run_s_own(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    run.metrics = run.metrics | {"clinic": run.metrics["val"]}
    run.provenance = run.provenance | {"evaluated": {"clinic": {"files": [{"path": "clinic.csv"}], "training_twins": 3}}}
    said = told(Context(run), ["external"])
    assert said.startswith("On 18 images in 18 groups of the set clinic (clinic.csv) it reached accuracy")
    assert said.endswith("3 images of it were in training too, which flatters these figures.")


def test_what_was_fitted_after_training_is_told_from_its_files(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    names = ["fitting", "calibrating", "calibration", "deciding", "decisions", "scoping"]
    assert told(Context(run), names) == ""
    run.fitted = {
        "set": "val",
        "n": 18,
        "groups": 17,
        "calibration": {"method": "temperature", "temperature": 1.5, "low": 1.2, "high": 1.8},
        "decisions": {"why": "no image"},
    }
    ece = [{"value": v, "low": v - 0.01, "high": v + 0.01, "n": 37} for v in (0.2, 0.1)]
    measured = {"calibration": {"before": {"ece": ece[0], "brier": ece[0]}, "after": {"ece": ece[1], "brier": ece[1]}}}
    run.metrics = {"test": run.metrics["test"] | {"after": measured}}
    score = {"mahalanobis": {"refused": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 9}}}
    write_json(
        run.folder / "scope.json", {"by": "mahalanobis", "in_scope": 0.95, "fitted": {"n": 18}, "sets": {"noise": {"scores": score}}}
    )
    said = told(Context(run), names)
    assert "18 validation images in 17 groups alone; no test image was used." in said
    assert "T = 1.500 [1.200, 1.800]" in said
    assert "ECE was 0.200 [0.190, 0.210] and 0.100 [0.090, 0.110]" in said
    assert "hreshold" not in said  # why it could not be fitted is no method
    assert said.endswith("lets 95 % of 18 validation images pass: 0.250 [0.200, 0.300] of noise.")


def test_the_group_that_is_served_worst_is_the_one_with_the_lowest_gap(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=TWO, sizes={"train": (30, 60), "val": (8, 10), "test": (60, 140)}, pictures=0)
    answers, table = run.predictions("test"), run.table.set_index("image")
    of = (table.loc[answers.images, "sex"] == "male").to_numpy(np.int64)
    told_ = sliced(answers, [Slicing("sex", "Sex", of, ("female", "male"))], replicates=100)
    run.metrics = {"test": run.metrics["test"] | {"slices": told_}}
    right = (answers.predicted == answers.labels).astype(float)
    sensitivity = [[right[(of == g) & (answers.labels == c)].mean() for c in (0, 1)] for g in (0, 1)]
    means = np.mean(sensitivity, axis=1)  # balanced accuracy of each group, by hand
    worse = int(np.argmin(means))
    said = told(Context(run), ["comparing_groups", "groups"])
    assert "compared by sex, each group" in said
    assert f"was sex {('female', 'male')[worse]} ({(of == worse).sum()} images): balanced accuracy {means[worse]:.3f} [" in said
    assert f"a gap of {means[worse] - means[1 - worse]:+.3f} [" in said


def test_groups_too_small_to_compare_are_told_as_such(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    answers = run.predictions("test")
    few = sliced(answers, [Slicing("sex", "Sex", np.arange(len(answers.images)) % 2, ("female", "male"))], replicates=100)
    run.metrics = {"test": run.metrics["test"] | {"slices": few}}
    said = told(Context(run), ["comparing_groups", "groups"])
    assert said == "No kind of people or pictures has the 30 groups of images in two of its values that a comparison needs."


def test_heat_maps_are_told_from_their_file(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    assert told(Context(run), ["explaining", "explanation"]) == ""
    write_json(run.folder / "explanation.json", {"method": "gradcam", "set": "test", "n": 30, "drawn_from": 37})
    said = told(Context(run), ["explaining", "explanation"])
    assert said == "Answers were explained by heat maps (gradcam) of 30 images of the set test, drawn by chance from 37."


def test_a_run_that_knows_nothing_says_nothing_wrong(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.recipe = Recipe(name="bare")
    said = {name: fact(Context(run)) for name, fact in facts.items()}
    known = {name for name, text in said.items() if text}
    assert known <= {
        "preprocessing",
        "whole_images",
        "network",
        "initialisation",
        "augmentation",
        "training",
        "ensembling",
        "protocol",
        "use",
        "limits",
    }


def test_every_fact_is_used_and_every_name_is_a_fact() -> None:
    used = {name for names in PARAGRAPHS.values() for name in names}
    used |= {name for _, names, _ in SECTIONS for name in names} - set(SPECIAL)
    used |= {name for each in checklists() for item in each.items for name in item.facts}
    assert used == set(facts)


def test_paragraphs_are_sentences_without_gaps(context: Context) -> None:
    found = dict(paragraphs(context))
    assert list(found) == ["Data", "Images and network", "Training", "Evaluation", "Software", "Results"]
    for text in found.values():
        assert text.endswith(".")
        assert not re.search(r"\bNone\b|\bnan\b|  | \.|\.\.|\( ", text)


def test_a_table_with_no_ages_says_nothing_of_age(make_run: Make, tmp_path: Path) -> None:
    run = small(make_run, tmp_path)
    table = run.table.assign(age=float("nan"), sex=pd.Series(dtype="str"))
    run.save_table("split", table)
    assert told(Context(run), ["demographics"]) == ""

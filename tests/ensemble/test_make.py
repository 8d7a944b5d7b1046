"""An ensemble as a run: members mapped by name, rows and splits that must fit, what is written, and what is refused."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from handmade import CLASSES, answers, build, member, rows, trio
from sklearn.metrics import accuracy_score, log_loss

from cutis.ensemble import combined
from cutis.ensemble.make import make, recipe
from cutis.ensemble.measure import COMPARED
from cutis.errors import ArtifactError, CutisError, DataError, LeakError
from cutis.evaluate.paired import each_difference
from cutis.predictions import Predictions
from cutis.report import page
from cutis.runs import Run

PERMUTED = ("nv", "bcc", "mel")


def ensemble(runs: Sequence[Run], out: Path, *, allow_leaks: bool = False, **options: Any) -> Run:
    return make(recipe([run.folder for run in runs], out, **options), out, allow_leaks=allow_leaks)


def test_an_ensemble_is_a_run_whose_answers_are_the_weighted_mean(tmp_path: Path) -> None:
    members = trio(tmp_path)
    members[1].save_table("unreadable", pd.DataFrame({"image": ["torn.jpg"], "reason": ["a damaged JPEG file"]}))
    run = ensemble(members, tmp_path / "all", weights=(0.3, 0.3, 0.4))
    assert list(run.unreadable["image"]) == ["torn.jpg"]
    for name in ("val", "test"):
        by_hand = sum(w * m.predictions(name).probabilities for w, m in zip((0.3, 0.3, 0.4), members, strict=True))
        got = run.predictions(name)
        assert got.probabilities == pytest.approx(by_hand, abs=1e-9)
        assert (got.images == members[0].predictions(name).images).all()
        assert run.metrics[name]["accuracy"]["value"] == pytest.approx(accuracy_score(got.labels, got.predicted))
    assert run.finished
    assert run.recipe.ensemble is not None
    assert run.recipe.ensemble.members == ("../weak", "../fair", "../good")
    assert run.recipe.evaluate.replicates == 100
    told = run.provenance
    assert [m["sha256"] for m in told["members"]] == [
        m["sha256"] for m in json.loads((run.folder / "ensemble.json").read_text())["members"]
    ]
    assert told["split"]["proof"]["ok"]
    assert not told["split"]["leaks_allowed"]
    assert sorted(run.table["image"]) == sorted(members[0].table["image"])
    together = combined.load(run)
    assert [m.name for m in together.members] == ["weak", "fair", "good"]
    assert together.weights == pytest.approx([0.3, 0.3, 0.4])


def test_members_can_be_moved_with_the_ensemble(tmp_path: Path) -> None:
    ensemble(trio(tmp_path / "a"), tmp_path / "a" / "all")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert combined.load(Run.open(tmp_path / "b" / "all")).members[0].run.folder == (tmp_path / "b" / "weak").resolve()


@pytest.mark.parametrize("method", ["mean", "fitted", "greedy", "rank", "stacking"])
def test_fault_m3_members_with_their_classes_in_another_order_are_mapped_by_name(tmp_path: Path, method: str) -> None:
    straight = [member(tmp_path / "a", 1.0, 0), member(tmp_path / "b", 1.4, 10)]
    twisted = [member(tmp_path / "twisted" / "a", 1.0, 0), member(tmp_path / "twisted" / "b", 1.4, 10, classes=PERMUTED)]
    assert twisted[1].predictions().classes == PERMUTED
    one, other = ensemble(straight, tmp_path / "one", method=method), ensemble(twisted, tmp_path / "other", method=method)
    for name in ("val", "test"):
        assert other.predictions(name).classes == CLASSES
        assert other.predictions(name).probabilities == pytest.approx(one.predictions(name).probabilities, abs=1e-9)
    together = combined.load(other)
    own = [m.predictions().probabilities for m in twisted]  # each in the order of its own classes
    assert together.combine(own) == pytest.approx(one.predictions().probabilities, abs=1e-8)


def test_fault_m3_members_with_other_classes_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    table = rows()
    other = table.assign(label=table["label"].replace("mel", "melanoma"))
    first, second = member(tmp_path / "a"), build(tmp_path / "b", {}, other, ("bcc", "melanoma", "nv"))
    with pytest.raises(ArtifactError, match=r"same classes: .*b knows bcc, melanoma, nv, .*a knows bcc, mel, nv\. .*--map OLD=NEW"):
        ensemble([first, second], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_rows_in_another_order_are_the_same_rows(tmp_path: Path) -> None:
    first, second = member(tmp_path / "a", 1.0, 0), member(tmp_path / "b", 1.4, 10)
    straight = ensemble([first, second], tmp_path / "one").predictions()
    part = second.predictions()
    second.save_predictions("test", part.rows(np.random.default_rng(0).permutation(len(part.images))))
    assert ensemble([first, second], tmp_path / "two").predictions().probabilities == pytest.approx(straight.probabilities)


@pytest.mark.parametrize("name", ["val", "test"])
def test_members_that_answered_other_images_or_labels_are_refused(tmp_path: Path, name: str) -> None:
    first, second = member(tmp_path / "a", 1.0, 0), member(tmp_path / "b", 1.4, 10)
    whole = second.predictions(name)
    second.save_predictions(name, whole.rows(np.arange(4, len(whole.images))))
    with pytest.raises(DataError, match=rf"b and a answered different images in the set {name}: 0 only in b, 4 only in a, for example "):
        ensemble([first, second], tmp_path / "all")
    second.save_predictions(name, replace(whole, labels=np.where(np.arange(len(whole.labels)) < 3, (whole.labels + 1) % 3, whole.labels)))
    with pytest.raises(DataError, match=rf"3 images of the set {name} have other labels in b than in a, for example "):
        ensemble([first, second], tmp_path / "all")
    (second.folder / "predictions" / f"{name}.csv").unlink()
    with pytest.raises(DataError, match=rf"b has no answers for the set {name}, which others have"):
        ensemble([first, second], tmp_path / "all")


def test_a_further_set_that_all_answered_is_combined_and_one_that_differs_is_left_out_aloud(tmp_path: Path) -> None:
    members = [member(tmp_path / "a", 1.0, 0), member(tmp_path / "b", 1.4, 10)]
    test = rows()[lambda t: t["split"] == "test"]
    for i, run in enumerate(members):
        run.save_predictions("outside", answers(test, 1.0, i))
        run.save_predictions("half", answers(test.iloc[: 40 + i], 1.0, i))
    with pytest.warns(UserWarning, match=r"The set half is left out\. b and a answered different images"):
        run = ensemble(members, tmp_path / "all")
    assert run.sets == ["outside", "test", "val"]
    assert set(run.metrics) == {"outside", "test", "val"}


def test_what_is_fitted_never_sees_test_rows(tmp_path: Path) -> None:
    for method in ("fitted", "greedy", "rank", "stacking"):
        members = trio(tmp_path / method)
        first = ensemble(members, tmp_path / method / "first", method=method)
        for run in members:
            part = run.predictions()
            run.save_predictions("test", replace(part, probabilities=part.probabilities[:, ::-1].copy(), labels=(part.labels + 1) % 3))
        second = ensemble(members, tmp_path / method / "second", method=method)
        assert (first.folder / "ensemble.json").read_text() == (second.folder / "ensemble.json").read_text()
        assert first.metrics["val"] == second.metrics["val"]
        assert first.metrics["test"] != second.metrics["test"]


def test_members_trained_on_what_others_are_judged_by_are_refused_and_allowed_only_aloud(tmp_path: Path) -> None:
    table = rows()
    first = member(tmp_path / "a", 1.0, 0, table=table)
    # the same rows are answered, but the second member was trained on 6 test images, and on one twin of a lesion of validation
    moved = table.assign(split=table["split"].where(~table["image"].isin([f"{i:03}.jpg" for i in range(90, 96)]), "train"))
    twin = moved.iloc[[30]].assign(image="twin.jpg", split="train", sha256="f" * 64)
    second = member(tmp_path / "b", 1.4, 10, table=table)
    second.save_table("split", pd.concat([moved, twin], ignore_index=True))
    said = r"b was trained on 2 of the 60 validation images and 6 of the 90 test images \(of a\)"
    with pytest.raises(LeakError, match=said) as refused:
        ensemble([first, second], tmp_path / "all")
    assert refused.value.code == 4
    assert "a was trained on" not in str(refused.value)
    assert "--allow-leaks" in str(refused.value)
    assert not (tmp_path / "all").exists()
    with pytest.warns(UserWarning, match="which is allowed here"):
        run = ensemble([first, second], tmp_path / "all", allow_leaks=True)
    assert run.provenance["split"]["leaks_allowed"]
    assert run.provenance["overrides"] == ["--allow-leaks"]
    text = page.write(run).read_text()
    assert "Trained with leaks allowed: the figures are too good to be believed." in text
    assert "The split leaks." in text


@pytest.mark.parametrize("spoil", ["changed", "gone"])
def test_a_member_that_changed_or_is_gone_is_refused_later(tmp_path: Path, spoil: str) -> None:
    members = trio(tmp_path)
    run = ensemble(members, tmp_path / "all")
    if spoil == "gone":
        shutil.rmtree(members[1].folder)
    else:
        members[1].model_file.write_text("another network")
    with pytest.raises(
        ArtifactError, match=r"The member fair (changed since it was combined|has no model any more).*make the ensemble anew"
    ):
        combined.load(run)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = ensemble(trio(tmp_path), tmp_path / "all")
    whole = json.loads((run.folder / "ensemble.json").read_text())
    for data in (whole | {"rule": {"kind": "weighted"}}, whole | {"members": [{}]}, whole | {"format": "cutis-ensemble-9"}):
        (run.folder / "ensemble.json").write_text(json.dumps(data))
        with pytest.raises(ArtifactError, match=r"ensemble\.json (is damaged|has the format)"):
            combined.load(run)


def test_what_is_no_set_of_finished_single_runs_is_refused(tmp_path: Path) -> None:
    a, b, c = trio(tmp_path)
    whole = ensemble([a, b], tmp_path / "all")
    with pytest.raises(ArtifactError, match=r"all is an ensemble itself\. Name its members instead: .*weak .*fair$"):
        ensemble([whole, c], tmp_path / "more")
    with pytest.raises(CutisError, match="weak is named twice"):
        ensemble([a, b, Run(tmp_path / "all" / ".." / "weak")], tmp_path / "more")
    with pytest.raises(CutisError, match="two runs or more"):
        ensemble([a], tmp_path / "more")
    with pytest.raises(ArtifactError, match=r"holds no recipe\.json"):
        ensemble([a, Run(tmp_path / "none")], tmp_path / "more")
    with pytest.raises(ArtifactError, match="holds a run already"):
        ensemble([a, b], tmp_path / "all")
    with pytest.raises(CutisError, match="lists no members"):
        make(a.recipe, tmp_path / "more")
    b.model_file.unlink()
    with pytest.raises(ArtifactError, match="is unfinished"):
        ensemble([a, b], tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_run_of_seeds_stands_for_its_runs_and_like_names_are_told_apart(tmp_path: Path) -> None:
    seeds = Run(tmp_path / "seeds")
    for i in range(2):
        member(seeds.folder / f"seed-{i}", 1.0, 10 * i)
    seeds.recipe = Run(seeds.folder / "seed-0").recipe
    other = member(tmp_path / "other" / "seed-0", 1.2, 30)
    run = ensemble([seeds, other], tmp_path / "all")
    assert [m.name for m in combined.load(run).members] == ["seeds/seed-0", "seeds/seed-1", "other/seed-0"]


def test_paired_differences_are_zero_for_the_same_answers_and_as_wide_as_theory_says_for_others() -> None:
    n, rng = 600, np.random.default_rng(0)
    labels = rng.integers(0, 2, n)

    def given(right: Any) -> Predictions:
        shown = np.where(right, labels, 1 - labels)
        return Predictions(np.arange(n).astype(str), np.arange(n).astype(str), labels, np.eye(2)[shown] * 0.6 + 0.2, ("a", "b"))

    one, other = given(rng.random(n) < 0.85), given(rng.random(n) < 0.8)
    same, apart = each_difference([one], [[one], [other]], COMPARED, replicates=2000, level=0.95, seed=0)
    assert all(figure == {"value": 0, "low": 0, "high": 0, "p": 1} for figure in same.values())
    gained = (one.predicted == labels).astype(float) - (other.predicted == labels)
    half = 1.96 * gained.std(ddof=1) / np.sqrt(n)
    assert apart["accuracy"]["value"] == pytest.approx(gained.mean())
    assert apart["accuracy"]["high"] - apart["accuracy"]["low"] == pytest.approx(2 * half, rel=0.1)
    assert apart["log_loss"]["value"] == pytest.approx(log_loss(labels, one.probabilities) - log_loss(labels, other.probabilities))


def test_the_page_shows_members_weights_how_and_differences_and_says_which_is_best(tmp_path: Path) -> None:
    members = trio(tmp_path)
    for run in members:
        (run.folder / "report.html").write_text("a page")
    run = ensemble(members, tmp_path / "all", method="fitted")
    text = page.write(run).read_text()
    kept = json.loads((run.folder / "ensemble.json").read_text())
    assert "The ensemble and its members" in text
    assert "its best member, good" in text
    assert "Which member is best was decided on validation" in text
    assert kept["rule"]["how"].split(";")[0] in text
    for told in kept["members"]:
        assert f'<a href="../{told["name"]}/report.html">{told["name"]}</a>' in text
        assert f"{told['weight']:.3f}" in text
    assert "Training</h2>" not in text
    assert "&#34;stages&#34;" not in text
    assert "&#34;members&#34;" in text

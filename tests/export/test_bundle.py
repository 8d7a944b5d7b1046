"""A bundle answers as its run does, from a folder or a zip, and tells nothing of the machine it was made on."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cutis.data import augment, images
from cutis.ensemble import make
from cutis.errors import ArtifactError, CutisError
from cutis.evaluate import calibration
from cutis.export import bundle as bundles
from cutis.export.bundle import Bundle, Member
from cutis.jobs import exporting
from cutis.models import build, reference
from cutis.models import scope as scopes
from cutis.runs import Run


def answers(member: Member, root: Path, names: list[str]) -> np.ndarray:
    """A member's probabilities by the text of its recipe: decoded, fitted, every view, softmax, mean."""
    model, spec = member.load(), member.spec
    assert spec.predict_size == spec.images.size
    pixels = [
        images.fitted(images.decode(root / name, at_least=spec.images.size).pixels, spec.images.size, spec.images.fit) for name in names
    ]
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        views = [model(augment.symmetry(batch, k)).double().softmax(1) for k in augment.symmetries(*spec.predict_size, spec.predict.views)]
    return torch.stack(views).mean(0).numpy()


def test_it_answers_as_the_run_did(bundle: Bundle, bundle_run: Run) -> None:
    told = bundle_run.predictions("test")
    root = Path(bundle_run.provenance["data"]["root"])
    ours = bundle.combine([answers(bundle.members[0], root, list(told.images))])
    assert bundle.classes == told.classes
    np.testing.assert_allclose(ours, told.probabilities, atol=1e-6)
    corrected = calibration.calibrated(bundle.about.fitted["calibration"], ours)
    np.testing.assert_allclose(corrected, calibration.calibrated(bundle_run.fitted["calibration"], told.probabilities), atol=1e-6)


def test_its_scope_is_the_runs(bundle: Bundle, bundle_run: Run) -> None:
    scope, told = bundle.about.scope, json.loads((bundle_run.folder / "scope.json").read_text())
    assert scope is not None
    assert (scope.limit, scope.by, scope.images) == (told["fitted"]["limits"][told["by"]], told["by"], told["fitted"]["n"])
    own, kept = bundle.members[0].reference(), reference.load(bundle_run)
    assert own is not None
    assert kept is not None
    np.testing.assert_array_equal(own.features, kept.features)
    np.testing.assert_array_equal(own.labels, kept.labels)
    seen = reference.Seen(own.features[:5].astype(np.float32), np.zeros((5, len(own.classes)), np.float32))
    for name, values in scopes.strangeness(kept, seen).items():
        np.testing.assert_array_equal(scopes.strangeness(own, seen)[name], values)


def test_the_classes_that_matter_have_colours_and_thresholds(bundle: Bundle) -> None:
    told = bundle.about
    assert set(told.watched) == set(told.malignant) == {"mel", "bcc"}
    assert len(set(told.colours.values())) == len(told.classes)
    assert {"mel"} in [set(question["classes"]) for question in told.fitted["decisions"]["questions"]]
    assert told.answer.rule in told.fitted["conformal"]["rules"]
    assert "mel" in told.about.task
    assert "Diagnosis" in told.about.not_for[0]


def test_a_zip_is_the_same_and_goes_with_its_last_user(bundle: Bundle, bundle_run: Run, tmp_path: Path) -> None:
    zipped = bundles.copy(bundle, tmp_path / "one.zip")
    opened = bundles.open(zipped)
    assert opened.version == bundle.version
    assert opened.about == bundle.about
    member, folder = opened.members[0], opened.folder
    assert folder.stat().st_mode & 0o077 == 0, "nobody else reads it"
    del opened
    gc.collect()
    assert member.load().classes == bundle.classes  # its files are still there
    del member
    gc.collect()
    assert not folder.exists()


def test_the_same_run_gives_the_same_version_and_another_another(bundle: Bundle, bundle_run: Run, tmp_path: Path) -> None:
    wish = exporting.Wish(cases=True, licence="CC0-1.0: drawn by Cutis")
    again = bundles.open(exporting.export(bundle_run, tmp_path / "other name.zip", wish))
    assert again.version == bundle.version
    assert again.about.name == "other-name"
    without = bundles.open(exporting.export(bundle_run, tmp_path / "smaller", exporting.Wish(scope=False)))
    assert without.version != bundle.version
    assert without.about.scope is None
    assert without.members[0].reference() is None
    assert [file for file in without.about.files if "reference" in file] == []


def test_cases_are_thumbnails_of_the_training_images_and_name_none(bundle: Bundle, bundle_run: Run) -> None:
    rows = reference.training_rows(bundle_run)
    own, cases = bundle.members[0].reference(), bundle.cases()
    assert own is not None
    assert list(own.images) == list(cases)
    assert [cases[file]["label"] for file in own.images] == list(rows["label"])
    assert {case["licence"] for case in cases.values()} == {"CC0-1.0: drawn by Cutis"}
    root = Path(bundle_run.provenance["data"]["root"])
    for file, name in list(zip(own.images, rows["image"], strict=True))[:5]:
        photo = images.decode(root / name).pixels.astype(float)
        assert np.abs(images.decode(bundle.folder / file).pixels - photo).mean() < 12  # 32 x 32 pixels lose much in a JPEG


def test_it_names_no_image_and_no_folder(bundle: Bundle, bundle_run: Run) -> None:
    names = [Path(name).stem.encode() for name in bundle_run.table["image"]]
    for file in (path for path in bundle.folder.rglob("*") if path.is_file() and path.suffix != ".jpg"):
        content = file.read_bytes()
        assert str(bundle_run.folder.parent).encode() not in content, file
        assert not [name for name in names if name in content], file


def test_the_folder_of_a_weights_file_stays_at_home(bundle_run: Run, tmp_path: Path) -> None:
    model, spec = build.load(bundle_run.model_file)
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    for file in ("provenance.json", "split.csv", "metrics.json", "fitted.json", "predictions"):
        (run.folder / file).symlink_to(bundle_run.folder / file)
    run.recipe = spec = spec.changed(**{"model.weights": "/somebody/secret/weights.safetensors"})
    build.save(model, run.model_file, spec)
    made = exporting.export(run, tmp_path / "bundle", exporting.Wish(scope=False))
    assert bundles.open(made).members[0].spec.model.weights == "weights.safetensors"
    assert not [file for file in made.rglob("*") if file.is_file() and b"secret" in file.read_bytes()]


def test_members_of_an_ensemble_are_weighed_as_in_the_run(bundle: Bundle, bundle_run: Run, tmp_path: Path) -> None:
    model, spec = build.load(bundle_run.model_file)
    other = Run(tmp_path / "a b")  # a name that no bundle has
    other.folder.mkdir()
    for file in ("recipe.json", "provenance.json", "split.csv", "metrics.json", "predictions"):
        (other.folder / file).symlink_to(bundle_run.folder / file)
    with torch.no_grad():
        model.head[-1].bias += torch.tensor([0.0, 1.0, 0.0, 0.0])  # type: ignore[union-attr]
    build.save(model, other.model_file, spec)
    combined = make.make(make.recipe([bundle_run.folder, other.folder], tmp_path / "both", weights=[1, 3]), tmp_path / "both")
    opened = bundles.open(exporting.export(combined, tmp_path / "bundle", exporting.Wish(scope=False)))
    assert [(m.name, m.weight) for m in opened.members] == [("run", 0.25), ("a-b", 0.75)]
    assert "calibration" in opened.about.fitted  # of the ensemble's own answers, fitted now
    ours = [np.array([[0.5, 0.5, 0, 0]]), np.array([[0, 0.2, 0.8, 0]])]
    np.testing.assert_allclose(opened.combine(ours), [[0.125, 0.275, 0.6, 0]])


def test_what_is_no_bundle_is_told_from_one(bundle: Bundle, bundle_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a run, not a bundle"):
        bundles.open(bundle_run.folder)
    with pytest.raises(ArtifactError, match="does not exist"):
        bundles.open(tmp_path / "nowhere")
    (tmp_path / "note.zip").write_text("a note")
    with pytest.raises(ArtifactError, match="neither a folder nor a zip"):
        bundles.open(tmp_path / "note.zip")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "bundle.json").write_text('{"format": "cutis-bundle-2"}')
    with pytest.raises(ArtifactError, match="this version of Cutis reads cutis-bundle-1"):
        bundles.open(tmp_path / "newer")


def test_only_a_bundle_is_written_over(bundle: Bundle, bundle_run: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for taken in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.txt"):
        with pytest.raises(CutisError, match="is no bundle, so it is left alone"):
            bundles.copy(bundle, taken)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    for out in (tmp_path / "bundle", tmp_path / "bundle.zip"):
        exporting.export(bundle_run, out, exporting.Wish(scope=False))
        bundles.copy(bundle, out)
        assert bundles.open(out).version == bundle.version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.zip", "thesis"]


def test_the_card_is_for_people_who_may_complete_it(spoilt: Path, bundle: Bundle) -> None:
    card = spoilt / "card.md"
    card.write_text(card.read_text().replace("*Open: Say how to cite the model and its data.*", "Cite our paper."))
    assert bundles.open(spoilt).version == bundle.version


def test_wishes_that_cannot_be_met(bundle_run: Run, tmp_path: Path) -> None:
    with pytest.raises(CutisError, match="--licence"):
        exporting.export(bundle_run, tmp_path / "b", exporting.Wish(cases=True))
    with pytest.raises(CutisError, match="There is no format pickle"):
        exporting.export(bundle_run, tmp_path / "b", exporting.Wish(kinds=["pickle"]))
    assert not (tmp_path / "b").exists()

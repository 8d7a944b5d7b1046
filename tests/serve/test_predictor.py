"""A bundle at work: the numbers of ``cutis evaluate``, heat maps of the same pass, members joined, threads that do not mix."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from cutis.ensemble.rules import Weighted
from cutis.errors import CutisError
from cutis.explain import cam
from cutis.export import bundle as bundles
from cutis.export.about import Draft, Input, MemberAbout, digest
from cutis.models import build
from cutis.recipe import Images, Model, Predict, Recipe
from cutis.serve.predictor import Predictor, Unreadable

PLAIN = Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4, 8]})


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor.open(bundle)


@pytest.fixture(scope="module")
def shown(bundle_run, predictor):
    """The run's own answers for its test images, and these pictures as the predictor reads them."""
    answers = bundle_run.predictions("test").over(predictor.classes)
    root = Path(bundle_run.provenance["data"]["root"])
    return answers, [predictor.picture(root / image) for image in answers.images]


def test_answers_are_those_of_the_run_with_all_its_views(predictor, shown):
    answers, pictures = shown
    found = np.stack([answer.raw for answer in predictor.answers(pictures)])
    assert np.abs(found - answers.probabilities).max() < 1e-5


def test_what_was_fitted_on_validation_is_applied_to_what_it_was_fitted_on(predictor, shown, bundle):
    answers, pictures = shown
    told = bundle.about.fitted
    logs = np.log(answers.probabilities.clip(np.finfo(float).eps))
    calibrated = softmax(logs / told["calibration"]["temperature"], axis=1)
    limits = told["conformal"]["rules"]["lac"]["limits"]
    found = predictor.answers(pictures)
    for i, answer in enumerate(found):
        assert answer.probabilities == pytest.approx(calibrated[i], abs=1e-5)
        assert answer.possible == tuple(c for c, p in zip(answer.classes, answers.probabilities[i], strict=True) if 1 - p <= limits[c])
        assert answer.predicted == answer.classes[int(calibrated[i].argmax())]
    question = told["decisions"]["questions"][0]
    columns = [predictor.classes.index(c) for c in question["classes"]]
    called = answers.probabilities[:, columns].sum(axis=1) >= question["plain"]["threshold"]
    assert [answer.met[0].met for answer in found] == called.tolist()
    assert 0 < called.sum() < len(called)


def test_strangeness_is_that_of_cutis_scope(predictor, shown, bundle, bundle_run):
    answers, pictures = shown
    told = pd.read_csv(bundle_run.folder / "scope" / "test.csv").set_index("image")[bundle.about.scope.by]
    found = predictor.answers(pictures)
    assert [answer.strangeness for answer in found] == pytest.approx(told[answers.images].tolist(), abs=2e-3)  # features kept as float16
    assert [answer.in_scope for answer in found] == (np.array([a.strangeness for a in found]) <= bundle.about.scope.limit).tolist()


def test_an_explained_answer_is_the_answer_and_its_map_grad_cam(predictor, shown):
    _, pictures = shown
    some = pictures[:6]
    plain, explained = predictor.answers(some), predictor.explained(some, classes="all")
    network = predictor.networks[0]
    for picture, answer, (again, heat) in zip(some, plain, explained, strict=True):
        np.testing.assert_allclose(answer.raw, again.raw, atol=1e-6)
        assert heat.classes == tuple(np.array(answer.classes)[np.argsort(-answer.probabilities, kind="stable")])
        pixels = torch.from_numpy(picture.inputs[0][None])
        expected = cam.cam(network.model, pixels, [heat.classes[1]]).maps[0, 0]
        np.testing.assert_allclose(heat._maps[0][1], expected, atol=1e-5)
        assert heat.over(heat.classes[1]).shape == picture.pixels.shape[:2]
        assert heat.agreement is None


def test_a_map_lies_where_the_network_looked_and_is_not_a_number_elsewhere(predictor):
    wide = np.random.default_rng(1).integers(256, size=(40, 100, 3), dtype=np.uint8)  # the network sees the middle 40 columns: crop
    (_, heat), *_ = predictor.explained([predictor.picture(wide)])
    over = heat.over()
    assert np.isnan(over[:, :30]).all()
    assert np.isnan(over[:, 70:]).all()
    assert np.isfinite(over[:, 30:70]).all()
    assert heat.over(size=(20, 50)).shape == (20, 50)
    with pytest.raises(CutisError, match="Unknown class"):
        heat.over("no such class")


def test_threads_get_their_own_answers(predictor, shown):
    _, pictures = shown
    alone = {i: answer.raw for i, answer in enumerate(predictor.answers(pictures))}
    start = threading.Barrier(8)

    def ask(first: int) -> list[tuple[int, np.ndarray]]:
        start.wait()
        mine = range(first, len(pictures), 8)
        return [(i, pair[0].raw) for i in mine for pair in predictor.explained([pictures[i]])] + [
            (i, answer.raw) for i, answer in zip(mine, predictor.answers([pictures[i] for i in mine]), strict=True)
        ]

    with ThreadPoolExecutor(8) as pool:
        for part in pool.map(ask, range(8)):
            for i, raw in part:
                np.testing.assert_allclose(raw, alone[i], atol=1e-6)


def test_the_nearest_case_of_a_training_picture_is_itself(predictor, bundle_run):
    table = bundle_run.table
    row = table[table["split"] == "train"].iloc[7]
    root = Path(bundle_run.provenance["data"]["root"])
    near = predictor.nearest(predictor.picture(root / row["image"]), 3)
    assert len(near) == 3
    assert near[0].distance < 0.02
    assert near[0].label == row["label"]
    assert near[0].image.is_file()
    assert near[0].licence
    assert [case.distance for case in near] == sorted(case.distance for case in near)


def test_nothing_asked_nothing_answered(predictor):
    assert predictor.answers([]) == []
    assert predictor.explained([]) == []


def test_what_does_not_exist_is_named(predictor, shown, bundle):
    _, pictures = shown
    for asked in ({"classes": ["wart"]}, {"method": "gradcma"}, {"member": "nobody"}):
        with pytest.raises(CutisError, match="Unknown"):
            predictor.explained(pictures[:1], **asked)
    with pytest.raises(CutisError, match="int8 learns from pictures"):
        Predictor.open(bundle, precision="int8")
    with pytest.raises(CutisError, match="Unknown prediction backend"):
        Predictor.open(bundle, backend="fast")
    with pytest.raises(Unreadable):
        predictor.picture(b"no picture")


def made(folder: Path, name: str, spec: Recipe, classes: tuple[str, ...], seed: int) -> tuple[MemberAbout, dict[str, Path]]:
    torch.manual_seed(seed)
    model, _ = build.build(spec, classes)
    build.save(model.eval(), folder / f"{name}.safetensors", spec)
    told = MemberAbout(
        name=name,
        weight={"one": 0.75, "two": 0.25}.get(name, 1.0),
        model=f"members/{name}/model.safetensors",
        recipe=digest(spec.model_dump(mode="json")),
        input=Input(stored=spec.images.size, fit=spec.images.fit, predict=spec.predict_size, views=spec.predict.views),
    )
    return told, {told.model: folder / f"{name}.safetensors"}


def opened(folder: Path, members: dict[str, tuple[Recipe, tuple[str, ...]]], rule: Weighted | None) -> bundles.Bundle:
    found = [made(folder, name, spec, classes, seed) for seed, (name, (spec, classes)) in enumerate(members.items())]
    classes = ("a", "b", "c")
    colours = dict(zip(classes, ("#000000", "#111111", "#222222"), strict=True))
    draft = Draft(
        name="hand", cutis="0", made="2026", classes=classes, colours=colours, notice="n", members=tuple(m for m, _ in found), rule=rule
    )
    return bundles.open(bundles.write(draft, {k: v for _, parts in found for k, v in parts.items()}, "card", folder / "bundle"))


def test_fault_m3_members_of_other_sizes_and_orders_answer_together(tmp_path):
    specs = {
        "one": (Recipe(name="one", images=Images(size=24), model=PLAIN, predict=Predict(views=4)), ("c", "a", "b")),
        "two": (Recipe(name="two", images=Images(size=32, fit="squash"), model=PLAIN, predict=Predict(size=24)), ("b", "c", "a")),
    }
    predictor = Predictor.open(opened(tmp_path, specs, Weighted(weights=(0.75, 0.25), how="by hand")), backend="eager")
    rng = np.random.default_rng(0)
    pictures = [predictor.picture(rng.integers(256, size=(24, 24, 3), dtype=np.uint8)) for _ in range(5)]
    one, two = (build.load(tmp_path / f"{name}.safetensors")[0] for name in specs)

    def probabilities(model, images):
        with torch.no_grad():
            return model(images).double().softmax(1).numpy()

    first = torch.from_numpy(np.stack([p.inputs[0] for p in pictures])).permute(0, 3, 1, 2).float() / 255
    views = (first, first.flip(-1), first.flip(-1, -2), first.flip(-2))  # the mirror, the half turn, and both
    second = torch.from_numpy(np.stack([p.inputs[1] for p in pictures])).permute(0, 3, 1, 2).float() / 255
    small = torch.nn.functional.interpolate(second, size=(24, 24), mode="bilinear", antialias=True)
    of_one, of_two = np.mean([probabilities(one, view) for view in views], axis=0), probabilities(two, small)
    expected = 0.75 * of_one[:, [1, 2, 0]] + 0.25 * of_two[:, [2, 0, 1]]
    found = predictor.explained(pictures)
    np.testing.assert_allclose([answer.raw for answer, _ in found], expected, atol=1e-6)
    for i, (answer, _) in enumerate(found):
        assert [vote.member for vote in answer.votes] == ["one", "two"]
        np.testing.assert_allclose(answer.votes[0].probabilities, of_one[i, [1, 2, 0]], atol=1e-6)
        np.testing.assert_allclose(answer.votes[1].probabilities, of_two[i, [2, 0, 1]], atol=1e-6)
    for _, heat in found:
        each = [heat.over(member=name) for name in ("one", "two")]
        np.testing.assert_allclose(heat.over(), 0.75 * each[0] + 0.25 * each[1], atol=1e-6)
        assert heat.members == ("one", "two")
        assert heat.agreement is None or -1 <= heat.agreement <= 1
    alone = predictor.explained(pictures, member="two")[0][1]
    np.testing.assert_allclose(alone.over(), found[0][1].over(member="two"), atol=1e-6)
    assert alone.members == ("two",)


def test_a_vision_transformer_is_explained_further_inside(tmp_path):
    spec = Recipe(
        name="vit",
        images=Images(size=32),
        model=Model(
            backbone="vit_tiny_patch16_224", weights="none", options={"depth": 2, "embed_dim": 24, "num_heads": 2, "patch_size": 8}
        ),
    )
    predictor = Predictor.open(opened(tmp_path, {"vit": (spec, ("a", "b", "c"))}, None), backend="eager")
    picture = predictor.picture(np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8))
    (answer, heat), *_ = predictor.explained([picture], classes=["b"])
    model = build.load(tmp_path / "vit.safetensors")[0]
    pixels = torch.from_numpy(picture.inputs[0][None])
    with torch.no_grad():
        logits = model(pixels.permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(answer.raw, logits.double().softmax(1)[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(heat._maps[0][0], cam.cam(model, pixels, ["b"]).maps[0, 0], atol=1e-5)


@pytest.mark.parametrize("head", [("pool",), ("flatten",), ("avgpool", "dense:6", "relu")])
def test_answers_are_the_same_whether_heat_maps_will_be_asked_for_or_not(tmp_path, head):
    spec = Recipe(name="head", images=Images(size=24), model=PLAIN.model_copy(update={"head": head}))
    bundle = opened(tmp_path, {"head": (spec, ("a", "b", "c"))}, None)
    pixels = np.random.default_rng(0).integers(256, size=(24, 24, 3), dtype=np.uint8)
    found = [Predictor.open(bundle, backend="eager", maps=maps) for maps in (True, False)]
    raw = [predictor.answers([predictor.picture(pixels)])[0].raw for predictor in found]
    np.testing.assert_allclose(raw[0], raw[1], atol=1e-6)

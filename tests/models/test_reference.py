"""What a network saw: features and logits as it gives them, the reference as written and read, and distances against SciPy and sklearn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from cutis.errors import ArtifactError
from cutis.models import build, reference, scope
from cutis.models.neighbours import nearest
from cutis.models.reference import Reference, Seen
from cutis.models.scope import Scored
from cutis.recipe import Evaluation, Images, Model, Recipe, Stage
from cutis.runs import Run

CNN = Model(backbone="plain_cnn", weights="none", head=("avgpool", "dropout:0.5"), options={"channels": [4, 8]})
SPEC = Recipe(images=Images(size=32), model=CNN, stages=(Stage(epochs=1, train="head"),))


def network(spec: Recipe = SPEC) -> build.Classifier:
    torch.manual_seed(0)
    return build.build(spec, ("a", "b"))[0].eval()


def made(rng: np.random.Generator, n: int = 60, f: int = 5) -> tuple[Reference, Seen]:
    """A reference of two classes, and what was seen in twelve other images."""
    labels = np.arange(n) % 2
    features = (rng.normal(size=(n, f)) @ rng.normal(size=(f, f)) + 3 * labels[:, None]).astype(np.float32)
    images = np.array([f"i{i}" for i in range(n)])
    of = reference.of(network(), Seen(features, features[:, :2]), images, labels)
    other = rng.normal(size=(12, f)).astype(np.float32)
    return of, Seen(other, other[:, :2])


def test_what_is_seen_is_what_the_network_gives(pictures):
    pixels, model = pictures(10), network()
    seen = reference.see(model, pixels, SPEC)
    images = pixels.batch(np.arange(10), (32, 32), None)
    with torch.inference_mode():
        assert seen.features == pytest.approx(model.features(images).numpy(), abs=1e-5)
        assert seen.logits == pytest.approx(model(images).numpy(), abs=1e-5)


@pytest.mark.parametrize("heavy", [0.0, 100.0])
def test_features_too_heavy_to_keep_and_maps_in_a_row_are_averaged_maps(pictures, monkeypatch, heavy):
    spec = SPEC.changed(**{"model.head": ["flatten", "dense:4", "relu"]})
    pixels, model = pictures(10), network(spec)
    monkeypatch.setattr("cutis.models.features.POOLED", 4)
    monkeypatch.setattr("cutis.models.features.HEAVY", heavy)
    seen = reference.see(model, pixels, spec)
    images = pixels.batch(np.arange(10), (32, 32), None)
    with torch.inference_mode():
        assert seen.features == pytest.approx(model.maps(images).mean((2, 3)).numpy(), abs=1e-5)
        assert seen.logits == pytest.approx(model(images).numpy(), abs=1e-5)


@pytest.mark.parametrize(("n", "f"), [(200, 6), (12, 30)])
def test_the_covariance_is_that_of_ledoit_and_wolf(n, f):
    rng = np.random.default_rng(n)
    values = (rng.normal(size=(n, f)) @ rng.normal(size=(f, f))).astype(np.float32)
    found, share = reference.shrunk(values)
    theirs, their_share = ledoit_wolf(values.astype(np.float64), assume_centered=True)
    assert share == pytest.approx(their_share, rel=1e-3)
    assert found == pytest.approx(theirs + 1e-6 * np.trace(theirs) / f * np.eye(f), rel=1e-3, abs=1e-4)


def test_features_that_never_vary_can_still_be_measured_against():
    found, _ = reference.shrunk(np.zeros((5, 3), np.float32))
    assert np.isfinite(np.linalg.inv(found)).all()


def test_mahalanobis_is_the_distance_to_the_nearest_class_as_scipy_measures_it():
    of, seen = made(np.random.default_rng(0))
    inverse = np.linalg.inv(of.covariance.astype(np.float64))
    theirs = [min(mahalanobis(row, mean, inverse) for mean in of.means) for row in seen.features]
    assert scope.scores["mahalanobis"](of, seen) == pytest.approx(theirs, rel=1e-4)


def test_the_nearest_cases_are_those_of_scikit_learn(monkeypatch):
    of, seen = made(np.random.default_rng(1))
    monkeypatch.setattr("cutis.models.neighbours.BLOCK", 100)  # several blocks
    found = nearest(of, seen.features, 7)
    theirs = NearestNeighbors(n_neighbors=7).fit(reference.unit(of.features))
    distances, rows = theirs.kneighbors(reference.unit(seen.features))
    assert found.distances == pytest.approx(distances, abs=1e-3)
    assert (found.rows == rows).all()
    assert found.cases(2)[0] == (f"i{rows[2, 0]}", "ab"[rows[2, 0] % 2], pytest.approx(distances[2, 0], abs=1e-3))
    assert nearest(of, seen.features, 500).rows.shape == (12, 60)


@pytest.mark.parametrize("asked", ["like them", "unlike them"])
def test_the_nearest_of_many_cases_in_many_features_are_those_of_scikit_learn(asked):
    """Like them: few cases need a closer look, because 12 directions hold most of their length. Unlike them: nearly all do."""
    rng = np.random.default_rng(7)
    plane = rng.normal(size=(12, 300))
    features = (rng.normal(size=(3000, 12)) @ plane + 0.3 * rng.normal(size=(3000, 300))).astype(np.float32)
    of = reference.of(network(), Seen(features, features[:, :2]), np.arange(3000).astype(str), np.arange(3000) % 2)
    new = rng.normal(size=(9, 12)) @ plane + 0.3 * rng.normal(size=(9, 300)) if asked == "like them" else rng.normal(size=(9, 300))
    found = nearest(of, new.astype(np.float32), 10)
    theirs = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(reference.unit(of.features).astype(np.float64))
    distances, rows = theirs.kneighbors(reference.unit(new.astype(np.float32)).astype(np.float64))
    assert found.distances == pytest.approx(distances, abs=1e-5)
    assert (found.rows == rows).all()
    # a bound is one: no cosine is larger
    cosine = reference.unit(new.astype(np.float32)) @ of.units.T
    assert (of.outline.most(reference.unit(new.astype(np.float32))) >= cosine - 1e-6).all()


def test_of_equally_near_cases_the_first_comes_first():
    of, _ = made(np.random.default_rng(2))
    same = replace(of, features=np.ones_like(of.features))
    assert nearest(same, np.ones((1, 5), np.float32), 3).rows.tolist() == [[0, 1, 2]]


def test_energy_is_that_of_torch():
    of, seen = made(np.random.default_rng(3))
    theirs = -torch.logsumexp(torch.from_numpy(seen.logits).double(), 1).numpy()
    assert scope.scores["energy"](of, seen) == pytest.approx(theirs)


@pytest.mark.parametrize("in_scope", [0.5, 0.9, 0.95])
def test_a_limit_lets_the_share_pass_and_no_lower_one_does(in_scope):
    strange = np.random.default_rng(4).normal(size=37)
    cut = scope.limit(strange, in_scope)
    assert (strange <= cut).mean() >= in_scope
    assert (strange < cut).mean() < in_scope


def test_shares_refused_and_auroc_are_what_is_counted():
    rng = np.random.default_rng(5)
    groups = [np.array([f"{name}{i // 2}" for i in range(n)]) for name, n in (("n", 80), ("v", 120))]
    new, val = (Scored({"energy": rng.normal(mean, 1, len(g)).round(1)}, g) for mean, g in zip((1.5, 0), groups, strict=True))
    limits = {"energy": scope.limit(val.strange["energy"], 0.95)}
    found = scope.measured(new, val, limits, Evaluation(replicates=200), 0)["energy"]
    assert found["refused"]["value"] == pytest.approx((new.strange["energy"] > limits["energy"]).mean())
    both = np.concatenate([new.strange["energy"], val.strange["energy"]])
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(np.repeat([1, 0], [80, 120]), both))
    for figure in found.values():
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] == 80


def test_a_reference_comes_back_as_it_was_written_and_only_for_its_own_model(tmp_path):
    rng = np.random.default_rng(6)
    of, _ = made(rng)
    run = Run(tmp_path)
    assert reference.load(run) is None
    build.save(network(), run.model_file, SPEC)
    labels = np.array(of.classes)[of.labels]
    table = pd.DataFrame({"image": of.images, "label": labels, "split": "train", "sha256": ""})
    more = pd.DataFrame({"image": ["x", "y"], "label": ["a", None], "split": ["val", "train"], "sha256": ""})
    run.save_table("split", pd.concat([more[1:], table, more[:1]]))
    reference.save(of, run)
    found = reference.load(run)
    assert found is not None
    for name in ("images", "labels", "features", "means", "covariance"):
        assert (getattr(found, name) == getattr(of, name)).all(), name
    whole = (tmp_path / reference.FILE).read_bytes()
    (tmp_path / reference.FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="damaged"):
        reference.load(run)
    (tmp_path / reference.FILE).write_bytes(whole)
    torch.manual_seed(1)
    build.save(build.build(SPEC, ("a", "b"))[0], run.model_file, SPEC)
    assert reference.load(run) is None

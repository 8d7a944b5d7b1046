"""Copies and leakage, planted in pictures that Cutis draws: every kind of copy is found, look-alikes are not, counts are by hand."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn

from cutis import recipe
from cutis.audit import copies, perceptual, registered
from cutis.audit.checks import leakage
from cutis.audit.subject import Subject, checks
from cutis.data import augment, cache, synthetic
from cutis.data.table import finish

SIZE, LESIONS = 160, 14
NOISE = 40  # grey levels: two photographs under as much agree by less than half

Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]


def jpeg(picture: Picture, quality: int) -> Picture:
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def crop(picture: Picture, top: float, left: float) -> Picture:
    side = round(0.95 * SIZE)
    y, x = (round(share * (SIZE - side)) for share in (top, left))
    return picture[y : y + side, x : x + side]


def turned(picture: Picture, k: int) -> Picture:
    return augment.symmetry(torch.from_numpy(picture.transpose(2, 0, 1)), k).permute(1, 2, 0).numpy()


CHANGES: dict[str, Change] = {
    "same": lambda picture: picture,
    **{f"symmetry-{k}": lambda picture, k=k: turned(picture, k) for k in range(1, 8)},
    **{f"quality-{q}": lambda picture, q=q: jpeg(picture, q) for q in (50, 70, 90)},
    "crop-corner": lambda picture: crop(picture, 0, 1),
    "crop-middle": lambda picture: crop(picture, 0.5, 0.5),
    "bright": lambda picture: cv2.convertScaleAbs(picture, alpha=1.1),
    "small": lambda picture: cv2.resize(picture, (120, 120), interpolation=cv2.INTER_AREA),
}  # fmt: skip
EXACT = {"same"}


def drawn(lesion: int, view: int = 0) -> Picture:
    """In the order of channels that OpenCV writes."""
    return np.ascontiguousarray(synthetic.draw(lesion, view, size=SIZE, seed=5)[0][..., ::-1])


def subject(folder: Path, pictures: dict[str, Picture], quick: bool = False, **columns: list[str]) -> Subject:
    """PNG files of these names, each a lesion of its own where no column says otherwise; without features."""
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
    rows = pd.DataFrame({"image": list(pictures), "label": "nv", **columns})
    table = finish(rows, folder, "csv", [])
    spec = recipe.load("probe").changed(**{"images.size": SIZE, "model.weights": "none"})
    return Subject(table, cache.build(table, spec.images, workers=1, folder=folder / "cache"), spec, quick=quick)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, dict[frozenset[str], str]]:
    """Drawn lesions, two views of some, and a copy of each kind of another lesion each; and which pairs are copies of which kind."""
    pictures = {f"l{lesion}_{view}.png": drawn(lesion, view) for lesion in range(LESIONS) for view in range(1 + (lesion < 4))}
    truth = {}
    for n, (kind, change) in enumerate(CHANGES.items()):
        name = f"l{n % LESIONS}_0.png"
        pictures[f"{kind}.png"] = change(pictures[name])
        truth[frozenset({name, f"{kind}.png"})] = kind
    return subject(tmp_path_factory.mktemp("planted"), pictures), truth


@pytest.mark.parametrize("kind", CHANGES)
def test_a_planted_copy_is_found(planted: tuple[Subject, dict[frozenset[str], str]], kind: str) -> None:
    data, truth = planted
    names, found = data.readable["image"], data.once(copies.found)
    pair = next(set(pair) for pair, planted_kind in truth.items() if planted_kind == kind)
    assert any(pair <= {names[i] for i in cluster} for cluster in found.clusters)
    exact = [{names[i] for i in members} for members in found.exact]
    assert (pair in exact) == (kind in EXACT)


def test_nothing_else_is_a_copy(planted: tuple[Subject, dict[frozenset[str], str]]) -> None:
    data, truth = planted
    names, found = data.readable["image"], data.once(copies.found)
    originals = {name: pair for pair in truth for name in pair}
    for cluster in found.clusters:
        for one, other in combinations([names[i] for i in cluster], 2):
            related = originals[one] | originals[other]
            assert len([name for name in related if name.startswith("l")]) == 1, f"{one} and {other} are of different photographs"


def test_a_pair_says_how_its_pictures_lie(planted: tuple[Subject, dict[frozenset[str], str]]) -> None:
    data, truth = planted
    names = data.readable["image"]
    for pair in data.once(copies.found).near:
        kind = truth.get(frozenset({names[pair.a], names[pair.b]}), "")
        assert pair.a < pair.b
        assert copies.CONFIRMED <= pair.correlation <= 1
        assert np.isnan(pair.similarity)
        if kind.startswith("symmetry"):  # the copy comes after its original, so b has to be turned back
            assert pair.symmetry == augment.inverse(int(kind[-1]))


def test_spectra_are_the_lowest_frequencies_of_the_dct() -> None:
    pictures = np.random.default_rng(0).random((3, 56, 56)).astype(np.float32)
    expected = dctn(pictures, axes=(1, 2), norm="ortho")[:, :16, :16]
    np.testing.assert_allclose(perceptual.spectra(pictures), expected, atol=1e-4)
    window = perceptual.spectra(pictures, (7 / 56, 14 / 56, 0.5))
    np.testing.assert_allclose(window, dctn(pictures[:, 7:35, 14:42], axes=(1, 2), norm="ortho")[:, :16, :16], atol=1e-4)


@pytest.mark.parametrize("k", range(8))
def test_turned_spectra_are_those_of_turned_pictures(k: int) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 56, 56), np.uint8)
    turned = augment.symmetry(torch.from_numpy(pictures), k).numpy()
    np.testing.assert_array_equal(np.stack([perceptual.turn(p, k) for p in pictures]), turned)
    spectra = perceptual.spectra(pictures.astype(np.float32))
    np.testing.assert_allclose(perceptual.turned(spectra, k), perceptual.spectra(turned.astype(np.float32)), atol=0.05)
    assert perceptual.INVERSE[k] == augment.inverse(k)


def test_a_moved_and_dimmed_photograph_is_matched_and_another_is_not() -> None:
    big = cv2.cvtColor(cv2.resize(drawn(1), (150, 150)), cv2.COLOR_BGR2GRAY)
    other = cv2.cvtColor(cv2.resize(drawn(2), (112, 112)), cv2.COLOR_BGR2GRAY)
    one = np.ascontiguousarray(big[10:122, 12:124])
    moved = cv2.resize(big[12:119, 14:121], (112, 112)) * 0.8 + 10
    assert registered.match(one, moved.astype(np.uint8)).correlation > 0.8
    assert registered.match(one, moved.astype(np.uint8)).scale == pytest.approx(112 / 107, abs=0.01)
    assert registered.match(one, other).correlation < copies.CONFIRMED


def test_a_single_picture_flat_pictures_and_quick_audits_have_no_near_copies(tmp_path: Path) -> None:
    grey = {f"{level}.png": np.full((SIZE, SIZE, 3), level, np.uint8) for level in (50, 51, 200)}
    assert copies.found(subject(tmp_path / "flat", grey)).clusters == ()
    assert copies.found(subject(tmp_path / "one", {"a.png": drawn(0)})).clusters == ()
    data = subject(tmp_path / "quick", {"a.png": drawn(0), "b.png": drawn(0), "c.png": jpeg(drawn(0), 80)}, quick=True)
    told = checks["20 copies"].run(data)
    assert told is not None
    assert told.numbers["exact_sets"] == 1
    assert told.numbers["near_pairs"] is None
    assert "full audit" in told.limits[0]


def test_features_bring_candidates_that_hashes_miss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pictures = {f"{n}.png": drawn(n) for n in range(6)}
    data = subject(tmp_path, pictures | {"copy.png": jpeg(drawn(3), 80)})
    rng = np.random.default_rng(0)
    features = rng.normal(size=(7, 20)).astype(np.float32)
    features[6] = features[3] + 0.01
    data.__dict__["features"] = features
    monkeypatch.setattr(copies, "RADIUS", -1)
    (pair,) = copies.found(data).near
    assert (pair.a, pair.b) == (3, 6)
    assert pair.similarity > 0.99


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Twelve pictures of which exact and near copies contradict each other in labels, lesions and parts of the split."""
    views = {f"v{n}.png": drawn(n) for n in range(6)}
    pictures = views | {
        "exact-label.png": views["v0.png"], "exact-lesion.png": views["v1.png"], "exact-within.png": views["v2.png"],
        "near-label.png": jpeg(views["v3.png"], 80), "near-lesion.png": views["v4.png"][:, ::-1],
        "near-within.png": jpeg(views["v5.png"], 70),
    }  # fmt: skip
    return subject(
        tmp_path_factory.mktemp("torn"),
        pictures,
        label=["nv"] * 6 + ["mel", "nv", "nv", "mel", "nv", "nv"],
        lesion=["a", "b", "c", "d", "e", "f", "g", "h", "c", "i", "j", "f"],
        split=["train"] * 6 + ["train", "test", "train", "val", "test", "test"],
    )


def test_copies_that_contradict_each_other_are_told_apart(torn: Subject) -> None:
    told = checks["20 copies"].run(torn)
    assert told is not None
    by_kind = {f.kind: ({frozenset(item.images) for item in f.items}, f.severity, f.rule) for f in told.findings}
    pair = lambda one, other: {frozenset({f"{one}.png", f"{other}.png"})}  # noqa: E731
    assert by_kind == {
        "exact-copies-different-labels": (pair("v0", "exact-label"), "serious", "conflicting"),
        "exact-copies-different-groups": (pair("v1", "exact-lesion"), "warning", "copies"),
        "exact-copies": (pair("v2", "exact-within"), "note", "copies"),
        "near-copies-different-labels": (pair("v3", "near-label"), "serious", "conflicting"),
        "near-copies-different-groups": (pair("v4", "near-lesion"), "warning", "copies"),
        "near-copies": (pair("v5", "near-within"), "note", ""),
    }
    assert told.numbers["exact_images"] == 6
    assert told.numbers["near_images"] == 6


def test_what_crosses_the_split_is_named_and_counted_by_class(torn: Subject) -> None:
    told = checks["30 leakage"].run(torn)
    assert told is not None
    by_kind = {f.kind: {frozenset(item.images) for item in f.items} for f in told.findings if f.severity == "serious"}
    assert by_kind == {
        "groups-across-splits": {frozenset({"v5.png", "near-within.png"})},
        "exact-copies-across-splits": {frozenset({"v1.png", "exact-lesion.png"})},
        "near-copies-across-splits": {frozenset({"v3.png", "near-label.png"}), frozenset({"v4.png", "near-lesion.png"})},
    }
    assert told.numbers["classes"]["nv"] == {"test": 3, "test_in_train": 3, "test_in_val": 0, "val": 0, "val_in_train": 0}
    assert told.numbers["classes"]["mel"] == {"test": 0, "test_in_train": 0, "test_in_val": 0, "val": 1, "val_in_train": 1}


def test_the_expected_leak_of_a_random_split_is_what_counting_gives() -> None:
    groups = pd.Series(list("aaabbc"))
    train = 0.5  # three of six
    leak = leakage.expected(groups, train)
    for i in range(6):
        splits = [set(s) for s in combinations([j for j in range(6) if j != i], 3)]
        hit = sum(any(groups[j] == groups[i] for j in s) for s in splits)
        assert leak[i] == pytest.approx(hit / comb(5, 3), abs=1e-9)
    assert leakage.expected(pd.Series(list("aaaaaa")), train).tolist() == [1.0] * 6
    assert leakage.expected(pd.Series(list("abcdef")), train).tolist() == pytest.approx([0.0] * 6, abs=1e-9)


def test_augmented_copies_are_known_by_their_names(tmp_path: Path) -> None:
    pictures = {f"train/ISIC_00{n}7.png": drawn(n) for n in range(4)}
    pictures |= {"train/ISIC_0007_aug1.png": drawn(0)[::-1], "test/flip-ISIC_0017.png": drawn(1)[:, ::-1]}
    pictures |= {"train/ISIC_0099.png": jpeg(drawn(2), 80)}  # a near copy whose name is related to all
    data = subject(tmp_path, pictures)
    data = replace(data, table=data.table.assign(split=data.table["image"].str.split("/").str[0]))
    told = checks["30 leakage"].run(data)
    assert told is not None
    (finding,) = [f for f in told.findings if f.kind == "augmented-copies"]
    assert {frozenset(item.images) for item in finding.items} == {
        frozenset({"train/ISIC_0007.png", "train/ISIC_0007_aug1.png"}),
        frozenset({"train/ISIC_0017.png", "test/flip-ISIC_0017.png"}),
    }
    assert finding.severity == "serious"


def test_patients_with_several_lesions_are_noted(tmp_path: Path) -> None:
    data = subject(tmp_path, {f"{n}.png": drawn(n) for n in range(4)}, True, lesion=list("abcd"), patient=["p", "p", "q", "r"])
    told = checks["30 leakage"].run(data)
    assert told is not None
    (finding,) = [f for f in told.findings if f.kind == "patients-with-several-lesions"]
    assert [set(item.images) for item in finding.items] == [{"0.png", "1.png"}]
    assert told.sentence.startswith("The data come without a split")


def test_pictures_that_are_no_copies_but_look_like_one_lesion_are_told_apart(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, NOISE, (SIZE, SIZE, 3))
    pictures = {f"v{n}.png": drawn(n) for n in range(4)}
    pictures |= {f"grainy{n}.png": np.clip(pictures[f"v{n}.png"] + noise, 0, 255).astype(np.uint8) for n in (2, 3)}
    data = subject(tmp_path, pictures, lesion=["a", "b", "c", "d", "e", "d"])  # the last is of the lesion of v3
    told = checks["20 copies"].run(data)
    assert told is not None
    (finding,) = told.findings
    assert finding.kind == "alike-under-different-lesions"
    assert [set(item.images) for item in finding.items] == [{"v2.png", "grainy2.png"}]
    assert all(copies.LIKE <= (item.score or 0) < copies.CONFIRMED for item in finding.items)
    assert data.once(copies.found).clusters == ()


@pytest.mark.slow
def test_the_copies_of_ham10000_are_found(data_root: Path, weights_root: Path) -> None:
    from cutis.data import readers, splits

    folder = data_root / "isic2018"
    if not (folder / "HAM10000_metadata.csv").is_file():
        pytest.skip("CUTIS_DATA has no isic2018/HAM10000_metadata.csv")
    table = splits.from_file(readers.read(folder / "HAM10000_metadata.csv"), f"{folder / 'dermamnist_splits.csv'}:split_official")
    spec = recipe.load("probe")
    data = Subject(table, cache.build(table, spec.images), spec)
    told = {f.kind: f for f in checks["20 copies"].run(data).findings}
    assert 10 <= len(told["near-copies-different-groups"].items) <= 18
    crossing = {f.kind: f for f in checks["30 leakage"].run(data).findings}["groups-across-splits"]
    assert len(crossing.items) == 1006
    assert crossing.images == 2398

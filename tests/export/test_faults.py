"""What a bundle from elsewhere may try: pickles (M1), altered and absurd parts (M2), members that answer otherwise (M3), zips (D2)."""

import json
import os
import pickle
import resource
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from cutis.errors import ArtifactError, CutisError
from cutis.export import about, archive, verified
from cutis.export import bundle as bundles
from cutis.export.bundle import Bundle
from cutis.models import build
from cutis.recipe import Recipe

Forge = Callable[..., Path]
MODEL = "members/model/model.safetensors"


class Canary:
    """An object whose pickle makes a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def resaved(folder: Path, forge: Forge, spec: Recipe, classes: tuple[str, ...] | None = None) -> Path:
    """A bundle whose model file tells of this recipe and these classes, all sums right."""
    model, _ = build.load(folder / MODEL)
    model.classes = classes or model.classes
    build.save(model, folder / MODEL, spec)
    told = verified.carried(folder / MODEL)
    return forge(folder, lambda data: data["members"][0].update(recipe=told.digest, input=told.input.model_dump(mode="json")))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_fault_m1_a_pickle_is_never_read(spoilt: Path, forge: Forge, tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Canary(canary), protocol)
    (spoilt / MODEL).write_bytes(payload)
    with pytest.raises(ArtifactError, match="damaged"):
        bundles.open(forge(spoilt))
    torch.save(Canary(canary), spoilt / MODEL)
    with pytest.raises(ArtifactError, match="damaged"):
        bundles.open(forge(spoilt))
    (spoilt / "bundle.json").write_bytes(payload)
    with pytest.raises(ArtifactError, match="not valid JSON"):
        bundles.open(spoilt)
    assert not canary.exists()
    pickle.loads(payload)  # noqa: S301 - it would have sung
    assert canary.exists()


def test_fault_m1_nor_one_that_a_recipe_names(spoilt: Path, forge: Forge, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"state_dict": Canary(canary)}, tmp_path / "weights.pth")
    _, spec = build.load(spoilt / MODEL)
    options = {"checkpoint_path": str(tmp_path / "weights.pth")}
    opened = bundles.open(resaved(spoilt, forge, spec.changed(**{"model.backbone": "resnet18", "model.options": options})))
    with pytest.raises(ArtifactError, match="checkpoint_path"):
        opened.members[0].load()
    assert not canary.exists()


def test_fault_m1_a_reference_with_objects_is_refused(spoilt: Path, forge: Forge, tmp_path: Path) -> None:
    canary, file = tmp_path / "canary", spoilt / "members/model/reference.safetensors"
    np.save(tmp_path / "objects.npy", np.array([Canary(canary)]), allow_pickle=True)
    file.write_bytes((tmp_path / "objects.npy").read_bytes())
    with pytest.raises(ArtifactError, match="damaged"):
        bundles.open(forge(spoilt)).members[0].reference()
    assert not canary.exists()


def test_fault_m2_a_flipped_bit_in_any_part_is_found(spoilt: Path) -> None:
    listed = json.loads((spoilt / "bundle.json").read_text())["files"]
    rng = np.random.default_rng(0)
    for name in [*list(listed)[:6], MODEL, "members/model/reference.safetensors", "cases.json"]:
        file = spoilt / name
        whole = file.read_bytes()
        for place in rng.integers(len(whole), size=3):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
            with pytest.raises(ArtifactError, match="SHA-256 differs"):
                bundles.open(spoilt)
        for other in (whole[:-1], whole + b"\0", b""):
            file.write_bytes(other)
            with pytest.raises(ArtifactError, match="altered or cut"):
                bundles.open(spoilt)
        file.unlink()
        with pytest.raises(ArtifactError, match="there is no"):
            bundles.open(spoilt)
        file.write_bytes(whole)
    bundles.open(spoilt)


def test_fault_m2_a_flipped_bit_in_the_listing_is_found(spoilt: Path, bundle: Bundle) -> None:
    file, rng = spoilt / "bundle.json", np.random.default_rng(1)
    whole, found = file.read_bytes(), 0
    for place in rng.integers(len(whole), size=200):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
        try:
            same = bundles.open(spoilt).about  # a changed space between two words of JSON is no change
            assert same == bundle.about
        except ArtifactError:
            found += 1
    assert found > 100


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["fitted"]["calibration"].update(temperature=9.0),
        lambda d: d["classes"].reverse(),
        lambda d: d["scope"].update(limit=9.0),
        lambda d: d["about"].update(figure="Balanced accuracy 1.000"),
        lambda d: d.update(notice="Ask no doctor."),
        lambda d: d["colours"].update(mel="#000000"),
    ],
)
def test_fault_m2_any_value_that_was_changed_in_the_listing_is_found(spoilt: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((spoilt / "bundle.json").read_text())
    change(data)
    (spoilt / "bundle.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="was changed after the bundle was made"):
        bundles.open(spoilt)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "members/../../outside.json", "a//b", ".hidden", "a\\..\\b", "a\nb"])
def test_fault_m2_no_part_lies_outside(spoilt: Path, forge: Forge, name: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    with pytest.raises(ArtifactError, match="cannot be used: files"):
        bundles.open(forge(spoilt, lambda data: data["files"].update({name: entry})))


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**63, 2**64 - 1])
def test_fault_m2_a_bad_header_is_refused_before_it_is_read(spoilt: Path, forge: Forge, length: int) -> None:
    whole = (spoilt / MODEL).read_bytes()
    (spoilt / MODEL).write_bytes(struct.pack("<Q", length) + whole[8:])
    with pytest.raises(ArtifactError, match="damaged"):
        bundles.open(forge(spoilt))


def test_fault_m2_a_header_larger_than_any_networks_is_not_parsed(spoilt: Path, forge: Forge) -> None:
    text = b'{"__metadata__": {"a": "' + b"x" * verified.HEADER + b'"}}'
    (spoilt / MODEL).write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ArtifactError, match="at most 8,388,608 are read"):
        bundles.open(forge(spoilt))


@pytest.mark.parametrize("head", [("avgpool", "dense:400000000"), ("avgpool", "dense:5"), ("flatten",)])
def test_fault_m2_shapes_are_compared_before_memory_is_taken(spoilt: Path, forge: Forge, head: tuple[str, ...]) -> None:
    _, spec = build.load(spoilt / MODEL)
    opened = bundles.open(resaved(spoilt, forge, spec.changed(**{"model.head": head})))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match="does not fit its own recipe"):
        opened.members[0].load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; the first head asks for 51 GB


@pytest.mark.parametrize(
    ("tensor", "shape"), [("labels", (3,)), ("means", (4, 5)), ("covariance", (5, 5)), ("features", (7, 32, 2)), ("labels", None)]
)
def test_fault_m2_a_reference_that_does_not_fit_is_refused(spoilt: Path, forge: Forge, bundle: Bundle, tensor: str, shape: Any) -> None:
    own, file = bundle.members[0].reference(), spoilt / "members/model/reference.safetensors"
    assert own is not None
    tensors = {"features": own.features, "means": own.means, "covariance": own.covariance, "labels": own.labels}
    tensors[tensor] = np.zeros(shape, tensors[tensor].dtype) if shape else own.labels + 100
    save_file(tensors, file, metadata={"cutis-reference-1": json.dumps({"classes": own.classes})})
    with pytest.raises(ArtifactError, match="cannot be used"):
        bundles.open(forge(spoilt)).members[0].reference()


def test_fault_m2_what_bundle_json_says_of_a_network_is_what_the_network_says(spoilt: Path, forge: Forge) -> None:
    with pytest.raises(ArtifactError, match="do not agree on how the member model takes pictures"):
        bundles.open(forge(spoilt, lambda data: data["members"][0]["input"].update(fit="pad")))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d["files"].pop(MODEL), "of which it has no SHA-256"),
        (lambda d: d.update(classes=["mel"]), "classes"),
        (lambda d: d["members"].append(d["members"][0]), "two members have one name"),
        (lambda d: d["members"].append(d["members"][0] | {"name": "two"}), "no rule that combines them"),
        (lambda d: d.update(rule={"kind": "weighted", "how": "", "weights": [0.5, 0.5]}), "combines 2 members, and there are 1"),
        (lambda d: d["scope"].update(member="nobody"), "has no reference"),
        (lambda d: d["colours"].update(mel="red;background:url(//x)"), "colours"),
        (lambda d: d.update(surprise=1), "Extra inputs"),
        (lambda d: d["files"][MODEL].update(bytes=10**15), "lists more than"),
    ],
)
def test_fault_m2_a_listing_that_cannot_be_is_refused(
    spoilt: Path, forge: Forge, change: Callable[[dict[str, Any]], object], match: str
) -> None:
    with pytest.raises(ArtifactError, match=match):
        bundles.open(forge(spoilt, change))


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "members/model/absent.jpg", "bundle.json"])
def test_fault_m2_cases_are_parts_of_the_bundle_and_nothing_else_on_the_disk(spoilt: Path, forge: Forge, name: str) -> None:
    told = json.loads((spoilt / "cases.json").read_text())
    told["cases"][name] = "mel"
    (spoilt / "cases.json").write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match=r"cases\.json (cannot be used|names pictures)"):
        bundles.open(forge(spoilt))


def test_fault_m2_a_part_that_is_not_listed_is_not_used(spoilt: Path, forge: Forge) -> None:
    def unlisted(data: dict[str, Any]) -> None:
        data["members"][0]["reference"] = data["scope"] = data["cases"] = None
        data["files"] = {MODEL: data["files"][MODEL]}

    opened = bundles.open(forge(spoilt, unlisted))
    assert (opened.folder / "cases.json").is_file()
    assert opened.members[0].reference() is None
    assert opened.cases() == {}


def test_fault_m2_a_listing_too_large_is_not_read(spoilt: Path) -> None:
    with (spoilt / "bundle.json").open("r+b") as file:
        file.truncate(verified.LISTING + 1)  # a hole: it takes no room
    with pytest.raises(ArtifactError, match="are read"):
        bundles.open(spoilt)


def test_fault_m2_a_pipe_in_place_of_a_part_is_not_waited_for(spoilt: Path) -> None:
    (spoilt / MODEL).unlink()
    os.mkfifo(spoilt / MODEL)
    with pytest.raises(ArtifactError, match="is no file"):
        bundles.open(spoilt)


def test_fault_m3_members_with_another_order_are_mapped_by_name(bundle: Bundle, tmp_path: Path) -> None:
    classes = bundle.classes
    turned = tuple(reversed(classes))
    parts: dict[str, Path | bytes] = {}
    members = []
    for name, order in (("one", classes), ("two", turned)):
        model = bundle.members[0].load()
        model.classes = order
        build.save(model, tmp_path / f"{name}.safetensors", bundle.members[0].spec)
        folder, told = bundles.described(name, 0.5, tmp_path / f"{name}.safetensors")
        parts[f"{folder}/model.safetensors"] = tmp_path / f"{name}.safetensors"
        members.append(told)
    fields = {key: getattr(bundle.about, key) for key in about.Draft.model_fields}
    rule = {"kind": "weighted", "how": "by hand", "weights": (0.5, 0.5)}
    draft = about.Draft.model_validate(fields | {"members": tuple(members), "rule": rule, "scope": None, "cases": None})
    opened = bundles.open(bundles.write(draft, parts, "# card\n", tmp_path / "two"))
    assert [member.classes for member in opened.members] == [classes, turned]
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet(np.ones(4), 5), rng.dirichlet(np.ones(4), 5)
    expected = [[(a[classes.index(c)] + b[turned.index(c)]) / 2 for c in classes] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(opened.combine([first, second]), expected)


def test_fault_m3_a_member_with_other_classes_is_refused(spoilt: Path, forge: Forge, bundle: Bundle) -> None:
    _, spec = build.load(spoilt / MODEL)
    other = resaved(spoilt, forge, spec, (*bundle.classes[:3], "wart"))
    with pytest.raises(ArtifactError, match=r"answers for .*wart"):
        bundles.open(other)


@pytest.fixture
def zipped(bundle: Bundle, tmp_path: Path) -> Path:
    return bundles.copy(bundle, tmp_path / "bundle.zip")


def rezipped(zipped: Path, change: Callable[[str, bytes], tuple[zipfile.ZipInfo, bytes] | None], *more: tuple[Any, bytes]) -> Path:
    """The zip with entries changed (None: as it is), and more of them."""
    out = zipped.with_name("changed.zip")
    with zipfile.ZipFile(zipped) as source, zipfile.ZipFile(out, "w") as sink:
        for name in source.namelist():
            sink.writestr(*(change(name, source.read(name)) or (name, source.read(name))))
        for name, content in more:
            sink.writestr(name, content)
    return out


def test_fault_d2_what_leads_out_of_a_zip_is_not_unpacked(zipped: Path, bundle: Bundle, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    strange = [("../slipped", b"x"), ("/tmp/slipped", b"x"), ("..\\slipped", b"x"), (link, b"/etc/passwd"), ("members/extra", b"x")]
    opened = bundles.open(rezipped(zipped, lambda name, content: None, *strange))
    assert sorted(str(p.relative_to(opened.folder)) for p in opened.folder.rglob("*") if p.is_file()) == sorted(
        ["bundle.json", *bundle.about.files]
    )
    assert not list(tmp_path.rglob("slipped"))


def test_fault_d2_a_link_in_place_of_a_part_is_refused(zipped: Path) -> None:
    def linked(name: str, content: bytes) -> tuple[zipfile.ZipInfo, bytes] | None:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        return (info, b"/etc/passwd".ljust(len(content), b"\0")) if name == MODEL else None

    with pytest.raises(ArtifactError, match="SHA-256 differs"):
        bundles.open(rezipped(zipped, linked))


def test_fault_d2_a_bomb_is_refused_before_it_is_unpacked(zipped: Path, spoilt: Path, forge: Forge) -> None:
    def packed(name: str, content: bytes) -> tuple[zipfile.ZipInfo, bytes] | None:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        return (info, b"\0" * 10**7) if name == MODEL else None

    with pytest.raises(ArtifactError, match="not as it was packed"):
        bundles.open(rezipped(zipped, packed))
    (spoilt / MODEL).write_bytes(b"\0" * 10**8)
    listing = forge(spoilt).joinpath("bundle.json").read_bytes()
    told = rezipped(zipped, lambda name, content: (zipfile.ZipInfo(name), listing) if name == "bundle.json" else packed(name, content))
    with pytest.raises(ArtifactError, match="is said to unpack to 100,"):
        bundles.open(told)

    def heavy(name: str, content: bytes) -> tuple[zipfile.ZipInfo, bytes] | None:
        return (zipfile.ZipInfo(name), b" " * (verified.LISTING + 1)) if name == "bundle.json" else None

    with pytest.raises(ArtifactError, match="has more than"):
        bundles.open(rezipped(zipped, heavy))


def test_fault_d2_a_compressed_listing_is_refused_before_its_stream_is_read(zipped: Path) -> None:
    def packed(name: str, content: bytes) -> tuple[zipfile.ZipInfo, bytes] | None:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        return (info, content) if name == "bundle.json" else None

    told = rezipped(zipped, packed)
    with zipfile.ZipFile(told) as found:
        place = found.getinfo("bundle.json").header_offset + 30 + len("bundle.json")
    damaged = bytearray(told.read_bytes())
    damaged[place : place + 20] = b"\xff" * 20  # zlib raises an error of its own
    told.write_bytes(damaged)
    with pytest.raises(ArtifactError, match="is compressed"):
        bundles.open(told)


def test_fault_d2_a_directory_without_end_is_not_read(zipped: Path, tmp_path: Path) -> None:
    whole = zipped.read_bytes()
    place = whole.rfind(b"PK\5\6")
    for spoiled in (
        whole[: place + 12] + struct.pack("<L", archive.ENTRIES * 1024 + 1) + whole[place + 16 :],
        whole[:place] + b"PK\6\7" + b"\0" * 16 + whole[place:],  # zip64
    ):
        (tmp_path / "endless.zip").write_bytes(spoiled)
        with pytest.raises(ArtifactError, match="holds more than a bundle has"):
            bundles.open(tmp_path / "endless.zip")


def test_fault_d2_a_cut_zip_is_refused(zipped: Path) -> None:
    whole = zipped.read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        zipped.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CutisError):
            bundles.open(zipped)

"""Pretrained weights: found, refused with what to do, and never replaced by random ones."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cutis.errors import ArtifactError
from cutis.files import sha256
from cutis.models import backbones, weights

NAME = "test_resnet.r160_in1k"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTIS_WEIGHTS", str(tmp_path))
    return tmp_path


def published(name: str = NAME) -> dict[str, torch.Tensor]:
    """Weights as a file has them, classifier included."""
    state = backbones.create(name, {}).state_dict() | {"fc.weight": torch.rand(1000, 8), "fc.bias": torch.rand(1000)}
    return {k: torch.full_like(v, 0.5) for k, v in state.items()}


@pytest.mark.parametrize("file", [f"{NAME}.safetensors", "test_resnet.safetensors"])
def test_the_local_folder_is_looked_into_with_and_without_the_tag(folder: Path, file: str) -> None:
    save_file(published(), folder / file)
    model = backbones.create(NAME, {})
    source = weights.load(model, NAME, "pretrained")
    assert (source.name, source.sha256) == (file, sha256(folder / file))
    assert source.licence == "apache-2.0"
    assert all((v == 0.5).all() for v in model.state_dict().values() if v.is_floating_point())


def test_the_file_with_the_tag_comes_first(folder: Path) -> None:
    save_file(published(), folder / "test_resnet.safetensors")
    save_file(published(), folder / f"{NAME}.safetensors")
    assert weights.find(NAME) == folder / f"{NAME}.safetensors"
    assert weights.find("test_resnet.another_tag") == folder / "test_resnet.safetensors"


def test_half_precision_weights_are_taken_up_in_full(folder: Path) -> None:
    save_file({k: v.half() if v.is_floating_point() else v for k, v in published().items()}, folder / f"{NAME}.safetensors")
    model = backbones.create(NAME, {})
    weights.load(model, NAME, "pretrained")
    assert {v.dtype for v in model.parameters()} == {torch.float32}


def test_without_file_and_network_nothing_is_trained_from_random_weights(folder: Path) -> None:
    model = backbones.create(NAME, {})
    with pytest.raises(ArtifactError, match=rf"(?s)neither in {folder}.*CUTIS_WEIGHTS.*cutis weights get {NAME}.*model.weights=none"):
        weights.load(model, NAME, "pretrained")
    with pytest.raises(ArtifactError, match="CUTIS_WEIGHTS"):
        weights.get(NAME)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["plain_cnn", "resnet18d_of_my_own"])
def test_what_has_no_published_weights_is_said_to_have_none(folder: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f"Nobody has published weights for {name}.*model.weights=none"):
        weights.load(backbones.create("plain_cnn", {}), name, "pretrained")


def test_from_scratch_is_a_choice_that_is_recorded() -> None:
    model = backbones.create("plain_cnn", {})
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert weights.load(model, "plain_cnn", "none") == weights.Source("none: trained from scratch")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def lacking(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    del state["layer1.0.conv1.weight"]
    return state


def other_shape(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state["layer1.0.conv1.weight"] = torch.rand(3, 3)
    return state


@pytest.mark.parametrize(("change", "named"), [(lacking, r"lacks layer1.0.conv1.weight \(1 in all\)"), (other_shape, r"\(3, 3\), not")])
def test_weights_of_another_network_are_refused_and_leave_the_model_alone(folder: Path, change: Any, named: str) -> None:
    save_file(change(published()), folder / "mine.safetensors")
    model = backbones.create(NAME, {})
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ArtifactError, match=f"mine.safetensors does not fit.*{named}"):
        weights.load(model, NAME, str(folder / "mine.safetensors"))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no weights file .*absent.safetensors"):
        weights.load(backbones.create(NAME, {}), NAME, str(folder / "absent.safetensors"))


@pytest.mark.parametrize("keep", [0, 7, 100, 5_000])
def test_a_damaged_file_is_refused(folder: Path, keep: int) -> None:
    file = folder / f"{NAME}.safetensors"
    save_file(published(), file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=rf"{NAME}.safetensors cannot be read as safetensors"):
        weights.load(backbones.create(NAME, {}), NAME, "pretrained")


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["weights.pth", f"{NAME}.safetensors"])
def test_fault_m1_a_pickled_file_is_refused_and_never_run(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps({"conv1.weight": Canary(folder / "canary")}))
    wanted = "pretrained" if name.startswith(NAME) else str(folder / name)
    with pytest.raises(ArtifactError, match="Only safetensors files are read"):
        weights.load(backbones.create(NAME, {}), NAME, wanted)
    assert not (folder / "canary").exists()


@pytest.mark.slow
def test_real_weights_are_taken_up_and_are_not_random(weights_root: Path) -> None:
    name = "mobilenetv2_100.ra_in1k"
    model = backbones.create(name, {}).eval()
    x = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        random = model.forward_head(model.forward_features(x))
        source = weights.load(model, name, "pretrained")
        real = model.forward_head(model.forward_features(x))
    assert source.sha256 == sha256(weights_root / source.name)
    assert torch.isfinite(real).all()
    assert (real - random).abs().mean() > 0.1
    assert weights.load(backbones.create(name, {}), name, str(weights_root / source.name)).sha256 == source.sha256

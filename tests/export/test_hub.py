"""The Hugging Face hub, and a folder that stands for it: a bundle is the same after it was pushed and pulled."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from cutis.errors import ArtifactError, CutisError
from cutis.export import bundle as bundles
from cutis.export.bundle import Bundle

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The calls of the hub's client that are used, upon a local folder; it has one commit, and a cache as the true one's."""
    home, cache = tmp_path / "hub", tmp_path / "cache"

    class Api:
        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
            assert private
            assert exist_ok
            (home / repo_id / "snapshots" / COMMIT).mkdir(parents=True, exist_ok=True)

        def create_commit(self, repo_id: str, operations: list[Any], *, commit_message: str, revision: str | None) -> None:
            for operation in operations:
                target = home / repo_id / "snapshots" / COMMIT / operation.path_in_repo
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(operation.path_or_fileobj, target)

    def fetched(repo_id: str, filename: str, *, revision: str | None = None) -> str:
        file = home / repo_id / "snapshots" / COMMIT / filename
        if revision not in (None, "main", COMMIT) or not file.is_file():
            raise huggingface_hub.errors.EntryNotFoundError(f"404: {filename}")
        kept = cache / repo_id / "snapshots" / COMMIT / filename
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        kept.symlink_to(file)
        return str(kept)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    return home


def test_what_is_pushed_is_what_is_pulled(bundle: Bundle, hub: Path) -> None:
    assert bundles.push(bundle, "hf://clinic/skin") == "hf://clinic/skin"
    for address in ("hf://clinic/skin", "hf://clinic/skin@main"):
        opened = bundles.open(address)
        assert opened.about == bundle.about
        assert opened.members[0].load().classes == bundle.classes
        assert (opened.folder / "card.md").is_file()
    assert sorted(p.name for p in opened.folder.iterdir()) == sorted(p.name for p in bundle.folder.iterdir())  # README.md is not fetched
    readme = hub / "clinic/skin/snapshots" / COMMIT / "README.md"
    assert readme.read_text() == (bundle.folder / "card.md").read_text()


def test_what_was_changed_on_the_hub_is_refused(bundle: Bundle, hub: Path) -> None:
    bundles.push(bundle, "hf://clinic/skin")
    file = next(hub.rglob("model.safetensors"))
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(ArtifactError, match="SHA-256 differs"):
        bundles.open("hf://clinic/skin")


def test_what_cannot_be_had_says_so(bundle: Bundle, hub: Path) -> None:
    with pytest.raises(ArtifactError, match=r"bundle.json of hf://clinic/nothing is not in the hub's cache"):
        bundles.open("hf://clinic/nothing")
    for address in ("hf://skin", "hf://clinic/", "hf://a/b/c"):
        with pytest.raises(CutisError, match="names no repository"):
            bundles.open(address)


def test_without_a_network_the_hubs_client_itself_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is set for all tests: the true client refuses at once."""
    with pytest.raises(CutisError, match=r"cannot be pushed to hf://clinic/skin .* --push FOLDER"):
        bundles.push(bundle, "hf://clinic/skin")
    with pytest.raises(ArtifactError, match="cannot be fetched"):
        bundles.open("hf://clinic/skin")


def test_a_folder_stands_for_the_hub(bundle: Bundle, tmp_path: Path) -> None:
    where = bundles.push(bundle, str(tmp_path / "shelf"))
    assert where == str(tmp_path / "shelf" / bundle.about.name)
    assert bundles.open(where).about == bundle.about

"""The Hugging Face hub: bundles are pushed to it and pulled from it as they are; a folder can stand for it where there is no network."""

import contextlib
from pathlib import Path
from typing import Any, Final

from cutis.errors import ArtifactError, CutisError
from cutis.export import verified
from cutis.export.about import About

SCHEME: Final = "hf://"
CARD: Final = "card.md"
README: Final = "README.md"
"""What the hub shows of a model: the card."""


def is_address(path: str | Path) -> bool:
    """Whether it names a repository of the hub: ``hf://OWNER/NAME``."""
    return isinstance(path, str) and path.startswith(SCHEME)


def push(folder: Path, about: About, where: str) -> str:
    """Put a bundle's folder under ``hf://OWNER/NAME``, whose repository is made, private, where there is none; where it now is.

    The card goes with it as README.md, which the hub shows. Raises CutisError where the hub cannot be reached or does not let us.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    name, revision = _repository(where)
    parts = [verified.FILE, *about.files]
    sources = [*((part, part) for part in parts), *((CARD, name) for name in (CARD, README) if (folder / CARD).is_file())]
    try:
        api = HfApi()
        api.create_repo(name, private=True, exist_ok=True)
        added = [CommitOperationAdd(path_in_repo=target, path_or_fileobj=folder / source) for source, target in sources]
        api.create_commit(name, added, commit_message=f"{about.name}, version {about.version}", revision=revision)  # all of it or nothing
    except Exception as error:  # the hub's client raises a dozen unrelated classes
        raise CutisError(
            f"The bundle cannot be pushed to {where} ({_short(error)}). Log in with 'hf auth login' and a token that may write there, or "
            "push to a folder: --push FOLDER"
        ) from error
    return f"{SCHEME}{name}"


def pull(where: str) -> Path:
    """The folder in the hub's own cache that holds the bundle ``hf://OWNER/NAME[@REVISION]``: only what its bundle.json lists.

    Raises ArtifactError where it cannot be reached and is not in the cache.
    """
    name, revision = _repository(where)
    listing = Path(_fetched(where, name, verified.FILE, revision))
    about = verified.about(listing.parent)
    commit = listing.parent.name  # snapshots/COMMIT: all parts from the one that the listing is of
    for part in about.files:
        _fetched(where, name, part, commit)
    with contextlib.suppress(ArtifactError):  # it is for people, and may lack
        _fetched(where, name, CARD, commit)
    return listing.parent


def _fetched(where: str, name: str, part: str, revision: str | None) -> Any:
    from huggingface_hub import hf_hub_download

    try:
        return hf_hub_download(name, part, revision=revision)
    except Exception as error:  # the hub's client raises a dozen unrelated classes
        raise ArtifactError(
            f"{part} of {where} is not in the hub's cache and cannot be fetched ({_short(error)}). Check the name, log in with "
            "'hf auth login' where it is private, or give a folder or zip."
        ) from error


def _repository(where: str) -> tuple[str, str | None]:
    """``OWNER/NAME`` and the revision. Raises CutisError where it is not of that form."""
    name, _, revision = where.removeprefix(SCHEME).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise CutisError(f"{where} names no repository of the hub. Write it as hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
    return name, revision or None


def _short(error: Exception) -> str:
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0][:160]}" if told else type(error).__name__

"""What is checked of a bundle before anything of it is used: its listing, each part's size and SHA-256, and the headers of its weights."""

import json
import os
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from cutis.errors import ArtifactError, CutisError
from cutis.export.about import FORMAT, About, Input, digest, seal, version
from cutis.files import sha256
from cutis.recipe import Recipe, validated

FILE: Final = "bundle.json"
MODEL_FORMAT: Final = "cutis-model-1"
LISTING: Final = 64 * 1024**2
"""Bytes at most of bundle.json; the largest there is, an ensemble by ranks with 20,000 cases, has a tenth of that."""
HEADER: Final = 8 * 1024**2
"""Bytes at most of a safetensors header; a network of 1,000 layers has 200 kB."""
TOTAL: Final = 64 * 1024**3
"""Bytes at most of all parts."""
DAMAGED: Final = "Fetch the bundle again, or export the run anew."


class Carried(NamedTuple):
    """What a model file says of itself: the recipe, the classes in the order of its logits, the recipe's SHA-256."""

    spec: Recipe
    classes: tuple[str, ...]
    digest: str

    @property
    def input(self) -> Input:
        """How it takes a photo."""
        spec = self.spec
        return Input(stored=spec.images.size, fit=spec.images.fit, predict=spec.predict_size, views=spec.predict.views)


def about(folder: Path) -> About:
    """bundle.json, checked. Raises ArtifactError where it is absent, too large, altered, or of another format."""
    path = folder / FILE
    if not path.is_file():
        if (folder / "recipe.json").is_file():
            raise ArtifactError(f"{folder} is a run, not a bundle. Make a bundle of it: cutis export {folder} --out BUNDLE")
        if shelf := sorted(inner.parent.name for inner in folder.glob(f"*/{FILE}")):
            raise ArtifactError(f"{folder} is no bundle, but holds {', '.join(shelf[:5])}. Name one of them: {folder / shelf[0]}")
        what = "holds no bundle.json" if folder.is_dir() else "does not exist"
        raise ArtifactError(f"There is no bundle at {folder}: it {what}. Make one: cutis export RUN --out BUNDLE")
    if path.stat().st_size > LISTING:
        raise ArtifactError(f"{path} has {path.stat().st_size:,} bytes; at most {LISTING:,} are read. {DAMAGED}")
    return parsed(path.read_bytes(), str(path))


def parsed(text: bytes, where: str) -> About:
    """What the bytes of a bundle.json say; ``where`` names it in messages."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        if data.get("format") != FORMAT:
            raise ArtifactError(f"{where} has the format {str(data.get('format'))[:40]!r}; this version of Cutis reads {FORMAT}.")
        found = About.model_validate(data)
        if found.seal != seal(data):
            raise ArtifactError(f"{where} was changed after the bundle was made. {DAMAGED}")
    except ArtifactError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{where} cannot be used: {'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}. {DAMAGED}") from None
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8, and of NaN, which JSON has not
        raise ArtifactError(f"{where} is not valid JSON ({str(error)[:100]}). {DAMAGED}") from None
    if found.version != version(data):
        raise ArtifactError(f"{where} says version {found.version}, and its parts are version {version(data)}. {DAMAGED}")
    listed = set(found.files)
    named = {path for m in found.members for path in (m.model, m.reference) if path} | ({found.cases} if found.cases else set())
    if lacking := sorted(named - listed):
        raise ArtifactError(f"{where} names {lacking[0]}, of which it has no SHA-256. {DAMAGED}")
    if sum(file.bytes for file in found.files.values()) > TOTAL:
        raise ArtifactError(f"{where} lists more than {TOTAL:,} bytes. {DAMAGED}")
    return found


def parts(folder: Path, about: About) -> None:
    """Compare every part with the listing: first all sizes, then the SHA-256. Raises ArtifactError naming the first that differs."""
    for name, file in about.files.items():
        try:
            status = (folder / name).stat()
        except OSError:
            raise ArtifactError(f"The bundle {folder} is incomplete: there is no {name}. {DAMAGED}") from None
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{folder / name} is no file. {DAMAGED}")
        if status.st_size != file.bytes:
            raise ArtifactError(f"{folder / name} has {status.st_size:,} bytes instead of {file.bytes:,}: it was altered or cut. {DAMAGED}")
    for name, file in about.files.items():
        if sha256(folder / name) != file.sha256:
            raise ArtifactError(f"{folder / name} is not what it was when the bundle was made: its SHA-256 differs. {DAMAGED}")


def carried(path: Path) -> Carried:
    """What a member's weights tell of themselves. Raises ArtifactError where they do not."""
    try:
        entry = json.loads(metadata(path)[MODEL_FORMAT])
        return Carried(validated(entry["recipe"]), tuple(map(str, entry["classes"])), digest(entry["recipe"]))
    except ArtifactError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, CutisError) else type(error).__name__
        raise ArtifactError(f"{path} tells no recipe and classes that can be used ({why[:300]}). {DAMAGED}") from None


def metadata(path: Path) -> dict[str, str]:
    """The texts in a safetensors file's header."""
    return dict(tensors(path).get("__metadata__", {}))


def tensors(path: Path) -> dict[str, Any]:
    """A safetensors header (https://github.com/huggingface/safetensors#format), of bounded size: {tensor: {dtype, shape, data_offsets}}.

    Raises ArtifactError where it is larger than the bound or the file, no JSON, or its tensors do not fill the file.
    """
    with path.open("rb") as file:
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if length > min(HEADER, size - 8):
            raise ArtifactError(f"{path} is damaged: its header is said to have {length:,} bytes, at most {HEADER:,} are read. {DAMAGED}")
        try:
            data = json.loads(file.read(length))
            ends = [int(told["data_offsets"][1]) for name, told in data.items() if name != "__metadata__"]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise ArtifactError(f"{path} is damaged, or no safetensors file. {DAMAGED}") from None
    if max(ends, default=0) != size - 8 - length:
        raise ArtifactError(f"{path} is damaged: its tensors end elsewhere than the file. {DAMAGED}")
    return dict(data)

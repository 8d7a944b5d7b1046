"""Networks and references of a bundle, made from its files; shapes are compared before any memory is taken for them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cutis.errors import ArtifactError
from cutis.export import verified
from cutis.models import build
from cutis.models.reference import FORMAT as REFERENCE_FORMAT
from cutis.models.reference import Reference
from cutis.recipe import validated


def load(path: Path) -> build.Classifier:
    """The network of a model file, in eval mode, on the CPU.

    It is first made without numbers, on the meta device: a recipe that asks for a thousand times what the file holds is refused
    before that memory is taken. Raises ArtifactError.
    """
    header = verified.tensors(path)
    try:
        entry = json.loads(header["__metadata__"][build.FORMAT])
        with torch.device("meta"):
            shadow, _ = build.build(build.untrained(validated(entry["recipe"])), entry["classes"])
        asked = {name: list(tensor.shape) for name, tensor in shadow.state_dict().items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path} tells of no network that can be made: {error}. {verified.DAMAGED}") from error
    held = {name: told["shape"] for name, told in header.items() if name != "__metadata__"}
    if wrong := sorted(name for name in asked.keys() | held.keys() if asked.get(name) != held.get(name)):
        name = wrong[0]
        raise ArtifactError(
            f"{path} does not fit its own recipe: {name} has the shape {held.get(name, 'none')}, and the recipe asks for "
            f"{asked.get(name, 'none')}. {verified.DAMAGED}"
        )
    return build.load(path)[0]


def keep(seen: Reference, path: Path) -> None:
    """Write a reference as a bundle has it: with labels, as there is no split.csv to take them from, and without the images' names."""
    tensors: dict[str, NDArray[Any]] = {
        "features": seen.features,
        "means": seen.means,
        "covariance": seen.covariance,
        "labels": seen.labels.astype(np.int32),
    }
    about = {"classes": seen.classes, "images": len(seen.labels)}
    save_file(tensors, path, metadata={REFERENCE_FORMAT: json.dumps(about)})


def reference(path: Path, images: Sequence[str] | None) -> Reference:
    """The reference of a bundle's member; ``images``: the file of each row's case, empty where it has none. Raises ArtifactError."""
    try:
        about = json.loads(verified.metadata(path)[REFERENCE_FORMAT])
        found, classes = load_file(path), tuple(map(str, about["classes"]))
        features, labels = found["features"], found["labels"].astype(np.int64)
        names = np.array(images if images is not None else [""] * len(features), np.str_)
        (n, f), c = features.shape, len(classes)
        fits = labels.shape == names.shape == (n,) and found["means"].shape == (c, f) and found["covariance"].shape == (f, f)
        if not fits or labels.min(initial=0) < 0 or labels.max(initial=0) >= c:
            raise ValueError("its arrays do not fit each other")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be used: {error}. {verified.DAMAGED}") from error
    return Reference(names, labels, classes, features, found["means"], found["covariance"])

"""From weights that others published to a bundle: read in a confined process, put into our network by name, with what is known of them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from cutis import machine, recipe
from cutis.data import synthetic
from cutis.data.labels import malignant
from cutis.errors import ArtifactError, CutisError
from cutis.export import bundle
from cutis.export.about import Answering, Draft, Facts
from cutis.files import sha256
from cutis.jobs import exporting
from cutis.models import build, foreign, matching
from cutis.recipe import Images, Model, Recipe
from cutis.report import handover, words
from cutis.tabular import as_markdown, escaped


@dataclass(frozen=True)
class Asked:
    """What the file does not say of itself."""

    backbone: str
    """timm name of the network that the weights are of."""
    classes: tuple[str, ...]
    """In the order of the outputs."""
    size: int = 224
    """Side in pixels at which the network answers."""
    head: tuple[str, ...] = ("pool",)
    """Layers between the backbone and the last dense layer, as ``model.head`` of a recipe."""
    mapping: tuple[str, ...] = ()
    """``OLD=NEW``: beginnings of names in the file, and what to put there."""
    part: str | None = None
    """The entry of a checkpoint that holds the weights; None where there is only one."""
    weights: str = "pretrained"
    """The backbone's weights where the file is a Keras head: what it was trained on."""
    settings: tuple[str, ...] = ()
    """``key=value``: further fields of the recipe, such as ``images.fit=squash`` or ``model.scaling=unit``."""
    unconfined: bool = False
    """Read the file although this system cannot confine the process that does."""


@dataclass(frozen=True)
class Imported:
    """A bundle made of foreign weights."""

    folder: Path
    matched: matching.Matched
    held: tuple[str, ...]
    """What the process that read the file was kept from, in words."""


def take(file: Path, out: Path, asked: Asked) -> Imported:
    """Make a bundle of a ``.pth`` state dict, or of the head in a Keras ``.h5`` file. Nothing in the file is run.

    Raises ArtifactError where it is refused or does not fit the network, tensor for tensor; CutisError for what was asked.
    """
    if len(set(asked.classes)) < max(2, len(asked.classes)) or not all(asked.classes):
        raise CutisError("--classes takes two or more different names, in the order of the network's outputs: --classes nv,mel,bcc")
    read = foreign.read(file, unconfined=asked.unconfined)
    tensors = matching.renamed(read.section(asked.part), asked.mapping)
    spec = _recipe(file, asked, read, {} if read.keras else matching.options(asked.backbone, tensors))
    torch.manual_seed(spec.seed)  # of a head that is wholly replaced
    model, _ = build.build(spec, asked.classes)
    if read.keras:
        found = matching.keras_head(model, tensors, matching.flattened(model, spec.model.head))
    else:
        found = matching.matched(model, asked.backbone, tensors)
    model.load_state_dict(found.state)
    _answers(model.eval(), file)
    named = spec.model.weights if spec.model.weights in ("pretrained", "none") else Path(spec.model.weights).name
    with tempfile.TemporaryDirectory(prefix="cutis-import-") as aside:
        made = Path(aside) / bundle.MODEL
        build.save(model, made, spec.changed(**{"model.weights": named}))
        where, told = bundle.described("model", 1.0, made)
        draft = _draft(file, out, asked, [told], read)
        folder = bundle.write(draft, {f"{where}/{bundle.MODEL}": made}, _card(draft, file, found, read), out)
        return Imported(folder, found, read.held)


def _recipe(file: Path, asked: Asked, read: foreign.Foreign, options: dict[str, object]) -> Recipe:
    spec = Recipe(
        name="imported",
        description=f"Weights of others, from {file.name}.",
        images=Images(size=(asked.size, asked.size)),
        model=Model(backbone=asked.backbone, weights=asked.weights if read.keras else "none", head=asked.head, options=options),
    )
    return recipe.with_settings(spec, asked.settings)


def _answers(model: build.Classifier, file: Path) -> None:
    """Raise ArtifactError where the network's answer for a drawn picture is no number."""
    picture = torch.from_numpy(synthetic.draw(0, size=min(model.size))[0]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        sized = torch.nn.functional.interpolate(picture, model.size)
        if not model(sized).isfinite().all():
            raise ArtifactError(
                f"With the weights of {file} the network's answers are no numbers. They are of another network, or damaged."
            )


def _draft(file: Path, out: Path, asked: Asked, members: Sequence[object], read: foreign.Foreign) -> Draft:
    known = tuple(c for c in asked.classes if malignant().get(c.lower()))
    what = "head" if read.keras else "network"
    about = Facts(
        title=f"A {what} of others: {asked.backbone}",
        task=f"It tells {words.listed(asked.classes, 'and')} apart.",
        data=f"Its weights were imported from {file.name} (SHA-256 {sha256(file)}). What they were trained on, the file does not say.",
        figure="Cutis has not measured it.",
        verdict="Whether it is better than guessing is not known here: measure it on labelled images before it is believed.",
        elsewhere="It was not tested on images of another clinic or camera.",
        worst_group="For whom it works less well is not known.",
        not_for=(
            "Diagnosis, triage or reassurance of any person.",
            f"Anything but {words.listed(asked.classes, 'or')}: whatever the picture shows, one of these is its answer.",
            "Use before it was measured.",
        ),
        network=f"{asked.backbone}, {asked.size} x {asked.size} pixels.",
    )
    return Draft.model_validate(
        {
            "name": exporting.slug(out.name.removesuffix(".zip")),
            "cutis": machine.version("cutis"),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "classes": asked.classes,
            "colours": exporting.colours(asked.classes),
            "watched": known,
            "malignant": known,
            "about": about,
            "notice": words.NOTICE,
            "members": members,
            "answer": Answering(why="Nothing was fitted on validation images, so no set of possible classes is promised."),
        }
    )


def _card(draft: Draft, file: Path, found: matching.Matched, read: foreign.Foreign) -> str:
    told = draft.about
    lines = [
        *("---", "library_name: cutis", "pipeline_tag: image-classification", "tags: [dermatology, skin, research-use-only]", "---", ""),
        *(f"# {escaped(told.title)}", "", f"> **{draft.notice}**", ""),
        *(f"{escaped(told.task)} {escaped(told.data)} {told.figure} {told.verdict}", ""),
        *("## Out-of-Scope Use", "", *(f"- {escaped(line)}" for line in told.not_for), ""),
        *("## Import", "", *as_markdown(found.table), ""),
        *(f"{escaped(file.name)} was read with weights only, in a process of its own: {'; '.join(read.held) or 'not confined'}.", ""),
    ]
    return "\n".join(lines) + "\n" + handover.contents(draft)

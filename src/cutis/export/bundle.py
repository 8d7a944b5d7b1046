"""The bundle: a model handed over as a folder or a zip, opened only where every part is what it was when it was made."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cutis.errors import ArtifactError, CutisError
from cutis.export import archive, cases, hub, verified
from cutis.export.about import About, Draft, File, MemberAbout, Parity, sealed
from cutis.files import sha256, write_json, write_text
from cutis.recipe import Recipe

if TYPE_CHECKING:
    from cutis.models.build import Classifier
    from cutis.models.reference import Reference

Floats = NDArray[np.float64]

FILE: Final = verified.FILE
CARD: Final = "card.md"
MODEL: Final = "model.safetensors"
REFERENCE: Final = "reference.safetensors"


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a bundle."""

    name: str
    weight: float
    """What it counts in the answer; the members' weights sum to 1."""
    spec: Recipe
    """The recipe it was trained by: ``images`` and ``predict`` say how a photo becomes its input."""
    classes: tuple[str, ...]
    """In its own order, which may be another than the bundle's."""
    file: Path
    """Its weights."""
    seen: Path | None = field(repr=False)
    """The part that says what it saw in training; None: the bundle has none."""
    cases: tuple[str, ...] | None = field(repr=False)
    """For each training image the part with its thumbnail, or empty; None: the bundle has none."""
    home: archive.Home = field(repr=False)
    """Keeps an unpacked bundle on the disk while the member is used."""

    @property
    def path(self) -> Path:
        """Its folder in the bundle."""
        return self.file.parent

    def load(self) -> "Classifier":
        """The network in eval mode, on the CPU. Raises ArtifactError where weights and recipe do not fit each other."""
        from cutis.export import networks

        return networks.load(self.file)

    def reference(self) -> "Reference | None":
        """What it saw in its training images, without their names; None where the bundle has none.

        ``images`` holds the file of each case that the bundle carries (``cases/0001.jpg``), and is empty for the others.
        """
        from cutis.export import networks

        return None if self.seen is None else networks.reference(self.seen, self.cases)


@dataclass(frozen=True, eq=False)
class Bundle:
    """An open bundle, every part of which was compared with its SHA-256."""

    folder: Path
    """Where its parts are; of a zip a private temporary folder, which goes with the last object that uses it."""
    about: About
    """bundle.json."""
    members: tuple[Member, ...]
    listed: cases.Listed | None = field(repr=False)
    """The training cases that it carries; None: none."""
    home: archive.Home = field(repr=False)
    """Keeps an unpacked bundle on the disk."""

    @property
    def version(self) -> str:
        """12 hexadecimal digits: what answers."""
        return self.about.version

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of every answer."""
        return self.about.classes

    def combine(self, answers: Sequence[Floats]) -> Floats:
        """Each member's N x C probabilities, columns in the order of *its* classes, to the bundle's N x C, in the order of ``classes``.

        Not calibrated yet (``about.fitted``). One array for each of ``members``, in their order.
        """
        ours = self.aligned(answers)
        return np.asarray(ours[0] if self.about.rule is None else self.about.rule.apply(ours))

    def aligned(self, answers: Sequence[Floats]) -> Floats:
        """The same, not combined: M x N x C, every member's columns in the order of ``classes``."""
        assert len(answers) == len(self.members), f"{len(answers)} answers of {len(self.members)} members"
        columns = [[member.classes.index(c) for c in self.classes] for member in self.members]
        return np.stack([np.asarray(answer)[:, order] for answer, order in zip(answers, columns, strict=True)])

    def cases(self) -> dict[str, dict[str, str]]:
        """Of each case that the bundle carries, by its file: ``label`` and the ``licence`` of the picture; empty where it carries none."""
        told = self.listed
        return {file: {"label": label, "licence": told.licence} for file, label in told.cases.items()} if told else {}


def open(path: str | Path) -> Bundle:  # as Path.open and zipfile's: the word for it
    """The bundle at a folder, a ``.zip``, or ``hf://OWNER/NAME[@REVISION]`` on the Hugging Face hub.

    Raises ArtifactError where there is none, where it is a run, or where a part is absent, altered, absurd or does not fit the others.
    """
    if hub.is_address(path):
        path = hub.pull(str(path))
    home = archive.opened(Path(path))
    about = verified.about(home.folder)
    verified.parts(home.folder, about)
    listed = cases.read(home.folder, about)
    return Bundle(home.folder, about, _members(home, about, listed), listed, home)


def described(
    name: str, weight: float, model: Path, *, reference: bool = False, parity: Mapping[str, Parity] | None = None
) -> tuple[str, MemberAbout]:
    """A member's folder in the bundle (``members/NAME``), and what bundle.json says of the member whose model file this is."""
    told, folder = verified.carried(model), f"members/{name}"
    return folder, MemberAbout.model_validate(
        {
            "name": name,
            "weight": weight,
            "model": f"{folder}/{MODEL}",
            "recipe": told.digest,
            "input": told.input,
            "reference": f"{folder}/{REFERENCE}" if reference else None,
            "parity": dict(parity or {}),
        }
    )


def write(draft: Draft, parts: Mapping[str, Path | bytes], card: str, out: str | Path) -> Path:
    """Write a bundle to ``out``: a folder, or one file where the name ends with ``.zip``. It appears whole or not at all.

    ``parts``: files to be copied, or bytes, by their path in the bundle. A bundle that is there already is replaced; anything else that
    is there is not touched. Raises CutisError, also where what was written cannot be opened again.
    """
    with _placed(Path(out), [*parts, FILE, CARD]) as folder:
        for path, source in parts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                shutil.copyfile(source, folder / path)
            else:
                (folder / path).write_bytes(source)
        files = {path: File(sha256=sha256(folder / path), bytes=(folder / path).stat().st_size) for path in parts}
        write_json(folder / FILE, sealed(draft, files))
        write_text(folder / CARD, card)
        open(folder)
    return Path(out)


def copy(opened: Bundle, out: str | Path) -> Path:
    """Write the same bundle to another folder or zip, as ``write`` does: its parts, listing and card, and nothing else beside them."""
    parts = [*opened.about.files, FILE, *([CARD] if (opened.folder / CARD).is_file() else [])]
    with _placed(Path(out), parts) as folder:
        for part in parts:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(opened.folder / part, folder / part)
        open(folder)
    return Path(out)


def push(opened: Bundle, where: str) -> str:
    """Put a bundle under ``hf://OWNER/NAME`` on the Hugging Face hub, or as NAME into a folder that stands for it; where it now is."""
    if hub.is_address(where):
        return hub.push(opened.folder, opened.about, where)
    return str(copy(opened, Path(where) / opened.about.name))


@contextmanager
def _placed(out: Path, parts: Sequence[str]) -> Iterator[Path]:
    """A folder to be filled with ``parts``, which then takes the place of ``out``, as it is or packed."""
    ours = (out / FILE).is_file() if out.is_dir() else archive.is_bundle(out)
    if out.exists() and not ours and not (out.is_dir() and not any(out.iterdir())):
        raise CutisError(f"{out} exists and is no bundle, so it is left alone. Give another name: --out BUNDLE")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as aside:
        folder = made = Path(aside) / "bundle"
        folder.mkdir()
        yield folder
        if out.suffix == ".zip":
            made = Path(aside) / "bundle.zip"
            archive.pack(folder, parts, made)
        if out.is_dir():
            before = out.rename(Path(aside) / "before")  # a folder cannot be renamed onto a full one
            try:
                made.rename(out)
            except BaseException:
                before.rename(out)
                raise
        else:
            made.rename(out)


def _members(home: archive.Home, about: About, listed: cases.Listed | None) -> tuple[Member, ...]:
    """The members as their files tell them. Raises ArtifactError where a file tells otherwise than bundle.json."""
    found = []
    for told in about.members:
        path = home.folder / told.model
        spec, classes, digest = carried = verified.carried(path)
        if set(classes) != set(about.classes) or len(classes) != len(about.classes):
            raise ArtifactError(
                f"The member {told.name} answers for {', '.join(classes)}, and the bundle for {', '.join(about.classes)}. "
                "It cannot be used; export the run anew."
            )
        if digest != told.recipe or carried.input != told.input:
            raise ArtifactError(f"bundle.json and {path} do not agree on how the member {told.name} takes pictures. {verified.DAMAGED}")
        seen, names = told.reference and home.folder / told.reference, listed.rows.get(told.name) if listed else None
        found.append(Member(told.name, told.weight, spec, classes, path, seen or None, names, home))
    return tuple(found)

"""A bundle at work: pictures in, answers and heat maps out, each picture decoded once and each network run once."""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutis.data.opening import Unreadable
from cutis.errors import CutisError
from cutis.explain import cam
from cutis.explain.together import Together
from cutis.export import bundle as bundles
from cutis.export.bundle import Bundle
from cutis.models import neighbours, scope
from cutis.models.reference import Reference
from cutis.recipe import Images
from cutis.registry import unknown
from cutis.serve import pictures as seen
from cutis.serve.answers import Answer, Fitted, Met, Verdict, Vote
from cutis.serve.heat import Heat
from cutis.serve.network import Network, Pass
from cutis.serve.pictures import Picture, Source, beside, overlay, png

__all__ = ["Answer", "Case", "Heat", "Met", "Picture", "Predictor", "Unreadable", "Verdict", "Vote", "beside", "overlay", "png"]

SAMPLE: Final = 256
"""Pictures at most by which backends are compared."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A training case that the bundle carries: its small picture (a JPEG file), class, distance in the network's features (0 to 2), and
    the licence of the picture."""

    image: Path
    label: str
    distance: float
    licence: str


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """What a bundle answers. Every method may be called from several threads at once; make one with ``Predictor.open``."""

    bundle: Bundle
    networks: tuple[Network, ...]
    """The members, in the bundle's order, ready to run; ``choice`` of each says what computes it."""
    kinds: tuple[Images, ...]
    """The ways in which they want a picture; ``Picture.inputs`` has one for each."""
    fitted: Fitted

    @classmethod
    def open(
        cls,
        bundle: Bundle | str | Path,
        *,
        backend: str = "auto",
        precision: str = "auto",
        maps: bool = True,
        sample: Sequence[Source] = (),
        work: int | None = None,
    ) -> "Predictor":
        """A predictor that is warm: engines are made and have run once.

        ``backend``, ``precision``: as ``recipe.Predict`` names them. ``auto`` is the fastest that agrees with eager fp32 on ``sample``
        (pictures of the kind that is to be answered; up to ``SAMPLE`` that can be read count); without them it is fp32. ``maps``: whether
        heat maps will be asked for; where not, memory is saved, and they take a slower way. ``work``: how many pictures are to be answered,
        none: many.
        Raises ArtifactError for a bundle that cannot be used, CutisError for a backend or precision that cannot be had.
        """
        opened = bundle if isinstance(bundle, Bundle) else bundles.open(bundle)
        about, members = opened.about, opened.members
        kinds = tuple({(m.spec.images.size, m.spec.images.fit): m.spec.images for m in members}.values())
        shown = _readable(sample[:SAMPLE], kinds)
        networks = []
        for member in members:
            place = _place(member.spec.images, kinds)
            stored = [picture.inputs[place] for picture in shown]
            networks.append(Network.of(member, backend, precision, maps=maps, sample=stored, work=work))
        fitted = Fitted(opened.classes, about.fitted, about.answer.rule, about.scope.limit if about.scope else None)
        made = cls(opened, tuple(networks), kinds, fitted)
        inputs = tuple(np.zeros((*kind.size, 3), np.uint8) for kind in kinds)
        first = [Picture(inputs[0], inputs, ())]
        made.answers(first)
        if maps:
            made.explained(first)
        return made

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in the order of the probabilities."""
        return self.bundle.classes

    @property
    def version(self) -> str:
        """The bundle's version: 12 hexadecimal digits."""
        return self.bundle.version

    @property
    def backend(self) -> str:
        """What computes, in words: ``openvino bf16``; of members that differ, of each."""
        return ", ".join(dict.fromkeys(network.choice.name for network in self.networks))

    def picture(self, data: Source, *, display: bool = True) -> Picture:
        """A picture from a file, its bytes, or pixels. Raises Unreadable, whose ``reason`` quotes nothing of the file.

        ``display``: whether ``Picture.pixels`` are to be the photo (up to 2,048 a side), for a page or a heat map over it; without that
        they are what the first network sees, and reading is faster.
        """
        return seen.read(data, self.kinds, display=display)

    def answers(self, pictures: Sequence[Picture]) -> list[Answer]:
        """One answer for each picture, in their order."""
        return self._answered(pictures, self._passes(pictures)) if pictures else []

    def explained(
        self, pictures: Sequence[Picture], *, classes: str | Sequence[str] = "predicted", method: str = "gradcam", member: str | None = None
    ) -> list[tuple[Answer, Heat]]:
        """Answers and heat maps.

        ``classes``: ``predicted`` (each picture's own), ``all`` (the most probable first), or names; ``method``: a registered class
        activation map; ``member``: the maps of one member only, none: of all and joined. Raises CutisError for a class, method or member
        that does not exist.
        """
        _ = cam.cams[method]
        if not pictures:
            return []
        chosen = self._chosen(member)
        passes = self._passes(pictures, keep=chosen)
        answers = self._answered(pictures, passes)
        wanted = self._wanted(answers, classes)
        kept = [passes[i] for i in chosen]
        together = dataclasses.replace(self._together([self.networks[i] for i in chosen]), method=method)
        with ExitStack() as stack:
            for i in chosen:
                stack.enter_context(self.networks[i].lock)
            maps = together.maps([p.batch for p in kept if p.batch is not None], wanted, [p.kept for p in kept])
        names = tuple(self.networks[i].name for i in chosen)
        heats = [
            Heat.of(tuple(self.classes[k] for k in wanted[i]), names, picture.pixels.shape[:2], tuple(m[i] for m in maps), together)
            for i, picture in enumerate(pictures)
        ]
        return list(zip(answers, heats, strict=True))

    def nearest(self, picture: Picture, count: int = 4) -> list[Case]:
        """The training cases nearest to a picture, the nearest first; empty where the bundle carries none."""
        if self._carried is None:
            return []
        i, reference = self._carried
        found = neighbours.nearest(reference, self._pass(self.networks[i], [picture]).seen.features, count)
        told, home = self.bundle.cases(), self.bundle.folder
        return [Case(home / image, label, distance, told[image]["licence"]) for image, label, distance in found.cases(0)]

    def _passes(self, pictures: Sequence[Picture], keep: Sequence[int] = ()) -> list[Pass]:
        """All networks over all pictures; those in ``keep`` for heat maps."""
        return [self._pass(network, pictures, keep=i in keep) for i, network in enumerate(self.networks)]

    def _pass(self, network: Network, pictures: Sequence[Picture], *, keep: bool = False) -> Pass:
        place = _place(network.spec.images, self.kinds)
        return network.run([picture.inputs[place] for picture in pictures], keep=keep)

    def _answered(self, pictures: Sequence[Picture], passes: Sequence[Pass]) -> list[Answer]:
        stated = [p.probabilities for p in passes]
        notes = [picture.notes for picture in pictures]
        answers = self.fitted.answers(self.bundle.combine(stated), self._strangeness(passes), notes)
        if len(self.networks) == 1:
            return answers
        each = self.bundle.aligned(stated)
        votes = [tuple(Vote(network.name, row) for network, row in zip(self.networks, rows, strict=True)) for rows in each.swapaxes(0, 1)]
        return [dataclasses.replace(answer, votes=said) for answer, said in zip(answers, votes, strict=True)]

    def _strangeness(self, passes: Sequence[Pass]) -> NDArray[np.float64] | None:
        """How unlike the training images each picture is, by the bundle's score; None where it has none."""
        told = self.bundle.about.scope
        if told is None:
            return None
        i = self._index(told.member)
        reference = self._references[i]
        assert reference is not None, "a bundle with a scope carries the reference it is of"
        return scope.scores[told.by](reference, passes[i].seen)

    def _chosen(self, member: str | None) -> list[int]:
        return list(range(len(self.networks))) if member is None else [self._index(member)]

    def _index(self, member: str) -> int:
        names = [network.name for network in self.networks]
        if member not in names:
            raise CutisError(unknown("member", member, names))
        return names.index(member)

    def _wanted(self, answers: Sequence[Answer], classes: str | Sequence[str]) -> NDArray[np.int64]:
        """The classes that are mapped, N x K."""
        order = np.argsort([-answer.probabilities for answer in answers], axis=1, kind="stable")
        if isinstance(classes, str) and classes in (cam.PREDICTED, cam.ALL):
            return order if classes == cam.ALL else order[:, :1]
        names = [classes] if isinstance(classes, str) else list(classes)
        for name in names:
            if name not in self.classes:
                raise CutisError(unknown("class", name, self.classes))
        return np.tile([self.classes.index(name) for name in names], (len(answers), 1))

    def _together(self, networks: Sequence[Network]) -> Together:
        weights = np.array([network.weight for network in networks])
        total = weights.sum()
        return Together(
            models=tuple(network.model for network in networks),
            fits=tuple(network.spec.images.fit for network in networks),
            weights=weights / total if total > 0 else np.full(len(networks), 1 / len(networks)),
            classes=self.classes,
            combine=self.bundle.combine,
            method="gradcam",
        )

    @cached_property
    def _references(self) -> list[Reference | None]:
        return [member.reference() for member in self.bundle.members]

    @cached_property
    def _carried(self) -> tuple[int, Reference] | None:
        """The cases that the bundle carries as a reference of their own, and the network whose features these are."""
        of = self.bundle.about.scope.member if self.bundle.about.scope else ""
        for i in sorted(range(len(self.networks)), key=lambda i: self.networks[i].name != of):
            reference = self._references[i]
            if reference is not None and (rows := np.flatnonzero(reference.images != "")).size:
                some = {name: getattr(reference, name)[rows] for name in ("images", "labels", "features")}
                return i, dataclasses.replace(reference, **some)
        return None


def _place(images: Images, kinds: Sequence[Images]) -> int:
    """Which of the kinds a member wants."""
    return [(kind.size, kind.fit) for kind in kinds].index((images.size, images.fit))


def _readable(sample: Sequence[Source], kinds: Sequence[Images]) -> list[Picture]:
    """The pictures that can be read."""
    found = []
    for source in sample:
        try:
            found.append(seen.read(source, kinds, display=False))
        except Unreadable:
            continue
    return found

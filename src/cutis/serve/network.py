"""One network of a bundle with its engine: a single pass gives its probabilities, its features and, where wanted, the map to explain."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutis.data import augment
from cutis.data.images import Pixels
from cutis.evaluate.sample import Floats
from cutis.explain import cam
from cutis.export.bundle import Member
from cutis.models import backends, build, predict, reference
from cutis.models.backends import Choice, Engine
from cutis.models.build import Classifier
from cutis.models.reference import Seen
from cutis.recipe import Recipe

SERVED: Final = 10_000
"""Pictures that a server is prepared for: measuring what is fastest pays, compiling for a minute on a GPU does not."""


@dataclass(eq=False)
class Kept:
    """An engine that gives what one gave before, for the heat maps of the same batch."""

    maps: NDArray[np.float32]
    backend: str
    precision: str

    def stream(self, batches: Iterable[Tensor]) -> Iterator[NDArray[np.float32]]:
        """The array for each batch."""
        return (self(batch) for batch in batches)

    def __call__(self, batch: Tensor) -> NDArray[np.float32]:
        """What was kept."""
        return self.maps


@dataclass(frozen=True, eq=False)
class Pass:
    """What a network makes of N pictures.

    ``probabilities``: N x C, columns in its own order, averaged over its views; ``seen``: features and logits of the pictures as they are;
    ``batch`` and ``kept``: what heat maps are made of, the pictures as the engine takes them and the last maps.
    """

    probabilities: Floats
    seen: Seen
    batch: Tensor | None = None
    kept: Kept | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """A member ready to run.

    ``engine`` gives the ``part`` from which probabilities and scope follow: features, or maps where these are what the scope looks at.
    ``mapping`` gives maps, for heat maps; None where these will not be asked for, or lie further inside, as a vision transformer's do.
    Pooling maps in torch costs up to a tenth of a fast network's time, and more where other threads keep the cores busy, so answers
    alone do not.
    """

    name: str
    weight: float
    spec: Recipe
    model: Classifier
    choice: Choice
    part: str
    engine: Engine
    mapping: Engine | None
    device: torch.device
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the network runs: heat maps of a transformer hook into its layers."""

    @classmethod
    def of(cls, member: Member, backend: str, precision: str, *, maps: bool, sample: Sequence[Pixels], work: int | None) -> "Network":
        """``maps``: whether heat maps will be asked for; ``sample``: real pictures as the member stores them, by which backends are
        compared; ``work``: how many pictures there are to answer, None: not known, but many."""
        spec = member.spec.changed(**{"predict.backend": backend, "predict.precision": precision})
        device, size = predict.device(), spec.predict_size
        model = build.placed(member.load(), device)
        part = "maps" if reference.streamed(model) else "features"
        whole = spec.images.size == size
        pictures = torch.cat([*predict.versions(_tensor(sample), size, (0,))]).cpu() if len(sample) else None
        passes = (work or SERVED) * len(augment.symmetries(*size, spec.predict.views))
        # probabilities decide whether a format agrees, where there are real pictures to tell; else the part itself has to
        judged = part if pictures is None else "logits"
        dtype = torch.uint8 if whole else torch.float32
        choice = backends.chosen(model, judged, spec, pictures, work=passes, device=device, dtype=dtype)
        make = partial(
            backends.engine,
            model,
            size=size,
            backend=choice.backend,
            precision=choice.precision,
            dtype=dtype,
            device=device,
            calibration=pictures,
        )
        engine = make(part)
        mapping = None
        if maps and cam.inner_target(model.backbone) is None:
            mapping = engine if part == "maps" else make("maps")
        return cls(member.name, member.weight, spec, model, choice, part, engine, mapping, device)

    @property
    def eager(self) -> bool:
        """Whether torch itself runs the network, for answers or for heat maps."""
        return self.engine.backend == "eager" or self.mapping is None

    def run(self, inputs: Sequence[Pixels], *, keep: bool = False) -> Pass:
        """N pictures, uint8 h x w x 3 of the stored size, through the network; ``keep``: for heat maps."""
        size, step = self.spec.predict_size, self.spec.predict.batch_size
        symmetries = augment.symmetries(*size, self.spec.predict.views)
        starts = range(0, len(inputs), step)
        batches: list[Tensor] = []

        def views() -> Iterator[Tensor]:
            for start in starts:
                versions = list(predict.versions(_tensor(inputs[start : start + step]).to(self.device), size, symmetries))
                if keep:
                    batches.append(versions[0])
                yield from versions

        probabilities, features, logits, maps = [], [], [], []
        part, engine = ("maps", self.mapping) if keep and self.mapping else (self.part, self.engine)
        with self.lock, torch.inference_mode():
            arrays = engine.stream(views())
            for _ in starts:
                first = next(arrays)
                value, row = self._head(part, first)
                rows = [row, *(self._head(part, next(arrays))[1] for _ in symmetries[1:])]
                probabilities.append(torch.stack([each.double().softmax(1) for each in rows]).mean(0).cpu().numpy())
                features.append(reference.averaged(value).cpu().numpy())
                logits.append(row.float().cpu().numpy())
                if keep:
                    maps.append(first)
        return Pass(
            np.concatenate(probabilities),
            Seen(np.concatenate(features), np.concatenate(logits)),
            torch.cat(batches) if keep else None,
            Kept(np.concatenate(maps), engine.backend, engine.precision) if keep and self.mapping else None,
        )

    def _head(self, part: str, array: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """What an engine gave, to what the scope looks at, and logits."""
        given = torch.from_numpy(array).to(self.device)
        if part == "features":
            return given, self.model.head(given)
        pooled = self.model.pooled(given)
        return (given if reference.streamed(self.model) else pooled), self.model.head(pooled)


def _tensor(pictures: Sequence[Pixels]) -> Tensor:
    """uint8 B x 3 x H x W, channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

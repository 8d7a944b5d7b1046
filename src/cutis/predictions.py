"""Predictions: what a model answered for a set of images, and all that evaluation needs to know."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.errors import ArtifactError, DataError
from cutis.files import guarded, replacing, unguarded


@dataclass(frozen=True)
class Predictions:
    """Answers for N images over C classes.

    ``images`` and ``groups``: N strings (the key of the row, and what must be resampled together);
    ``labels``: N integers, the index of the true class, -1 where it is not known;
    ``probabilities``: N x C floats in 0..1, rows sum to 1; ``classes``: the C names in order.
    """

    images: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n, c = len(self.images), len(self.classes)
        if self.probabilities.shape != (n, c) or len(self.groups) != n or len(self.labels) != n:
            raise ValueError(
                f"Predictions do not fit together: {n} images, {len(self.groups)} groups, {len(self.labels)} labels, "
                f"probabilities {self.probabilities.shape}, {c} classes."
            )
        if n and not np.isfinite(self.probabilities).all():
            bad = self.images[~np.isfinite(self.probabilities).all(axis=1)][:5]
            raise ValueError(f"Probabilities are not finite for {len(bad)} or more images: {', '.join(bad)}.")

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable class of each image (the first of equals)."""
        return self.probabilities.argmax(axis=1).astype(np.int64) if len(self.images) else np.zeros(0, np.int64)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]) -> "Predictions":
        """The same for some of the rows."""
        i = np.asarray(chosen) if len(chosen) else np.zeros(0, np.int64)
        return Predictions(self.images[i], self.groups[i], self.labels[i], self.probabilities[i], self.classes)

    def known(self) -> "Predictions":
        """The rows whose true class is known."""
        return self.rows(self.labels >= 0)

    def over(self, classes: Sequence[str]) -> "Predictions":
        """The same with the classes in another order. Raises DataError where they are others."""
        if sorted(classes) != sorted(self.classes):
            different = ", ".join(sorted(set(classes) ^ set(self.classes)))
            raise DataError(f"These predictions are over different classes; not in all of them: {different}. Train with the same labels.")
        columns = [self.classes.index(c) for c in classes]
        labels = np.append(np.argsort(columns), -1)[self.labels]
        return Predictions(self.images, self.groups, labels, self.probabilities[:, columns], tuple(classes))

    def save(self, path: Path) -> None:
        """Write CSV ``image,group,label,predicted,p_<class>...``; see docs/formats.md."""
        names = np.array([*map(guarded, self.classes), ""])
        with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["image", "group", "label", "predicted", *(f"p_{c}" for c in self.classes)])
            for image, group, label, best, p in zip(self.images, self.groups, self.labels, self.predicted, self.probabilities, strict=True):
                out.writerow([guarded(image), guarded(group), names[label], names[best], *(f"{x:.9g}" for x in p)])

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what ``save`` wrote. Raises ArtifactError naming the file and the row that cannot be used."""
        if not path.is_file():
            raise ArtifactError(f"There are no predictions at {path}. Make them with: cutis evaluate RUN DATA --name {path.stem}")
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
        if header[:4] != ["image", "group", "label", "predicted"] or not all(h.startswith("p_") for h in header[4:]) or len(header) < 5:
            raise ArtifactError(f"{path} is not a predictions file: its header must be image,group,label,predicted,p_<class>,...")
        classes = tuple(h.removeprefix("p_") for h in header[4:])
        index = {guarded(c): i for i, c in enumerate(classes)} | {"": -1}
        labels, probabilities = np.zeros(len(lines), np.int64), np.zeros((len(lines), len(classes)))
        for i, line in enumerate(lines):
            try:
                labels[i], probabilities[i] = index[line[2]], np.array(line[4:], float).reshape(len(classes))
            except (KeyError, IndexError, ValueError) as error:
                raise ArtifactError(f"{path} is damaged in row {i + 1} ({type(error).__name__}: {error}). Evaluate again.") from error
        return cls(
            images=np.array([unguarded(line[0]) for line in lines], dtype=np.str_),
            groups=np.array([unguarded(line[1]) for line in lines], dtype=np.str_),
            labels=labels,
            probabilities=probabilities,
            classes=classes,
        )

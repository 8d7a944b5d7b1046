"""A generation of the genetic search, 64 heads of 40 epochs on kept features: all at once against one after another."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import _harness as harness

HEADS, EPOCHS, BATCH = 64, 40, 256
ROWS, VALIDATION, FEATURES, CLASSES = 8_000, 2_000, 1_280, 7
SHARES = (0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01)  # about HAM10000's
SLOW = (4, 11, 20, 27, 36, 43, 52, 59)  # heads that a slow side trains: their mean width is that of all, half have two layers
RATE = 1e-3

ROW = harness.Row(
    title="Genetic search: 64 heads, 40 epochs, 8,000 x 1,280 features",
    unit="head-epochs",
    cases=(
        harness.Case(
            name="64 heads of 16 to 256 units, batch 256",
            sides=("cutis", "pytorch", "pytorch-tight", "scikit-learn"),
            targets={"pytorch": 6, "scikit-learn": 20},
            job=HEADS * EPOCHS,
            note=(
                "Half of the heads have a second layer of half the width; no early stopping. pytorch: nn.Sequential, Adam, TensorDataset "
                "and DataLoader; pytorch-tight: the same with batches cut by index. Cutis and PyTorch validate after each epoch on 2,000 "
                "rows; scikit-learn does not, and has no dropout."
            ),
            derived=(
                harness.Derived(
                    "the ISIC 2019 study's way",
                    1000,
                    harness.Part("frozen_stage", "mobilenetv2_100", "keras", HEADS * EPOCHS * ROWS),
                    harness.Part("feature_pass", "mobilenetv2_100, images cached", "cutis", ROWS),
                    "each candidate trained from images, at Keras's time for an image and epoch",
                ),
            ),
        ),
    ),
)


def prepare(case: str, side: str) -> Callable[[], int]:
    """One repeat of a side; it returns how many epochs of how many heads it trained, multiplied."""
    data = features()
    return {"cutis": cutis, "pytorch": pytorch, "pytorch-tight": pytorch_tight, "scikit-learn": scikit_learn}[side](*data)


def features() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class-structured noise, not negative as pooled features are: training rows, labels, validation rows, labels."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, FEATURES)).astype(np.float32) * 0.15
    labels = rng.choice(CLASSES, ROWS + VALIDATION, p=SHARES)
    x = np.maximum(rng.standard_normal((len(labels), FEATURES), dtype=np.float32) + centres[labels], 0)
    return x[:ROWS], labels[:ROWS], x[ROWS:], labels[ROWS:]


def widths(head: int) -> tuple[int, ...]:
    """Hidden units of a head: 16 to 256 in equal steps, every second one with a second layer."""
    units = round(16 + 240 * head / (HEADS - 1))
    return (units,) if head % 2 == 0 else (units, units // 2)


def cutis(x: np.ndarray, y: np.ndarray, val_x: np.ndarray, val_y: np.ndarray) -> Callable[[], int]:
    """All heads at once."""
    from cutis.search.population import Member, Population

    members = [Member(widths(head), dropout=0.2, lr=RATE) for head in range(HEADS)]
    epochs = 1 if harness.quick() else 8

    def run() -> int:
        population = Population(members, FEATURES, CLASSES, seed=0)
        return HEADS * sum(1 for _ in population.fit(x, y, val_x, val_y, epochs=epochs, batch_size=BATCH))

    return run


def pytorch(x: np.ndarray, y: np.ndarray, val_x: np.ndarray, val_y: np.ndarray) -> Callable[[], int]:
    """One after another, with the data pipeline that every tutorial has."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    train, val = (TensorDataset(torch.from_numpy(a), torch.from_numpy(b)) for a, b in ((x, y), (val_x, val_y)))
    return _one_after_another(DataLoader(train, BATCH, shuffle=True), DataLoader(val, BATCH))


def pytorch_tight(x: np.ndarray, y: np.ndarray, val_x: np.ndarray, val_y: np.ndarray) -> Callable[[], int]:
    """One after another, batches cut by index."""
    import torch

    class Batches:
        def __init__(self, x: np.ndarray, y: np.ndarray, shuffle: bool) -> None:
            self.x, self.y, self.shuffle = torch.from_numpy(x), torch.from_numpy(y), shuffle

        def __iter__(self) -> Iterator[Sequence[Any]]:
            if not self.shuffle:
                return zip(self.x.split(BATCH), self.y.split(BATCH), strict=True)
            return ((self.x[rows], self.y[rows]) for rows in torch.randperm(len(self.x)).split(BATCH))

    return _one_after_another(Batches(x, y, True), Batches(val_x, val_y, False))


def _one_after_another(train: Any, val: Any) -> Callable[[], int]:
    import torch
    from torch import nn

    def run() -> int:
        for head in SLOW:
            layers: list[nn.Module] = []
            sizes = [FEATURES, *widths(head)]
            for inputs, outputs in pairwise(sizes):
                layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.2)]
            model = nn.Sequential(*layers, nn.Linear(sizes[-1], CLASSES))
            loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=RATE)
            model.train()
            for x, y in train:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for x, y in val:
                    loss(model(x), y)
        return len(SLOW)

    return run


def scikit_learn(x: np.ndarray, y: np.ndarray, val_x: np.ndarray, val_y: np.ndarray) -> Callable[[], int]:
    """MLPClassifier, one after another; it has no dropout."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def run() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped before it has converged
            for head in SLOW:
                MLPClassifier(
                    widths(head), batch_size=BATCH, learning_rate_init=RATE, alpha=0.0, max_iter=1, tol=0.0, n_iter_no_change=EPOCHS
                ).fit(x, y)
        return len(SLOW)

    return run


if __name__ == "__main__":
    harness.main(ROW, prepare)

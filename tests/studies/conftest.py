"""A study of four small arms on drawn pictures, made once: two seeds of one network, a variant, an arm on other data, an ensemble."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.data import readers, synthetic
from cutis.recipe import Images, Model, Recipe, Split, Stage, Train
from cutis.studies.catalog import Cell, Combined, Given, Pair, Published, Scale, Study, Subset, Trained
from cutis.studies.run import carry_out
from cutis.studies.work import Work

CLASSES = ("bcc", "bkl", "mel", "nv")
TINY = Recipe(
    name="tiny",
    description="A small CNN.",
    assumptions=("stages.0.lr", "model.head", "split"),
    images=Images(size=(24, 20)),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4, 8]}),
    stages=(Stage(epochs=4, lr=3e-3),),
    train=Train(batch_size=32),
)


def toy() -> Study:
    """Everything that a study can have."""
    other = TINY.changed(name="tiny-weighted", **{"loss.class_weights": "balanced"})
    return Study(
        name="toy",
        title="A toy <study>",
        paper="Nobody published it.",
        needs="Anything.",
        expects="Little.",
        split=Split(test=0.3, val=0.2),
        arms=(
            Trained(name="plain", title="Plain", recipe=TINY, seeds=3, also=("external", "absent")),
            Trained(name="weighted", title="Weighted", recipe=other, also=("external",), ours=True),
            Trained(name="lost", recipe=TINY, data="absent"),
            Combined(name="both", title="Both", members=("plain", "weighted")),
        ),
        cpu=Scale("cpu", images=60, epochs=2, minutes=1),
        published=(
            Published(
                title="Accuracy",
                columns=("accuracy", "F1 of mel"),
                rows={
                    "A": (Cell(0.0, "plain"), Cell(1.1, "plain", "f1/MEL")),
                    "B": (Cell(0.5, "weighted", unlike="it was measured elsewhere"), Cell(None, "weighted")),
                    "C": (Cell(0.5, "lost"), None),
                },
                split="at random",
                definition="accuracy on the test images",
                classes=CLASSES,
            ),
        ),
        pairs=(
            Pair("weighted", "plain", ("accuracy", "f1/*"), why="Do weights help?"),
            Pair("both", "weighted"),
            Pair("plain", "lost"),
            Pair("plain", "weighted", ("accuracy",), at="test:female"),
        ),
        subsets=(Subset("female", "Women", women), Subset("nobody", "Nobody", lambda table: np.zeros(len(table), bool))),
        honest=("Lesions stay together.",),
        pages=("precision-recall", "curves", "confusion"),
    )


def women(table: pd.DataFrame) -> np.ndarray:
    return (table["sex"] == "female").to_numpy()


@pytest.fixture(scope="session")
def study() -> Study:
    """The toy study."""
    return toy()


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Drawn pictures of 70 lesions, and of 20 others from elsewhere."""
    folder = tmp_path_factory.mktemp("pictures")
    tables = [readers.read(synthetic.write(folder / str(n), lesions=n, size=24, difficulty=0.1, seed=n)) for n in (70, 20)]
    return Given(tables[0], external=tables[1])


@dataclass(frozen=True)
class Done:
    """A study that was carried out: its work and what study.json holds."""

    work: Work
    told: dict[str, Any]


@pytest.fixture(scope="session")
def done(study: Study, given: Given, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The toy study at the scale cpu; not to be changed."""
    work = Work(study, given, study.scale("cpu"), tmp_path_factory.mktemp("study"), command="cutis study run toy")
    return Done(work, carry_out(work))


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pretrained weights are at hand."""
    monkeypatch.setenv("CUTIS_WEIGHTS", str(tmp_path / "no-weights"))

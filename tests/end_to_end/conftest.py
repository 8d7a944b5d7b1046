"""A small collection, and a recipe that trains on it in a moment."""

import shutil
import signal
from pathlib import Path

import pytest

from cutis.data import synthetic
from cutis.progress import Progress
from cutis.recipe import Evaluation, Images, Model, Recipe, Stage

TINY = Recipe(
    name="tiny",
    images=Images(size=16),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool", "dropout:0.1"), options={"channels": [4, 8]}),
    stages=(Stage(epochs=3, lr=3e-3),),
    evaluate=Evaluation(replicates=100),
)


class Stopping(Progress):
    """Sends a signal to this process as soon as a line begins so."""

    def __init__(self, line: str, number: signal.Signals = signal.SIGTERM) -> None:
        super().__init__()
        self.line, self.number = line, number

    def say(self, text: str) -> None:
        if text.startswith(self.line):
            signal.raise_signal(self.number)


@pytest.fixture(scope="session")
def stopping() -> type[Stopping]:
    """Progress that interrupts."""
    return Stopping


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe that trains in a tenth of a second."""
    return TINY


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    file = tmp_path_factory.mktemp("recipe") / "tiny.json"
    file.write_text(TINY.to_json())
    return file


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``labels.csv`` of 40 lesions, and their pictures; not to be changed."""
    return synthetic.write(tmp_path_factory.mktemp("pictures"), lesions=40, size=24, difficulty=0.1, seed=0)


@pytest.fixture
def own(drawn: Path, tmp_path: Path) -> Path:
    """The same, for a test to spoil."""
    shutil.copytree(drawn.parent, tmp_path / "own")
    return tmp_path / "own" / drawn.name

"""What every test stands on: one thread, no network, a cache of its own, and the real data where the machine has them."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before NumPy or torch is imported: each test process, and each process a test starts, computes on one core.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
}
os.environ.pop("CUTIS_PLUGINS", None)

import hypothesis
import pytest

if TYPE_CHECKING:
    from cutis.export.bundle import Bundle
    from cutis.runs import Run

hypothesis.settings.register_profile("cutis", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("cutis")


@pytest.fixture(scope="session", autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image cache of this test process, so that no test reads or fills the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CUTIS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real images."""
    return _folder("CUTIS_DATA", "real images (docs name the public sets: cutis data list)")


@pytest.fixture(scope="session")
def weights_root() -> Path:
    """The folder of pretrained weights."""
    return _folder("CUTIS_WEIGHTS", "pretrained weights, files <timm name>.safetensors")


def _folder(variable: str, what: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set: the folder of {what}")
    assert Path(folder).is_dir(), f"{variable}={folder} is not a folder"
    return Path(folder)


@pytest.fixture(scope="session")
def bundle_run(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> "Run":
    """A tiny network trained on drawn pictures of 160 lesions, with all that is fitted after training; not to be changed.

    Of its 84 test pictures it is sure of about 60; of the others two classes are possible.

    Its pictures lie below ``bundle_run.provenance["data"]["root"]``, by their names in ``bundle_run.table``.
    """
    from cutis.data import readers, synthetic
    from cutis.jobs import pipeline
    from cutis.recipe import Evaluation, Images, Model, Predict, Recipe, Split, Stage

    spec = Recipe(
        name="tiny",
        images=Images(size=16),
        split=Split(test=0.25, val=0.25),
        model=Model(backbone="plain_cnn", weights="none", head=("avgpool", "dropout:0.1"), options={"channels": [8, 16, 32]}),
        stages=(Stage(epochs=40, lr=1e-2),),
        predict=Predict(views=2),
        evaluate=Evaluation(replicates=100),
    )
    folder = tmp_path_factory.mktemp("bundle")
    drawn = synthetic.write(folder / "pictures", lesions=160, size=32, difficulty=0.0, seed=0)
    return pipeline.train(readers.read(drawn), spec, folder / "run")


@pytest.fixture(scope="session")
def bundle(bundle_run: "Run") -> "Bundle":
    """``bundle_run`` as a bundle, with scope and cases; not to be changed. Its folder is ``bundle.folder``."""
    from cutis.export import bundle as bundles
    from cutis.jobs import exporting

    wish = exporting.Wish(cases=True, licence="CC0-1.0: drawn by Cutis")
    return bundles.open(exporting.export(bundle_run, bundle_run.folder.parent / "tiny-bundle", wish))


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which is JSON and nothing else."""
        return json.loads(self.out)


@pytest.fixture
def cutis(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Answer]]:
    """``cutis(*arguments)`` as the shell would run it, in this process."""
    from cutis import cli
    from cutis.cli.app import options

    def run(*arguments: object, stdin: str = "") -> Answer:
        monkeypatch.setattr(sys, "argv", ["cutis", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return Answer(int(end.value.code or 0), out, err)

    yield run
    options.debug = False

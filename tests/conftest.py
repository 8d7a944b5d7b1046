"""What every test stands on: one thread, no network, a cache of its own, and the real data where the machine has them."""

import os
from collections.abc import Iterator
from pathlib import Path

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

"""The store of features: whatever stops a process or damages a file, what is found is right, and the rest is computed again."""

import hashlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cutis.data.cache import Cache
from cutis.data.loaders import Pixels
from cutis.models import backends, build, feature_store, features
from cutis.models.feature_store import FeatureStore, names
from cutis.recipe import Augment, Images, Model, Predict, Recipe

SPEC = Recipe(
    images=Images(size=16),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4, 6]}),
    predict=Predict(batch_size=4, backend="eager", precision="fp32"),
)
COUNT = 40


def values(images: list[int]) -> NDArray[np.float32]:
    """What is stored of each image: five numbers that tell it from the others."""
    return np.array([[i, i + 0.5, -i, 1, 2] for i in images], np.float32).reshape(-1, 5)


def named(images: list[int]) -> NDArray[np.bytes_]:
    return names(np.array([f"{i}" for i in images]), ["symmetry 0"])[:, 0]


def added(store: FeatureStore, images: list[int]) -> None:
    with store.locked(), store.adding() as add:
        new = [i for i in dict.fromkeys(images) if store.find(named([i]))[0] < 0]
        if new:
            add(named(new), values(new))


def assert_right(store: FeatureStore, images: list[int]) -> None:
    rows = store.find(named(images))
    assert (rows >= 0).all()
    np.testing.assert_array_equal(store.open()[rows], values(images))


def test_a_name_is_the_hash_of_image_and_version() -> None:
    found = names(np.array(["ab", "cd"]), ["symmetry 0", "symmetry 4"])
    assert found.shape == (2, 2)
    assert found[1:, :1].tobytes() == hashlib.sha256(b"cd symmetry 0").digest()


def test_names_that_end_in_zero_are_told_apart(tmp_path: Path) -> None:
    ending = next(i for i in range(10_000) if hashlib.sha256(f"{i} symmetry 0".encode()).digest()[-1] == 0)
    store = FeatureStore(tmp_path, (5,))
    added(store, [ending])
    assert_right(FeatureStore(tmp_path, (5,)), [ending])


IMAGES = st.lists(st.integers(0, 30), min_size=1, max_size=8)
DAMAGE = st.tuples(st.sampled_from(["features.f32", "index.sha256"]), st.sampled_from(["cut", "extend", "change"]), st.integers(0, 2000))


@given(st.lists(st.tuples(IMAGES, st.none() | DAMAGE), max_size=6))
def test_whatever_happens_to_the_index_what_is_found_is_right(steps: list[tuple[list[int], tuple[str, str, int] | None]]) -> None:
    """Rows are added, files cut off, extended by leftovers, or (the index) overwritten; every image that is found is the right one."""
    with tempfile.TemporaryDirectory() as folder:
        for images, damage in steps:
            added(FeatureStore(Path(folder), (5,)), images)
            assert_right(FeatureStore(Path(folder), (5,)), images)
            if damage:
                _damage(Path(folder), *damage)
            store = FeatureStore(Path(folder), (5,))
            rows = store.find(named(list(range(31))))
            found = np.flatnonzero(rows >= 0)
            np.testing.assert_array_equal(store.open()[rows[found]], values(found.tolist()))


def _damage(folder: Path, name: str, how: str, where: int) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    where = min(where, len(data) - 1)
    if how == "cut":
        del data[where:]
    elif how == "extend":
        data += b"left by a process that was killed" * (where % 5)
    elif name == "index.sha256":
        data[where] ^= 0xFF
    path.write_bytes(data)


# Processes


def pictures() -> Pixels:
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), np.uint8)
    hashes = np.array([f"{i}" for i in range(COUNT)], "<U64")
    cache = Cache(pixels, np.arange(COUNT), hashes, pd.DataFrame(), pd.DataFrame(), COUNT, 0.0)
    return Pixels(cache, np.arange(COUNT), Augment(), torch.device("cpu"))


def extracted(folder: Path, progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
    torch.manual_seed(0)
    kept = features.extract(build.build(SPEC, ("a", "b"))[0], pictures(), SPEC, 2, folder, progress=progress)
    return kept.stored[kept.index]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    return extracted(tmp_path_factory.mktemp("right"))


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["cutis.models.features", "cutis.models.backends"])


def _work(folder: str, told: Connection, heard: Connection) -> None:
    """Compute; say how many passes are done after each batch, wait for a word after each, and say at the end how many were made here."""
    feature_store.SAVE_EVERY = 0.0

    def progress(done: int, total: int) -> None:
        if done:
            told.send(done)
            heard.recv()

    made = []
    real = backends.engine

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        return real(*arguments, **options)

    backends.engine = counted
    extracted(Path(folder), progress)
    told.send(("engines", len(made)))


class Worker:
    """A process that extracts the features of the same pictures, one batch at a word."""

    def __init__(self, folder: Path) -> None:
        self.told, theirs = _context.Pipe(duplex=False)
        heard, self.tell = _context.Pipe(duplex=False)
        self.process = _context.Process(target=_work, args=(str(folder), theirs, heard))
        self.process.start()
        theirs.close()
        heard.close()

    def hear(self) -> Any:
        assert self.told.poll(60), "it hangs"
        return self.told.recv()

    def finish(self) -> tuple[int, Any]:
        """Let it run to its end: how many batches it computed, how many engines it made."""
        batches = 0
        while isinstance(word := self.hear(), int):
            batches += 1
            self.tell.send(None)
        self.process.join(60)
        assert self.process.exitcode == 0
        return batches, word[1]


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(tmp_path))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join(60)


def test_fault_t2_killed_in_the_middle_is_intact_and_goes_on(
    workers: Callable[[], Worker], tmp_path: Path, right: NDArray[np.float32]
) -> None:
    for batches in (3, 6):
        worker = workers()
        for _ in range(batches):
            worker.hear()
            worker.tell.send(None)
        worker.hear()
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        worker.process.join(60)
    (folder,) = tmp_path.iterdir()
    with (folder / "features.f32").open("ab") as file:
        file.write(b"half a row")
    with (folder / "index.sha256").open("ab") as file:
        file.write(b"half a name")
    done: list[tuple[int, int]] = []
    found = extracted(tmp_path, lambda *told: done.append(told))
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)
    assert done[-1][0] == done[-1][1] == 2 * COUNT - 4 * (4 + 7)  # each batch that was told of was on the disk
    assert (folder / "features.f32").stat().st_size == 2 * COUNT * 6 * 4


def test_fault_t8_of_two_processes_one_computes_and_the_other_waits(
    workers: Callable[[], Worker], tmp_path: Path, right: NDArray[np.float32]
) -> None:
    first = workers()
    first.hear()  # it holds the lock, in the middle of the pass
    second = workers()
    assert not second.told.poll(0.5)
    first.tell.send(None)
    assert first.finish() == (19, 1)
    assert second.finish() == (0, 0)
    (folder,) = tmp_path.iterdir()
    assert (folder / "features.f32").stat().st_size == 2 * COUNT * 6 * 4
    np.testing.assert_allclose(extracted(tmp_path), right, rtol=1e-4, atol=1e-6)


def test_a_process_that_waits_can_be_stopped(workers: Callable[[], Worker], tmp_path: Path) -> None:
    first = workers()
    first.hear()

    def stop(done: int, total: int) -> None:
        assert (done, total) == (0, 2 * COUNT - 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extracted(tmp_path, stop)
    first.tell.send(None)
    assert first.finish() == (19, 1)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 3200, bytes(range(256)) * 20])
def test_a_damaged_index_is_made_anew(tmp_path: Path, right: NDArray[np.float32], damage: bytes) -> None:
    extracted(tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "index.sha256").write_bytes(damage)
    np.testing.assert_allclose(extracted(tmp_path), right, rtol=1e-4, atol=1e-6)

"""The cache: decoded once, never half-written, and what cannot be read is named."""

import hashlib
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from cutis.data import cache
from cutis.data.images import decode, fitted
from cutis.errors import DataError, TrainingError
from cutis.recipe import Images

SMALL = Images(size=(16, 16))


def jpeg(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def table_of(root: Path, keys: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"image": keys})
    table.attrs["root"] = str(root)
    return table


@pytest.fixture
def pictures(tmp_path: Path) -> pd.DataFrame:
    """Twenty pictures in ``images/``."""
    (tmp_path / "images").mkdir()
    keys = [f"{i:02d}.jpg" for i in range(20)]
    for i, key in enumerate(keys):
        (tmp_path / "images" / key).write_bytes(jpeg(i))
    return table_of(tmp_path / "images", keys)


def expected(root: Path, key: str, images: Images = SMALL) -> np.ndarray:
    return fitted(decode(root / key, at_least=images.size).pixels, images.size, images.fit)


def assert_right(result: cache.Cache, table: pd.DataFrame, images: Images = SMALL) -> None:
    root = Path(table.attrs["root"])
    for row, key in zip(result.row, table["image"], strict=True):
        np.testing.assert_array_equal(result.pixels[row], expected(root, key, images))


def kept_rows(folder: Path) -> list[int]:
    """Rows of the pictures that an index speaks of."""
    with closing(sqlite3.connect(folder / "index.sqlite")) as index:
        return [row for (row,) in index.execute("SELECT row FROM picture ORDER BY row")]


def store_of(folder: Path) -> Path:
    (index,) = folder.glob("*/index.sqlite")
    return index.parent


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_decodes_once_and_gives_the_right_pixels(pictures: pd.DataFrame, tmp_path: Path, fit: str) -> None:
    images = Images(size=(12, 20), fit=fit)
    seen: list[tuple[int, int]] = []
    first = cache.build(pictures, images, folder=tmp_path / "c", progress=lambda done, total: seen.append((done, total)))
    assert (first.decoded, seen[-1], first.pixels.shape) == (20, (20, 20), (20, 12, 20, 3))
    assert_right(first, pictures, images)
    again = cache.build(pictures, images, folder=tmp_path / "c")
    assert again.decoded == 0
    np.testing.assert_array_equal(again.row, first.row)
    np.testing.assert_array_equal(again.sha256, first.sha256)


def test_take_keeps_the_order_asked_for(pictures: pd.DataFrame, tmp_path: Path) -> None:
    result = cache.build(pictures, SMALL, folder=tmp_path / "c")
    for rows in ([3, 17, 3, 0], []):
        np.testing.assert_array_equal(result.take(rows), result.pixels[result.row[np.array(rows, int)]])


def test_only_what_is_new_is_decoded(pictures: pd.DataFrame, tmp_path: Path) -> None:
    root = Path(pictures.attrs["root"])
    few = table_of(root, list(pictures["image"][:12]))
    assert cache.build(few, SMALL, folder=tmp_path / "c").decoded == 12
    whole = cache.build(pictures, SMALL, folder=tmp_path / "c")
    assert whole.decoded == 8
    assert_right(whole, pictures)
    (root / "03.jpg").write_bytes(jpeg(99))  # changed
    os.utime(root / "05.jpg")  # touched
    (root / "07.jpg").rename(root / "moved.jpg")
    changed = table_of(root, ["03.jpg", "05.jpg", "moved.jpg"])
    result = cache.build(changed, SMALL, folder=tmp_path / "c")
    assert result.decoded == 1
    assert_right(result, changed)
    assert cache.build(few.iloc[:7], Images(size=(16, 16), fit="pad"), folder=tmp_path / "c").decoded == 7


def test_a_change_that_keeps_size_and_time_is_seen(pictures: pd.DataFrame, tmp_path: Path) -> None:
    path = Path(pictures.attrs["root"]) / "00.jpg"
    cache.build(pictures, SMALL, folder=tmp_path / "c")
    before, other = path.stat(), jpeg(50)
    length = max(before.st_size, len(other))
    path.write_bytes(jpeg(0).ljust(length, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    cache.build(pictures, SMALL, folder=tmp_path / "c")
    path.write_bytes(other.ljust(length, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert_right(cache.build(pictures, SMALL, folder=tmp_path / "c"), pictures)


def test_hash_is_of_the_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for name in ("a.png", "b.bmp", "c.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(pixels.reshape(7, 9, 3)).save(tmp_path / "reshaped.png")
    result = cache.build(table_of(tmp_path, ["a.png", "b.bmp", "c.tif", "copy.png", "reshaped.png"]), SMALL, folder=tmp_path / "c")
    wanted = [hashlib.sha256(repr(shape).encode() + pixels.tobytes()).hexdigest() for shape in ((9, 7, 3), (7, 9, 3))]
    assert list(result.sha256) == [wanted[0]] * 4 + [wanted[1]]
    assert result.decoded == 4
    assert result.row[0] == result.row[3]


def test_notes_are_kept(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "white")])
    for _ in range(2):
        notes = cache.build(table_of(tmp_path, ["a.gif"]), SMALL, folder=tmp_path / "c").notes
        assert notes.values.tolist() == [["a.gif", "holds several frames or pages; the first is used"]]


def test_rows_of_arrays(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 3), dtype=np.uint8)
    np.savez_compressed(tmp_path / "set.npz", train_images=pixels, test_images=pixels[:5, ..., 0])
    keys = [f"set.npz::train_images::{i}" for i in (7, 3, 49)] + ["set.npz::test_images::4", "set.npz::test_images::5"]
    result = cache.build(table_of(tmp_path, keys), Images(size=(28, 28), max_unreadable=0.5), folder=tmp_path / "c")
    np.testing.assert_array_equal(result.take([0, 1, 2]), pixels[[7, 3, 49]])
    np.testing.assert_array_equal(result.take([3])[0], np.repeat(pixels[4, ..., :1], 3, axis=2))
    assert result.failures.values.tolist() == [[keys[4], "row 5 is past the end: the array test_images has 5 rows"]]
    assert cache.build(table_of(tmp_path, keys[:4]), Images(size=(28, 28)), folder=tmp_path / "c").decoded == 0


def test_fault_i1_unreadable_files_are_named_and_never_replaced(pictures: pd.DataFrame, tmp_path: Path) -> None:
    root = Path(pictures.attrs["root"])
    (root / "04.jpg").write_bytes(b"")
    (root / "09.jpg").write_bytes(jpeg(9)[:-100])
    (root / "12.jpg").write_bytes(jpeg(9)[:-100])  # the same damaged bytes twice
    (root / "15.jpg").unlink()
    with pytest.raises(DataError, match=r"4 of 20 images cannot be read \(20.0%; images.max_unreadable allows 1.0%\)") as error:
        cache.build(pictures, SMALL, folder=tmp_path / "c")
    assert "04.jpg: the file is empty" in str(error.value)
    assert error.value.code == 3
    tolerant = Images(size=(16, 16), max_unreadable=0.2)
    for _ in range(2):
        result = cache.build(pictures, tolerant, folder=tmp_path / "c")
        assert list(result.failures["image"]) == ["04.jpg", "09.jpg", "12.jpg", "15.jpg"]
        assert result.failures["reason"].str.contains("empty|Premature end|no such file").all()
        bad = np.isin(pictures["image"], result.failures["image"])
        np.testing.assert_array_equal(result.row == -1, bad)
        np.testing.assert_array_equal(np.asarray(result.sha256) == "", bad)
    assert len(set(result.row[~bad])) == 16
    (root / "15.jpg").write_bytes(jpeg(15))  # mended: read the next time
    assert cache.build(pictures, tolerant, folder=tmp_path / "c").row[15] >= 0


def test_fault_i1_ten_reasons_at_most(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="15 of 15 images") as error:
        cache.build(table_of(tmp_path, [f"{i}.jpg" for i in range(15)]), SMALL, folder=tmp_path / "c")
    assert str(error.value).count("no such file") == 10
    assert "and 5 more" in str(error.value)


def test_fault_d8_pipes_loops_and_folders_end(pictures: pd.DataFrame, tmp_path: Path) -> None:
    root = Path(pictures.attrs["root"])
    os.mkfifo(root / "pipe.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "folder.jpg").mkdir()
    keys = ["00.jpg", "pipe.jpg", "loop.jpg", "folder.jpg", "nul\0.jpg"]
    result = cache.build(table_of(root, keys), Images(size=(16, 16), max_unreadable=1), folder=tmp_path / "c")
    assert list(result.failures["image"]) == keys[1:]
    assert result.row[0] >= 0


PROGRAM = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    import pandas as pd
    from cutis.data import cache, filling
    from cutis.recipe import Images

    root, folder, side, limit, save_every = sys.argv[1:6]
    cache.SAVE_EVERY, filling.CHUNK = float(save_every), 2
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    table = pd.DataFrame({"image": sorted(p.name for p in Path(root).iterdir())})
    table.attrs["root"] = root
    print("ready", flush=True)
    try:
        cache.build(table, Images(size=(int(side), int(side))), folder=Path(folder), workers=2)
    except ValueError as error:
        sys.exit(f"{error.code} {error}")
    """
)


def start(root: Path, folder: Path, *, side: int = 64, limit: int = 0, save_every: float = 0, before: str = "") -> "subprocess.Popen[str]":
    """A build in a process of its own; the index is saved after every other picture."""
    command = [sys.executable, "-c", before + PROGRAM, str(root), str(folder), str(side), str(limit), str(save_every)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def many(tmp_path: Path) -> pd.DataFrame:
    """Sixty pictures that take a while to decode."""
    (tmp_path / "many").mkdir()
    for i in range(60):
        (tmp_path / "many" / f"{i:02d}.jpg").write_bytes(jpeg(i, (1200, 900)))
    return table_of(tmp_path / "many", [f"{i:02d}.jpg" for i in range(60)])


def test_fault_t2_killed_at_any_moment_leaves_a_valid_store(many: pd.DataFrame, tmp_path: Path) -> None:
    moments = random.Random(0)
    for attempt in range(4):
        folder = tmp_path / f"c{attempt}"
        process = start(Path(many.attrs["root"]), folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        index = list(folder.glob("*/index.sqlite"))
        kept = len(kept_rows(index[0].parent)) if index else 0
        images = Images(size=(64, 64))
        result = cache.build(many, images, folder=folder)
        assert result.decoded == 60 - kept
        assert_right(result, many, images)


KILLED = textwrap.dedent(
    """
    import os, signal, sqlite3, sys
    from cutis.data import store

    connect, store.PAGES = sqlite3.connect, 0  # pages go to the disk before the commit

    def connected(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(lambda statement: heard.append(statement) or statement == "COMMIT" and die())
        return connection

    def die():
        if any(statement.startswith("INSERT INTO picture") for statement in heard):
            os.kill(os.getpid(), signal.SIGKILL)

    heard, sqlite3.connect = [], connected
    """
)


def test_fault_t2_killed_while_the_index_is_saved(many: pd.DataFrame, tmp_path: Path) -> None:
    root, images = Path(many.attrs["root"]), Images(size=(64, 64))
    assert cache.build(table_of(root, list(many["image"][:5])), images, folder=tmp_path / "c").decoded == 5
    store = store_of(tmp_path / "c")
    process = start(root, tmp_path / "c", before=KILLED, save_every=1e9)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert (store / "index.sqlite-journal").stat().st_size > 0, "the save was half done"
    result = cache.build(many, images, folder=tmp_path / "c")
    assert result.decoded == 55
    assert kept_rows(store) == list(range(60))
    assert_right(result, many, images)


@pytest.mark.parametrize(("side", "limit"), [(64, int(20.5 * 64 * 64 * 3)), (2, 22_000)], ids=["pixels", "index"])
def test_fault_t3_disk_full(many: pd.DataFrame, tmp_path: Path, side: int, limit: int) -> None:
    root, stride, images = Path(many.attrs["root"]), side * side * 3, Images(size=(side, side))
    process = start(root, tmp_path / "c", side=side, limit=limit)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("5 The cache")
    assert "CUTIS_CACHE" in errors
    store = store_of(tmp_path / "c")
    rows = kept_rows(store)
    assert (store / "pixels.u8").stat().st_size == stride * (max(rows, default=-1) + 1)
    result = cache.build(many, images, folder=tmp_path / "c")
    assert result.decoded == 60 - len(rows)
    assert_right(result, many, images)


def test_fault_t3_folder_that_cannot_be_written(pictures: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file stands where the folder should be")
    with pytest.raises(DataError, match="Set CUTIS_CACHE"):
        cache.build(pictures, SMALL, folder=tmp_path / "c")


def test_fault_t5_there_is_no_worker_process_to_kill(pictures: pd.DataFrame, tmp_path: Path) -> None:
    children: list[list[psutil.Process]] = []
    me = psutil.Process()
    before = me.children()  # such as the fork server of other tests
    cache.build(pictures, SMALL, folder=tmp_path / "c", workers=4, progress=lambda *_: children.append(me.children()))
    assert children
    assert all(now == before for now in children)


def test_fault_t5_an_error_in_a_worker_ends_the_build_at_once(
    pictures: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cutis.data.filling.os.pwrite", fail)
    started = time.monotonic()
    with pytest.raises(TrainingError, match="No space left on device"):
        cache.build(pictures, SMALL, folder=tmp_path / "c", workers=2)
    assert time.monotonic() - started < 30


def test_fault_t8_two_processes_fill_one_store(many: pd.DataFrame, tmp_path: Path) -> None:
    both = [start(Path(many.attrs["root"]), tmp_path / "c") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    images = Images(size=(64, 64))
    result = cache.build(many, images, folder=tmp_path / "c")
    assert (result.decoded, len(result.pixels)) == (0, 60)
    assert_right(result, many, images)


def test_a_store_whose_pixels_are_gone_is_made_again(pictures: pd.DataFrame, tmp_path: Path) -> None:
    cache.build(pictures, SMALL, folder=tmp_path / "c")
    os.truncate(store_of(tmp_path / "c") / "pixels.u8", 8 * 16 * 16 * 3)
    result = cache.build(pictures, SMALL, folder=tmp_path / "c")
    assert result.decoded == 12
    assert_right(result, pictures)


def test_a_damaged_index_is_named_with_the_remedy_or_does_no_harm(pictures: pd.DataFrame, tmp_path: Path) -> None:
    cache.build(pictures, SMALL, folder=tmp_path / "c")
    index = store_of(tmp_path / "c") / "index.sqlite"
    whole, page = index.read_bytes(), 4096
    rubbish = np.random.default_rng(0).bytes(page)
    damages = {"text": b"{", "empty": b"", "short": whole[: 2 * page]}
    damages |= {f"page {at // page}": whole[:at] + rubbish + whole[at + page :] for at in range(0, len(whole), page)}
    named = {}
    for damage, content in damages.items():
        index.write_bytes(content)
        try:
            assert_right(cache.build(pictures, SMALL, folder=tmp_path / "c"), pictures)
        except DataError as error:
            named[damage] = str(error)
        index.write_bytes(whole)
    assert named.keys() >= {"text", "empty", "short", "page 0"}
    assert all(f"Delete {index.parent}; it is made again" in message for message in named.values())
    assert cache.build(pictures, SMALL, folder=tmp_path / "c").decoded == 0


def test_an_index_of_an_older_format_is_left_alone(pictures: pd.DataFrame, tmp_path: Path) -> None:
    cache.build(pictures, SMALL, folder=tmp_path / "c")
    new = store_of(tmp_path / "c")
    old = new.with_name(new.name.rpartition("-")[0])
    old.mkdir()
    (old / "index.json").write_text("{}")
    (old / "pixels.u8").write_bytes(b"old")
    new.rename(tmp_path / "away")
    assert cache.build(pictures, SMALL, folder=tmp_path / "c").decoded == 20
    assert {path.name: path.read_bytes() for path in old.iterdir()} == {"index.json": b"{}", "pixels.u8": b"old"}


def test_an_unchanged_file_is_not_read(pictures: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.build(pictures, SMALL, folder=tmp_path / "c")

    def fail(_: Path) -> bytes:
        raise AssertionError

    monkeypatch.setattr("cutis.data.filling.read_bytes", fail)
    assert_right(cache.build(pictures, SMALL, folder=tmp_path / "c"), pictures)


def test_any_name_and_any_time(pictures: pd.DataFrame, tmp_path: Path) -> None:
    root = Path(pictures.attrs["root"])
    keys = [os.fsdecode(b"not text \xff\xfe.jpg"), "from the far future.jpg", "from long ago.jpg", 'it\'s "quoted"\n.jpg']
    for i, key in enumerate(keys):
        (root / key).write_bytes(jpeg(i))
    os.utime(root / keys[1], (13_000_000_000, 13_000_000_000))  # 2381: more nanoseconds than 63 bits hold
    os.utime(root / keys[2], (-2_000_000_000, -2_000_000_000))
    table = table_of(root, keys)
    assert [cache.build(table, SMALL, folder=tmp_path / "c").decoded for _ in range(2)] == [4, 0]
    assert_right(cache.build(table, SMALL, folder=tmp_path / "c"), table)


def test_twins_are_decoded_once_however_few_are_looked_at_together(
    pictures: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(pictures.attrs["root"])
    (root / "bad.jpg").write_bytes(jpeg(9)[:-100])
    keys = []
    for i, key in enumerate([*pictures["image"], "bad.jpg"] * 3):
        (root / f"{i}-{key}").write_bytes((root / key).read_bytes())
        keys.append(f"{i}-{key}")
    monkeypatch.setattr(cache, "BLOCK", 3)
    monkeypatch.setattr("cutis.data.filling.CHUNK", 2)
    table, images = table_of(root, keys), Images(size=(16, 16), max_unreadable=0.1)
    result = cache.build(table, images, folder=tmp_path / "c", workers=4)
    assert (result.decoded, len(result.pixels), list(result.failures["image"])) == (20, 20, ["20-bad.jpg", "41-bad.jpg", "62-bad.jpg"])
    good = [key for key in keys if "bad" not in key]
    assert_right(cache.build(table_of(root, good), images, folder=tmp_path / "c"), table_of(root, good))


def test_rows_of_arrays_in_any_order_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8) for name in ("a", "b")}
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    chosen = [(name, int(row)) for name in arrays for row in range(30)]
    monkeypatch.setattr(cache, "BLOCK", 7)
    for attempt, order in enumerate((np.arange(60), rng.permutation(60))):
        some = [chosen[i] for i in order]
        table = table_of(tmp_path, [f"set.npz::{name}::{row}" for name, row in some])
        result = cache.build(table, Images(size=(8, 8)), folder=tmp_path / f"c{attempt}")
        np.testing.assert_array_equal(result.take(np.arange(60)), [arrays[name][row] for name, row in some])


def test_memory_does_not_grow_with_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for i in range(900):
        Image.fromarray(np.full((1, 1, 3), (i // 256, i % 256, 0), np.uint8)).save(tmp_path / "images" / f"{i}.bmp")
    monkeypatch.setattr(cache, "BLOCK", 50)

    def most(count: int) -> int:
        table = table_of(tmp_path / "images", [f"{i}.bmp" for i in range(count)])
        tracemalloc.start()
        try:
            built = cache.build(table, Images(size=(1, 1)), folder=tmp_path / f"c{count}", workers=1)
            assert built.decoded == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(50)  # what is loaded once
    assert most(900) - most(300) < 600 * 300  # bytes a row, of which 40 stay


def test_folder_from_the_environment(pictures: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTIS_CACHE", str(tmp_path / "here"))
    cache.build(pictures, SMALL)
    assert store_of(tmp_path / "here").name.startswith("16x16-crop-")


def test_needs_no_torch() -> None:
    program = "import sys; import cutis.data.cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif("CUTIS_DATA" not in os.environ, reason="CUTIS_DATA is not set")
def test_real_images_are_all_readable_and_the_second_build_is_quick(tmp_path: Path) -> None:
    root = Path(os.environ["CUTIS_DATA"]) / "isic2018" / "images"
    table = table_of(root, sorted(p.name for p in root.iterdir())[:2000])
    images = Images(max_unreadable=0)
    assert cache.build(table, images, folder=tmp_path).decoded == 2000
    again = cache.build(table, images, folder=tmp_path)
    assert again.decoded == 0
    assert again.seconds < 2

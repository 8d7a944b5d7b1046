"""Files are written whole or not at all, whatever happens meanwhile."""

import hashlib
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutis import files
from cutis.errors import ArtifactError

SIZE = 4_000_000


def test_fault_t2_a_kill_during_a_save_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    target = tmp_path / "state"
    endless = (
        "import itertools, sys; from pathlib import Path; from cutis import files\n"
        f"for i in itertools.count(): files.write_text(Path(sys.argv[1]), 'ab'[i % 2] * {SIZE}); print(i, flush=True)\n"
    )
    chance = random.Random(0)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", endless, str(target)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
        assert target.read_text() in ("a" * SIZE, "b" * SIZE)
    assert list(tmp_path.glob(".state.*.part")), "no kill came during a save"


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.write_text(target, "old")

    def interrupted() -> None:
        with files.replacing(target) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(target, {"a": float("nan")})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_fault_t3_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.write_text(target, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError, match="File too large"):
            files.write_text(target, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_fault_t3_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        files.write_text(tmp_path / "file" / "inner", "x")


def test_two_processes_never_write_aside_to_the_same_place(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "file") as mine:
        mine.write_text("mine")
        other = "import sys; from pathlib import Path; from cutis import files; files.write_text(Path(sys.argv[1]), 'other')"
        subprocess.run([sys.executable, "-c", other, str(tmp_path / "file")], check=True)
        assert (tmp_path / "file").read_text() == "other"
    assert (tmp_path / "file").read_text() == "mine"


def test_json_comes_back_and_broken_json_is_named(tmp_path: Path) -> None:
    data = {"ä": [1, 2.5, None, "\n"], "b": {}}
    files.write_json(tmp_path / "deep" / "x.json", data)
    assert files.read_json(tmp_path / "deep" / "x.json") == data == json.loads((tmp_path / "deep" / "x.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"no file .*absent\.json"):
        files.read_json(tmp_path / "absent.json")
    for broken in (b'{"a": ', b'"\xff"'):
        (tmp_path / "half.json").write_bytes(broken)
        with pytest.raises(ArtifactError, match=r"half\.json is not valid JSON"):
            files.read_json(tmp_path / "half.json")


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    assert files.sha256(tmp_path / "large") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


@given(st.text(), st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "'", "''="]))
def test_fault_d9_no_guarded_text_is_a_formula_and_all_come_back(rest: str, start: str) -> None:
    text = start + rest
    assert not files.guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert files.unguarded(files.guarded(text)) == text

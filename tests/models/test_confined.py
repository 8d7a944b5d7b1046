"""The process that reads what could be hostile: it hands back tensors, and can open, connect and start nothing."""

import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from cutis.errors import ArtifactError, CutisError
from cutis.models import confined, foreign

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a process so")


def saved(path: Path, data: Any, **options: Any) -> Path:
    torch.save(data, path, **options)
    return path


def inside(code: str) -> subprocess.CompletedProcess[str]:
    """Run code that has confined itself."""
    program = f"""
        import errno, os, socket, subprocess, threading
        import importlib.util
        spec = importlib.util.spec_from_file_location("confined", {confined.__file__!r})
        confined = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(confined)
        assert confined.confine()
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program) + textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


@linux
def test_a_confined_process_opens_connects_starts_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("secret")
    done = inside(
        f"""
        there = {str(tmp_path / "there")!r}
        for what in (
            lambda: os.open(there, os.O_RDONLY),
            lambda: os.open(there + "2", os.O_WRONLY | os.O_CREAT),
            lambda: os.unlink(there),
            lambda: os.rename(there, there + "2"),
            lambda: os.chmod(there, 0),
            lambda: os.listdir("/"),
            lambda: socket.socket(),
            lambda: os.fork(),
            lambda: os.execv("/bin/true", ["true"]),
            lambda: os.kill(1, 0),
            lambda: os.memfd_create("x"),
        ):
            try:
                what()
            except OSError as error:
                print(error.errno)
            else:
                print("done")
        print(sum(range(10)), bytes(1000).count(0))
        """
    )
    assert done.stdout.split() == ["1"] * 11 + ["45", "1000"], done.stderr  # EPERM
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


STATE = {
    "a.weight": torch.arange(12.0).reshape(4, 3),
    "a.twin": torch.arange(12.0).reshape(4, 3).T,
    "half": torch.linspace(0, 1, 5).half(),
    "brain": torch.linspace(0, 1, 5).bfloat16(),
    "count": torch.tensor(7),
    "wide": torch.ones(3).expand(2, 3),
    "odd name \n::'é": torch.nn.Parameter(torch.zeros(0, 4)),
}


def read(kind: str, data: bytes) -> dict[str, dict[str, torch.Tensor]]:
    """What the programme makes of a file, here and not confined; sections of named tensors."""
    made = confined.handed(list(confined.READERS[kind](io.BytesIO(data))), [])
    sections: dict[str, dict[str, torch.Tensor]] = {}
    header = json.loads(made[8 : 8 + int.from_bytes(made[:8], "little")])
    tensors = load(made)
    for i, (section, name) in enumerate(json.loads(header["__metadata__"]["names"])):
        sections.setdefault(section, {})[name] = tensors[str(i)]
    return sections


def in_bytes(data: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(data, out, **options)
    return out.getvalue()


def test_a_state_dict_comes_back_as_it_was(tmp_path: Path) -> None:
    own = foreign.read(saved(tmp_path / "a.pth", STATE))
    assert any("processor time" in line for line in own.held)
    assert sys.platform != "linux" or "seccomp" in own.held[0]
    for sections in (own.sections, read("pth", in_bytes(STATE, _use_new_zipfile_serialization=False))):
        assert sections.keys() == {""}
        assert list(sections[""]) == list(STATE)
        for name, value in STATE.items():
            assert sections[""][name].dtype == value.dtype
            assert torch.equal(sections[""][name], value.detach()), name


def test_the_weights_of_a_checkpoint_are_found_and_of_several_one_is_named() -> None:
    weights = {"w": torch.ones(2)}
    momentum = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    one = foreign.Foreign(read("pth", in_bytes({"state_dict": weights, "optimizer": momentum, "epoch": 3})), False, ())
    assert one.section().keys() == {"w"}
    two = foreign.Foreign(read("pth", in_bytes({"model": weights, "ema": {"w": torch.zeros(2)}})), False, ())
    with pytest.raises(CutisError, match=r"several sets of weights: model \(1 tensors\), ema \(1 tensors\).*--part"):
        two.section()
    assert two.section("ema")["w"].tolist() == [0, 0]


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_fault_m1_a_pickle_that_would_run_a_command_is_refused_and_not_run(tmp_path: Path) -> None:
    bomb = {"conv.weight": torch.ones(2), "x": Canary(tmp_path / "canary")}
    with pytest.raises(ArtifactError, match=r"not only weights: it would run (posix|nt)\.mkdir\. .*never programmes"):
        foreign.read(saved(tmp_path / "w.pth", bomb))
    with pytest.raises(pickle.UnpicklingError):
        read("pth", pickle.dumps(bomb["x"], protocol=2))
    assert not (tmp_path / "canary").exists()


def test_fault_m1_whole_networks_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read("pth", in_bytes(torch.nn.Linear(2, 2)))


def test_fault_m2_a_small_file_that_would_be_a_huge_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="more memory than a file of its size may"):
        foreign.read(saved(tmp_path / "huge.pth", {"w": torch.ones(1).expand(20_000, 20_000)}))  # 1.6 GB, which the machine may well have


def test_what_holds_no_weights_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"nonsense" * 50)
    (tmp_path / "cut.h5").write_bytes(HDF5[: len(HDF5) // 2])
    for path, said in (
        (tmp_path / "cut.h5", r"cut\.h5 is refused: "),
        (tmp_path / "w.pth", r"w\.pth is refused: it is not only weights, or no file that torch\.save wrote"),
        (saved(tmp_path / "none.pth", {"epoch": 3}), "holds no weights"),
        (tmp_path / "absent.pth", "There is no file"),
    ):
        with pytest.raises(ArtifactError, match=said):
            foreign.read(path)


@given(st.binary(max_size=300), st.floats(0, 1, exclude_max=True))
def test_whatever_a_file_holds_it_ends_in_tensors_or_a_reason_in_plain_letters(noise: bytes, share: float) -> None:
    whole = in_bytes(STATE)
    for data in (noise, whole[: int(share * len(whole))]):
        with warnings.catch_warnings(action="ignore"):
            try:
                read("pth", data)
            except Exception as error:
                told = confined.why(error)
            else:
                told = ""
        assert told.isascii() and (told.isprintable() or not told)  # noqa: PT018


def test_where_the_process_cannot_be_confined_it_is_refused_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(confined.__file__).read_text("utf-8").replace('sys.platform != "linux"', "True")
    (tmp_path / "confined.py").write_text(own)
    monkeypatch.setattr(confined, "__file__", str(tmp_path / "confined.py"))
    path = saved(tmp_path / "w.pth", {"w": torch.ones(2)})
    with pytest.raises(ArtifactError, match=r"cannot confine.*--unconfined"):
        foreign.read(path)
    assert not any("seccomp" in line for line in foreign.read(path, unconfined=True).held)


def test_the_process_gets_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = (
        Path(confined.__file__)
        .read_text("utf-8")
        .replace("    data = io.BytesIO(", "    os.write(2, repr(dict(os.environ)).encode()); return REFUSED\n    data = io.BytesIO(")
    )
    (tmp_path / "confined.py").write_text(spy)
    monkeypatch.setattr(confined, "__file__", str(tmp_path / "confined.py"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(ArtifactError, match="OMP_NUM_THREADS") as error:
        foreign.read(saved(tmp_path / "w.pth", {"w": torch.ones(2)}))
    assert "hf_secret" not in str(error.value)


def hdf5(fill: Callable[[Any], None]) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        fill(file)
    return out.getvalue()


LAYERS = {
    "z_first": {"kernel": np.ones((4, 3), np.float32), "bias": np.zeros(3, np.float32)},
    "dropout": {},
    "a_last": {"kernel": np.full((3, 2), 2, np.float32), "bias": np.ones(2, np.float32)},
}


def legacy(root: Any) -> None:
    """As Keras 2 wrote it: attributes name the layers and their weights in order."""
    root.attrs["layer_names"] = [name.encode() for name in LAYERS]
    for layer, weights in LAYERS.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in weights]
        for name, values in weights.items():
            group[f"{layer}/{name}:0"] = values


HDF5 = hdf5(legacy)


def test_keras_2_names_its_layers_in_the_order_they_were_built(tmp_path: Path) -> None:
    (tmp_path / "head.h5").write_bytes(HDF5)
    own = foreign.read(tmp_path / "head.h5")
    assert own.keras
    for sections in (own.sections, read("h5", hdf5(lambda file: legacy(file.create_group("model_weights"))))):
        assert list(sections[""]) == ["z_first/kernel", "z_first/bias", "a_last/kernel", "a_last/bias"]
        assert sections[""]["a_last/kernel"].tolist() == [[2, 2]] * 3


@pytest.mark.parametrize("root", ["layers", "_layer_checkpoint_dependencies"])
def test_keras_3_numbers_its_weights_and_layers(root: str) -> None:
    def fill(file: Any) -> None:
        for layer, units in (("dense", 3), ("dense_10", 2), ("dense_2", 5)):
            file[f"{root}/{layer}/vars/0"] = np.ones((4, units), np.float32)
            file[f"{root}/{layer}/vars/1"] = np.ones(units, np.float32)
        file.create_group(f"{root}/dropout/vars")

    names = list(read("h5", hdf5(fill))[""])
    assert names == ["dense/0", "dense/1", "dense_2/0", "dense_2/1", "dense_10/0", "dense_10/1"]


def test_a_link_in_an_hdf5_file_leads_to_no_other_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones(3)
    with h5py.File(tmp_path / "head.h5", "w") as file:
        file.create_group("layers/dense/vars")["0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    with pytest.raises(ArtifactError, match="is refused"):
        foreign.read(tmp_path / "head.h5")

"""The guard makes torchvision importable where its compiled part does not load, and does nothing where it does."""

import importlib.util
import subprocess
import sys
from pathlib import Path

# What torchvision does when imported: load the compiled part if it loads, then decorate the operators it should have brought.
PACKAGE = """
import torch
from importlib.machinery import PathFinder
try:
    torch.ops.load_library(PathFinder.find_spec("_C", __path__).origin)
except OSError:
    pass
"""
DECORATE = 'torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets.new_empty(0, dtype=torch.long))\n'


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    code = "\n".join([f"import sys; sys.path[:0] = {[str(p) for p in path]!r}", code])
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def package(folder: Path, compiled: bytes, body: str) -> Path:
    (folder / "torchvision").mkdir(parents=True)
    (folder / "torchvision" / "__init__.py").write_text(PACKAGE + body)
    (folder / "torchvision" / "_C.so").write_bytes(compiled)
    return folder


def test_a_compiled_part_that_does_not_load_is_stood_in_for(tmp_path: Path) -> None:
    folder = package(tmp_path, b"not a library", DECORATE)
    assert "torchvision::nms does not exist" in python("import torchvision", folder).stderr
    done = python("import cutis.models, torchvision, torch, gc; gc.collect(); print(torch.ops.torchvision.nms.default._schema)", folder)
    assert done.stdout == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor\n", done.stderr


def test_nothing_is_declared_where_the_compiled_part_loads(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("simplejpeg._jpeg")  # any library that loads and declares no operator
    assert spec is not None
    assert spec.origin is not None
    folder = package(tmp_path, Path(spec.origin).read_bytes(), "")
    done = python("import cutis.models, torchvision, torch; print(hasattr(torch.ops.torchvision, 'nms'))", folder)
    assert done.stdout == "False\n", done.stderr


def test_nothing_is_declared_without_torchvision_nor_twice() -> None:
    done = python(
        "import importlib.util as util, torch\n"
        "find, util.find_spec = util.find_spec, lambda name: None\n"
        "import cutis.models\n"
        "print(hasattr(torch.ops.torchvision, 'nms'))\n"
        "util.find_spec = find\n"
        "cutis.models.guard(); cutis.models.guard()\n"
        "import torchvision, timm; cutis.models.guard()\n"
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_installed_torchvision_and_timm_import_in_a_spawned_worker_too(tmp_path: Path) -> None:
    work = "import torchvision.transforms.v2, timm; assert timm.list_models('resnet18')"
    script = tmp_path / "main.py"
    script.write_text(
        "from concurrent.futures import ProcessPoolExecutor as Pool\n"
        "from multiprocessing import get_context\n"
        "if __name__ == '__main__':\n"
        "    from cutis.models import guard\n"  # unpickled by the worker, whose import of cutis.models is then its first
        "    with Pool(1, mp_context=get_context('spawn'), initializer=guard) as pool:\n"
        f"        pool.submit(exec, {work!r}).result()\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

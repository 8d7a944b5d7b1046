"""Imports flow one way (docs/architecture.md), what need not know torch does not, and no file names a machine's own folders."""

import ast
import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src" / "cutis"

# A room imports what stands above it. The levels of single files are made of parts that know each other;
# of rooms, neighbours on one line do not.
LEVELS = [
    [
        "errors",
        "registry",
        "settings",
        "files",
        "randomness",
        "progress",
        "machine",
        "measured",
        "predictions",
        "recipe",
        "recipes",
        "tabular",
    ],
    ["runs", "data", "evaluate"],
    ["claims"],
    ["models"],
    ["audit"],
    ["train"],
    ["search", "ensemble", "explain"],
    ["export"],
    ["report"],
    ["serve"],
    ["jobs"],
    ["studies"],
    ["cli", "verbs", "__init__", "__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LAST = len(LEVELS) - 1
FAMILIES = (0, LAST)
FILES = sorted(SOURCE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(SOURCE).with_suffix("").parts[0]


def imported(file: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names that a file imports anywhere in it, and whether at its top level."""
    package = ".".join(["cutis", *file.relative_to(SOURCE).parts[:-1]])
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from ((f"{module}.{alias.name}", top) for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_flow_one_way(file: Path) -> None:
    assert room(file) in LEVEL, f"give {room(file)} a level here and in docs/architecture.md"
    mine = LEVEL[room(file)]
    for name, _ in imported(file):
        library, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if library == "cutis" and other != room(file):
            level = LEVEL.get(other, LAST)  # what is no room is a name that cutis/__init__.py gives
            assert level < mine or level == mine in FAMILIES, f"{room(file)} may not import {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_torchvision_and_what_imports_it_are_imported_behind_the_guard(file: Path) -> None:
    for name, top in imported(file):
        library = name.split(".")[0]
        if library == "pytorch_grad_cam" and room(file) == "explain" and not top:
            continue  # a room that imports cutis.models, and so the guard, at its top level
        assert library not in ("torchvision", "timm", "torchmetrics", "pytorch_grad_cam") or room(file) == "models", name
        assert library != "torchvision" or not top, "import torchvision in the function that needs it"


def test_what_need_not_know_torch_does_not_import_it() -> None:
    rooms = [f"cutis.{r}" for r in ("evaluate", "claims", "report", "studies.book")]
    modules = ["cutis.runs", "cutis.recipes", "cutis.data.table", "cutis.data.images", *rooms]
    for name in rooms:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        modules += [module.name for module in pkgutil.walk_packages(spec.submodule_search_locations, name + ".")]
    code = f"""
import importlib, sys
import cutis
heavy = {{"torch", "torchvision", "timm", "accelerate", "matplotlib", "sklearn", "cv2"}} & sys.modules.keys()
assert not heavy, f"import cutis imports {{heavy}}"
for module in {modules!r}:
    importlib.import_module(module)
    assert "torch" not in sys.modules, f"{{module}} imports torch"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_are_text_and_name_no_folder_of_a_machine() -> None:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    private = re.compile(rb"(?<![\w./*-])/(work|root|home|Users)/\w")
    for name in filter(None, listed.stdout.split("\0")):
        content = (REPOSITORY / name).read_bytes() if (REPOSITORY / name).is_file() else b""
        assert b"\0" not in content, f"{name} is not text"
        assert not (found := private.search(content)), f"{name} names {found and found[0].decode()}"

"""Names: nearest ones are offered, double ones refused, and a plugin is one file and no other edit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutis.errors import CutisError
from cutis.registry import Registry


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    for number, name in enumerate(["pear", "apple", "pineapple"]):
        registry.register(name)(number)
    return registry


def test_look_up_and_order(fruits: Registry[int]) -> None:
    assert fruits["apple"] == 1
    assert list(fruits) == ["apple", "pear", "pineapple"]
    assert fruits.items() == [("apple", 1), ("pear", 0), ("pineapple", 2)]
    assert "pear" in fruits
    assert "plum" not in fruits


def test_unknown_names_are_answered_with_the_nearest_and_with_all(fruits: Registry[int]) -> None:
    with pytest.raises(CutisError) as error:
        fruits["appel"]
    assert str(error.value) == "Unknown fruit 'appel'. Did you mean 'apple' or 'pineapple'? Known: apple, pear, pineapple."
    with pytest.raises(CutisError) as error:
        fruits["xyz"]
    assert str(error.value) == "Unknown fruit 'xyz'. Known: apple, pear, pineapple."


def test_a_name_is_given_once(fruits: Registry[int]) -> None:
    with pytest.raises(CutisError, match="fruit 'pear' is registered twice"):
        fruits.register("pear")(5)
    assert fruits["pear"] == 0


def test_the_decorator_returns_what_it_decorates(fruits: Registry[int]) -> None:
    assert fruits.register("fig")(7) == 7


def test_a_package_named_as_home_is_imported_with_all_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orchard").mkdir()
    (tmp_path / "orchard" / "__init__.py").write_text("from cutis.registry import Registry\ntrees = Registry('tree', 'orchard')\n")
    (tmp_path / "orchard" / "late.py").write_text("from orchard import trees\ntrees.register('oak')('Quercus')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import orchard

    assert list(orchard.trees) == ["oak"]
    for name in ("orchard", "orchard.late"):
        del sys.modules[name]


def with_plugins(code: str, *plugins: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CUTIS_PLUGINS": os.pathsep.join(map(str, plugins))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=cwd)


FRUITS = "from cutis.registry import Registry; import sys; fruits = Registry('fruit'); sys.modules['fruits'] = sys.modules['__main__']\n"
PLUGIN = "import fruits\n@fruits.fruits.register('kiwi')\ndef kiwi():\n    return 'green'\n"


def test_a_plugin_is_a_file_or_a_module_and_is_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "other.py").write_text(PLUGIN.replace("kiwi", "lime") + "print('once', list(fruits.fruits))\n")
    code = FRUITS + "print(list(fruits), list(Registry('vegetable')), fruits['kiwi']())"
    done = with_plugins(code, tmp_path / "mine.py", "other", cwd=tmp_path)
    assert done.stdout == "once ['kiwi', 'lime']\n['kiwi', 'lime'] [] green\n", done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "FileNotFoundError: CUTIS_PLUGINS names a file that does not exist"),
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "SyntaxError"),
        (PLUGIN + PLUGIN, "the fruit 'kiwi' is registered twice"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    code = FRUITS + "from cutis.errors import CutisError\ntry:\n    fruits['kiwi']\nexcept CutisError as error:\n    print(error)"
    done = with_plugins(code, tmp_path / "mine.py")
    assert done.stdout.startswith(f"The plugin {tmp_path / 'mine.py'} cannot be imported: "), done.stderr
    assert said.lower() in done.stdout.lower()

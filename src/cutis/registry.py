"""One mechanism by which everything that has a name is found: losses, metrics, readers, layers, recipes, ..."""

import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from cutis.errors import CutisError

T = TypeVar("T")

PLUGINS = "CUTIS_PLUGINS"
ENTRY_POINTS = "cutis.plugins"
MANY = 20  # names that are too many to list beside the one that was meant


class Registry(Generic[T]):
    """Named things of one kind.

    ``home`` names the modules or packages whose import fills the registry; they are imported at the first look-up,
    a package with all its modules, so a new file in it needs no edit elsewhere. A user's own file is added by the
    environment variable ``CUTIS_PLUGINS`` (paths or module names) or by an entry point in the group ``cutis.plugins``.
    """

    def __init__(self, kind: str, *home: str) -> None:
        self.kind = kind
        self._home = home
        self._items: dict[str, T] = {}
        self._filled = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that gives ``name`` to what it decorates; a name is given once."""

        def decorate(item: T) -> T:
            if name in self._items:
                raise CutisError(f"The {self.kind} {name!r} is registered twice; choose another name.")
            self._items[name] = item
            return item

        return decorate

    def __getitem__(self, name: str) -> T:
        self._fill()
        if name not in self._items:
            raise CutisError(unknown(self.kind, name, self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(sorted(self._items))

    def items(self) -> list[tuple[str, T]]:
        """Pairs of name and thing, in the order of the names."""
        return [(name, self._items[name]) for name in self]

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True  # first, because a home module may look things up while it is imported
        try:
            for home in self._home:
                _import_all(home)
            load_plugins()
        except BaseException:
            self._filled = False
            raise


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """A message for a name that is not known: the nearest ones, and all, unless they are many and some are near."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = f" Known: {', '.join(names)}." if not near or len(names) <= MANY else ""
    return f"Unknown {kind} {str(name)!r}.{meant}{listed}"


_loaded_plugins: set[str] = set()


def load_plugins() -> None:
    """Import the user's plugins once: ``CUTIS_PLUGINS`` and the entry points of the group ``cutis.plugins``."""
    named = filter(None, os.environ.get(PLUGINS, "").split(os.pathsep))
    loaders: dict[str, Callable[[], object]] = {plugin: partial(_import_plugin, plugin) for plugin in named}
    loaders |= {entry.value: entry.load for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    for plugin, loader in loaders.items():
        if plugin in _loaded_plugins:
            continue
        _loaded_plugins.add(plugin)  # first, because a plugin may look things up while it is imported
        try:
            loader()
        except Exception as error:
            _loaded_plugins.discard(plugin)
            raise CutisError(
                f"The plugin {plugin} cannot be imported: {type(error).__name__}: {error}. Correct it or leave it out."
            ) from error


def _import_plugin(plugin: str) -> ModuleType:
    if not plugin.endswith(".py"):
        return importlib.import_module(plugin)
    path = Path(plugin).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{PLUGINS} names a file that does not exist")
    name = f"cutis_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _import_all(name: str) -> None:
    module = importlib.import_module(name)
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        importlib.import_module(f"{name}.{info.name}")

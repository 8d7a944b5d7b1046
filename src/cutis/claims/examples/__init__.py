"""Published tables that come with Cutis, a YAML file each, named as the studies of the recipe book."""

from importlib.resources import files

from cutis.errors import CutisError
from cutis.registry import unknown

SUFFIX = ".yaml"


def names() -> list[str]:
    """The names of the tables."""
    return sorted(entry.name.removesuffix(SUFFIX) for entry in files(__name__).iterdir() if entry.name.endswith(SUFFIX))


def text(name: str) -> str:
    """A table as its file has it. Raises CutisError for a name that there is not."""
    if name not in names():
        raise CutisError(unknown("example", name, names()))
    return files(__name__).joinpath(name + SUFFIX).read_text("utf-8")
